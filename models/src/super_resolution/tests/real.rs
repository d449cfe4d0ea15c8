//! Real files, where `UPWEAVE_DATA` names the folder that has them: what they are found to be, and how good their pictures are.

use super::*;
use crate::files::Tensors;
use std::path::{Path, PathBuf};

fn data() -> Option<PathBuf> {
    let data = std::env::var_os("UPWEAVE_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: UPWEAVE_DATA names no folder");
    }
    data
}

fn network(path: &Path) -> SuperResolution {
    let file = std::fs::read(path).unwrap();
    let beside =
        std::fs::read(path.with_extension("bin")).ok().filter(|_| path.extension().is_some_and(|e| e == "param"));
    let tensors = Tensors::read("model", &file, beside.as_deref()).unwrap();
    SuperResolution::of("model", tensors, Compute::default()).unwrap()
}

/// Three planes.
fn picture(path: &Path) -> (usize, usize, Vec<f32>) {
    let pixels = image::open(path).unwrap().to_rgb8();
    let plane = |c: usize| pixels.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0);
    (pixels.width() as usize, pixels.height() as usize, (0..3).flat_map(plane).collect())
}

/// Of the brightness, four pixels at the sides left out, with samples rounded as files round them.
fn psnr((width, height): (usize, usize), a: &[f32], b: &[f32]) -> f64 {
    let rounded = |value: f32| f64::from((value.clamp(0.0, 1.0) * 255.0).round());
    let luma = |planes: &[f32], at: usize| {
        let [r, g, b] = [0, 1, 2].map(|c| rounded(planes[c * width * height + at]));
        (65.481 * r + 128.553 * g + 24.966 * b) / 255.0
    };
    let inner = |y: usize| (4..width - 4).map(move |x| y * width + x);
    let errors: Vec<f64> = (4..height - 4).flat_map(inner).map(|at| (luma(a, at) - luma(b, at)).powi(2)).collect();
    10.0 * (255.0f64.powi(2) / (errors.iter().sum::<f64>() / errors.len() as f64)).log10()
}

#[test]
fn real_upscalers_enlarge_as_well_as_they_should() {
    let Some(data) = data() else { return };
    let (weights, set) = (data.join("weights"), data.join("bench/set5"));
    let (low, high) = (picture(&set.join("img_003_SRF_4_LR.png")), picture(&set.join("img_003_SRF_4_HR.png")));
    for (file, architecture, least) in [
        ("ntire24-esr/team00_rlfn.pth", "RLFN", 28.2),
        ("ntire24-esr/team16_LightRLFN.pth", "RLFN", 28.4),
        ("ntire24-esr/team23_safmnpp.pth", "SAFMN++", 28.2),
        ("ntire24-esr/team34_craft.pth", "CRAFT", 28.2),
        ("ntire24-esr/team38_span_ch28_slim.pth", "SPAN", 27.8),
        ("imdn/IMDN_x4.pth", "IMDN", 28.5),
        ("realesr-animevideov3-ncnn/realesr-animevideov3-x4.param", "SRVGGNetCompact", 23.1),
    ] {
        let net = network(&weights.join(file));
        assert_eq!((net.architecture(), net.scale()), (architecture, 4), "{file}");
        let out = run(&net, (low.0, low.1), &low.2, 4096);
        let found = psnr((high.0, high.1), &out, &high.2);
        println!("{file}: {found:.2} dB");
        assert!(found > least, "{file}: {found:.2} dB");
    }
}

#[test]
fn both_files_of_a_network_give_the_same_picture() {
    let Some(data) = data() else { return };
    let folder = data.join("weights/realesr-animevideov3-ncnn");
    let (width, height, rgb) = picture(&data.join("bench/set5/img_003_SRF_4_LR.png"));
    let files = ["realesr-animevideov3-x4.param", "realesr-animevideov3-x4.repacked.safetensors"];
    let [a, b] = files.map(|file| run(&network(&folder.join(file)), (width, height), &rgb, 4096));
    assert!(a == b);
}

#[test]
fn noise_is_removed() {
    let Some(data) = data() else { return };
    let net = network(&data.join("weights/dncnn/dncnn_25.pth"));
    assert_eq!((net.architecture(), net.scale()), ("DnCNN", 1));
    let (width, height, rgb) = picture(&data.join("bench/kodak/23.png"));
    // A grey part of it, three times.
    let (edge, plane) = (256, width * height);
    let grey = |x: usize, y: usize| {
        let [r, g, b] = [0, 1, 2].map(|c| rgb[c * plane + (y + 128) * width + x + 256]);
        0.299 * r + 0.587 * g + 0.114 * b
    };
    let clean: Vec<f32> = (0..edge * edge).map(|i| grey(i % edge, i / edge)).collect();
    let noise = |i: usize| 25.0 / 255.0 * gaussian(3, i as u32, 0, 0, 0);
    let noisy: Vec<f32> = clean.iter().enumerate().map(|(i, value)| value + noise(i)).collect();
    let out = run(&net, (edge, edge), &noisy.repeat(3), 4096);
    let (before, after) =
        (psnr((edge, edge), &noisy.repeat(3), &clean.repeat(3)), psnr((edge, edge), &out, &clean.repeat(3)));
    println!("{before:.2} dB, {after:.2} dB");
    assert!(after > 32.0 && after > before + 10.0, "{before:.2} dB, {after:.2} dB");
}

/// A picture twice as large as it is known to be right: what the mean of each 2x2 pixels makes of it, and how far that is from the
/// input, in dB. A picture that lies half a pixel off is far from it.
#[test]
fn waifu2x_enlarges_by_two_and_stays_in_place() {
    let Some(data) = data() else { return };
    let (width, height, rgb) = picture(&data.join("bench/kodak/23.png"));
    let (wide, high) = (2 * width, 2 * height);
    for (file, least) in [("scale2.0x_model.param", 51.0), ("noise1_scale2.0x_model.param", 51.0)] {
        let net = network(&data.join("weights/waifu2x-upconv7-ncnn").join(file));
        assert_eq!((net.architecture(), net.scale(), net.radius()), ("UpConv7 (waifu2x)", 2, Some(7)));
        let out = run(&net, (width, height), &rgb, 256);
        let plane = |c: usize| &out[c * wide * high..][..wide * high];
        // The enlarged picture, moved by some of its pixels, made small again.
        let small = |dx: usize, dy: usize| -> Vec<f32> {
            let mean = |c: usize, x: usize, y: usize| {
                let at = |x: usize, y: usize| plane(c)[y.min(high - 1) * wide + x.min(wide - 1)];
                let (x, y) = (2 * x + dx, 2 * y + dy);
                (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4.0
            };
            (0..3 * width * height).map(|i| mean(i / (width * height), i % width, i / width % height)).collect()
        };
        let in_place = psnr((width, height), &small(0, 0), &rgb);
        for moved in [small(1, 0), small(0, 1), small(1, 1)] {
            assert!(psnr((width, height), &moved, &rgb) < in_place - 10.0, "{file}");
        }
        let means = [0, 1, 2].map(|c| {
            let mean = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
            255.0 * (mean(plane(c)) - mean(&rgb[c * width * height..][..width * height]))
        });
        println!("{file}: {in_place:.2} dB, colours moved by {means:.2?}");
        assert!(in_place > least && means.iter().all(|moved| moved.abs() < 1.0), "{file}: {in_place:.2} {means:?}");
    }
}
