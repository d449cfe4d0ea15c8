//! The nodes over the embedded networks, whatever their weights: what must hold for any training.

use engine::{
    Binding, Blame, Cx, Failure, Inputs, MemoryStore, NoLibrary, NoStore, Request, Store, Text, Watcher, World,
    value::{Damage, Field, Guide, Image, Mask, Measure, Metadata, Rect, Size, Value, WireType},
};
use nodes::NODES;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

fn picture(size: Size, channels: usize) -> Image {
    let samples = (0..size.pixels() * channels)
        .map(|i| {
            let (x, y) = ((i % size.width as usize) as f32, (i / size.width as usize) as f32);
            0.5 + 0.3 * (x * 0.31 + y * 0.17).sin() + 0.15 * (x * 1.3 - y * 0.9).cos()
        })
        .collect();
    Image::new(size, channels, samples, Arc::default())
}

/// Runs one node; also tells how often it told of progress.
fn run(kind: &str, fields: &str, inputs: Vec<(&str, Value)>, store: &dyn Store) -> (Result<Value, Failure>, u64) {
    let kind = NODES.iter().find(|known| known.name() == kind).expect("in the registry");
    let node = kind.parse(fields).expect("fields fit");
    let inputs: Inputs = inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (cancel, stop, told) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let progress = |done: u64, total: u64| {
        assert!(done <= total);
        told.fetch_add(1, Ordering::Relaxed);
    };
    let watcher = Watcher { cancel: &cancel, stop: &stop, progress: &progress };
    let result = node.run(&mut Cx::alone(&inputs, &watcher, store)).map(|mut values| values.swap_remove(0));
    (result, told.into_inner())
}

fn image(result: Result<Value, Failure>) -> Arc<Image> {
    Image::from_value(&result.expect("runs")).expect("an image")
}

fn upscale(fields: &str, picture: &Image, damage: Option<Damage>) -> Arc<Image> {
    let mut inputs = vec![("a", picture.clone().into_value())];
    inputs.extend(damage.map(|damage| ("d", damage.into_value())));
    image(run("Upscale", fields, inputs, &NoStore).0)
}

fn bits(image: &Image) -> Vec<u32> {
    image.samples().iter().map(|v| v.to_bits()).collect()
}

const NOISY: Damage = Damage { noise: Measure { value: 15.0, confidence: 1.0 }, restore: true, ..Damage::NONE };

fn guide(size: Size, creativity: Field) -> Guide {
    Guide::new(size, creativity, Field::Uniform(0.6), Field::Uniform(0.7))
}

fn diffuse(fields: &str, picture: &Image, guide: &Guide, store: &dyn Store) -> (Arc<Image>, u64) {
    let inputs = vec![("a", picture.clone().into_value()), ("g", guide.clone().into_value())];
    let (result, told) = run("Diffuse", fields, inputs, store);
    (image(result), told)
}

const DIFFUSE: &str = "(image: \"a\", guide: \"g\", steps: 2)";

#[test]
fn upscale_gives_the_size_and_keeps_alpha_and_metadata() {
    let size = Size::new(23, 17);
    let mut source = picture(size, 4);
    source.metadata = Arc::new(Metadata { dpi: Some((300.0, 300.0)), jpeg_quality: Some(50), ..Metadata::default() });
    for (scale, wanted) in
        [("1.0", size), ("1.5", Size::new(35, 26)), ("2", Size::new(46, 34)), ("4.0", Size::new(92, 68))]
    {
        let out = upscale(&format!("(image: \"a\", scale: {scale})"), &source, None);
        assert_eq!((out.size(), out.channels()), (wanted, 4), "{scale}");
        assert_eq!(out.metadata.dpi, Some((300.0, 300.0)));
        let mean = |plane: &[f32]| plane.iter().sum::<f32>() / plane.len() as f32;
        assert!((mean(out.plane(3)) - mean(source.plane(3))).abs() < 0.02, "{scale}");
        assert!(out.samples().iter().all(|v| v.is_finite()));
    }
    assert_eq!(upscale("(image: \"a\", scale: 2)", &source, None).metadata.jpeg_quality, None);
}

#[test]
fn upscale_at_one_without_damage_changes_nothing() {
    let source = picture(Size::new(9, 8), 3);
    assert_eq!(bits(&upscale("(image: \"a\", scale: 1)", &source, None)), bits(&source));
    let harmless = Damage { restore: false, ..NOISY };
    let fields = "(image: \"a\", damage: \"d\", scale: 1)";
    assert_eq!(bits(&upscale(fields, &source, Some(harmless))), bits(&source));
}

