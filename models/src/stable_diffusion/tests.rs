use candle_core::{DType, Device, Tensor, safetensors::load_buffer};

use super::*;
use crate::testing::{errors, exact};

static CLIP: &[u8] = include_bytes!("../../tests/golden/clip_tiny.safetensors");
static UNET: &[u8] = include_bytes!("../../tests/golden/unet_tiny.safetensors");
static VAE: &[u8] = include_bytes!("../../tests/golden/vae_tiny.safetensors");

/// A tensor of a golden file: its shape, and its values in f32 for each of its first dimension.
fn golden(file: &[u8], name: &str) -> (Vec<usize>, Vec<Vec<f32>>) {
    let tensor: &Tensor = &load_buffer(file, &Device::Cpu).unwrap()[name];
    let values: Vec<f32> = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let shape = tensor.dims().to_vec();
    let parts = values.chunks(values.len() / shape[0]).map(<[f32]>::to_vec).collect();
    (shape, parts)
}

/// Runs on everything that can compute: f32 and candle's operations have to be exact, bf16 close.
fn on_all(mut run: impl FnMut(&Compute, &mut dyn FnMut(&str, &[f32], &[f32]))) {
    for compute in exact().into_iter().chain([Compute::cpu(Precision::Bf16)]) {
        let narrow = matches!(compute, Compute::Cpu { precision: Precision::Bf16, .. });
        run(&compute, &mut |name, wanted, found| {
            let (worst, root) = errors(wanted, found);
            assert!(if narrow { root < 3e-2 } else { worst < 1e-4 }, "{name} on {}: {worst}, {root}", compute.family());
        });
    }
}

fn clip_config() -> ClipConfig {
    ClipConfig { vocabulary: 100, width: 32, inner: 64, layers: 2, heads: 4, end: 99, ..ClipConfig::default() }
}

#[test]
fn text_encoder_equals_transformers() {
    let (_, tokens) = golden(CLIP, "in.tokens");
    let [last, before_last, pooled] = ["out.last", "out.before_last", "out.pooled"].map(|name| golden(CLIP, name).1);
    on_all(|compute, check| {
        let clip = Clip::from_safetensors(CLIP, clip_config(), compute.clone()).unwrap();
        let mut scratch = Scratch::default();
        for (i, tokens) in tokens.iter().enumerate() {
            let tokens: Vec<u32> = tokens.iter().map(|token| *token as u32).collect();
            let text = clip.run(&tokens, &mut scratch).unwrap();
            check("last", &last[i], &text.last);
            check("before last", &before_last[i], &text.before_last);
            check("pooled", &pooled[i], &text.pooled);
        }
    });
}

#[test]
fn wrong_tokens_are_errors() {
    let clip = Clip::from_safetensors(CLIP, clip_config(), Compute::default()).unwrap();
    for tokens in [&[][..], &[1; 78], &[100]] {
        assert!(matches!(clip.run(tokens, &mut Scratch::default()), Err(Error::Setting { name: "tokens", .. })));
    }
}

fn unet_config() -> UnetConfig {
    UnetConfig {
        widths: vec![16, 20],
        transformers: vec![1, 0],
        heads: vec![4, 4],
        blocks: 1,
        text: 32,
        groups: 4,
        ..UnetConfig::default()
    }
}

#[test]
fn unet_equals_diffusers() {
    let (shape, latents) = golden(UNET, "in.x");
    let (_, texts) = golden(UNET, "in.context");
    on_all(|compute, check| {
        let unet = Unet::from_safetensors(UNET, unet_config(), compute.clone()).unwrap();
        let mut scratch = Scratch::default();
        for time in [981, 37] {
            let (_, wanted) = golden(UNET, &format!("out.t{time}"));
            for ((latent, text), wanted) in latents.iter().zip(&texts).zip(&wanted) {
                let found = unet.run(latent, (shape[3], shape[2]), time as f32, text, &mut scratch).unwrap();
                check(&format!("time {time}"), wanted, &found);
            }
        }
    });
}

#[test]
fn wrong_latents_and_configurations_are_errors() {
    let unet = Unet::from_safetensors(UNET, unet_config(), Compute::default()).unwrap();
    let run = |size, len, text| unet.run(&vec![0.0; len], size, 1.0, &vec![0.0; text], &mut Scratch::default());
    assert!(run((2, 2), 16, 32).is_ok());
    for (size, len, text) in [((3, 2), 24, 32), ((2, 2), 15, 32), ((0, 2), 0, 32), ((2, 2), 16, 31), ((2, 2), 16, 0)] {
        assert!(matches!(run(size, len, text), Err(Error::Setting { .. })), "{size:?} {len} {text}");
    }
    let load = |config| Unet::from_safetensors(UNET, config, Compute::default()).err().unwrap();
    assert!(matches!(load(UnetConfig { groups: 3, ..unet_config() }), Error::Setting { name: "norm groups", .. }));
    assert!(matches!(load(UnetConfig { heads: vec![3, 4], ..unet_config() }), Error::Setting { name: "heads", .. }));
    assert!(matches!(load(UnetConfig { widths: vec![], ..unet_config() }), Error::Setting { name: "widths", .. }));
    assert!(matches!(load(UnetConfig { heads: vec![4], ..unet_config() }), Error::Setting { .. }));
    assert!(matches!(load(UnetConfig { blocks: 2, ..unet_config() }), Error::TensorMissing { .. }));
    assert!(matches!(load(UnetConfig::default()), Error::TensorShape { .. } | Error::TensorMissing { .. }));
}

#[test]
fn autoencoder_equals_diffusers() {
    let config = VaeConfig { widths: vec![12, 28], blocks: 1, groups: 4, ..VaeConfig::default() };
    let [(z_shape, z), (shape, pictures)] = ["in.z", "in.picture"].map(|name| golden(VAE, name));
    let [(_, decoded), (_, means)] = ["out.decoded", "out.mean"].map(|name| golden(VAE, name));
    on_all(|compute, check| {
        let mut scratch = Scratch::default();
        let decoder = VaeDecoder::from_safetensors(VAE, &config, compute.clone()).unwrap();
        check("decoded", &decoded[0], &decoder.run(&z[0], (z_shape[3], z_shape[2]), &mut scratch).unwrap());
        let encoder = VaeEncoder::from_safetensors(VAE, &config, compute.clone()).unwrap();
        check("mean", &means[0], &encoder.run(&pictures[0], (shape[3], shape[2]), &mut scratch).unwrap());
    });
}
