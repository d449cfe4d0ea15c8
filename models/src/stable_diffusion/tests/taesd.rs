//! The tiny autoencoder against diffusers, and with real weights.

use std::path::PathBuf;

use super::*;
use crate::files::Tensors;

#[test]
fn tiny_autoencoder_equals_diffusers() {
    let file = golden!("taesd_tiny.safetensors");
    let [(z_shape, z), (shape, pictures)] = ["in.z", "in.picture"].map(|name| tensor(&file, name));
    let [(_, decoded), (z_size, encoded)] = ["out.decoded", "out.latent"].map(|name| tensor(&file, name));
    on_all(|compute, check| {
        let mut scratch = Scratch::default();
        let decoder = TaesdDecoder::from_safetensors(&file, compute.clone()).unwrap();
        let encoder = TaesdEncoder::from_safetensors(&file, compute.clone()).unwrap();
        assert_eq!((decoder.latent(), encoder.latent()), (4, 4));
        check("decoded", &decoded[0], &decoder.run(&z[0], (z_shape[3], z_shape[2]), &mut scratch).unwrap());
        let (found, size) = encoder.run(&pictures[0], (shape[3], shape[2]), &mut scratch).unwrap();
        assert_eq!(size, (z_size[3], z_size[2]));
        check("latent", &encoded[0], &found);
    });
}

#[test]
fn other_files_are_errors() {
    let clip = golden!("clip_tiny.safetensors");
    assert!(matches!(TaesdDecoder::from_safetensors(&clip, Compute::default()), Err(Error::Weights { .. })));
    assert!(matches!(TaesdEncoder::from_safetensors(&clip, Compute::default()), Err(Error::Weights { .. })));
    let tiny = TaesdDecoder::from_safetensors(&golden!("taesd_tiny.safetensors"), Compute::default()).unwrap();
    assert!(tiny.run(&[0.0; 15], (2, 2), &mut Scratch::default()).is_err());
}

#[test]
fn working_memory_is_predicted() {
    let file = golden!("taesd_tiny.safetensors");
    for precision in [Precision::F32, Precision::Bf16] {
        let decoder = TaesdDecoder::from_safetensors(&file, Compute::cpu(precision)).unwrap();
        let mut scratch = Scratch::default();
        decoder.run(&vec![0.0; 4 * 64 * 64], (64, 64), &mut scratch).unwrap();
        let (predicted, real) = (decoder.working_bytes((64, 64)) as f64, scratch.most_bytes() as f64);
        assert!((0.6..1.3).contains(&(predicted / real)), "{precision:?}: {predicted} for {real}");
    }
}

/// The published networks of a larger sibling (32 channels, a branch in the middle blocks) bring a photograph back.
#[test]
fn real_weights_bring_a_picture_back() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA").map(PathBuf::from) else {
        eprintln!("skipped: UPWEAVE_DATA names no folder");
        return;
    };
    let read = |name: &str| std::fs::read(data.join("weights/taesd-family").join(name)).unwrap();
    let (encoder, decoder) = (read("taef2_encoder.pth"), read("taef2_decoder.pth"));
    let weights = |file| Weights::of("taesd", Tensors::read("taesd", file, None).unwrap());
    let photo = image::open(data.join("bench/kodak/03.png")).unwrap().to_rgb8();
    let size = (photo.width() as usize, photo.height() as usize);
    let plane = |c: usize| photo.pixels().map(move |pixel| f32::from(pixel.0[c]) / 127.5 - 1.0);
    let planes: Vec<f32> = (0..3).flat_map(plane).collect();
    // PyTorch makes 33.23 dB of it.
    for (precision, least) in [(Precision::F32, 33.2), (Precision::Bf16, 32.7)] {
        let compute = Compute::cpu(precision);
        let encoder = TaesdEncoder::load(&weights(&encoder).on(compute.clone())).unwrap();
        let decoder = TaesdDecoder::load(&weights(&decoder).on(compute)).unwrap();
        assert_eq!((encoder.latent(), decoder.latent()), (32, 32));
        let mut scratch = Scratch::default();
        let (latent, small) = encoder.run(&planes, size, &mut scratch).unwrap();
        let back = decoder.run(&latent, small, &mut scratch).unwrap();
        let square = |(a, b): (&f32, &f32)| f64::from((a - b.clamp(-1.0, 1.0)) / 2.0).powi(2);
        let error = planes.iter().zip(&back).map(square).sum::<f64>() / planes.len() as f64;
        let found = -10.0 * error.log10();
        println!("{}: {found:.2} dB", precision.name());
        assert!(found > least, "{}: {found} dB", precision.name());
    }
    // The halves are told apart.
    assert!(matches!(TaesdDecoder::load(&weights(&encoder)), Err(Error::Weights { .. })));
    assert!(matches!(TaesdEncoder::load(&weights(&decoder)), Err(Error::Weights { .. })));
}