#[test]
fn upscale_does_not_depend_on_tiles_or_threads() {
    let source = picture(Size::new(70, 45), 3);
    let wanted = bits(&upscale("(image: \"a\", damage: \"d\")", &source, Some(NOISY)));
    for tile in [16, 33, 64] {
        let fields = format!("(image: \"a\", damage: \"d\", tile: {tile})");
        assert!(wanted == bits(&upscale(&fields, &source, Some(NOISY))), "tiles of {tile}");
    }
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let out = pool.install(|| upscale("(image: \"a\", damage: \"d\")", &source, Some(NOISY)));
        assert!(wanted == bits(&out), "{threads} threads");
    }
}

#[test]
fn any_picture_can_be_enlarged_and_redrawn() {
    for (w, h) in [(1, 1), (1, 40), (37, 1), (3, 2)] {
        let size = Size::new(w, h);
        for source in [picture(size, 3), Image::filled(size, &[f32::NAN, f32::INFINITY, -1.0])] {
            assert_eq!(upscale("(image: \"a\", scale: 3.0)", &source, None).size(), size.scaled(3.0));
            let (out, _) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.8)), &NoStore);
            assert_eq!(out.size(), size);
        }
    }
}

#[test]
fn restore_touches_only_what_is_damaged() {
    let source = picture(Size::new(20, 20), 4);
    let restore = |fields: &str, damage: Damage| {
        let inputs = vec![("a", source.clone().into_value()), ("d", damage.into_value())];
        image(run("Restore", fields, inputs, &NoStore).0)
    };
    assert_eq!(bits(&restore("(image: \"a\", damage: \"d\")", Damage::NONE)), bits(&source));
    assert_eq!(bits(&restore("(image: \"a\", damage: \"d\", strength: 0)", NOISY)), bits(&source));
    assert_eq!(restore("(image: \"a\", damage: \"d\")", NOISY).plane(3), source.plane(3));
}

#[test]
fn no_creativity_samples_nothing() {
    let size = Size::new(24, 16);
    let mut source = picture(size, 4);
    source.samples_mut()[3] = -0.0;
    source.samples_mut()[4] = f32::NAN;
    let (out, told) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.0)), &NoStore);
    assert_eq!(bits(&out), bits(&source));
    assert_eq!(told, 0);
}

#[test]
fn outside_the_mask_every_bit_stays() {
    let size = Size::new(48, 32);
    let source = picture(size, 4);
    for strength in [0.4, 1.0] {
        let map = (0..size.pixels()).map(|i| if i % 48 < 24 { 0.0 } else { strength }).collect();
        let guide = guide(size, Field::Map(Arc::new(Mask::new(size, map))));
        let (out, _) = diffuse(DIFFUSE, &source, &guide, &NoStore);
        let (left, right) = (Rect { width: 24, ..size.rect() }, Rect { x: 24, width: 24, ..size.rect() });
        assert_eq!(bits(&out.crop(left)), bits(&source.crop(left)));
        assert_ne!(out.crop(right).rgb(), source.crop(right).rgb());
        assert_eq!(out.plane(3), source.plane(3));
    }
}

#[test]
fn moving_the_controls_does_not_sample_again() {
    let size = Size::new(40, 24);
    let source = picture(size, 3);
    let store = MemoryStore::new(1 << 24);
    let (first, told) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.3)), &store);
    assert!(told > 0);
    let (second, told) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.45)), &store);
    assert_eq!(told, 0);
    assert_ne!(first.rgb(), second.rgb());
    // The larger structure above one half is a residual of its own.
    let (_, told) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.8)), &store);
    assert!(told > 0);
    let (_, told) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.9)), &store);
    assert_eq!(told, 0);
    let seeded = "(image: \"a\", guide: \"g\", steps: 2, seed: 7)";
    let (other, told) = diffuse(seeded, &source, &guide(size, Field::Uniform(0.3)), &store);
    assert!(told > 0);
    assert_ne!(first.rgb(), other.rgb());
    // A store that knows something gives the same picture as one that knows nothing.
    let (again, _) = diffuse(DIFFUSE, &source, &guide(size, Field::Uniform(0.45)), &NoStore);
    assert_eq!(bits(&again), bits(&second));
}

#[test]
fn a_guide_of_another_size_is_refused() {
    let source = picture(Size::new(8, 8), 3);
    let guide = guide(Size::new(9, 8), Field::Uniform(0.3));
    let inputs = vec![("a", source.into_value()), ("g", guide.into_value())];
    let failure = run("Diffuse", DIFFUSE, inputs, &NoStore).0.expect_err("does not fit");
    assert_eq!((failure.blame, failure.field.as_deref()), (Blame::Input, Some("guide")));
}

