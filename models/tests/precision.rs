//! bf16 must not be seen: real pictures, real weights, against the same networks in f32.

use std::path::PathBuf;

use models::{DamageCondition, Detail, Factor, Faithful, Picture, Precision, Sampling, Unwatched};

/// Photographs, as planes of 0..1; none where there is no benchmark folder.
fn photographs() -> Vec<(u32, u32, Vec<f32>)> {
    let Some(data) = std::env::var_os("UPWEAVE_DATA").map(PathBuf::from) else {
        eprintln!("UPWEAVE_DATA is not set: this test has no photographs and is skipped");
        return vec![];
    };
    let load = |name: &str| {
        let rgb = image::open(data.join(name)).expect("the benchmark pictures can be read").to_rgb8();
        let part = image::imageops::crop_imm(&rgb, 100, 60, 256, 192).to_image();
        let plane = |c: usize| part.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0);
        (256, 192, (0..3).flat_map(plane).collect())
    };
    ["bench/kodak/01.png", "bench/kodak/05.png", "bench/kodak/23.png"].map(load).into()
}

/// In dB, of values whose range is 1.
fn psnr(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64;
    -10.0 * error.log10()
}

#[test]
fn the_faithful_network_is_the_same_in_bf16() {
    for (width, height, rgb) in photographs() {
        let picture = Picture::new(width, height, &rgb).unwrap();
        let noisy = DamageCondition { noise_sigma: 15.0, jpeg_quality: Some(40.0), blur_sigma: 1.0 };
        for (factor, damage) in [
            (Factor::X1, noisy),
            (Factor::X2, DamageCondition::default()),
            (Factor::X2, noisy),
            (Factor::X4, DamageCondition::default()),
        ] {
            let run = |precision| {
                let net = Faithful::embedded(precision).unwrap();
                net.enlarge(picture, damage, factor, Faithful::TILE, &mut Unwatched).unwrap()
            };
            let found = psnr(&run(Precision::F32), &run(Precision::Bf16));
            println!("{factor:?}, {damage:?}: {found:.1} dB");
            assert!(found >= 50.0, "{factor:?}, {damage:?}: {found} dB");
        }
    }
}

#[test]
fn the_detail_network_is_the_same_in_bf16() {
    for (width, height, rgb) in photographs() {
        let picture = Picture::new(width, height, &rgb).unwrap();
        for (steps, coarse) in [(1, 1.0), (4, 1.0), (4, 2.0)] {
            let sampling = Sampling { steps, coarse, ..Sampling::default() };
            let run =
                |precision| Detail::embedded(precision).unwrap().sample(picture, &sampling, &mut Unwatched).unwrap();
            // The residual is what is added at a creativity of 1.
            let found = psnr(&run(Precision::F32), &run(Precision::Bf16));
            println!("{steps} steps, coarse {coarse}: {found:.1} dB");
            assert!(found >= 50.0, "{steps} steps, coarse {coarse}: {found} dB");
        }
    }
}
