//! Text encoders at every depth against transformers. `UPWEAVE_GOLDENS` names another folder of golden files, with the encoders at their
//! true sizes, say; `tests/parity/text_encoders.py` writes them.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, safetensors::load_buffer};
use safetensors::SafeTensors;
use serde_json::Value;

use super::*;
use crate::testing::{errors, exact};

/// Largest error relative to the largest value: of the small encoder, and of one with up to 32 blocks.
const MOST: [f32; 2] = [1e-4, 1e-3];

fn config(file: &[u8]) -> ClipConfig {
    let (_, metadata) = SafeTensors::read_metadata(file).unwrap();
    let config: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["config"]).unwrap();
    let number = |name: &str| config[name].as_u64().unwrap() as usize;
    ClipConfig {
        vocabulary: number("vocab_size"),
        width: number("hidden_size"),
        inner: number("intermediate_size"),
        layers: number("num_hidden_layers"),
        heads: number("num_attention_heads"),
        positions: number("max_position_embeddings"),
        quick_gelu: config["hidden_act"] == "quick_gelu",
        end: number("eos_token_id") as u32,
    }
}

#[test]
fn states_equal_transformers_at_every_depth() {
    let usual = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = std::env::var_os("UPWEAVE_GOLDENS").map_or(usual, PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("text_encoder_"));
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let file = std::fs::read(&path).unwrap();
        let tensors = load_buffer(&file, &Device::Cpu).unwrap();
        let rows = |name: &str| -> Vec<Vec<f32>> {
            let tensor: &Tensor = &tensors[name];
            let rows = tensor.to_dtype(DType::F32).unwrap().flatten_from(1).unwrap();
            rows.to_vec2().unwrap()
        };
        let config = config(&file);
        let most = MOST[usize::from(config.layers > 3)];
        for compute in exact().into_iter().chain([Compute::cpu(Precision::Bf16)]) {
            let narrow = matches!(compute, Compute::Cpu { precision: Precision::Bf16, .. });
            let clip = Clip::from_safetensors(&file, config.clone(), compute.clone()).unwrap();
            let mut largest = (0.0f32, 0.0f32);
            let mut check = |what: &str, wanted: &[f32], found: &[f32]| {
                let (worst, root) = errors(wanted, found);
                let what = format!("{what} of {} on {}: {worst}, {root}", path.display(), compute.family());
                assert!(if narrow { root < 5e-2 } else { worst < most }, "{what}");
                largest = (largest.0.max(worst), largest.1.max(root));
            };
            let mut scratch = Scratch::default();
            for (i, tokens) in rows("in.tokens").iter().enumerate() {
                let ids: Vec<u32> = tokens.iter().map(|token| *token as u32).collect();
                let text: Vec<Token<'_>> = ids.iter().map(|id| Token::Id(*id)).collect();
                let raw = |skip| ("raw", Ending::Raw, skip);
                let normalised = |skip| ("normalised", Ending::Normalised, skip);
                for (name, ending, skip) in [normalised(0), raw(1), raw(2), normalised(2)] {
                    let (vectors, pooled) = clip.encode(&text, skip, ending, &mut scratch).unwrap();
                    check(&format!("{name} {skip}"), &rows(&format!("out.{name}.{skip}"))[i], &vectors);
                    check("pooled", &rows("out.pooled")[i], &pooled);
                }
                let all = clip.run(&ids, &mut scratch).unwrap();
                check("last", &rows("out.normalised.0")[i], &all.last);
                check("before last", &rows("out.raw.1")[i], &all.before_last);
            }
            println!("{} on {}: {:.1e}, {:.1e}", path.display(), compute.family(), largest.0, largest.1);
        }
    }
}

#[test]
fn wrong_vectors_and_depths_are_errors() {
    let file = include_bytes!("../../../tests/golden/text_encoder_open.safetensors");
    let clip = Clip::from_safetensors(file, config(file), Compute::default()).unwrap();
    let encode = |token, skip| clip.encode(&[token], skip, Ending::Raw, &mut Scratch::default()).err();
    assert_eq!(encode(Token::Vector(&[0.5; 40]), 3), None);
    assert!(matches!(encode(Token::Vector(&[0.5; 41]), 0), Some(Error::Setting { name: "tokens", .. })));
    assert!(matches!(encode(Token::Id(90), 0), Some(Error::Setting { name: "tokens", .. })));
    assert!(matches!(encode(Token::Id(1), 4), Some(Error::Setting { name: "clip skip", .. })));
}
