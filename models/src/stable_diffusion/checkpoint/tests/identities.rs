//! What files are said to be, and embeddings.

use super::folders::pipeline;
use super::*;

fn hollow_file(folder: &Folder, name: &str, shapes: &[(&str, &[usize])]) -> PathBuf {
    let tensors = shapes.iter().map(|(name, shape)| {
        let len = shape.iter().product::<usize>();
        ((*name).to_owned(), (shape.to_vec(), (0..len).map(|i| i as f32).collect()))
    });
    folder.write(name, safetensors_of(&tensors.collect(), &[]))
}

#[test]
fn files_are_told_apart() {
    let folder = Folder::new();
    let said = |path: &Path| {
        let Identity { kind, family, .. } = identify(path).unwrap();
        (kind, family)
    };
    let list = |name: &str| {
        let text = std::fs::read_to_string(golden(&format!("checkpoints/names/{name}.txt"))).unwrap();
        let room = room();
        let tensors = hollow(
            listed(&text)
                .into_iter()
                .filter(|(_, shape, _)| shape.iter().product::<usize>() < 2_000_000)
                .map(|(name, shape, _)| (name, shape)),
            &room,
        );
        folder.write("model.safetensors", tensors.to_safetensors("list", Default::default()).unwrap())
    };
    assert_eq!(said(pipeline().0.path()), (Kind::Checkpoint, None));
    assert_eq!(said(&list("ControlNet-v1-SD")), (Kind::ControlNet, Some(Family::Sd1)));
    let lora = golden("checkpoints/lora_kohya.safetensors");
    assert_eq!(said(&lora), (Kind::Lora, None));
    let embedding = hollow_file(&folder, "easynegative.safetensors", &[("emb_params", &[8, 768])]);
    assert_eq!(said(&embedding), (Kind::Embedding, Some(Family::Sd1)));
    let large = hollow_file(&folder, "large.safetensors", &[("clip_l", &[2, 768]), ("clip_g", &[2, 1280])]);
    assert_eq!(said(&large), (Kind::Embedding, Some(Family::SdXl)));
    for (tensor, part) in [
        ("double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"),
        ("conv.weight", "holds no part of"),
    ] {
        let error = identify(&hollow_file(&folder, "x.safetensors", &[(tensor, &[2, 2])])).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn embeddings_of_all_layouts_are_read() {
    let folder = Folder::new();
    let read = |path: &Path| Embedding::open(path).unwrap();
    let one = read(&hollow_file(&folder, "easynegative.safetensors", &[("emb_params", &[2, 768])]));
    assert_eq!((one.len(), one[0].name.as_str(), one[0].vectors.len()), (1, "easynegative", 1));
    assert_eq!((one[0].vectors[0].width, one[0].vectors[0].values[1535]), (768, 1535.0));
    let large = read(&hollow_file(&folder, "large.safetensors", &[("clip_l", &[1, 768]), ("clip_g", &[1, 1280])]));
    assert_eq!(large[0].vectors.iter().map(|vectors| vectors.width).collect::<Vec<_>>(), [1280, 768]);
    let tokens = read(&hollow_file(&folder, "learned.safetensors", &[("<cat>", &[768]), ("<dog>", &[768])]));
    assert_eq!(tokens.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["<cat>", "<dog>"]);
    for shapes in
        [&[("emb_params", &[2, 100][..])][..], &[("emb_params", &[76, 768])], &[("a", &[1, 768]), ("b", &[3])]]
    {
        assert!(Embedding::open(&hollow_file(&folder, "x.safetensors", shapes)).is_err(), "{shapes:?}");
    }
    // As trainers keep them in PyTorch: in a dictionary inside, and as the parameters of an object.
    for file in ["embedding.pt", "embedding_parameters.pt"] {
        let found = read(&golden(&format!("checkpoints/{file}")));
        assert_eq!((found.len(), found[0].name.as_str()), (1, file.trim_end_matches(".pt")));
        assert_eq!(found[0].vectors[0].values.len(), 2 * 768);
        assert_eq!(found[0].vectors[0].values[769], 769.0 / 8.0);
    }
}
