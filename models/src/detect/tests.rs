use super::*;
use crate::Picture;

#[test]
fn any_size_is_safe() {
    let faces = faces().unwrap();
    for (width, height) in [(1, 1), (1, 500), (333, 1), (19, 21), (20, 20), (41, 39), (79, 80), (101, 67), (2000, 3)] {
        let value = |i: u32| (i % (width * height)).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32;
        let rgb: Vec<f32> = (0..3 * width * height).map(value).collect();
        let found = faces.find(Picture::new(width, height, &rgb).unwrap()).unwrap();
        for face in found {
            assert!(face.x >= 0.0 && face.x + face.width <= width as f32 + 1e-3);
            assert!(face.y >= 0.0 && face.y + face.height <= height as f32 + 1e-3);
            assert!((0.0..=1.0).contains(&face.confidence));
        }
    }
}

#[test]
fn a_flat_picture_has_no_faces() {
    let found = faces().unwrap().find(Picture::new(200, 150, &[0.5; 90_000]).unwrap()).unwrap();
    assert_eq!(found, []);
}

#[test]
fn wrong_sizes_are_errors() {
    for (width, height) in [(0, 0), (3, 3), (u32::MAX, u32::MAX)] {
        let found = faces().unwrap().find(Picture { width, height, rgb: &[0.0; 8], origin: (0, 0) });
        assert!(matches!(found, Err(Error::PictureSize { values: 8, .. })));
    }
}

#[test]
fn hands_say_how_to_get_them() {
    let message = hands().to_string();
    assert_eq!(message, "the model that finds hands is not installed: run `upweave models pull hands`");
}

#[test]
fn embedded_models_have_cards() {
    let cards = crate::cards().unwrap();
    assert_eq!(cards.iter().map(|(card, _)| card.name).collect::<Vec<_>>(), ["faithful", "detail", "faces"]);
    assert!(cards.iter().all(|(card, digest)| card.bytes > 0 && *digest != [0; 32]));
}

/// The public files, when they are there.
fn data(path: &str) -> Option<std::path::PathBuf> {
    let Some(root) = std::env::var_os("UPWEAVE_DATA") else {
        println!("skipped: UPWEAVE_DATA is not set");
        return None;
    };
    Some(std::path::Path::new(&root).join(path))
}

fn brought(path: &std::path::Path) -> Box<dyn Detector> {
    let file = std::fs::read(path).unwrap();
    let tensors = Tensors::read("detector", &file, None).unwrap();
    detector("detector", tensors, [0; 32], Compute::default()).unwrap()
}

/// Width, height, and three planes.
type Photo = (u32, u32, Vec<f32>);

/// A photograph, its longest side reduced to so many pixels.
fn photo(path: &std::path::Path, longest: u32) -> Photo {
    planes(image::open(path).unwrap().to_rgb8(), Size::Longest(longest))
}

/// What a photograph is brought to.
#[derive(Clone, Copy)]
enum Size {
    Longest(u32),
    Whole(u32, u32),
}

/// Three planes of a photograph at a size.
fn planes(mut photo: image::RgbImage, size: Size) -> Photo {
    let (width, height) = photo.dimensions();
    let (width, height) = match size {
        Size::Whole(width, height) => (width, height),
        Size::Longest(longest) => {
            let scale = (f64::from(longest) / f64::from(width.max(height))).min(1.0);
            let side = |length: u32| (f64::from(length) * scale).round() as u32;
            (side(width), side(height))
        }
    };
    if photo.dimensions() != (width, height) {
        photo = image::imageops::resize(&photo, width, height, image::imageops::FilterType::Triangle);
    }
    let plane = |c: usize| photo.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0);
    (width, height, (0..3).flat_map(plane).collect())
}

fn count(detector: &dyn Detector, photo: &Photo, least: f32) -> Vec<Found> {
    let mut found = detector.find(Picture::new(photo.0, photo.1, &photo.2).unwrap()).unwrap();
    found.retain(|found| found.confidence > least);
    found
}

