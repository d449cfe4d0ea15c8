//! Pictures that are made strip by strip because memory is short: every byte must be that of the picture made at once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use engine::{
    Binding, Blame, Bounds, Cache, CacheSize, Graph, How, NoStore, Request, Setting, Store, Text, World,
    filesystem::OsFilesystem, value::Rect,
};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

const TILES: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "joined"}, nodes: {
    "guide": Guide(image: "photo", creativity: 0.4),
    "cut": Tile(image: "photo", size: 64, halo: 24),
    "drawn": Diffuse(image: "cut", guide: "guide", steps: 1),
    "large": Upscale(image: "drawn", scale: 2),
    "joined": Blend(tiles: "large", feather: 12),
})"#;

/// Opens shipped parts.
struct Parts;

impl engine::Library for Parts {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        let part = graphs::find(name).ok_or_else(|| format!("there is no part `{name}`"))?;
        Ok(Text { name: part.path.to_owned(), text: part.text.to_owned() })
    }
}

/// A graph from a picture to a file.
fn graph(text: &str, photo: &Path, mask: Option<&Path>, output: &Path, set: &[(&str, &str)]) -> Graph {
    let path = |path: &Path| format!("(path: {:?})", path.display().to_string());
    let bind = |name: &str, kind: &str, fields: String| Binding {
        name: name.into(),
        kind: kind.into(),
        fields,
        origin: name.into(),
    };
    let mut inputs = vec![bind("photo", "Load", path(photo))];
    inputs.extend(mask.map(|mask| bind("mask", "MaskLoad", path(mask))));
    let setting = |(target, value): &(&str, &str)| Setting {
        target: (*target).into(),
        value: (*value).into(),
        origin: "--set".into(),
    };
    let request = Request {
        file: Text { name: "test.ron".into(), text: text.into() },
        library: &Parts,
        registry: nodes::NODES,
        preset: None,
        settings: set.iter().map(setting).collect(),
        inputs,
        outputs: vec![bind("photo", "Save", path(output))],
    };
    engine::build(&request).unwrap_or_else(|found| panic!("{found}")).graph
}

fn with(memory: u64) -> Bounds {
    Bounds { memory: Some(memory), ..Bounds::default() }
}

/// Memory in which the picture must be cut, and how many strips it is cut into: three or more where that is possible.
fn short(graph: &Graph, region: Option<Rect>) -> (u64, u32) {
    let plan = |memory| engine::plan(graph, &NoStore, Bounds { region, memory, ..Bounds::default() });
    let mut memory = plan(None).unwrap().peak_bytes;
    let mut found = None;
    while let Ok(plan) = plan(Some(memory)) {
        assert!(plan.peak_bytes <= memory);
        if let Some((count, _)) = plan.strips().filter(|(count, _)| *count > 1) {
            found = Some((memory, count));
            if count > 2 {
                break;
            }
        }
        memory -= memory / 25;
    }
    found.expect("in less memory the picture is cut")
}

/// Runs a graph at once and in strips, and compares the files.
fn both(text: &str, photo: &Path, mask: Option<&Path>, name: &str, set: &[(&str, &str)], region: Option<Rect>) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole").join(name), folder.path().join("cut").join(name));
    for path in [&whole, &cut] {
        fs::create_dir(path.parent().unwrap()).unwrap();
    }
    let at_once = Bounds { region, ..Bounds::default() };
    engine::run(&graph(text, photo, mask, &whole, set), World { bounds: at_once, ..World::quiet(&NoStore) }).unwrap();
    let graph = graph(text, photo, mask, &cut, set);
    let (memory, strips) = short(&graph, region);
    let bounds = Bounds { region, ..with(memory) };
    let outcome = engine::run(&graph, World { bounds, ..World::quiet(&NoStore) }).unwrap();
    assert_eq!(outcome.published["out:photo"], cut);
    assert!(fs::read(&whole).unwrap() == fs::read(&cut).unwrap(), "{name} {set:?}: other bytes in {strips} strips");
    assert_eq!(fs::read_dir(cut.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
}

fn picture(path: &Path, width: u32, height: u32) {
    image::RgbImage::from_fn(width, height, |x, y| {
        let texture = (x * x * 31 + y * 57 + x * y) % 41;
        image::Rgb([(x + texture) as u8, (y * 2) as u8, (90 + texture) as u8])
    })
    .save(path)
    .unwrap();
}

#[test]
fn strips_give_the_bytes_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, mask) = (folder.path().join("photo.png"), folder.path().join("mask.png"));
    // Much higher than what a strip sees around it.
    picture(&photo, 80, 1200);
    image::GrayImage::from_fn(31, 77, |x, y| image::Luma([(x * 8 + y) as u8])).save(&mask).unwrap();
    let main = graphs::find("dynamic-upscale").unwrap().text;
    for (name, set) in [
        ("out.png", &[("creativity", "0.35"), ("steps", "1"), ("sharpen", "0.3")][..]),
        ("out.png", &[("creativity", "0.8"), ("steps", "1")]),
        ("out.ppm", &[("creativity", "0"), ("scale", "4")]),
        ("out.ppm", &[("creativity", "0"), ("scale", "3")]),
        ("out.png", &[("creativity", "0.4"), ("steps", "1"), ("scale", "1.7")]),
        ("out.jpg", &[("creativity", "0")]),
        ("out.tif", &[("creativity", "0"), ("quality", "Low")]),
    ] {
        both(main, &photo, Some(&mask), name, set, None);
    }
    both(TILES, &photo, None, "out.png", &[], None);
    for resized in [
        r#"Resize(image: "photo", scale: 2.3)"#,
        r#"Resize(image: "photo", width: 301, height: 5000, filter: Bicubic, light: Linear)"#,
        r#"Resize(image: "photo", scale: 0.7, filter: Area)"#,
        r#"Resize(image: "photo", longest: 900, filter: Nearest)"#,
    ] {
        let text = format!(
            r#"Graph(format: 1, inputs: {{"photo": Image}}, outputs: {{"photo": "a"}}, nodes: {{"a": {resized}}})"#
        );
        both(&text, &photo, None, "out.ppm", &[], None);
    }
    // A part of the result, in strips.
    let region = Rect { x: 10, y: 100, width: 140, height: 2000 };
    both(main, &photo, None, "out.png", &[("creativity", "0")], Some(region));
    both(main, &photo, None, "out.png", &[("creativity", "0"), ("scale", "2.4")], Some(region));
}

