//! What `DegradeDetect` says of photographs that were damaged in a known way.
//!
//! The photographs are not part of the project: the tests run where `UPWEAVE_DATA` names a folder with `bench/kodak`,
//! `bench/set14` and `bench/urban100`, and say so where it does not.

// The ban is on nodes; tests read photographs and take the time.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may read pictures and the clock; nodes may not"
)]

use engine::value::{Damage, Image, Size};
use nodes::degrade_detect::{Quality, judge, measure};
use std::{path::PathBuf, sync::Arc, time::Instant};

/// The originals in a folder of the benchmark, or none with a note.
fn originals(folder: &str) -> Vec<PathBuf> {
    let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
        println!("skipped: UPWEAVE_DATA is not set");
        return Vec::new();
    };
    let folder = PathBuf::from(data).join("bench").join(folder);
    let entries = std::fs::read_dir(&folder).expect("UPWEAVE_DATA has the benchmarks");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".png") && !name.contains("_LR") && !name.contains("SRF_2")
    });
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

fn load(path: &PathBuf) -> image::RgbImage {
    image::open(path).expect("a picture").to_rgb8()
}

fn planar(picture: &image::RgbImage) -> Image {
    let n = picture.pixels().len();
    let mut samples = vec![0f32; 3 * n];
    for (i, pixel) in picture.pixels().enumerate() {
        for c in 0..3 {
            samples[c * n + i] = f32::from(pixel.0[c]) / 255.0;
        }
    }
    Image::new(Size::new(picture.width(), picture.height()), 3, samples, Arc::default())
}

/// Normally distributed, the same at every call.
fn gaussian(index: u64) -> f32 {
    let uniform = |mut x: u64| {
        x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let (a, b) = (uniform(2 * index), uniform(2 * index + 1));
    ((-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

fn noisy(picture: &image::RgbImage, sigma: f32) -> image::RgbImage {
    let mut out = picture.clone();
    for (i, v) in out.iter_mut().enumerate() {
        *v = (f32::from(*v) + sigma * gaussian(i as u64)).round().clamp(0.0, 255.0) as u8;
    }
    out
}

fn compressed(picture: &image::RgbImage, quality: u8) -> image::RgbImage {
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality).encode_image(picture).expect("encodes");
    image::load_from_memory(&file).expect("decodes").to_rgb8()
}

fn reduced(picture: &image::RgbImage, by: u32) -> image::RgbImage {
    let filter = image::imageops::FilterType::CatmullRom;
    image::imageops::resize(picture, picture.width() / by, picture.height() / by, filter)
}

fn blurred(picture: &image::RgbImage, sigma: f32) -> image::RgbImage {
    image::imageops::blur(picture, sigma)
}

fn restored(damage: Damage) -> bool {
    judge(damage, Quality::Auto).restore
}

fn name(path: &std::path::Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

#[test]
fn noise_is_measured_within_a_fifth() {
    for path in originals("kodak") {
        let picture = load(&path);
        for sigma in [3.0, 5.0, 10.0, 15.0, 20.0, 30.0] {
            let damage = measure(&planar(&noisy(&picture, sigma)));
            let off = damage.noise.value / sigma - 1.0;
            println!("{} noise {sigma}: {:.2} ({:+.1} %)", name(&path), damage.noise.value, 100.0 * off);
            assert!(off.abs() <= 0.2, "{} noise {sigma}: {damage:?}", name(&path));
            assert!(sigma < 15.0 || restored(damage), "{} noise {sigma}: {damage:?}", name(&path));
        }
    }
}

#[test]
fn jpeg_quality_is_measured_within_eight_points() {
    for path in originals("kodak") {
        let picture = load(&path);
        for quality in [20, 30, 40, 50, 60, 70, 80, 90] {
            let damage = measure(&planar(&compressed(&picture, quality)));
            let off = damage.jpeg_quality.value - f32::from(quality);
            println!("{} jpeg {quality}: {:.0}", name(&path), damage.jpeg_quality.value);
            assert!(off.abs() <= 8.0, "{} jpeg {quality}: {damage:?}", name(&path));
            assert!(quality > 40 || restored(damage), "{} jpeg {quality}: {damage:?}", name(&path));
        }
    }
}

#[test]
fn the_grid_of_a_cropped_jpeg_is_found() {
    for path in originals("kodak").iter().take(3) {
        let picture = compressed(&load(path), 40);
        let cropped = image::imageops::crop_imm(&picture, 3, 6, 500, 400).to_image();
        let damage = measure(&planar(&cropped));
        assert!((damage.jpeg_quality.value - 40.0).abs() <= 8.0, "{}: {damage:?}", name(path));
    }
}

#[test]
fn blur_is_found() {
    for path in originals("kodak") {
        let picture = load(&path);
        for sigma in [2.0, 3.0] {
            let damage = measure(&planar(&blurred(&picture, sigma)));
            println!("{} blur {sigma}: {:.2}", name(&path), damage.blur.value);
            assert!((damage.blur.value / sigma - 1.0).abs() <= 0.3, "{} blur {sigma}: {damage:?}", name(&path));
            assert!(restored(damage), "{} blur {sigma}: {damage:?}", name(&path));
        }
    }
}

#[test]
fn clean_pictures_are_left_alone() {
    for folder in ["kodak", "set14", "urban100"] {
        for path in originals(folder) {
            let picture = load(&path);
            for by in [1, 2, 4] {
                let damage = measure(&planar(&if by == 1 { picture.clone() } else { reduced(&picture, by) }));
                assert!(!restored(damage), "{folder}/{} reduced by {by}: {damage:?}", name(&path));
            }
        }
    }
}

#[test]
fn large_pictures_take_no_longer() {
    for path in originals("urban100").iter().take(1) {
        let picture = load(path);
        let large = image::imageops::resize(&picture, 6000, 4000, image::imageops::FilterType::Nearest);
        let image = planar(&large);
        measure(&image);
        let start = Instant::now();
        measure(&image);
        // A bound that holds on a busy machine; alone it is below 0.15 s.
        println!("24 MP: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
        assert!(start.elapsed().as_secs_f64() < 3.0);
    }
}
