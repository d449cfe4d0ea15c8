//! Adapters, against diffusers and PEFT, and a real one against the formula.

use super::folders::{pipeline, predicted};
use super::*;
use crate::layers::Patches;

fn adapter(name: &str) -> Lora {
    Lora::open(&golden(&format!("checkpoints/lora_{name}.safetensors"))).unwrap()
}

fn of_unet(lora: &Lora, weight: f32) -> Adapter<'_> {
    Adapter { text: 0.0, ..Adapter::all(lora, weight) }
}

fn output(name: &str) -> Vec<f32> {
    values(&std::fs::read(golden("checkpoints/lora_outputs.safetensors")).unwrap(), &format!("out.{name}")).1
}

#[test]
fn outputs_are_those_of_diffusers_with_it_fused() {
    let folder = pipeline();
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    for (name, weight, wanted) in
        [("kohya", 1.0, "all"), ("peft", 1.0, "all"), ("peft", 0.5, "half"), ("processors", 1.0, "attention")]
    {
        let lora = adapter(name);
        let merged = checkpoint.merged(&lora).unwrap();
        assert!(merged.unet >= 10 && merged.text == 0 && merged.unused.is_empty(), "{merged:?}");
        let found = predicted(&checkpoint, &[of_unet(&lora, weight)]);
        close(&format!("{name} at {weight}"), &output(wanted), &found);
    }
    // Two at once add up.
    let (kohya, peft) = (adapter("kohya"), adapter("peft"));
    let both = [of_unet(&kohya, 0.25), of_unet(&peft, 0.25)];
    close("both", &output("half"), &predicted(&checkpoint, &both));
    // Weights of its own for the text.
    let plain = predicted(&checkpoint, &[]);
    assert_eq!(plain, predicted(&checkpoint, &[Adapter { text: 1.0, ..of_unet(&peft, 0.0) }]));
    let strange = [of_unet(&peft, f32::NAN)];
    assert!(matches!(checkpoint.unet(&Compute::default(), &strange), Err(Error::Setting { name: "weight", .. })));
}

/// A LoRA for one layer of the tiny U-Net.
fn written(folder: &Folder, layer: &str, up: [usize; 2], down: [usize; 2]) -> PathBuf {
    let tensor = |shape: [usize; 2]| (shape.to_vec(), vec![0.5; shape[0] * shape[1]]);
    let tensors = BTreeMap::from([
        (format!("{layer}.lora_up.weight"), tensor(up)),
        (format!("{layer}.lora_down.weight"), tensor(down)),
    ]);
    folder.write("lora.safetensors", safetensors_of(&tensors, &[]))
}

#[test]
fn what_does_not_fit_is_one_clear_error() {
    let folder = pipeline();
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    let own = Folder::new();
    let to_k = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    let error = |path: PathBuf| checkpoint.merged(&Lora::open(&path).unwrap()).unwrap_err();
    assert_eq!(checkpoint.merged(&Lora::open(&written(&own, to_k, [16, 4], [4, 32])).unwrap()).unwrap().unet, 1);
    // For a text of another width, and a U-Net of another.
    for (up, down, tensor) in
        [([16, 4], [4, 768], "lora_down"), ([320, 4], [4, 32], "lora_up"), ([16, 4], [5, 32], "lora_up")]
    {
        let error = error(written(&own, to_k, up, down));
        assert!(matches!(&error, Error::TensorShape { tensor: name, .. } if name.contains(tensor)), "{error}");
        assert!(error.to_string().contains("made for another model"), "{error}");
    }
    let error = error(written(&own, "lora_unet_double_blocks_0_img_attn_qkv", [16, 4], [4, 32]));
    assert!(error.to_string().contains("none of its 1 layers is in this model"), "{error}");

    let refused = |tensors: &[(&str, &[usize])]| {
        let tensors = tensors
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), (shape.to_vec(), vec![0.0; shape.iter().product()])));
        Lora::open(&own.write("lora.safetensors", safetensors_of(&tensors.collect(), &[]))).err().unwrap().to_string()
    };
    let matrix = [4, 4];
    assert!(refused(&[("lora_unet_a.hada_w1_a", &matrix)]).contains("it is a LoHa"));
    assert!(refused(&[("lora_unet_a.lora_up.weight", &matrix)]).contains("has no counterpart"));
    assert!(refused(&[("conv.weight", &matrix)]).contains("no LoRA"));
    let several = refused(&[
        ("unet.a.lora_A.weight", &matrix),
        ("unet.a.lora_B.weight", &matrix),
        ("unet.a.lora.up.weight", &matrix),
    ]);
    assert!(several.contains("are for the same layer"), "{several}");
}