#[test]
fn what_must_be_seen_whole_is_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    picture(&photo, 40, 150);
    let main = graphs::find("dynamic-upscale").unwrap().text;
    // Two passes: the second measures the damage of what the first gives.
    both(main, &photo, None, "out.png", &[("creativity", "0"), ("scale", "8")], None);
}

#[test]
fn grey_alpha_and_deep_pictures_in_strips() {
    let folder = tempfile::tempdir().unwrap();
    let quick = graphs::find("quick").unwrap().text;
    let at = |name: &str| folder.path().join(name);
    image::GrayImage::from_fn(50, 300, |x, y| image::Luma([(x * 3 + y) as u8])).save(at("grey.png")).unwrap();
    image::ImageBuffer::from_fn(50, 300, |x, y| {
        image::Rgba([x as u16 * 900, y as u16 * 200, 40_000, 65_535 - y as u16])
    })
    .save(at("deep.png"))
    .unwrap();
    for name in ["grey.png", "deep.png"] {
        for out in ["out.png", "out.ppm", "out.webp", "out.bmp", "out.tga", "out.qoi", "out.hdr"] {
            both(quick, &at(name), None, out, &[], None);
        }
        both(quick, &at(name), None, "out.png", &[("scale", "3.3")], None);
    }
}

#[test]
fn too_little_memory_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, out) = (folder.path().join("photo.png"), folder.path().join("out.png"));
    picture(&photo, 60, 500);
    let graph = graph(graphs::find("quick").unwrap().text, &photo, None, &out, &[]);
    let bounds = Bounds { base: 1 << 20, ..with(3 << 19) };
    let error = engine::run(&graph, World { bounds, ..World::quiet(&NoStore) }).unwrap_err();
    assert_eq!(error.failure.blame, Blame::Memory);
    let hint = error.failure.hint.unwrap();
    let (_, rest) = hint.split_once("--memory ").unwrap();
    let needed: u64 = rest.split_once("MiB").unwrap().0.parse().unwrap();
    assert!(!out.exists());
    // What the hint says is enough.
    let bounds = Bounds { base: 1 << 20, ..with(needed << 20) };
    engine::run(&graph, World { bounds, ..World::quiet(&NoStore) }).unwrap();
    assert!(out.exists());
}

#[test]
fn a_stopped_run_leaves_nothing_and_goes_on_at_its_strip() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, out) = (folder.path().join("photo.png"), folder.path().join("out.png"));
    picture(&photo, 60, 500);
    let graph = graph(graphs::find("quick").unwrap().text, &photo, None, &out, &[]);
    let (memory, strips) = short(&graph, None);
    let cache = || Cache::new(&folder.path().join("cache"), CacheSize::Bytes(1 << 30), Arc::new(OsFilesystem));
    let stop = AtomicBool::new(false);
    let store = cache();
    let listen = |event: engine::Event<'_>| {
        if let engine::Event::Finished { kind: "Upscale", overall, .. } = event {
            stop.store(overall > 0.5, Ordering::Relaxed);
        }
    };
    let world = World { cancel: &stop, listen: &listen, bounds: with(memory), ..World::quiet(&store) };
    assert_eq!(engine::run(&graph, world).unwrap_err().failure.blame, Blame::Cancelled);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!out.exists() && left.len() == 2, "{left:?}");
    drop(store);
    let store = cache();
    assert!(store.keeps());
    let outcome = engine::run(&graph, World { bounds: with(memory), ..World::quiet(&store) }).unwrap();
    let upscale = outcome.report.iter().find(|ran| ran.kind == "Upscale").unwrap();
    let How::Mapped { computed, kept } = upscale.how else { panic!("{upscale:?}") };
    assert!(kept > 0 && computed > 0 && computed + kept == strips as usize, "{computed} and {kept} of {strips}");
    assert_eq!(upscale.tiles.len(), strips as usize, "every strip tells what its key was made of");
}