/// Left edge, upper edge, width, height, confidence.
type Box5 = [f32; 5];

/// What is to be found in a photograph by the golden file, which holds what onnxruntime finds with the same files
/// (`tests/parity/detectors.py`).
#[derive(serde::Deserialize)]
struct Golden {
    /// Pixels that the photograph has lost before: left, top, right, bottom.
    cut: [u32; 4],
    /// The surest box of each thing, and those that are as sure.
    faces: Vec<Vec<Box5>>,
}

impl Golden {
    fn of(network: &str, photo: &str) -> Self {
        let all: serde_json::Value = serde_json::from_slice(&crate::testing::golden!("detectors.json")).unwrap();
        serde_json::from_value(all[network][photo].clone()).unwrap()
    }

    /// The photograph, cut and brought to a size.
    fn photo(&self, path: &std::path::Path, size: Size) -> Photo {
        let photo = image::open(path).unwrap().to_rgb8();
        let [left, top, right, bottom] = self.cut;
        let (width, height) = (photo.width() - left - right, photo.height() - top - bottom);
        planes(image::imageops::crop_imm(&photo, left, top, width, height).to_image(), size)
    }
}

const PHOTOS: [&str; 5] = [
    "faces-hands/human-samples/group-1.jpg",
    "faces-hands/human-samples/group-3.jpg",
    "faces-hands/human-samples/group-5.jpg",
    "kodak/15.png",
    "kodak/23.png",
];

/// The photographs, 1024 pixels long at most, with their names.
fn photos(root: &std::path::Path) -> Vec<(&'static str, Photo)> {
    PHOTOS.iter().map(|&name| (name, photo(&root.join("bench").join(name), 1024))).collect()
}

/// Whether what was found is what a golden file says: edges within two pixels. What is hardly surer than the limit of 0.6 may be on
/// either side of it, since decoders of JPEG files differ in last bits.
fn agrees(name: &str, found: &[Found], wanted: &[Vec<Box5>]) {
    let near = |found: &Found, [x, y, width, height, confidence]: Box5| {
        let edges = [x, y, x + width, y + height];
        let own = [found.x, found.y, found.x + found.width, found.y + found.height];
        edges.iter().zip(own).all(|(a, b)| (a - b).abs() <= 2.0) && (confidence - found.confidence).abs() < 0.02
    };
    let same = |found: &Found, boxes: &Vec<Box5>| boxes.iter().any(|wanted| near(found, *wanted));
    for boxes in wanted.iter().filter(|boxes| boxes[0][4] > 0.62) {
        assert!(found.iter().any(|found| same(found, boxes)), "{name}: {boxes:?} in {found:?}");
    }
    for face in found.iter().filter(|found| found.confidence > 0.62) {
        assert!(wanted.iter().any(|boxes| same(face, boxes)), "{name}: {face:?} in {wanted:?}");
    }
}

/// Whether all faces have so many points, and all of them within.
fn have_points(name: &str, faces: &[Found], count: usize) {
    for face in faces {
        let inside = |(x, y): &(f32, f32)| {
            (face.x..face.x + face.width).contains(x) && (face.y..face.y + face.height).contains(y)
        };
        assert!(face.points.len() == count && face.points.iter().all(inside), "{name}: {face:?}");
    }
}

