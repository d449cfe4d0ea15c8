//! A small autoencoder in the place of a full one.

use super::super::networks::Networks;
use super::super::*;
use super::usual;
use crate::files::Tensors;
use crate::stable_diffusion::{Conditioning, small_autoencoder, tiny};
use crate::testing::{errors, golden};
use crate::{Compute, Precision, Unwatched};

/// A checkpoint with a small autoencoder in a file beside it.
fn materials(folder: &std::path::Path, name: &str, file: &[u8]) -> Materials {
    let materials = tiny::unpack(&golden!("pipeline_tiny.safetensors"), folder).unwrap();
    std::fs::write(folder.join(name), file).unwrap();
    Materials { vae: Some(folder.join(name)), controls: vec![], loras: vec![], ..materials }
}

/// One half of it, by the names of the program that made it first.
fn half(file: &[u8], prefix: &str, from: usize) -> Vec<u8> {
    let tensors = Tensors::read("half", file, None).unwrap().renamed(|name| {
        let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
        Some(format!("{}.{rest}", number.parse::<usize>().ok()? + from))
    });
    tensors.to_safetensors("half", Default::default()).unwrap()
}

#[test]
fn pictures_go_through_the_small_autoencoder() {
    let file = golden!("taesd_tiny.safetensors");
    let (numbered, compute) = (Tensors::read("golden", &file, None).unwrap(), Compute::cpu(Precision::F32));
    let tensor = |name: &str| numbered.get(name).unwrap();
    let values = |name: &str| tensor(name).values().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole = materials(folder.path(), "taesd.safetensors", &file);
    // The same as files of halves, of which the one that is named finds the other; and as a folder of diffusers.
    std::fs::write(folder.path().join("taesd_encoder.safetensors"), half(&file, "encoder.layers.", 0)).unwrap();
    let halves = materials(folder.path(), "taesd_decoder.safetensors", &half(&file, "decoder.layers.", 1));
    assert_eq!(small_autoencoder(halves.vae.as_ref().unwrap()).unwrap().unwrap().len(), 2);
    std::fs::create_dir(folder.path().join("tiny")).unwrap();
    let diffusers = materials(folder.path(), "tiny/diffusion_pytorch_model.safetensors", &file);
    let diffusers = Materials { vae: Some(folder.path().join("tiny")), ..diffusers };
    for materials in [&whole, &halves, &diffusers] {
        let painter = Painter::load(materials, &compute).unwrap();
        let [_, _, height, width] = tensor("in.picture").shape()[..] else { panic!("a picture") };
        let rgb: Vec<f32> = values("in.picture").iter().map(|value| value * 0.5 + 0.5).collect();
        assert!(errors(&values("out.latent"), &painter.encode(&rgb, (width, height)).unwrap()).0 < 1e-5);
        let [_, _, height, width] = tensor("in.z").shape()[..] else { panic!("a latent") };
        let decoded: Vec<f32> = values("out.decoded").iter().map(|value| value * 0.5 + 0.5).collect();
        assert!(errors(&decoded, &painter.decode(&values("in.z"), (width, height)).unwrap()).0 < 1e-5);
    }
    // Where nothing is redrawn the picture is what the small autoencoder makes of it.
    let painter = Painter::load(&whole, &compute).unwrap();
    let (width, height) = (160, 64);
    let rgb: Vec<f32> =
        (0..3 * width * height).map(|i| ((i % 61) as f32 / 61.0 + (i / width) as f32 * 0.003) % 1.0).collect();
    let creativity: Vec<f32> = (0..width * height).map(|i| if i % width < 120 { 0.0 } else { 0.6 }).collect();
    let text = Conditioning { tokens: vec![0.1; 77 * 16], width: 16, pooled: None };
    let wanted = [(Place::WHOLE, text.clone())];
    let how = Redrawing { creativity: Amount::Map(&creativity), ..usual(&rgb, (width, height), &wanted, &text) };
    let drawn = painter.redraw(&how, &mut Unwatched).unwrap();
    let latent = painter.encode(&rgb, (width, height)).unwrap();
    let trip = painter.decode(&latent, (width / 8, height / 8)).unwrap();
    let differ = |columns: std::ops::Range<usize>| {
        let inside = (0..drawn.len()).filter(|i| columns.contains(&(i % width)));
        inside.map(|i| (drawn[i] - trip[i]).abs()).fold(0.0, f32::max)
    };
    // Its decoder sees 85 pixels far.
    assert!(differ(0..32) < 1e-5 && differ(120..width) > 0.01, "{} {}", differ(0..32), differ(120..width));
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // A decoder alone goes with the encoder of the checkpoint.
    let file = golden!("taesd_tiny.safetensors");
    let alone = materials(folder.path(), "decoder.safetensors", &half(&file, "decoder.layers.", 1));
    Painter::load(&alone, &Compute::cpu(Precision::F32)).unwrap();
    // Without its last level it is for other latents.
    let tensors = Tensors::read("short", &file, None).unwrap();
    let last = tensors.names().filter_map(|name| name.strip_prefix("encoder.layers.")?.split('.').next()?.parse().ok());
    let last: usize = last.max().unwrap();
    let short = tensors.renamed(|name| {
        let number: usize = name.strip_prefix("encoder.layers.")?.split('.').next()?.parse().ok()?;
        // The convolution that halves, and the block behind it.
        (!(last - 2..last).contains(&number)).then(|| name.to_owned())
    });
    let short = short.to_safetensors("short", Default::default()).unwrap();
    let error = Painter::load(&materials(folder.path(), "short.safetensors", &short), &Compute::cpu(Precision::F32));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("4 channels and 4 x 4 pixels"), "{error}");
    // A full one is none.
    assert!(small_autoencoder(&alone.checkpoint.join("vae")).unwrap().is_none());
}
