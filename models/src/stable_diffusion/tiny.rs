//! A checkpoint of a megabyte and a half, as people have theirs, for tests: all that is large about it is its words.

use std::path::Path;
use std::{fs, io};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::Materials;
use crate::files::Tensors;
use crate::noise::gaussian;

/// Writes the networks of `tests/golden/pipeline_tiny.safetensors` into a folder: a checkpoint in diffusers' form, a ControlNet and a
/// LoRA, with a text encoder of random weights.
///
/// # Errors
/// When the folder cannot be written, or the file is another one.
pub fn unpack(file: &[u8], folder: &Path) -> io::Result<Materials> {
    let tensors = Tensors::read("tiny", file, None).map_err(io::Error::other)?;
    let (_, metadata) = SafeTensors::read_metadata(file).map_err(io::Error::other)?;
    let settings = metadata.metadata().clone().unwrap_or_default();
    let part = |prefix: &str| {
        let part = tensors.clone().renamed(|name| name.strip_prefix(prefix).map(str::to_owned));
        part.to_safetensors("tiny", Default::default()).map_err(io::Error::other)
    };
    let network = |prefix: &str, place: &Path| -> io::Result<()> {
        fs::create_dir_all(place)?;
        fs::write(place.join("config.json"), settings.get(prefix).map_or("", String::as_str))?;
        fs::write(place.join("diffusion_pytorch_model.safetensors"), part(&format!("{prefix}."))?)
    };
    let checkpoint = folder.join("checkpoint");
    network("unet", &checkpoint.join("unet"))?;
    network("vae", &checkpoint.join("vae"))?;
    network("control", &folder.join("control"))?;
    text_encoder(&checkpoint.join("text_encoder"))?;
    let index = r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}"#;
    fs::write(checkpoint.join("model_index.json"), index)?;
    fs::write(folder.join("style.safetensors"), part("lora.")?)?;
    Ok(Materials {
        checkpoint,
        vae: None,
        controls: vec![(folder.join("control"), 0.6)],
        loras: vec![(folder.join("style.safetensors"), 0.8)],
        embeddings: vec![],
    })
}

/// A text encoder of one layer, with all words that there are.
fn text_encoder(folder: &Path) -> io::Result<()> {
    const WIDTH: usize = 16;
    let layer = |part: &str| format!("text_model.encoder.layers.0.{part}");
    let mut named = vec![
        ("text_model.embeddings.token_embedding.weight".to_owned(), vec![49_408, WIDTH]),
        ("text_model.embeddings.position_embedding.weight".to_owned(), vec![77, WIDTH]),
    ];
    let square = ["q_proj", "k_proj", "v_proj", "out_proj"].map(|part| (format!("self_attn.{part}"), WIDTH, WIDTH));
    let wide = [("mlp.fc1".to_owned(), 2 * WIDTH, WIDTH), ("mlp.fc2".to_owned(), WIDTH, 2 * WIDTH)];
    for (part, to, from) in square.into_iter().chain(wide) {
        named.extend([(layer(&format!("{part}.weight")), vec![to, from]), (layer(&format!("{part}.bias")), vec![to])]);
    }
    for norm in [layer("layer_norm1"), layer("layer_norm2"), "text_model.final_layer_norm".to_owned()] {
        named.extend([(format!("{norm}.weight"), vec![WIDTH]), (format!("{norm}.bias"), vec![WIDTH])]);
    }
    let drawn = |(i, (_, shape)): (u32, &(String, Vec<usize>))| -> Vec<u8> {
        let values = (0..shape.iter().product::<usize>() as u32).map(|j| gaussian(3, j, i, 0, 0) * 0.3);
        values.flat_map(|value| half::f16::from_f32(value).to_le_bytes()).collect()
    };
    let values: Vec<Vec<u8>> = (0..).zip(&named).map(drawn).collect();
    let views = named.iter().zip(&values).map(|((name, shape), values)| {
        let view = TensorView::new(Dtype::F16, shape.clone(), values).map_err(io::Error::other)?;
        Ok((name.as_str(), view))
    });
    let views = views.collect::<io::Result<Vec<_>>>()?;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).map_err(io::Error::other)?)?;
    let config = r#"{"vocab_size": 49408, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "eos_token_id": 49407}"#;
    fs::write(folder.join("config.json"), config)
}