#[test]
fn scales_in_metadata_hold_for_layers_without_an_alpha() {
    let folder = pipeline();
    let checkpoint = Checkpoint::open(folder.0.path()).unwrap();
    let bytes = std::fs::read(golden("checkpoints/lora_peft.safetensors")).unwrap();
    let tensors = Tensors::safetensors("golden", &bytes).unwrap();
    let own = Folder::new();
    let with = |text: &str| {
        let metadata = [("lora_adapter_metadata".to_owned(), text.to_owned())].into();
        let file = tensors.to_safetensors("lora", metadata).unwrap();
        Lora::open(&own.write("lora.safetensors", file))
    };
    // All of them are of rank 3.
    let lora = with(r#"{"unet.lora_alpha": 1.5, "unet.r": 3}"#).unwrap();
    close("alpha 1.5", &output("half"), &predicted(&checkpoint, &[of_unet(&lora, 1.0)]));
    let lora = with(r#"{"unet.lora_alpha": 0.8660254, "unet.use_rslora": true}"#).unwrap();
    close("root", &output("half"), &predicted(&checkpoint, &[of_unet(&lora, 1.0)]));
    assert!(with(r#"{"unet.use_dora": true}"#).err().unwrap().to_string().contains("DoRA"));
    assert!(with(r#"{"unet.alpha_pattern": {"a": 1}}"#).err().unwrap().to_string().contains("alpha_pattern"));
    assert!(with("{").err().unwrap().to_string().contains("make no sense"));
}

#[test]
fn a_real_one_by_numbers_finds_its_layers() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA").map(PathBuf::from) else {
        eprintln!("skipped: UPWEAVE_DATA names no folder");
        return;
    };
    let path = data.join("weights/sd15-lora/lora_disney.safetensors");
    let lora = Lora::open(&path).unwrap();
    let room = room();
    let base = |list: &str| {
        let text = std::fs::read_to_string(golden(&format!("checkpoints/names/{list}.txt"))).unwrap();
        let tensors = hollow(listed(&text).into_iter().map(|(name, shape, _)| (name, shape)), &room);
        let place = places(&tensors)[0];
        taken(tensors, place).unwrap().0
    };
    let (unet, text) = (base("UNET-v1-SD"), base("CLIP-v1-SD"));
    let base = |part, tensors| Base { part, tensors, family: Some(Family::Sd1), per_level: 2 };
    let merged = lora.merged(&[base(Part::Unet, &unet), base(Part::Text, &text)]).unwrap();
    assert_eq!((merged.unet, merged.text, merged.unused.len()), (144, 48, 0));
    assert_eq!(lora.embeddings().iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["<s1>", "<s2>"]);

    // By the formula, for layers at both ends and where the order of modules matters.
    let bytes = std::fs::read(&path).unwrap();
    let mut patches = Patches::default();
    lora.patch(&base(Part::Unet, &unet), 0.7, true, &mut patches).unwrap();
    lora.patch(&base(Part::Text, &text), 0.7, true, &mut patches).unwrap();
    for (key, tensor) in [
        ("unet:0", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
        ("unet:3", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight"),
        ("unet:4", "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight"),
        ("unet:6", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"),
        ("unet:54", "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
        ("unet:143", "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.weight"),
        ("text_encoder:1", "text_model.encoder.layers.0.self_attn.v_proj.weight"),
        ("text_encoder:46", "text_model.encoder.layers.11.self_attn.q_proj.weight"),
    ] {
        let [patch] = patches.of(tensor) else { panic!("{tensor}: {:?}", patches.of(tensor)) };
        assert_eq!(
            (&patch.up, &patch.down),
            (&values(&bytes, &format!("{key}:up")).1, &values(&bytes, &format!("{key}:down")).1)
        );
        assert_eq!((patch.rank, patch.gain), (1, 0.7), "{tensor}");
    }

    // Stable Diffusion 2 reads other texts.
    let second = std::fs::read_to_string(golden("checkpoints/names/UNET-v2-SD.txt")).unwrap();
    let second = hollow(listed(&second).into_iter().map(|(name, shape, _)| (name, shape)), &room);
    let place = places(&second)[0];
    let second = taken(second, place).unwrap().0;
    let other = Base { part: Part::Unet, tensors: &second, family: Some(Family::Sd2), per_level: 2 };
    let error = lora.merged(&[other]).unwrap_err().to_string();
    assert!(error.contains("of Stable Diffusion 2: it was made for another model"), "{error}");

    // Every name that kohya's trainer gives.
    for (list, part, tensors) in [("LoRA-v1A-UNET", Part::Unet, &unet), ("LoRA-v1A-CLIP", Part::Text, &text)] {
        let shapes = listed_ranks(&data, list);
        assert!(shapes.len() > 200, "{list}");
        let own = Folder::new();
        let file = own.write("lora.safetensors", safetensors_of(&shapes, &[]));
        let merged = Lora::open(&file).unwrap().merged(&[base(part, tensors)]).unwrap();
        assert_eq!((3 * (merged.unet + merged.text), merged.unused.len()), (shapes.len(), 0), "{list}");
    }
}

/// The tensors of a list of kohya's, all of rank 1.
fn listed_ranks(data: &Path, list: &str) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let text = std::fs::read_to_string(data.join(format!("weights/sd-keylists/{list}.txt"))).unwrap();
    let tensors = listed(&text.replace("-1", "1")).into_iter().map(|(name, shape, _)| {
        let len = shape.iter().product();
        (name, (shape, vec![1.0; len]))
    });
    tensors.collect()
}
