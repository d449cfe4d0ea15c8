//! Small models in single files: their outputs are those of diffusers after its own conversion.

use super::*;
use crate::stable_diffusion::clip::{Ending, Token};
use crate::stable_diffusion::{Condition, Scratch};

/// CRC-32 of zlib.
fn crc32(text: &str) -> u32 {
    !text.bytes().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// The formula of `checkpoints.py`.
fn drawn(name: &str, shape: &[usize], seed: u32) -> Vec<f32> {
    let (len, inputs) = (shape.iter().product::<usize>(), shape.iter().skip(1).product::<usize>());
    let start = crc32(name) ^ seed;
    let value = |i: usize| {
        let mut x = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(start);
        for (shift, factor) in [(16, 0x85eb_ca6b), (13, 0xc2b2_ae35), (16, 1)] {
            x = (x ^ (x >> shift)).wrapping_mul(factor);
        }
        let even = f64::from(x) / f64::from(2.0f32.powi(32)) - 0.5;
        let value = match shape.len() {
            1 if name.ends_with("bias") => 0.4 * even,
            1 => 1.0 + even,
            _ if name.contains("embedding") => even,
            _ => even * (12.0 / inputs as f64).sqrt(),
        };
        value as f32
    };
    (0..len).map(value).collect()
}

/// A single file with the weights that a list names.
fn file(folder: &Folder, list: &str, seed: u32, metadata: &[(&str, &str)]) -> PathBuf {
    let text = std::fs::read_to_string(golden(&format!("checkpoints/{list}.txt"))).unwrap();
    let tensors = listed(&text).into_iter().map(|(name, shape, _)| {
        let values = drawn(&name, &shape, seed);
        (name, (shape, values))
    });
    folder.write(&format!("{list}.safetensors"), safetensors_of(&tensors.collect(), metadata))
}

fn small() -> (Vec<u8>, u32) {
    let file = std::fs::read(golden("checkpoints/small.safetensors")).unwrap();
    let (_, about) = safetensors::SafeTensors::read_metadata(&file).unwrap();
    let seed = about.metadata().as_ref().unwrap()["seed"].parse().unwrap();
    (file, seed)
}

#[test]
fn a_single_file_gives_what_diffusers_makes_of_it() {
    let (golden, seed) = small();
    let folder = Folder::new();
    let checkpoint = Checkpoint::open(&file(&folder, "small", seed, &[])).unwrap();
    assert_eq!(checkpoint.family(), Some(Family::Sd1));
    assert_eq!(checkpoint.parts().collect::<Vec<_>>(), [Part::Unet, Part::Vae, Part::Text]);
    assert!(checkpoint.unknown().is_empty());
    assert_eq!((checkpoint.prediction(), checkpoint.scaling()), (Prediction::Epsilon, 0.182_15));
    let (compute, mut scratch) = (Compute::default(), Scratch::default());

    let ((shape, x), (_, context)) = (values(&golden, "unet.in.x"), values(&golden, "unet.in.context"));
    let unet = checkpoint.unet(&compute, &[]).unwrap();
    let found = {
        let condition = Condition { time: 500.0, text: &context, added: None };
        unet.run(&x, (shape[3], shape[2]), condition, None, &mut scratch)
    }
    .unwrap();
    close("U-Net", &values(&golden, "unet.out.t500").1, &found);

    let (shape, z) = values(&golden, "vae.in.z");
    let decoder = checkpoint.vae_decoder(&compute, &[]).unwrap();
    let found = decoder.run(&z, (shape[3], shape[2]), &mut scratch).unwrap();
    close("decoder", &values(&golden, "vae.out.decoded").1, &found);
    let (shape, picture) = values(&golden, "vae.in.picture");
    let encoder = checkpoint.vae_encoder(&compute, &[]).unwrap();
    let found = encoder.run(&picture, (shape[3], shape[2]), &mut scratch).unwrap();
    close("encoder", &values(&golden, "vae.out.mean").1, &found.mean);

    let clip = checkpoint.text_encoders(&compute, &[]).unwrap().remove(0);
    let found = clip.run(&tokens(&golden), &mut scratch).unwrap();
    close("text encoder", &values(&golden, "clip.out.last").1, &found.last);

    // A digest is that of the file.
    assert_eq!(checkpoint.digest(), *blake3::hash(&std::fs::read(checkpoint.name()).unwrap()).as_bytes());
}

fn tokens(golden: &[u8]) -> Vec<u32> {
    let tensors = Tensors::safetensors("golden", golden).unwrap();
    let tokens = tensors.get("clip.in.tokens").unwrap().bytes().as_chunks().0;
    tokens.iter().map(|token| i64::from_le_bytes(*token) as u32).collect()
}

#[test]
fn the_text_encoder_of_the_second_one_has_a_layer_more_than_it_looks_through() {
    let (golden, seed) = small();
    let folder = Folder::new();
    let checkpoint = Checkpoint::open(&file(&folder, "small_open_clip", seed, &[])).unwrap();
    assert_eq!(checkpoint.parts().collect::<Vec<_>>(), [Part::Text]);
    // diffusers leaves out the last one.
    assert_eq!(checkpoint.text_configs()[0].layers, 3);
    let clip = checkpoint.text_encoders(&Compute::default(), &[]).unwrap().remove(0);
    let tokens: Vec<Token<'_>> = tokens(&golden).into_iter().map(Token::Id).collect();
    let (found, _) = clip.encode(&tokens, 1, Ending::Normalised, &mut Scratch::default()).unwrap();
    close("OpenCLIP", &values(&golden, "open_clip.out.last").1, &found);
}

#[test]
fn what_the_unet_predicts_is_told_by_the_file_or_the_caller() {
    let folder = Folder::new();
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
    let names = "model.diffusion_model.";
    for (name, shape) in [
        ("input_blocks.0.0.weight", vec![32, 4, 3, 3]),
        ("input_blocks.1.0.out_layers.3.weight", vec![32, 32, 3, 3]),
        ("input_blocks.1.0.in_layers.2.weight", vec![32, 32, 3, 3]),
        ("input_blocks.1.1.proj_in.weight", vec![32, 32]),
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", vec![32, 1024]),
        ("out.2.weight", vec![4, 32, 3, 3]),
    ] {
        let len = shape.iter().product();
        tensors.insert(format!("{names}{name}"), (shape, vec![0.0; len]));
    }
    let open = |tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>, metadata: &[(&str, &str)]| {
        Checkpoint::open(&folder.write("model.safetensors", safetensors_of(tensors, metadata))).unwrap()
    };
    let plain = open(&tensors, &[]);
    assert_eq!((plain.family(), plain.prediction()), (Some(Family::Sd2), Prediction::Epsilon));
    assert_eq!(plain.predicting(Prediction::Velocity).prediction(), Prediction::Velocity);
    assert_eq!(open(&tensors, &[("modelspec.prediction_type", "v")]).prediction(), Prediction::Velocity);
    assert_eq!(open(&tensors, &[("modelspec.prediction_type", "epsilon")]).prediction(), Prediction::Epsilon);
    tensors.insert("v_pred".into(), (vec![1], vec![0.0]));
    tensors.insert("ztsnr".into(), (vec![1], vec![0.0]));
    tensors.insert("something.else".into(), (vec![1], vec![0.0]));
    let told = open(&tensors, &[]);
    assert_eq!((told.prediction(), told.zero_terminal()), (Prediction::Velocity, true));
    assert_eq!(told.unknown(), ["something.else"]);
    // It has the sizes of a U-Net, but not all of its tensors.
    assert!(matches!(told.unet(&Compute::default(), &[]), Err(Error::TensorMissing { .. })));
    assert!(
        told.vae_decoder(&Compute::default(), &[]).err().unwrap().to_string().contains("no autoencoder, but U-Net")
    );
}
