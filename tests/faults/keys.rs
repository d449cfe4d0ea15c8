//! What a result depends on changes its key, and nothing else does. How the machine is used is in `warm.rs`.

use engine::{
    Binding, Cx, Declared, How, In, Kind, MemoryStore, NoLibrary, Node, NodeKind, NodeResult, Request, Setting, Text,
    World,
    digest::{Digest, Digester},
    value::Image,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

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
    registry: &'static [&'static dyn NodeKind],
}

impl Lab {
    fn new(registry: &'static [&'static dyn NodeKind]) -> Self {
        Self { store: MemoryStore::new(1 << 28), folder: tempfile::tempdir().unwrap(), registry }
    }

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
            registry: self.registry,
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

/// The pictures that all begin with.
fn photo() -> image::RgbImage {
    image::RgbImage::from_fn(64, 48, |x, y| image::Rgb(gradient(x, y)))
}

fn mask() -> image::GrayImage {
    image::GrayImage::from_fn(64, 48, |x, _| image::Luma([if x < 40 { 255 } else { 0 }]))
}

/// A lab in which the graph has run once, the photo and the mask.
fn begun() -> (Lab, PathBuf, PathBuf) {
    let lab = Lab::new(nodes::NODES);
    let (a, m) = (lab.path("a.png"), lab.path("m.png"));
    photo().save(&a).unwrap();
    mask().save(&m).unwrap();
    let first = lab.run(GRAPH, &a, &m, &[]);
    assert_eq!(how(&first, "drawn"), Some(How::Mapped { computed: 4, kept: 0 }));
    (lab, a, m)
}

#[test]
fn what_does_not_matter_changes_no_key() {
    let (lab, a, m) = begun();
    let copy = lab.path("b.png");
    std::fs::copy(&a, &copy).unwrap();
    let turned = GRAPH
        .replace(
            r#"Diffuse(image: "cut", guide: "guide", steps: 1, seed: 3)"#,
            r#"Diffuse(seed: 3, steps: 1, guide: "guide", image: "cut")"#,
        )
        .replace("joined", "whole");
    assert_ne!(turned, GRAPH);
    let said_again = [("drawn.seed", "3")];
    let table = [
        ("the same again", GRAPH, &a, &[][..]),
        ("path of the photo", GRAPH, &copy, &[]),
        ("order of fields, names of nodes", &turned, &a, &[]),
        ("a value that is set to what it is", GRAPH, &a, &said_again),
    ];
    for (what, graph, photo, set) in table {
        assert_eq!(lab.run(graph, photo, &m, set), [("last".to_owned(), How::Kept)], "{what}");
    }
    let file = std::fs::File::options().append(true).open(&a).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1 << 30)).unwrap();
    assert_eq!(lab.run(GRAPH, &a, &m, &[]), [("last".to_owned(), How::Kept)], "time of the file");
}

#[test]
fn what_matters_changes_the_key() {
    let (lab, a, m) = begun();
    let all = How::Mapped { computed: 4, kept: 0 };
    // A changed tile runs; the others are kept where they show nothing of the change.
    let one = How::Mapped { computed: 1, kept: 3 };
    let in_f32 = models::Precision::fastest() == models::Precision::F32;
    let table = [
        ("seed", ("drawn.seed", "4"), Some(all)),
        ("parameter", ("drawn.steps", "2"), Some(all)),
        ("type", ("drawn.style", "Anime"), Some(all)),
        ("precision", ("drawn.precision", if in_f32 { "Bf16" } else { "F32" }), Some(all)),
        // What is cut in another way is another picture for every tile.
        ("tile plan", ("cut.size", "40"), Some(all)),
        ("tile plan", ("cut.halo", "6"), Some(all)),
        ("tile plan", ("drawn.tile", "64"), Some(all)),
        ("a later node", ("last.amount", "0.3"), None),
    ];
    for (what, set, expected) in table {
        assert_eq!(how(&lab.run(GRAPH, &a, &m, &[set]), "drawn"), expected, "{what}: {set:?}");
    }

    let stroke = lab.path("stroke.png");
    let mut changed = mask();
    changed.put_pixel(2, 2, image::Luma([254]));
    changed.save(&stroke).unwrap();
    assert_eq!(how(&lab.run(GRAPH, &a, &stroke, &[]), "drawn"), Some(one), "mask pixel");

    let dot = lab.path("dot.png");
    let mut other = photo();
    other.put_pixel(60, 44, image::Rgb([1, 2, 3]));
    other.save(&dot).unwrap();
    assert_eq!(how(&lab.run(GRAPH, &dot, &m, &[]), "drawn"), Some(one), "photo pixel");

    // The same pixels with another colour profile.
    let profiled = lab.path("profile.png");
    let mut encoder = image::codecs::png::PngEncoder::new(std::fs::File::create(&profiled).unwrap());
    let mut profile = vec![7; 132];
    profile[16..20].copy_from_slice(b"RGB ");
    image::ImageEncoder::set_icc_profile(&mut encoder, profile).unwrap();
    image::ImageEncoder::write_image(encoder, &photo(), 64, 48, image::ExtendedColorType::Rgb8).unwrap();
    assert_eq!(how(&lab.run(GRAPH, &profiled, &m, &[]), "drawn"), Some(all), "profile");
}

/// Nodes of one name and one meaning, as different releases of a program would have them.
macro_rules! release {
    ($module:ident, $version:literal, $model:literal) => {
        mod $module {
            use super::*;

            engine::node! {
                /// Gives the picture.
                pub struct Same, version $version {
                    /// Picture to give.
                    image: In<Image>,
                }
            }

            impl Node for Same {
                type Out = Image;

                fn outside(&self) -> NodeResult<Vec<Digest>> {
                    let mut model = Digester::new("model file");
                    model.text($model);
                    Ok(vec![model.finish()])
                }

                fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
                    Ok((*cx.get(&self.image)?).clone())
                }
            }
        }
    };
}

release!(first, 1, "as it was published");
release!(mended, 2, "as it was published");
release!(trained, 1, "trained once more");

#[test]
fn node_version_and_model_change_the_key() {
    const SAME: &str = r#"Graph(format: 1, inputs: {"photo": Image, "mask": Mask}, outputs: {"out": "same"}, nodes: {
        "same": Same(image: "photo"),
    })"#;
    let mut lab = Lab::new(&[]);
    let a = lab.path("a.png");
    photo().save(&a).unwrap();
    let mut with = |kind: &'static dyn NodeKind| {
        lab.registry = [nodes::NODES, &[kind]].concat().leak();
        how(&lab.run(SAME, &a, &a, &[]), first::Same::KIND.to_lowercase().as_str())
    };
    assert_eq!(with(&Kind::<first::Same>::NEW), Some(How::Computed));
    assert_eq!(with(&Kind::<first::Same>::NEW), Some(How::Kept));
    assert_eq!(with(&Kind::<mended::Same>::NEW), Some(How::Computed), "version");
    assert_eq!(with(&Kind::<trained::Same>::NEW), Some(How::Computed), "model");
    for kind in
        [&Kind::<first::Same>::NEW as &'static dyn NodeKind, &Kind::<mended::Same>::NEW, &Kind::<trained::Same>::NEW]
    {
        assert_eq!(with(kind), Some(How::Kept), "each has its own result");
    }
}
