//! What a result depends on changes its key, and nothing else does.

use engine::{Binding, How, MemoryStore, NoLibrary, Request, Setting, Text, World};
use std::path::{Path, PathBuf};

/// A graph of cheap nodes in which everything occurs that a key is made of.
const GRAPH: &str = r#"Graph(format: 1, inputs: {"photo": Image, "mask": Mask}, outputs: {"out": "last"}, nodes: {
    "guide": Guide(image: "photo", mask: "mask", creativity: 0.5),
    "cut": Tile(image: "photo", size: 32, halo: 4),
    "drawn": Diffuse(image: "cut", guide: "guide", steps: 1, seed: 3),
    "joined": Blend(tiles: "drawn"),
    "last": Sharpen(image: "joined", amount: 0.2),
})"#;

struct Lab {
    store: MemoryStore,
    folder: tempfile::TempDir,
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the graph; tells of every node how it came to its result. What is not told was not needed.
    fn run(&self, graph: &str, photo: &Path, mask: &Path, set: &[(&str, &str)]) -> Vec<(String, How)> {
        let bind = |name: &str, kind: &str, path: &Path| Binding {
            name: name.into(),
            kind: kind.into(),
            fields: format!("(path: {:?})", path.display().to_string()),
            origin: name.into(),
        };
        let setting = |(target, value): &(&str, &str)| Setting {
            target: (*target).into(),
            value: (*value).into(),
            origin: "--set".into(),
        };
        let request = Request {
            file: Text { name: "test.ron".into(), text: graph.into() },
            library: &NoLibrary,
            registry: nodes::NODES,
            preset: None,
            settings: set.iter().map(setting).collect(),
            inputs: vec![bind("photo", "Load", photo), bind("mask", "MaskLoad", mask)],
            outputs: vec![],
        };
        let built = engine::build(&request).unwrap_or_else(|found| panic!("{found}"));
        let outcome = engine::run(&built.graph, World::quiet(&self.store)).unwrap();
        outcome.report.into_iter().map(|ran| (ran.id, ran.how)).collect()
    }
}

fn how(report: &[(String, How)], id: &str) -> Option<How> {
    report.iter().find(|(ran, _)| ran == id).map(|(_, how)| *how)
}

fn gradient(x: u32, y: u32) -> [u8; 3] {
    [(x * 3 % 256) as u8, (y * 5 % 256) as u8, ((x * y) % 251) as u8]
}

#[test]
fn every_cause_changes_the_result_and_nothing_else_does() {
    let lab = Lab { store: MemoryStore::new(1 << 28), folder: tempfile::tempdir().unwrap() };
    let photo = image::RgbImage::from_fn(64, 48, |x, y| image::Rgb(gradient(x, y)));
    let mask = image::GrayImage::from_fn(64, 48, |x, _| image::Luma([if x < 40 { 255 } else { 0 }]));
    let (a, m) = (lab.path("a.png"), lab.path("m.png"));
    photo.save(&a).unwrap();
    mask.save(&m).unwrap();
    let first = lab.run(GRAPH, &a, &m, &[]);
    assert_eq!(how(&first, "drawn"), Some(How::Mapped { computed: 4, kept: 0 }));
    assert_eq!(lab.run(GRAPH, &a, &m, &[]), [("last".to_owned(), How::Kept)]);

    // What does not matter: name, place and time of files, order of fields and nodes, names of nodes.
    let elsewhere = lab.path("b.png");
    std::fs::copy(&a, &elsewhere).unwrap();
    assert_eq!(lab.run(GRAPH, &elsewhere, &m, &[]), [("last".to_owned(), How::Kept)]);
    let turned = GRAPH
        .replace(
            r#"Diffuse(image: "cut", guide: "guide", steps: 1, seed: 3)"#,
            r#"Diffuse(seed: 3, steps: 1, guide: "guide", image: "cut")"#,
        )
        .replace("joined", "whole");
    assert_ne!(turned, GRAPH);
    assert_eq!(lab.run(&turned, &a, &m, &[]), [("last".to_owned(), How::Kept)]);
    assert_eq!(lab.run(GRAPH, &a, &m, &[("drawn.seed", "3")]), [("last".to_owned(), How::Kept)]);

    // What matters. A changed tile of four runs; the others are kept where they show nothing of the change.
    let tiles = |set: &[(&str, &str)]| how(&lab.run(GRAPH, &a, &m, set), "drawn");
    assert_eq!(tiles(&[("drawn.seed", "4")]), Some(How::Mapped { computed: 4, kept: 0 }), "seed");
    assert_eq!(tiles(&[("drawn.steps", "2")]), Some(How::Mapped { computed: 4, kept: 0 }), "parameter");
    assert_eq!(tiles(&[("drawn.style", "Anime")]), Some(How::Mapped { computed: 4, kept: 0 }), "type");
    assert!(matches!(tiles(&[("cut.size", "40")]), Some(How::Mapped { kept: 0, .. })), "tile plan");
    assert!(matches!(tiles(&[("cut.halo", "6")]), Some(How::Mapped { kept: 0, .. })), "tile plan");
    assert_eq!(tiles(&[("last.amount", "0.3")]), None, "a later node does not make it run");

    let stroke = lab.path("stroke.png");
    let mut changed = mask.clone();
    changed.put_pixel(2, 2, image::Luma([254]));
    changed.save(&stroke).unwrap();
    assert_eq!(
        how(&lab.run(GRAPH, &a, &stroke, &[]), "drawn"),
        Some(How::Mapped { computed: 1, kept: 3 }),
        "mask pixel"
    );

    let dot = lab.path("dot.png");
    let mut other = photo.clone();
    other.put_pixel(60, 44, image::Rgb([1, 2, 3]));
    other.save(&dot).unwrap();
    assert_eq!(how(&lab.run(GRAPH, &dot, &m, &[]), "drawn"), Some(How::Mapped { computed: 1, kept: 3 }), "photo pixel");

    // The same pixels with another colour profile.
    let profiled = lab.path("profile.png");
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(&profiled).unwrap());
    let mut profile = vec![7; 132];
    profile[16..20].copy_from_slice(b"RGB ");
    image::ImageEncoder::set_icc_profile(&mut encoder, profile).unwrap();
    image::ImageEncoder::write_image(encoder, &photo, 64, 48, image::ExtendedColorType::Rgb8).unwrap();
    let report = lab.run(GRAPH, &profiled, &m, &[]);
    assert_eq!(how(&report, "drawn"), Some(How::Mapped { computed: 4, kept: 0 }), "profile");
}
