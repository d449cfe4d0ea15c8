//! Models in the folders of other programs are read where they lie.

use super::place::{Came, Place, line, weights};
use std::{fs, path::Path};

fn tiny() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/formats.pth"))
        .expect("it is in the repository")
}

fn put(place: &Place, path: &str, content: &[u8]) {
    let path = place.root().join(path);
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("there is room");
    fs::write(path, content).expect("there is room");
}

fn run(place: &Place, paths: &str, arguments: &str) -> Came {
    place.command("", arguments).env("UPWEAVE_MODEL_PATHS", paths).output().expect("the program starts").into()
}

#[test]
fn an_upscaler_of_comfyui_is_used_by_its_name() {
    let place = Place::with(b"x");
    image::RgbImage::from_fn(12, 12, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 7]))
        .save(place.root().join("p.png"))
        .unwrap();
    put(&place, "ComfyUI/models/upscale_models/tiny.pth", &tiny());
    run(&place, "ComfyUI", "upscale p.png -n tiny -o a.png --no-cache").is(0, &[]);
    assert_eq!(image::image_dimensions(place.root().join("a.png")).unwrap(), (24, 24));
    run(&place, "ComfyUI", "models list").is(0, &["1 models in `ComfyUI`", "tiny  upscaler"]);
    run(&place, "ComfyUI", "models path tiny").is(0, &["ComfyUI/models/upscale_models/tiny.pth"]);
    run(&place, "ComfyUI", "models rm tiny").is(2, &["is not in", "ComfyUI"]);
    // In a graph, and where another program has the name as well.
    put(&place, "webui/models/ESRGAN/tiny.pth", &tiny());
    let graph = "Graph(format: 1, inputs: { \"photo\": Image }, outputs: { \"photo\": \"big\" }, nodes: { \"big\": Upscale(image: \
                 \"photo\", model: \"NAME\") })";
    for (name, code, said) in [("tiny", 2, "`ESRGAN/tiny`"), ("ESRGAN/tiny", 0, ""), ("upscale_models/tiny", 0, "")] {
        fs::write(place.root().join("g.ron"), graph.replace("NAME", name)).unwrap();
        let came = run(&place, "ComfyUI:webui", "run g.ron photo=p.png -o b.png --on-exists overwrite --no-cache");
        assert!((came.code == 0) == (code == 0) && came.err.contains(said), "{name}: {came:?}");
    }
    run(&place, "ComfyUI:webui", "upscale p.png -n tiny")
        .is(5, &["the name of 2 models", "`upscale_models/tiny` or `ESRGAN/tiny`"]);
    // What is in the user's own folder comes first.
    place.run("", "models import webui/models/ESRGAN/tiny.pth").is(0, &[]);
    run(&place, "ComfyUI:webui", "models path tiny").is(0, &["models/tiny.safetensors"]);
}

#[test]
fn places_are_named_in_a_file() {
    let place = Place::with(b"x");
    put(&place, "ComfyUI/models/upscale_models/tiny.pth", &tiny());
    put(&place, "elsewhere/loras/detail.safetensors", &weights(10));
    put(&place, "extra.yaml", b"mine:\n  base_path: elsewhere\n  loras: loras\n  strange: x\n");
    put(&place, "models/places.ron", b"(folders: [\"../ComfyUI\", \"../extra.yaml\", \"../nowhere\"])");
    let came = place.run("", "models list");
    came.is(0, &["tiny  upscaler", "detail  LoRA", "extra.yaml:4: `strange`", "nowhere` is not there"]);
    put(&place, "models/places.ron", b"(folder: [])");
    place.run("", "models list").is(0, &["places.ron", "warning"]);
}

#[test]
fn the_cache_of_hugging_face_is_found_by_itself() {
    let content = weights(1000);
    let place = Place::new(&[("one", "Lora", "", &[line("a/file.safetensors", &content)])]);
    put(&place, "hub/models--me--it/snapshots/abc/a/file.safetensors", &content);
    let run = |arguments: &str| -> Came {
        place.command("", arguments).env("HF_HUB_CACHE", place.root().join("hub")).output().unwrap().into()
    };
    run("models list").is(0, &["read in `", "snapshots/abc/a/file.safetensors"]);
    // By its name in the list of models, and by those that it has there.
    for name in ["one", "file", "me/it/a/file"] {
        run(&format!("models path {name}")).is(0, &["snapshots/abc/a/file.safetensors"]);
    }
    put(&place, "models/places.ron", b"(hugging_face: false)");
    run("models path one").is(5, &["no model `one`"]);
}