#[test]
fn detectors_find_what_onnxruntime_finds() {
    let Some(root) = data("") else { return };
    for (network, files, points, size) in [
        (
            "yunet",
            &["yunet/yunet_n.pth", "yunet/yunet_n_dynamic.onnx", "yunet/yunet_n_320_320.onnx"][..],
            5,
            Size::Longest(1024),
        ),
        ("yunet_s", &["yunet/yunet_s_dynamic.onnx", "yunet/yunet_s_320_320.onnx"], 5, Size::Longest(1024)),
        // One square that shows all, so that nothing is looked at more closely.
        ("retinaface", &["retinaface-mb025/mobilenet0.25_Final.pth"], 5, Size::Longest(640)),
        ("retinaface_slim", &["retinaface-mb025/slim_Final.pth"], 5, Size::Longest(640)),
        ("ultralight_slim", &["ultralight-face/version-slim-320.onnx"], 0, Size::Whole(320, 240)),
        (
            "ultralight_rfb",
            &["ultralight-face/version-RFB-320.onnx", "ultralight-face/version-RFB-320.pth"],
            0,
            Size::Whole(320, 240),
        ),
    ] {
        for name in PHOTOS {
            let golden = Golden::of(network, name);
            let photo = golden.photo(&root.join("bench").join(name), size);
            for file in files {
                let detector = brought(&root.join("weights").join(file));
                assert_eq!(detector.kind(), Kind::Faces);
                let (found, name) = (count(&*detector, &photo, 0.6), format!("{file}: {name}"));
                agrees(&name, &found, &golden.faces);
                have_points(&name, &found, points);
            }
        }
    }
}

#[test]
fn yunet_counts_the_faces_of_the_public_photographs() {
    let Some(root) = data("") else { return };
    let yunet = brought(&root.join("weights/yunet/yunet_n_dynamic.onnx"));
    let counts: Vec<usize> = photos(&root).iter().map(|(_, photo)| count(&*yunet, photo, 0.6).len()).collect();
    assert_eq!(counts, [15, 4, 7, 1, 0]);
}

#[test]
fn the_embedded_detector_finds_the_faces_that_wide_yunet_finds() {
    let Some(root) = data("") else { return };
    let (mut wanted_of_all, mut found_of_all, mut same_of_all) = (0, 0, 0);
    // As given, and so small that most faces have 16 to 30 pixels.
    for (name, longest) in PHOTOS.iter().flat_map(|name| [1024, 512, 320].map(|longest| (*name, longest))) {
        let golden = Golden::of("yunet", name);
        let large = golden.photo(&root.join("bench").join(name), Size::Longest(1024));
        let photo = golden.photo(&root.join("bench").join(name), Size::Longest(longest));
        let scale = photo.0 as f32 / large.0 as f32;
        let boxes = golden.faces.iter().map(|boxes| {
            let [x, y, width, height, _] = boxes[0].map(|value| value * scale);
            Found { x, y, width, height, ..Found::default() }
        });
        let enough = |face: &Found| face.width.max(face.height) >= 16.0;
        let wanted: Vec<Found> = boxes.filter(enough).collect();
        let mut found = count(faces().unwrap(), &photo, 0.5);
        found.retain(enough);
        let same = |a: &Found, b: &Found| {
            let common = a.common(b);
            common > 0.5 * (a.area() + b.area() - common)
        };
        let both = wanted.iter().filter(|wanted| found.iter().any(|found| same(found, wanted))).count();
        println!("{name} at {longest}: {both} of {}, {} found", wanted.len(), found.len());
        wanted_of_all += wanted.len();
        found_of_all += found.len();
        same_of_all += both;
    }
    assert!(10 * same_of_all >= 9 * wanted_of_all, "{same_of_all} of {wanted_of_all}");
    assert!(10 * same_of_all >= 9 * found_of_all, "{same_of_all} of {found_of_all} that were found");
}

#[test]
fn detectors_with_priors_find_the_faces_of_large_photographs() {
    let Some(root) = data("") else { return };
    let photos = photos(&root);
    for file in [
        "retinaface-mb025/mobilenet0.25_Final.pth",
        "retinaface-mb025/slim_Final.pth",
        "ultralight-face/version-slim-320.onnx",
        "ultralight-face/version-RFB-320.pth",
    ] {
        let detector = brought(&root.join("weights").join(file));
        let counts: Vec<usize> = photos.iter().map(|(_, photo)| count(&*detector, photo, 0.7).len()).collect();
        println!("{file}: {counts:?}");
        for (found, [least, most]) in counts.iter().zip([[13, 17], [4, 6], [6, 8], [1, 2], [0, 2]]) {
            assert!((least..=most).contains(found), "{file}: {counts:?}");
        }
    }
}

