//! Every tensor of the published files, by diffusers' own conversion.

use super::super::names::Blocks;
use super::*;

const LISTS: [(&str, Part); 9] = [
    ("UNET-v1-SD", Part::Unet),
    ("UNET-v2-SD", Part::Unet),
    ("UNET-XL-SD", Part::Unet),
    ("UNET-XL-Refiner", Part::Unet),
    ("VAE-v1-SD", Part::Vae),
    ("CLIP-v1-SD", Part::Text),
    ("CLIP-v2-SD", Part::Text),
    ("CLIP-XL-SD", Part::Text2),
    ("ControlNet-v1-SD", Part::Control),
];

fn list(name: &str) -> Vec<(String, Vec<usize>, Vec<String>)> {
    listed(&std::fs::read_to_string(golden(&format!("checkpoints/names/{name}.txt"))).unwrap())
}

#[test]
fn names_and_shapes_are_those_of_diffusers() {
    let room = room();
    for (file, part) in LISTS {
        let lines = list(file);
        let mut wanted = BTreeMap::new();
        for (_, shape, rest) in &lines {
            let shape = rest.get(1).map_or(shape.clone(), |other| listed(&format!("x {other}"))[0].1.clone());
            wanted.insert(rest[0].clone(), shape);
        }
        // Tables that transformers made anew later are not asked for.
        wanted.remove("text_model.embeddings.position_ids");
        let shapes = lines.iter().map(|(name, shape, _)| (name.clone(), shape.clone()));
        let mut shapes: Vec<(String, Vec<usize>)> = shapes.collect();
        shapes.push(("model_ema.decay".into(), vec![1]));
        shapes.push(("alphas_cumprod".into(), vec![1000]));
        let tensors = hollow(shapes, &room);
        let places = places(&tensors);
        assert_eq!(places.iter().map(|place| place.part).collect::<Vec<_>>(), [part], "{file}");
        let (found, unknown) = taken(tensors, places[0]).unwrap();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
        let found: BTreeMap<String, Vec<usize>> =
            found.into_named().into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec())).collect();
        assert_eq!(found.len(), wanted.len(), "{file}");
        assert_eq!(found, wanted, "{file}");
    }
}

#[test]
fn sizes_are_found_in_shapes() {
    let room = room();
    let sizes = |file: &str| {
        let tensors = hollow(list(file).into_iter().map(|(name, shape, _)| (name, shape)), &room);
        let place = places(&tensors)[0];
        single::sizes_of(&Weights::of(file, taken(tensors, place).unwrap().0), place).unwrap()
    };
    let unet = |file: &str| match sizes(file) {
        Sizes::Unet(config) => config,
        other => panic!("{other:?}"),
    };
    assert_eq!(unet("UNET-v1-SD"), UnetConfig::default());
    assert_eq!(unet("UNET-v2-SD"), UnetConfig::sd2());
    assert_eq!(unet("UNET-XL-SD"), UnetConfig::sdxl());
    assert_eq!(unet("UNET-XL-Refiner"), UnetConfig::refiner());
    assert_eq!(sizes("VAE-v1-SD"), Sizes::Vae(VaeConfig::default()));
    assert_eq!(sizes("CLIP-v1-SD"), Sizes::Clip(ClipConfig::default()));
    assert_eq!(sizes("CLIP-v2-SD"), Sizes::Clip(ClipConfig::open_clip_h()));
    assert_eq!(sizes("CLIP-XL-SD"), Sizes::Clip(ClipConfig::open_clip_big_g()));
    assert_eq!(sizes("ControlNet-v1-SD"), Sizes::Control(ControlNetConfig::default()));
}

#[test]
fn names_of_the_first_program_are_understood_with_underscores() {
    let blocks = Blocks { per_level: 2, hint: 14, between: '_' };
    for (old, _, rest) in list("UNET-XL-SD") {
        let old = old.strip_prefix("model.diffusion_model.").unwrap().replace('.', "_");
        assert_eq!(blocks.unet(&old).as_deref(), Some(&*rest[0].replace('.', "_")), "{old}");
    }
}

/// The lists that the golden files were made of, and those of other kinds of files.
#[test]
fn nothing_of_the_published_files_is_left_over() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA").map(PathBuf::from) else {
        eprintln!("skipped: UPWEAVE_DATA names no folder");
        return;
    };
    let room = room();
    for (file, prefix) in [
        ("UNET-v1-SD", "model.diffusion_model."),
        ("UNET-v1-Inpainting", "model.diffusion_model."),
        ("UNET-v1-Pix2Pix", "model.diffusion_model."),
        ("UNET-v1-EMA", "model_ema."),
        ("UNET-v2-SD", "model.diffusion_model."),
        ("UNET-v2-Inpainting", "model.diffusion_model."),
        ("UNET-v2-Depth", "model.diffusion_model."),
        ("UNET-XL-SD", "model.diffusion_model."),
        ("UNET-XL-Refiner", "model.diffusion_model."),
        ("VAE-v1-SD", "first_stage_model."),
        ("VAE-v1-SD", ""),
        ("CLIP-v1-SD", "cond_stage_model.transformer.text_model."),
        ("CLIP-v1-SD", "cond_stage_model.transformer."),
        ("CLIP-v1-SD", "conditioner.embedders.0.transformer.text_model."),
        ("CLIP-v2-SD", "cond_stage_model.model."),
        ("CLIP-v2-WD", "cond_stage_model.model."),
        ("CLIP-XL-SD", "conditioner.embedders.1.model."),
        ("CLIP-XL-SD", "conditioner.embedders.0.model."),
        ("ControlNet-v1-SD", "control_model."),
        ("ControlNet-v1-SD", ""),
    ] {
        let text = std::fs::read_to_string(data.join(format!("weights/sd-keylists/{file}.txt"))).unwrap();
        let lines = listed(&text);
        let tensors = hollow(lines.iter().map(|(name, shape, _)| (format!("{prefix}{name}"), shape.clone())), &room);
        let places = places(&tensors);
        if prefix == "model_ema." {
            assert!(places.is_empty());
            assert!(tensors.names().all(super::super::names::superfluous));
            continue;
        }
        assert_eq!(places.len(), 1, "{file} {prefix}");
        let (found, unknown) = taken(tensors, places[0]).unwrap();
        assert!(unknown.is_empty() && found.names().count() + 30 > lines.len(), "{file} {prefix}: {unknown:?}");
    }
}
