//! Tiny golden pictures: each graph in `suite/golden` is run on one small picture and must give the PNG beside it, within
//! one step of 255, for processors round differently. `UPDATE_SUITE=1` writes the pictures anew; look at them before you
//! commit. The networks have tests of their own, as their pictures change with every training.

use engine::{Binding, NoLibrary, NoStore, Request, Text, World, value::Value};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/golden")
}

/// A picture with lines, a slope and a checkerboard.
fn photo() -> image::RgbImage {
    image::RgbImage::from_fn(48, 32, |x, y| match (x, y) {
        (0..16, _) if x % 5 == 0 => image::Rgb([250, 240, 220]),
        (0..16, _) => image::Rgb([30, 40, 60]),
        (16..32, _) => image::Rgb([(x * 8) as u8, (y * 8) as u8, 128]),
        _ if (x / 2 + y / 2) % 2 == 0 => image::Rgb([200, 60, 40]),
        _ => image::Rgb([40, 150, 70]),
    })
}

fn run(name: &str, text: String, photo: &Path) -> image::RgbImage {
    let request = Request {
        file: Text { name: name.to_owned(), text },
        library: &NoLibrary,
        registry: nodes::NODES,
        preset: None,
        settings: Vec::new(),
        inputs: vec![Binding {
            name: "photo".to_owned(),
            kind: "Load".to_owned(),
            fields: format!("(path: {:?})", photo.display().to_string()),
            origin: "photo".to_owned(),
        }],
        outputs: Vec::new(),
    };
    let built = engine::build(&request).unwrap_or_else(|found| panic!("{found}"));
    let outcome = engine::run(&built.graph, World::quiet(&NoStore)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let Some(Value::Image(image)) = outcome.values.get("photo") else { panic!("{name} gives no picture") };
    let size = image.size();
    image::RgbImage::from_fn(size.width, size.height, |x, y| {
        let at = (y * size.width + x) as usize;
        image::Rgb([0, 1, 2].map(|c| (image.plane(c)[at].clamp(0.0, 1.0) * 255.0).round() as u8))
    })
}

fn all() -> Vec<(String, image::RgbImage)> {
    let kept = tempfile::tempdir().expect("there is room");
    let path = kept.path().join("photo.png");
    photo().save(&path).expect("a picture can be written");
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the suite is there")
        .filter_map(|entry| {
            entry.expect("it can be listed").file_name().to_str()?.strip_suffix(".ron").map(str::to_owned)
        })
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(folder().join(format!("{name}.ron"))).expect("a graph can be read");
            let result = run(&name, text, &path);
            (name, result)
        })
        .collect()
}

#[test]
fn pictures_are_as_they_were() {
    let results = all();
    assert!(results.len() >= 6);
    for (name, result) in results {
        let path = folder().join(format!("{name}.png"));
        if std::env::var_os("UPDATE_SUITE").is_some() {
            result.save(&path).expect("a picture can be written");
            continue;
        }
        let golden = image::open(&path).unwrap_or_else(|error| panic!("{name}.png: {error}")).to_rgb8();
        assert_eq!(result.dimensions(), golden.dimensions(), "{name}");
        let worst = result.as_raw().iter().zip(golden.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{name}: differs by {worst:?} of 255");
    }
}

#[test]
fn tiles_leave_no_trace() {
    let results = all();
    let of = |wanted: &str| &results.iter().find(|(name, _)| name == wanted).expect("it is in the suite").1;
    assert_eq!(of("tiles"), of("sharpen"));
}
