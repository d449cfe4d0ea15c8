//! Folders of diffusers, put together from the golden files of the networks.

use super::*;
use crate::stable_diffusion::{Condition, Scratch};

static UNET: &[u8] = include_bytes!("../../../../tests/golden/unet_tiny.safetensors");
static CLIP: &[u8] = include_bytes!("../../../../tests/golden/clip_tiny.safetensors");
static VAE: &[u8] = include_bytes!("../../../../tests/golden/vae_tiny.safetensors");

/// The settings that a golden file was made with.
fn config(file: &[u8]) -> String {
    let (_, about) = safetensors::SafeTensors::read_metadata(file).unwrap();
    about.metadata().as_ref().unwrap()["config"].clone()
}

/// A whole pipeline.
pub(super) fn pipeline() -> Folder {
    let folder = Folder::new();
    folder.write("model_index.json", r#"{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "x"]}"#);
    folder.write(
        "scheduler/scheduler_config.json",
        r#"{"prediction_type": "v_prediction", "rescale_betas_zero_snr": true}"#,
    );
    for (part, file, name) in [
        ("unet", UNET, "diffusion_pytorch_model.safetensors"),
        ("vae", VAE, "diffusion_pytorch_model.fp16.safetensors"),
        ("text_encoder", CLIP, "model.safetensors"),
    ] {
        folder.write(&format!("{part}/config.json"), config(file));
        folder.write(&format!("{part}/{name}"), file);
    }
    folder
}

/// What the U-Net of a checkpoint gives for the golden input.
pub(super) fn predicted(checkpoint: &Checkpoint, adapters: &[Adapter<'_>]) -> Vec<f32> {
    let ((shape, x), (_, text)) = (values(UNET, "in.x"), values(UNET, "in.context"));
    let unet = checkpoint.unet(&Compute::default(), adapters).unwrap();
    let (x, text) = (&x[..x.len() / shape[0]], &text[..text.len() / shape[0]]);
    let condition = Condition { time: 37.0, text, added: None };
    unet.run(x, (shape[3], shape[2]), condition, None, &mut Scratch::default()).unwrap()
}

fn wanted() -> Vec<f32> {
    let (shape, values) = values(UNET, "out.t37");
    values[..values.len() / shape[0]].to_vec()
}

#[test]
fn a_pipeline_gives_what_diffusers_does() {
    let folder = pipeline();
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    assert_eq!(checkpoint.parts().collect::<Vec<_>>(), [Part::Unet, Part::Vae, Part::Text]);
    assert_eq!((checkpoint.prediction(), checkpoint.zero_terminal()), (Prediction::Velocity, true));
    assert_eq!((checkpoint.family(), checkpoint.scaling()), (None, 0.182_15));
    close("U-Net", &wanted(), &predicted(&checkpoint, &[]));
    let (shape, tokens) = {
        let tensors = Tensors::safetensors("golden", CLIP).unwrap();
        let tensor = tensors.get("in.tokens").unwrap();
        (tensor.shape().to_vec(), tensor.bytes().to_vec())
    };
    let tokens: Vec<u32> =
        tokens.as_chunks().0.iter().take(shape[1]).map(|token| i64::from_le_bytes(*token) as u32).collect();
    let clip = checkpoint.text_encoders(&Compute::default(), &[]).unwrap().remove(0);
    let last = clip.run(&tokens, &mut Scratch::default()).unwrap().last;
    close("text encoder", &values(CLIP, "out.last").1[..last.len()], &last);
    let (shape, z) = values(VAE, "in.z");
    let decoder = checkpoint.vae_decoder(&Compute::default(), &[]).unwrap();
    let found = decoder.run(&z, (shape[3], shape[2]), &mut Scratch::default()).unwrap();
    close("decoder", &values(VAE, "out.decoded").1, &found);
    // Settings change what a checkpoint does, and so its digest.
    let digest = checkpoint.digest();
    // The same where what its files hold is known and only asked for.
    let known = || {
        let files = std::cell::Cell::new(0);
        let digest = Checkpoint::open(folder.0.path()).unwrap().digest_by(|_, _| {
            files.set(files.get() + 1);
            [7; 32]
        });
        (files.get(), digest)
    };
    let (files, before) = known();
    folder.write("scheduler/scheduler_config.json", "{}");
    assert_ne!(Checkpoint::open(folder.0.path()).unwrap().digest(), digest);
    assert_eq!(files, 3);
    assert_ne!(known().1, before);
}

#[test]
fn weights_may_lie_in_several_files() {
    let folder = pipeline();
    std::fs::remove_file(folder.path("unet/diffusion_pytorch_model.safetensors")).unwrap();
    let tensors = Tensors::safetensors("golden", UNET).unwrap();
    let (mut map, mut shards) = (BTreeMap::new(), [BTreeMap::new(), BTreeMap::new()]);
    for (i, (name, tensor)) in tensors.into_named().into_iter().enumerate() {
        map.insert(name.clone(), format!("part-{}.safetensors", i % 2));
        shards[i % 2].insert(name, tensor);
    }
    for (i, shard) in shards.into_iter().enumerate() {
        let file = Tensors::of(Format::Safetensors, shard).to_safetensors("shard", Default::default()).unwrap();
        folder.write(&format!("unet/part-{i}.safetensors"), file);
    }
    let list = |map: &BTreeMap<String, String>| serde_json::json!({ "weight_map": map }).to_string();
    folder.write("unet/diffusion_pytorch_model.safetensors.index.json", list(&map));
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    close("U-Net", &wanted(), &predicted(&checkpoint, &[]));
    map.insert("a".into(), "../../secret.safetensors".into());
    folder.write("unet/diffusion_pytorch_model.safetensors.index.json", list(&map));
    let said = Checkpoint::open(folder.0.path()).err().unwrap().to_string();
    assert!(said.contains("`../../secret.safetensors`, which is no file beside it"), "{said}");
}

#[test]
fn what_is_wrong_with_a_folder_is_said() {
    let said = |folder: &Folder| Checkpoint::open(folder.0.path()).err().unwrap().to_string();
    assert!(said(&Folder::new()).contains("none of diffusers"));
    for (file, text, part) in [
        ("model_index.json", r#"{"_class_name": "FluxPipeline"}"#, "`FluxPipeline`"),
        ("model_index.json", r#"{"_class_name": "StableDiffusion3Pipeline"}"#, "`StableDiffusion3Pipeline`"),
        ("model_index.json", "{", "make no sense"),
        ("unet/config.json", "[1]", "make no sense"),
        ("scheduler/scheduler_config.json", r#"{"prediction_type": "flow"}"#, "`flow`"),
    ] {
        let folder = pipeline();
        folder.write(file, text);
        assert!(said(&folder).contains(part), "{}", said(&folder));
    }
    for (old, new, part) in [
        ("CrossAttnDownBlock2D", "KDownBlock2D", "`KDownBlock2D`"),
        ("\"layers_per_block\"", "\"time_cond_proj_dim\": 256, \"layers_per_block\"", "`time_cond_proj_dim`"),
        ("[16, 20]", "[16]", "not equally many"),
    ] {
        let folder = pipeline();
        folder.write("unet/config.json", config(UNET).replace(old, new));
        assert!(said(&folder).contains(part), "{}", said(&folder));
    }
    let folder = pipeline();
    std::fs::remove_file(folder.path("vae/diffusion_pytorch_model.fp16.safetensors")).unwrap();
    assert!(said(&folder).contains("`vae` has no weights"), "{}", said(&folder));

    // Cut off, of another size, and changed while it is open: the file and the tensor are named.
    let folder = pipeline();
    folder.write("unet/diffusion_pytorch_model.safetensors", &UNET[..UNET.len() - 1]);
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    let error = checkpoint.unet(&Compute::default(), &[]).err().unwrap().to_string();
    assert!(error.contains("unet/diffusion_pytorch_model.safetensors"), "{error}");
    let folder = pipeline();
    folder.write("unet/config.json", config(UNET).replace("[16, 20]", "[16, 24]"));
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    let error = checkpoint.unet(&Compute::default(), &[]).err().unwrap();
    assert!(matches!(&error, Error::TensorShape { tensor, .. } if tensor.contains("down_blocks.1")), "{error}");
    let unet = folder.path("unet/diffusion_pytorch_model.safetensors");
    std::fs::File::options().append(true).open(&unet).unwrap().set_len(UNET.len() as u64 + 8).unwrap();
    let error = checkpoint.unet(&Compute::default(), &[]).err().unwrap().to_string();
    assert!(error.contains("changed while it was read"), "{error}");
}

#[test]
fn a_part_may_be_a_folder_of_its_own() {
    let folder = Folder::new();
    let text = config(VAE).replacen('{', "{\"_class_name\": \"AutoencoderKL\", \"scaling_factor\": 0.5, ", 1);
    folder.write("config.json", &text);
    folder.write("diffusion_pytorch_model.safetensors", VAE);
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    assert_eq!((checkpoint.parts().collect::<Vec<_>>(), checkpoint.scaling()), (vec![Part::Vae], 0.5));
    checkpoint.vae_encoder(&Compute::default(), &[]).unwrap();
    folder.write("config.json", text.replace("AutoencoderKL", "AutoencoderTiny"));
    assert!(Checkpoint::open(folder.0.path()).err().unwrap().to_string().contains("`AutoencoderTiny`"));
}