#[test]
fn a_person_can_stop_it() {
    let source = picture(Size::new(64, 64), 3);
    let inputs: Inputs = [("a".to_owned(), source.into_value())].into();
    let kind = NODES.iter().find(|known| known.name() == "Upscale").expect("in the registry");
    let node = kind.parse("(image: \"a\")").expect("fields fit");
    let (cancel, stop) = (AtomicBool::new(true), AtomicBool::new(false));
    let watcher = Watcher { cancel: &cancel, stop: &stop, progress: &|_, _| {} };
    let failure = node.run(&mut Cx::alone(&inputs, &watcher, &NoStore)).expect_err("stopped");
    assert_eq!(failure.blame, Blame::Cancelled);
}

#[test]
fn faces_are_not_seen_in_nothing() {
    for (w, h) in [(1, 1), (64, 48), (300, 2)] {
        let flat = Image::filled(Size::new(w, h), &[0.5; 3]);
        let (found, _) = run("FaceDetect", "(image: \"a\")", vec![("a", flat.into_value())], &NoStore);
        let Ok(Value::Regions(found)) = found else { panic!("{found:?}") };
        assert!(found.items.is_empty() && found.frame == Size::new(w, h));
    }
}

#[test]
fn the_guide_gathers_the_controls() {
    let size = Size::new(30, 20);
    let inputs = || vec![("a", picture(size, 3).into_value()), ("m", Mask::filled(Size::new(3, 2), 0.5).into_value())];
    let (plain, _) = run("Guide", "(image: \"a\", creativity: 0.8)", inputs(), &NoStore);
    let Ok(Value::Guide(plain)) = plain else { panic!("{plain:?}") };
    assert_eq!(plain.creativity, Field::Uniform(0.8));
    // A wire to a graph input that nothing was given for is no mask.
    let (open, _) = run("Guide", "(image: \"a\", mask: \"nothing\", creativity: 0.8)", inputs(), &NoStore);
    assert!(matches!(open, Ok(Value::Guide(open)) if open == plain));
    let (masked, _) = run("Guide", "(image: \"a\", mask: \"m\", creativity: 0.8)", inputs(), &NoStore);
    let Ok(Value::Guide(masked)) = masked else { panic!("{masked:?}") };
    assert!((masked.creativity.at(299) - 0.4).abs() < 1e-6);
}

#[test]
fn tiles_with_a_halo_give_the_picture_of_an_uncut_run() {
    let size = Size::new(150, 90);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("photo.png");
    let source = picture(size, 3);
    let mut file = image::RgbImage::new(size.width, size.height);
    for (i, pixel) in file.pixels_mut().enumerate() {
        pixel.0 = std::array::from_fn(|c| (source.plane(c)[i] * 255.0).round() as u8);
    }
    file.save(&path).expect("written");
    // One step looks as far as the network; the faithful network and the shaping of the residual look further.
    let faithful = models::Faithful::embedded(models::Precision::F32).expect("ships").radius();
    let halo = models::Detail::embedded(models::Precision::F32).expect("ships").radius() + 2 * faithful + 24;
    for creativity in [0.4, 0.9] {
        let text = format!(
            r#"Graph(format: 1, inputs: {{"photo": Image}}, outputs: {{"cut": "merged", "uncut": "whole"}}, nodes: {{
                "guide": Guide(image: "photo", creativity: {creativity}),
                "tiles": Tile(image: "photo", size: 61, halo: {halo}),
                "redrawn": Diffuse(image: "tiles", guide: "guide", steps: 1),
                "merged": Blend(tiles: "redrawn"),
                "whole": Diffuse(image: "photo", guide: "guide", steps: 1),
            }})"#
        );
        let request = Request {
            file: Text { name: "test.ron".into(), text },
            library: &NoLibrary,
            registry: NODES,
            preset: None,
            settings: vec![],
            inputs: vec![Binding {
                name: "photo".into(),
                kind: "Load".into(),
                fields: format!("(path: {path:?})"),
                origin: "test".into(),
            }],
            outputs: vec![],
        };
        let built = engine::build(&request).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let outcome = engine::run(&built.graph, World::quiet(&NoStore)).expect("runs");
        let [Value::Image(cut), Value::Image(uncut)] = ["cut", "uncut"].map(|name| outcome.values[name].clone()) else {
            panic!("pictures come out");
        };
        let worst = cut.samples().iter().zip(uncut.samples()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(bits(&cut) == bits(&uncut), "creativity {creativity}: differs by up to {worst}");
    }
}
