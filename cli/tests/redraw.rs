//! Stable Diffusion through the program, with a checkpoint that has all parts and next to no size.

mod program;

use image::{DynamicImage, Rgb, RgbImage};
use models::stable_diffusion::tiny;
use program::{started, upweave};
use std::{fs, path::Path, process::Command};

static NETWORKS: &[u8] = include_bytes!("../../models/tests/golden/pipeline_tiny.safetensors");
static SMALL: &[u8] = include_bytes!("../../models/tests/golden/taesd_tiny.safetensors");

/// Redraws, and nothing else.
const GRAPH: &str = r#"Graph(format: 1,
    inputs: {"photo": Image, "mask": Optional(Mask)}, outputs: {"photo": "redrawn"},
    expose: {"seed": (sets: ["redrawn.seed"], help: "Seed."), "tiling": (sets: ["redrawn.tiling"], help: "Tiling."),
             "creativity": (sets: ["guide.creativity"], help: "Creativity.")},
    nodes: {
        "guide": Guide(image: "photo", mask: "mask", creativity: 0.7),
        "redrawn": Redraw(image: "photo", guide: "guide", checkpoint: "./checkpoint", controls: [(model: "./control")],
                          loras: [(model: "style.safetensors", weight: 0.5, detail: true)], prompt: "a (red:1.2) house",
                          sampler: Euler, steps: 5, tile_width: 64, tile_height: 64),
    })"#;

const SIZE: (u32, u32) = (150, 100);

/// A folder with a checkpoint, a graph, a picture, and a mask that is black on the left half.
fn furnished() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    tiny::unpack(NETWORKS, folder.path()).expect("the checkpoint can be written");
    fs::write(at("own.ron"), GRAPH).expect("the graph can be written");
    fs::write(at("taesd.safetensors"), SMALL).expect("the small autoencoder can be written");
    let pixel = |x: u32, y: u32| Rgb([(x * 3 % 256) as u8, (y * 5 % 256) as u8, ((x * y) % 251) as u8]);
    RgbImage::from_fn(SIZE.0, SIZE.1, pixel).save(at("photo.png")).expect("the picture can be written");
    let shade = |x: u32, _| Rgb([if x < SIZE.0 / 2 { 0 } else { 255 }; 3]);
    RgbImage::from_fn(SIZE.0, SIZE.1, shade).save(at("mask.png")).expect("the mask can be written");
    folder
}

fn picture(folder: &Path, name: &str) -> RgbImage {
    let picture: DynamicImage = image::open(folder.join(name)).expect("it is a picture");
    picture.into_rgb8()
}

#[test]
fn a_picture_is_redrawn_where_it_may_be() {
    let folder = furnished();
    let at = folder.path();
    let run = |out: &str, more: &[&str]| {
        upweave(at, &[&["upscale", "photo.png", "--graph", "own.ron", "-o", out], more].concat());
        picture(at, out)
    };
    let photo = picture(at, "photo.png");
    let whole = run("whole.png", &[]);
    let halved = run("halved.png", &["--mask", "mask.png"]);
    let left = |(x, _, _): &(u32, u32, &Rgb<u8>)| *x < SIZE.0 / 2;
    assert!(halved.enumerate_pixels().filter(left).all(|(x, y, pixel)| pixel == photo.get_pixel(x, y)));
    let changed = |a: &RgbImage, b: &RgbImage| a.pixels().zip(b.pixels()).filter(|(a, b)| a != b).count();
    assert!(changed(&halved, &photo) > 3000 && changed(&whole, &photo) > 9000);
    // Nothing may be reinvented: nothing is.
    assert_eq!(run("none.png", &["--creativity", "0"]), photo);
    // Each of these is another picture, and the same again.
    for more in [
        &["--seed", "9"][..],
        &["--set", "tiling=Mixture"],
        &["--set", "redrawn.guidance=2"],
        &["--creativity", "0.4"],
        &["--set", "redrawn.prompt=\"a blue house\""],
        &["--set", "redrawn.loras=[]"],
        &["--set", "redrawn.controls=[]"],
        &["--set", "redrawn.places=[(left: 0.5, prompt: \"a cat\")]"],
        &["--set", "redrawn.sampler=Dpm3mSde"],
        &["--set", "redrawn.inversion=(renoise: 0.2)"],
        &["--set", "redrawn.vae=\"taesd.safetensors\""],
        &["--resemblance", "0.1"],
        &["--detail", "0.9"],
    ] {
        let more: Vec<&str> = more
            .iter()
            .map(|text| match *text {
                "--resemblance" | "--detail" => "--set",
                "0.1" => "guide.resemblance=0.1",
                "0.9" => "guide.detail=0.9",
                text => text,
            })
            .collect();
        let other = run("other.png", &[&more[..], &["--on-exists", "overwrite"]].concat());
        assert!(changed(&other, &whole) > 1000, "{more:?} changed nothing");
    }
    assert_eq!(run("again.png", &[]), whole);
}

