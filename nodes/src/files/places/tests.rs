use super::*;
use std::fs;

fn file(root: &Path, path: &str, bytes: usize) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, vec![0; bytes]).unwrap();
}

fn called(place: &Path, name: &str, wanted: Option<Purpose>) -> NodeResult<Option<PathBuf>> {
    chosen(&contents(place).0, name, wanted, None)
}

fn purposes(place: &Path) -> Vec<(String, Purpose)> {
    contents(place).0.iter().map(|placed| (placed.name().to_owned(), placed.purpose)).collect()
}

#[test]
fn names_are_no_paths() {
    for name in ["4x-UltraSharp", "my model", "a.b", "loras/detail", "a/b/c"] {
        assert!(is_model_name(name), "{name}");
    }
    for path in [
        "",
        "/a",
        "a/",
        "a//b",
        "a\\b",
        "C:x",
        ".hidden",
        "../x",
        "a/../b",
        "x.pth",
        "x.PTH",
        "a/x.safetensors",
        "x.param",
    ] {
        assert!(!is_model_name(path), "{path}");
    }
}

#[test]
fn automatic1111() {
    let root = tempfile::tempdir().unwrap();
    for path in [
        "models/Stable-diffusion/base.safetensors",
        "models/Lora/people/detail.safetensors",
        "models/VAE/mse.safetensors",
        "models/ControlNet/tile.pth",
        "models/ESRGAN/4x-Sharp.pth",
        "embeddings/negative.pt",
        "venv/lib/torch.bin",
        "models/ESRGAN/readme.txt",
    ] {
        file(root.path(), path, 3);
    }
    let mut found = purposes(root.path());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        ("4x-Sharp", Purpose::Upscaler),
        ("base", Purpose::Checkpoint),
        ("detail", Purpose::Lora),
        ("mse", Purpose::Vae),
        ("negative", Purpose::Embedding),
        ("tile", Purpose::ControlNet),
    ];
    assert_eq!(found, expected.map(|(name, purpose)| (name.to_owned(), purpose)));
    let path = called(root.path(), "4x-Sharp", Some(Purpose::Upscaler)).unwrap().unwrap();
    assert!(path.ends_with("models/ESRGAN/4x-Sharp.pth"));
    // What lies in a folder for other things is not meant.
    assert_eq!(called(root.path(), "detail", Some(Purpose::Upscaler)).unwrap(), None);
    assert!(called(root.path(), "people/detail", None).unwrap().is_some());
}

#[test]
fn two_of_a_name_are_told() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "models/loras/a/detail.safetensors", 1);
    file(root.path(), "models/loras/b/detail.safetensors", 2);
    let failure = called(root.path(), "detail", None).unwrap_err();
    assert!(failure.message.contains("a/detail.safetensors") && failure.message.contains("b/detail.safetensors"));
    assert!(failure.hint.unwrap().contains("`a/detail` or `b/detail`"));
    assert!(called(root.path(), "b/detail", None).unwrap().unwrap().ends_with("b/detail.safetensors"));
    // In two formats beside each other it is one model.
    file(root.path(), "models/loras/b/other.ckpt", 2);
    file(root.path(), "models/loras/b/other.safetensors", 2);
    assert!(called(root.path(), "other", None).unwrap().unwrap().ends_with("b/other.safetensors"));
}

#[test]
#[cfg(unix)]
fn links_are_followed_and_never_in_circles() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "far/x.safetensors", 1);
    fs::create_dir_all(root.path().join("near/models/loras")).unwrap();
    std::os::unix::fs::symlink(root.path().join("far"), root.path().join("near/models/loras/far")).unwrap();
    std::os::unix::fs::symlink(root.path(), root.path().join("far/back")).unwrap();
    let found = contents(&root.path().join("near")).0;
    assert_eq!(found.iter().filter(|placed| placed.name() == "x").count(), 1);
    assert!(called(&root.path().join("near"), "x", None).unwrap().is_some());
}

#[test]
fn the_cache_of_hugging_face() {
    let root = tempfile::tempdir().unwrap();
    let old = "hub/models--owner--sd/snapshots/old";
    let new = "hub/models--owner--sd/snapshots/new";
    file(root.path(), &format!("{old}/base.safetensors"), 1);
    file(root.path(), &format!("{new}/base.safetensors"), 2);
    file(root.path(), &format!("{new}/model_index.json"), 2);
    file(root.path(), &format!("{new}/unet/diffusion_pytorch_model.safetensors"), 2);
    file(root.path(), "hub/models--other--vae/snapshots/r/diffusion_pytorch_model.safetensors", 7);
    fs::create_dir_all(root.path().join("hub/models--owner--sd/refs")).unwrap();
    fs::write(root.path().join("hub/models--owner--sd/refs/main"), "new").unwrap();
    for place in [root.path().to_owned(), root.path().join("hub")] {
        assert!(called(&place, "base", None).unwrap().unwrap().ends_with("new/base.safetensors"));
        assert!(called(&place, "owner/sd", None).unwrap().unwrap().ends_with("snapshots/new"));
        // The networks inside of a pipeline are no models of their own.
        let vae = called(&place, "other/vae/diffusion_pytorch_model", None).unwrap().unwrap();
        assert_eq!(Some(vae), called(&place, "diffusion_pytorch_model", None).unwrap());
    }
    let known = Fetchable { file: "a/diffusion_pytorch_model.safetensors".into(), bytes: 7, how: String::new() };
    let all = contents(root.path()).0;
    assert!(chosen(&all, "vae-by-catalog", None, Some(&known)).unwrap().is_some());
    let other = Fetchable { bytes: 8, ..known };
    assert!(chosen(&all, "vae-by-catalog", None, Some(&other)).unwrap().is_none());
}

#[test]
fn extra_model_paths() {
    let root = tempfile::tempdir().unwrap();
    file(root.path(), "webui/models/Stable-diffusion/base.safetensors", 1);
    file(root.path(), "webui/models/Lora/one.safetensors", 1);
    file(root.path(), "webui/models/LyCORIS/two.safetensors", 1);
    file(root.path(), "up # scale/4x.pth", 1);
    let yaml = "# a comment\na111:\n    base_path: webui/   # relative to this file\n    is_default: true\n\n    checkpoints: \
                models/Stable-diffusion\n    loras: |\n         models/Lora\n         models/LyCORIS\n    odd_things: x\nmine:\n  \
                upscale_models: \"up # scale\"\n  - item\n  vae: [a, b]\n";
    fs::write(root.path().join("extra_model_paths.yaml"), yaml).unwrap();
    let (found, notes) = contents(&root.path().join("extra_model_paths.yaml"));
    let mut names: Vec<&str> = found.iter().map(Placed::name).collect();
    names.sort_unstable();
    assert_eq!(names, ["4x", "base", "one", "two"]);
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[0].contains(":13: `- item`") && notes[1].contains(":14:"), "{notes:?}");
    assert!(notes[2].ends_with(":10: `odd_things` is no kind of models that is known"), "{notes:?}");
    // Nonsense ends.
    for cut in 0..yaml.len() {
        comfy_reads(&yaml[..cut], root.path());
    }
}

fn comfy_reads(text: &str, root: &Path) {
    let path = root.join("cut.yaml");
    fs::write(&path, text).unwrap();
    contents(&path);
}
