use candle_core::{DType, Device, safetensors::SliceSafetensors};

use super::*;
use crate::layers::Weights;
use crate::testing::{errors, exact, golden};

mod controlnet;
mod full_size;
mod taesd;
mod unet;
mod vae;

/// A tensor of a golden file: its shape, and its values in f32 for each of its first dimension.
fn tensor(file: &[u8], name: &str) -> (Vec<usize>, Vec<Vec<f32>>) {
    let tensor = SliceSafetensors::new(file).unwrap().load(name, &Device::Cpu).unwrap();
    let values: Vec<f32> = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let shape = tensor.dims().to_vec();
    let parts = values.chunks(values.len() / shape[0]).map(<[f32]>::to_vec).collect();
    (shape, parts)
}

/// Looks at what is wanted and found of something.
type Check<'a> = dyn FnMut(&str, &[f32], &[f32]) + 'a;

/// Runs on everything that can compute: f32 and candle's operations have to be exact, bf16 close.
fn on_all(run: impl FnMut(&Compute, &mut Check<'_>)) {
    on_all_within(3e-2, run);
}

/// The same where bf16 may be as far off as this.
fn on_all_within(bar: f32, mut run: impl FnMut(&Compute, &mut Check<'_>)) {
    for compute in exact().into_iter().chain([Compute::cpu(Precision::Bf16)]) {
        let narrow = matches!(compute, Compute::Cpu { precision: Precision::Bf16, .. });
        run(&compute, &mut |name, wanted, found| {
            let (worst, root) = errors(wanted, found);
            assert!(if narrow { root < bar } else { worst < 1e-4 }, "{name} on {}: {worst}, {root}", compute.family());
        });
    }
}

fn clip_config() -> ClipConfig {
    ClipConfig { vocabulary: 100, width: 32, inner: 64, layers: 2, heads: 4, end: 99, ..ClipConfig::default() }
}

#[test]
fn text_encoder_equals_transformers() {
    let file = golden!("clip_tiny.safetensors");
    let (_, tokens) = tensor(&file, "in.tokens");
    let [last, before_last, pooled] = ["out.last", "out.before_last", "out.pooled"].map(|name| tensor(&file, name).1);
    on_all(|compute, check| {
        let clip = Clip::from_safetensors(&file, clip_config(), compute.clone()).unwrap();
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
    let file = golden!("clip_tiny.safetensors");
    let clip = Clip::from_safetensors(&file, clip_config(), Compute::default()).unwrap();
    for tokens in [&[][..], &[1; 78], &[100]] {
        assert!(matches!(clip.run(tokens, &mut Scratch::default()), Err(Error::Setting { name: "tokens", .. })));
    }
}