#[test]
fn small_faces_in_a_large_picture_are_found() {
    let Some(root) = data("") else { return };
    let yunet = brought(&root.join("weights/yunet/yunet_n.pth"));
    // Faces of 40 pixels become 10, in the corner of a picture that is looked at in parts.
    let (width, height, small) = photo(&root.join("bench/faces-hands/human-samples/group-1.jpg"), 256);
    let (wide, high) = (3000, 2200);
    let mut rgb = vec![0.4; (3 * wide * high) as usize];
    let (left, top) = (2710, 1990);
    for (i, value) in small.iter().enumerate() {
        let i = i as u32;
        let (c, y, x) = (i / (width * height), i / width % height, i % width);
        rgb[((c * high + top + y) * wide + left + x) as usize] = *value;
    }
    let found = count(&*yunet, &(wide, high, rgb), 0.5);
    let there = |face: &Found| face.x >= left as f32 - 5.0 && face.y >= top as f32 - 5.0 && face.width < 30.0;
    assert!(found.len() >= 12 && found.iter().all(there), "{}: {found:?}", found.len());
}

#[test]
fn blazeface_finds_faces() {
    let Some(root) = data("") else { return };
    for (file, wanted) in [
        ("blazeface/blazeface.pth", [1, 3, 14]),
        ("blazeface/blazefaceback.pth", [1, 3, 15]),
        ("blazeface-zmurez/blazeface.pth", [1, 3, 13]),
    ] {
        let blaze = brought(&root.join("weights").join(file));
        for (name, wanted) in
            ["blazeface/1face.png", "blazeface/3faces.png", "human-samples/group-1.jpg"].iter().zip(wanted)
        {
            let found = count(&*blaze, &photo(&root.join("bench/faces-hands").join(name), 1024), 0.65);
            assert!(found.len().abs_diff(wanted) <= wanted / 10, "{file} {name}: {}", found.len());
            assert!(found.iter().all(|face| face.points.len() == 6));
        }
    }
}

#[test]
fn blazepalm_scores_as_onnxruntime_does() {
    let Some(root) = data("") else { return };
    let palm = brought(&root.join("weights/blazepalm-onnx/palm_detection_barracuda.onnx"));
    assert_eq!(palm.kind(), Kind::Hands);
    for name in [
        "faces-hands/pexels-hands/pexels-ricardo-utsumi-1314554.jpg",
        "faces-hands/pexels-hands/pexels-daria-shevtsova-1578238.jpg",
        "kodak/23.png",
    ] {
        let golden = Golden::of("blazepalm", name);
        // One square that shows all, so that nothing is looked at more closely.
        let photo = golden.photo(&root.join("bench").join(name), Size::Longest(128));
        let best = count(&*palm, &photo, 0.0).first().map_or(0.0, |found| found.confidence);
        let wanted = golden.faces.first().map_or(0.0, |found| found[0][4]);
        assert!((best - wanted).abs() <= 0.01, "{name}: {best}, not {wanted}");
    }
    let none = count(&*palm, &photo(&root.join("bench/kodak/23.png"), 1024), 0.5);
    assert_eq!(none, [], "there is no hand");
    let hands = count(&*palm, &photo(&root.join("bench/faces-hands/human-samples/ai-body.jpg"), 1024), 0.5);
    assert!(hands.len() >= 2, "{hands:?}");
}

#[test]
fn other_files_are_no_detectors() {
    let file = include_bytes!("../../tests/golden/srvgg_tiny.safetensors");
    let tensors = Tensors::read("upscaler", file, None).unwrap();
    let message = detector("upscaler", tensors, [0; 32], Compute::default()).err().unwrap().to_string();
    assert!(DETECTORS.iter().all(|name| message.contains(name)), "{message}");
}
