use safetensors::{Dtype, tensor::TensorView};

use super::*;
use crate::Compute;
use crate::noise::gaussian;
use crate::stable_diffusion::{ClipConfig, tokenizer::tokenize};

const COMMA: u32 = 267;

/// A tiny text encoder over the whole vocabulary, with random weights.
fn clip(width: usize, projection: Option<usize>, seed: u64) -> Clip {
    let config = ClipConfig { width, inner: 2 * width, layers: 2, heads: 2, ..ClipConfig::default() };
    let inner = config.inner;
    let mut shapes = vec![
        ("text_model.embeddings.token_embedding.weight".to_owned(), vec![config.vocabulary, width]),
        ("text_model.embeddings.position_embedding.weight".to_owned(), vec![config.positions, width]),
    ];
    let mut both = |name: String, weight: Vec<usize>| {
        shapes.push((format!("{name}.bias"), vec![weight[0]]));
        shapes.push((format!("{name}.weight"), weight));
    };
    for layer in ["0", "1"].map(|i| format!("text_model.encoder.layers.{i}")) {
        for part in ["q", "k", "v", "out"] {
            both(format!("{layer}.self_attn.{part}_proj"), vec![width, width]);
        }
        both(format!("{layer}.layer_norm1"), vec![width]);
        both(format!("{layer}.layer_norm2"), vec![width]);
        both(format!("{layer}.mlp.fc1"), vec![inner, width]);
        both(format!("{layer}.mlp.fc2"), vec![width, inner]);
    }
    both("text_model.final_layer_norm".into(), vec![width]);
    shapes.extend(projection.map(|outputs| ("text_projection.weight".to_owned(), vec![outputs, width])));
    let bytes: Vec<Vec<u8>> = shapes
        .iter()
        .zip(0..)
        .map(|((_, shape), which)| {
            let len = shape.iter().product::<usize>() as u32;
            (0..len).flat_map(|i| (0.3 + gaussian(seed, i, which, 0, 0)).to_le_bytes()).collect()
        })
        .collect();
    let views = shapes.into_iter().zip(&bytes);
    let views = views.map(|((name, shape), bytes)| (name, TensorView::new(Dtype::F32, shape, bytes).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    Clip::from_safetensors(&file, config, Compute::cpu(crate::Precision::F32)).unwrap()
}

/// The ids of a prompt's chunks with their weights, learned words as ids from 100,000 on.
fn cut(prompt: &str, embeddings: &Embeddings) -> Vec<Vec<(u32, f32)>> {
    let id = |slot: &Slot| match slot {
        Slot::Id(id) => *id,
        Slot::Learned { word, row } => 100_000 + 100 * *word as u32 + *row as u32,
    };
    let chunks = chunks::chunks(prompt, embeddings).unwrap();
    chunks.iter().map(|chunk| chunk.iter().map(|(slot, weight)| (id(slot), *weight)).collect()).collect()
}

fn lengths(prompt: &str) -> Vec<usize> {
    cut(prompt, &Embeddings::default()).iter().map(Vec::len).collect()
}

#[test]
fn long_prompts_are_cut_at_commas() {
    assert_eq!(lengths(""), [0]);
    assert_eq!(lengths(&"dog ".repeat(75)), [75]);
    assert_eq!(lengths(&"dog ".repeat(76)), [75, 1]);
    // A comma among the last 20 tokens ends the chunk; one before them does not.
    assert_eq!(lengths(&format!("{}, {}", "dog ".repeat(55), "cat ".repeat(40))), [56, 40]);
    assert_eq!(lengths(&format!("{}, {}", "dog ".repeat(54), "cat ".repeat(40))), [75, 20]);
    assert_eq!(lengths(&format!("{}, {}", "dog ".repeat(74), "cat ".repeat(3))), [75, 3]);
    assert_eq!(lengths(&format!("{}, {}", "dog ".repeat(75), "cat ".repeat(3))), [75, 4]);
    assert_eq!(lengths(&"dog, ".repeat(100)), [75, 75, 50]);
    assert_eq!(lengths(&"a dog, ".repeat(50)), [75, 75]);
    assert_eq!(lengths(&"an old dog, ".repeat(40)), [75, 73, 12]);
    assert_eq!(lengths("dog BREAK a cat BREAK"), [1, 2]);
    assert_eq!(lengths("BREAK dog"), [0, 1]);
    let chunks = cut("a (red:1.5) cat,", &Embeddings::default());
    assert_eq!(chunks, [[(tokenize("a")[0], 1.0), (tokenize("red")[0], 1.5), (tokenize("cat")[0], 1.0), (COMMA, 1.0)]]);
    let most = "dog ".repeat(75 * 64);
    assert_eq!(chunks::chunks(&most, &Embeddings::default()).unwrap().len(), 64);
    let error = chunks::chunks(&"dog ".repeat(75 * 70), &Embeddings::default());
    assert!(matches!(error, Err(Error::Setting { name: "prompt", .. })));
}

#[test]
fn learned_words_stand_in_the_place_of_their_names() {
    let mut embeddings = Embeddings::default();
    embeddings.add("bad-hands", vec![vec![1.0; 2 * 4]], &[4], PLACES).unwrap();
    embeddings.add("bad-hands-5", vec![vec![2.0; 3 * 4]], &[4], PLACES).unwrap();
    let ids = |prompt: &str| cut(prompt, &embeddings).concat().iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let dog = tokenize("dog")[0];
    assert_eq!(ids("dog Bad-Hands, dog"), [dog, 100_000, 100_001, COMMA, dog]);
    // The longest name wins; a part of a name is no name.
    assert_eq!(ids("bad-hands-5 dog"), [100_100, 100_101, 100_102, dog]);
    assert_eq!(ids("bad hands"), tokenize("bad hands"));
    assert!(cut("(bad-hands:1.2)", &embeddings)[0].iter().all(|(_, weight)| *weight == 1.2));
    // They count, and are not torn.
    let lengths: Vec<usize> =
        cut(&format!("{} bad-hands-5", "dog ".repeat(73)), &embeddings).iter().map(Vec::len).collect();
    assert_eq!(lengths, [73, 3]);
    assert_eq!(embeddings.vector(0, 1, 2), [2.0; 4]);
    embeddings.add("BAD-hands", vec![vec![3.0; 4]], &[4], PLACES).unwrap();
    assert_eq!(embeddings.at(&tokenize("bad-hands")), Some((0, 3, 1)));
}

#[test]
fn encoding_is_that_of_the_family() {
    let mut scratch = Scratch::default();
    let ids = tokenize("a red cat");
    let text = |filler: u32| {
        let mut text = [&[START], &ids[..], &[END]].concat();
        text.resize(77, filler);
        text
    };
    let sd1 = TextEncoder::sd1(clip(8, None, 1)).unwrap();
    let direct = clip(8, None, 1).run(&text(END), &mut scratch).unwrap();
    let found = sd1.encode("a red cat", 0, &mut scratch).unwrap();
    assert_eq!(found, Conditioning { tokens: direct.last, width: 8, pooled: None });

    let sd2 = TextEncoder::sd2(clip(8, None, 1)).unwrap();
    let direct = clip(8, None, 1).run(&text(0), &mut scratch).unwrap();
    assert_eq!(sd2.encode("a red cat", 0, &mut scratch).unwrap().tokens, direct.last);

    let sdxl = TextEncoder::sdxl(clip(8, None, 1), clip(12, Some(6), 2)).unwrap();
    let found = sdxl.encode("a red cat BREAK dog", 0, &mut scratch).unwrap();
    assert_eq!((found.width, found.tokens.len(), sdxl.width()), (20, 2 * 77 * 20, 20));
    let first = clip(8, None, 1).run(&text(END), &mut scratch).unwrap();
    let second = clip(12, Some(6), 2).run(&text(0), &mut scratch).unwrap();
    assert_eq!(found.pooled, Some(second.pooled.clone()));
    assert_eq!(second.pooled.len(), 6);
    for (i, vector) in found.tokens.chunks_exact(20).take(77).enumerate() {
        assert_eq!(vector[..8], first.before_last[i * 8..][..8]);
        assert_eq!(vector[8..], second.before_last[i * 12..][..12]);
    }
    let refiner =
        TextEncoder::sdxl_refiner(clip(12, Some(6), 2)).unwrap().encode("a red cat", 0, &mut scratch).unwrap();
    assert_eq!((refiner.tokens, refiner.pooled), (second.before_last, Some(second.pooled)));
}

#[test]
fn layers_can_be_left_out() {
    let mut scratch = Scratch::default();
    let sd1 = TextEncoder::sd1(clip(8, None, 1)).unwrap();
    let all: Vec<_> = (0..=2).map(|skip| sd1.encode("cat", skip, &mut scratch).unwrap().tokens).collect();
    assert!(all[0] != all[1] && all[1] != all[2]);
    // The last normalisation stands behind the earlier blocks as well.
    let net = clip(8, None, 1);
    let text = [&[START][..], &tokenize("cat"), &[END; 75]].concat();
    let text: Vec<Token<'_>> = text.iter().map(|id| Token::Id(*id)).collect();
    let (raw, _) = net.encode(&text, 1, Ending::Raw, &mut scratch).unwrap();
    assert_ne!(all[1], raw);
    let error = sd1.encode("cat", 3, &mut scratch);
    assert!(matches!(error, Err(Error::Setting { name: "clip skip", .. })));
}

#[test]
fn weights_multiply_tokens_and_keep_the_mean() {
    let mut scratch = Scratch::default();
    let sd1 = TextEncoder::sd1(clip(8, None, 1)).unwrap();
    let plain = sd1.encode("a red cat", 0, &mut scratch).unwrap().tokens;
    let weighed = sd1.encode("a (red:1.5) cat", 0, &mut scratch).unwrap().tokens;
    let mean = |vectors: &[f32]| vectors.iter().map(|value| f64::from(*value)).sum::<f64>() / vectors.len() as f64;
    assert!((mean(&plain) - mean(&weighed)).abs() < 1e-5 * mean(&plain).abs());
    let scale = weighed[0] / plain[0];
    for (place, (plain, weighed)) in plain.chunks(8).zip(weighed.chunks(8)).enumerate() {
        let weight = if place == 2 { 1.5 } else { 1.0 };
        for (plain, weighed) in plain.iter().zip(weighed) {
            assert!((plain * weight * scale - weighed).abs() < 1e-4 * (1.0 + weighed.abs()), "{place}");
        }
    }
    assert_eq!(sd1.encode("a (red:1.0) cat", 0, &mut scratch).unwrap().tokens, plain);
    // Each chunk has a mean of its own.
    let long = sd1.encode("a red cat BREAK (dog:2)", 0, &mut scratch).unwrap().tokens;
    assert_eq!(long[..77 * 8], plain);
}

#[test]
fn learned_vectors_are_what_the_encoder_sees() {
    let mut scratch = Scratch::default();
    let mut sdxl = TextEncoder::sdxl(clip(8, None, 1), clip(12, Some(6), 2)).unwrap();
    let (narrow, wide): (Vec<f32>, Vec<f32>) =
        ((0..16).map(|i| i as f32).collect(), (0..24).map(|i| -i as f32).collect());
    let before = sdxl.encode("my-style cat", 0, &mut scratch).unwrap();
    sdxl.learn("my-style", [(12, &wide[..]), (8, &narrow[..])]).unwrap();
    let found = sdxl.encode("my-style cat", 0, &mut scratch).unwrap();
    assert_ne!(before, found);
    let mut text = vec![Token::Id(START), Token::Vector(&wide[..12]), Token::Vector(&wide[12..])];
    text.extend([Token::Id(tokenize("cat")[0]), Token::Id(END)]);
    text.resize(77, Token::Id(0));
    let (vectors, pooled) = clip(12, Some(6), 2).encode(&text, 1, Ending::Raw, &mut scratch).unwrap();
    assert_eq!(found.pooled, Some(pooled));
    for (found, wanted) in found.tokens.chunks(20).zip(vectors.chunks(12)) {
        assert_eq!(found[8..], *wanted);
    }
}

#[test]
fn wrong_encoders_and_words_are_errors() {
    assert!(TextEncoder::sdxl(clip(8, None, 1), clip(12, None, 2)).is_err());
    assert!(TextEncoder::sdxl_refiner(clip(12, None, 2)).is_err());
    let mut sd1 = TextEncoder::sd1(clip(8, None, 1)).unwrap();
    let mut learn = |name: &str, width, len, value| sd1.learn(name, [(width, &vec![value; len][..])]).err();
    assert_eq!(learn("fine", 8, 75 * 8, 1.0), None);
    for (name, width, len, value) in [
        ("", 8, 8, 1.0),
        (" ", 8, 8, 1.0),
        ("a", 8, 0, 1.0),
        ("a", 8, 9, 1.0),
        ("a", 8, 76 * 8, 1.0),
        ("a", 8, 8, f32::NAN),
        ("a", 12, 12, 1.0),
    ] {
        let error = learn(name, width, len, value);
        assert!(matches!(error, Some(Error::Setting { name: "embedding", .. })), "{name} {width} {len} {value}");
    }
    let two = sd1.learn("a", [(8, &[1.0; 8][..]), (12, &[1.0; 12][..])]);
    assert!(matches!(two, Err(Error::Setting { name: "embedding", .. })));
}