#[test]
fn a_preview_has_the_pixels_of_the_whole() {
    let folder = furnished();
    let at = folder.path();
    let run = |out: &str, more: &[&str]| {
        upweave(at, &[&["upscale", "photo.png", "--graph", "own.ron", "-o", out], more].concat());
        picture(at, out)
    };
    for tiling in ["tiling=Independent", "tiling=Mixture"] {
        let whole = run("whole.png", &["--on-exists", "overwrite", "--set", tiling]);
        // Across the edges of tiles, and in a corner.
        for (x, y, w, h) in [(50, 30, 40, 41), (140, 92, 10, 8)] {
            let part = format!("{x},{y},{w},{h}");
            let preview = run("part.png", &["--on-exists", "overwrite", "--set", tiling, "--preview", &part]);
            let cut = image::imageops::crop_imm(&whole, x, y, w, h).to_image();
            assert!(preview == cut, "{tiling} at {part} differs from the whole");
        }
    }
}

#[test]
fn threads_and_the_cache_change_nothing() {
    let folder = furnished();
    let at = folder.path();
    let run = |out: &str, threads: &str, more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_upweave"))
            .args(["upscale", "photo.png", "--graph", "own.ron", "-o", out])
            .args(if more.contains(&"--no-cache") { &[][..] } else { &["--cache", "kept"] })
            .args(more)
            .env("RAYON_NUM_THREADS", threads)
            .current_dir(at)
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        picture(at, out)
    };
    let fresh = run("fresh.png", "1", &["--no-cache"]);
    assert_eq!(run("first.png", "2", &[]), fresh);
    // What is kept of tiles fits a picture with another mask only where it is the same.
    let masked = run("masked.png", "2", &["--mask", "mask.png"]);
    assert_eq!(run("masked-fresh.png", "1", &["--mask", "mask.png", "--no-cache"]), masked);
    assert_eq!(run("second.png", "2", &[]), fresh);
    // Where all of the picture is kept at once, how it is cut counts.
    let joint = ["--set", "tiling=Mixture"];
    let narrow = run("joint.png", "2", &joint);
    let wide = run("wide.png", "2", &[&joint[..], &["--set", "redrawn.tile_width=128"]].concat());
    assert_ne!(narrow, wide);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let folder = furnished();
    let at = folder.path();
    fs::write(at.join("broken.safetensors"), b"no weights").expect("it can be written");
    let said = |arguments: &[&str]| {
        let output = started(at, &[&["upscale", "photo.png", "-o", "out.png"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = said(&["--backbone", "stable-diffusion"]);
    assert_eq!(code, Some(5), "{message}");
    assert!(message.contains("sd15") && message.contains("upweave models pull"), "{message}");
    for (arguments, code, part) in [
        (&["--checkpoint", "./nowhere.safetensors"][..], 5, "nowhere.safetensors"),
        (&["--checkpoint", "broken.safetensors", "--set", "controls=[]"], 5, "broken.safetensors"),
        (&["--checkpoint", "style.safetensors", "--set", "controls=[]"], 5, "style.safetensors"),
        (&["--backbone", "embedded", "--prompt", "x"], 2, "--prompt"),
        (&["--backbone", "auto", "--graph", "quick"], 2, "--backbone"),
        (
            &[
                "--graph",
                "own.ron",
                "--set",
                "redrawn.loras=[(model: \"./checkpoint/vae/diffusion_pytorch_model.safetensors\")]",
            ],
            5,
            "LoRA",
        ),
        (&["--graph", "own.ron", "--set", "redrawn.controls=[(model: \"style.safetensors\")]"], 5, "style.safetensors"),
        (&["--graph", "own.ron", "--set", "redrawn.steps=0"], 2, "steps"),
        (&["--graph", "own.ron", "--set", "redrawn.inversion=(renoise: 2)"], 2, "renoise"),
        (&["--graph", "own.ron", "--set", "redrawn.sampler=OneStep"], 2, "OSEDiff or PiSA-SR"),
        (&["--graph", "redraw", "--preset", "one-step"], 5, "sd21-base"),
        (&["--graph", "own.ron", "--set", "redrawn.places=[(left: 0.9, right: 0.1, prompt: \"x\")]"], 2, "places"),
    ] {
        let (found, message) = said(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {message}");
        assert!(message.contains(part), "{arguments:?}: {message}");
        assert!(!at.join("out.png").exists(), "{arguments:?}");
    }
    // Without a checkpoint the embedded models do it, and the program says so.
    let (code, message) = said(&["--backbone", "auto"]);
    assert!(code == Some(0) && message.contains("embedded models"), "{message}");
}

#[test]
fn the_main_job_can_be_done_with_it() {
    let folder = furnished();
    let at = folder.path();
    let arguments = [
        "upscale",
        "photo.png",
        "--checkpoint",
        "./checkpoint",
        "--set",
        "controls=[]",
        "-s",
        "3",
        "-t",
        "128",
        "--steps",
        "4",
        "--type",
        "watercolor",
        "-o",
        "out.png",
    ];
    upweave(at, &arguments);
    assert_eq!(picture(at, "out.png").dimensions(), (450, 300));
    // A recipe that names a file of weights by its path is nobody's to repeat.
    let output = started(at, &["run", "out.png", "photo=photo.png", "-o", "again.png"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("import the model"), "{message}");
}

#[test]
fn the_usual_controlnet_is_for_one_family() {
    let folder = furnished();
    let at = folder.path();
    let told = fs::read_to_string(at.join("checkpoint/unet/config.json")).expect("it can be read");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_upweave"))
            .args(["upscale", "photo.png", "-o", "out.png", "-s", "1", "-t", "128", "--steps", "2", "--no-cache"])
            .args(["--on-exists", "overwrite"])
            .args(arguments)
            .env("UPWEAVE_MODELS", at.join("models"))
            .current_dir(at)
            .output()
            .expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A checkpoint is there, but not its ControlNet.
    fs::create_dir(at.join("models")).expect("a folder can be made");
    fs::rename(at.join("checkpoint"), at.join("models/sd15")).expect("it can be moved");
    let (code, message) = run(&["--backbone", "auto"]);
    assert!(code == Some(0) && message.contains("embedded models") && message.contains("sd15-tile"), "{message}");
    let (code, message) = run(&["--backbone", "auto", "--set", "controls=[]"]);
    assert!(code == Some(0) && !message.contains("embedded models"), "{message}");
    // By its settings it is a Stable Diffusion 2; that its weights are none is said when they are read.
    let second = at.join("models/second");
    fs::rename(at.join("models/sd15"), &second).expect("it can be moved");
    let width = "\"cross_attention_dim\": 16";
    assert!(told.contains(width), "{told}");
    fs::write(second.join("unet/config.json"), told.replace(width, "\"cross_attention_dim\": 1024"))
        .expect("it can be written");
    let (code, message) = run(&["--checkpoint", "second"]);
    assert!(code == Some(5) && message.contains("is Stable Diffusion 2, and `sd15-tile` is for"), "{message}");
    assert!(!message.contains("there is no model"), "{message}");
    // Who names one gets it.
    let (code, message) = run(&["--checkpoint", "second", "--set", "controls=[(model: \"sd15-tile\")]"]);
    assert!(code == Some(5) && message.contains("sd15-tile") && !message.contains("without a ControlNet"), "{message}");
}
