//! The autoencoder against diffusers, and in tiles.

use super::super::vae::Cut;
use super::*;
use crate::noise::gaussian;

fn config() -> VaeConfig {
    VaeConfig { widths: vec![12, 28], blocks: 1, groups: 4, ..VaeConfig::default() }
}

/// Runs the autoencoder of a golden file, in tiles, and gives what is wanted and found to `check`.
pub(super) fn compare(file: &[u8], config: &VaeConfig, tile: usize, compute: &Compute, check: &mut Check<'_>) {
    let [(z_shape, z), (shape, pictures)] = ["in.z", "in.picture"].map(|name| tensor(file, name));
    let [decoded, means, logarithms] =
        ["out.decoded", "out.mean", "out.logvar"].map(|name| tensor(file, name).1.remove(0));
    let deviations: Vec<f32> = logarithms.iter().map(|log| (0.5 * log).exp()).collect();
    let (cut, mut scratch) = (Cut { tile, ..Cut::default() }, Scratch::default());
    let decoder = VaeDecoder::from_safetensors(file, config, compute.clone()).unwrap();
    let found = decoder.run_cut(&z[0], (z_shape[3], z_shape[2]), cut, &mut scratch).unwrap();
    check(&format!("decoded by {tile}"), &decoded, &found);
    let encoder = VaeEncoder::from_safetensors(file, config, compute.clone()).unwrap();
    let found = encoder.run_cut(&pictures[0], (shape[3], shape[2]), cut, &mut scratch).unwrap();
    check(&format!("mean by {tile}"), &means, &found.mean);
    check(&format!("deviation by {tile}"), &deviations, &found.deviation);
}

#[test]
fn autoencoder_equals_diffusers() {
    let file = golden!("vae_tiny.safetensors");
    on_all(|compute, check| [256, 5].into_iter().for_each(|tile| compare(&file, &config(), tile, compute, check)));
}

#[test]
fn samples_are_mean_and_noise() {
    let posterior = Posterior { size: (2, 1), mean: vec![1.0, 2.0], deviation: vec![0.5, 0.25] };
    assert_eq!(posterior.sample(&[0.0; 2]).unwrap(), posterior.mean);
    assert_eq!(posterior.sample(&[2.0, -4.0]).unwrap(), [2.0, 1.0]);
    assert!(matches!(posterior.sample(&[0.0]), Err(Error::Setting { name: "noise", .. })));
}

#[test]
fn pictures_without_a_pixel_of_latent_are_errors() {
    let encoder = VaeEncoder::load(&Weights::random(), &config()).unwrap();
    for size in [(1, 2), (2, 1), (0, 0)] {
        let run = encoder.run(&vec![0.0; 3 * size.0 * size.1], size, &mut Scratch::default());
        assert!(matches!(run, Err(Error::Setting { name: "size", .. })), "{size:?}");
    }
}

/// Largest difference from an untiled run that tiles may make, over the scale of the result.
const BAR: f32 = 2e-6;

/// A latent whose contrast differs from place to place, as that of a photograph does.
fn latent((width, height): (usize, usize)) -> Vec<f32> {
    let value = |i: usize| {
        let (x, y) = (i % width, i / width % height);
        gaussian(3, i as u32, 0, 0, 0) * (0.2 + x as f32 / width as f32) + (y as f32 / height as f32 - 0.5)
    };
    (0..4 * width * height).map(value).collect()
}

#[test]
fn tiles_do_not_change_the_result() {
    let file = golden!("vae_tiny.safetensors");
    let (z, size) = (latent((37, 22)), (37, 22));
    for compute in exact() {
        let decoder = VaeDecoder::from_safetensors(&file, &config(), compute.clone()).unwrap();
        let encoder = VaeEncoder::from_safetensors(&file, &config(), compute.clone()).unwrap();
        let whole = Cut { tile: usize::MAX, most: usize::MAX };
        let picture = decoder.run_cut(&z, size, whole, &mut Scratch::default()).unwrap();
        let back = encoder.run_cut(&picture, (74, 44), whole, &mut Scratch::default()).unwrap();
        // Also with a last column of a single pixel.
        for tile in [3, 8, 12, 15, 64] {
            let (cut, mut scratch) = (Cut { tile, ..whole }, Scratch::default());
            let (worst, _) = errors(&picture, &decoder.run_cut(&z, size, cut, &mut scratch).unwrap());
            assert!(worst < BAR, "decoded by {tile} on {}: {worst}", compute.family());
            let found = encoder.run_cut(&picture, (74, 44), cut, &mut scratch).unwrap();
            for (wanted, found) in [(&back.mean, &found.mean), (&back.deviation, &found.deviation)] {
                let (worst, _) = errors(wanted, found);
                assert!(worst < BAR, "encoded by {tile} on {}: {worst}", compute.family());
            }
        }
    }
}

/// What the bar above is worth: tiles that know nothing of each other miss it by far, also where they overlap generously.
#[test]
fn independent_tiles_would_change_the_result() {
    let decoder =
        VaeDecoder::from_safetensors(&golden!("vae_tiny.safetensors"), &config(), Compute::default()).unwrap();
    let (z, (width, height)) = (latent((40, 16)), (40, 16));
    let mut scratch = Scratch::default();
    let picture = decoder.run(&z, (width, height), &mut scratch).unwrap();
    // The left half of the picture, from a tile that reaches ten pixels of the latent further.
    let tile: Vec<f32> = z.chunks_exact(width).flat_map(|row| row[..30].to_vec()).collect();
    let alone = decoder.run(&tile, (30, height), &mut scratch).unwrap();
    let part = |planes: &[f32], width: usize| -> Vec<f32> {
        planes.chunks_exact(2 * width).flat_map(|row| row[..40].to_vec()).collect()
    };
    let (worst, _) = errors(&part(&picture, width), &part(&alone, 30));
    assert!(worst > 1000.0 * BAR, "{worst}");
}

/// Maps that are too large to be kept are made anew at each look, with the same result.
#[test]
fn large_pictures_go_through() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (narrow, size) = (VaeConfig { widths: vec![4, 4], groups: 2, ..config() }, (530, 515));
        let decoder = VaeDecoder::load(&Weights::random().on(Compute::cpu(precision)), &narrow).unwrap();
        // The attention is not what is looked at here.
        let small = |tile| Cut { tile, most: 64 };
        let z = latent(size);
        let run = |cut| decoder.run_cut(&z, size, cut, &mut Scratch::default()).unwrap();
        let (_, root) = errors(&run(small(usize::MAX)), &run(small(200)));
        assert!(root < if precision == Precision::F32 { BAR } else { 1e-2 }, "{precision:?}: {root}");
    }
}

/// Squares that see all pixels around them see what all see; smaller ones give something else, but nothing wild.
#[test]
fn attention_in_squares() {
    let decoder =
        VaeDecoder::from_safetensors(&golden!("vae_tiny.safetensors"), &config(), Compute::default()).unwrap();
    let (z, size) = (latent((12, 12)), (12, 12));
    let run = |most| {
        let cut = Cut { most, ..Cut::default() };
        errors(
            &decoder.run(&z, size, &mut Scratch::default()).unwrap(),
            &decoder.run_cut(&z, size, cut, &mut Scratch::default()).unwrap(),
        )
    };
    assert_eq!(run(144).0, 0.0);
    // Squares of five pixels with two more around them.
    let (_, root) = run(143);
    assert!(root > 0.0 && root < 0.2, "{root}");
}

/// The prediction of memory, against what the maps of a run really took.
#[test]
fn working_memory_is_predicted() {
    let config = VaeConfig { widths: vec![8, 16, 32, 32], groups: 4, ..VaeConfig::default() };
    for precision in [Precision::F32, Precision::Bf16] {
        let weights = Weights::random().on(Compute::cpu(precision));
        let decoder = VaeDecoder::load(&weights, &config).unwrap();
        let encoder = VaeEncoder::load(&weights, &config).unwrap();
        for size in [(32, 32), (64, 64), (130, 130)] {
            let mut scratch = Scratch::default();
            let picture = decoder.run(&latent(size), size, &mut scratch).unwrap();
            let (predicted, real) = (decoder.working_bytes(size) as f64, scratch.most_bytes() as f64);
            assert!(
                (0.77..1.3).contains(&(predicted / real)),
                "decoder {size:?} {precision:?}: {predicted} for {real}"
            );
            let (size, mut scratch) = ((8 * size.0, 8 * size.1), Scratch::default());
            encoder.run(&picture, size, &mut scratch).unwrap();
            let (predicted, real) = (encoder.working_bytes(size) as f64, scratch.most_bytes() as f64);
            assert!(
                (0.77..1.3).contains(&(predicted / real)),
                "encoder {size:?} {precision:?}: {predicted} for {real}"
            );
        }
    }
}

/// What tiles save: bytes of the maps for a picture of 2048x2048, in a network of an eighth of the channels.
#[test]
#[ignore = "tells numbers"]
fn memory_of_a_large_picture() {
    let narrow = VaeConfig { widths: vec![16, 32, 64, 64], groups: 8, ..VaeConfig::default() };
    let decoder = VaeDecoder::load(&Weights::random(), &narrow).unwrap();
    let encoder = VaeEncoder::load(&Weights::random(), &narrow).unwrap();
    let z = latent((256, 256));
    for tile in [usize::MAX, 256] {
        let (cut, mut scratch) = (Cut { tile, most: 1 << 12 }, Scratch::default());
        let picture = decoder.run_cut(&z, (256, 256), cut, &mut scratch).unwrap();
        let (decoding, mut scratch) = (scratch.most_bytes(), Scratch::default());
        encoder.run_cut(&picture, (2048, 2048), cut, &mut scratch).unwrap();
        println!("tiles of {tile}: {} MB to decode, {} MB to encode", decoding >> 20, scratch.most_bytes() >> 20);
    }
    println!(
        "predicted: {} MB, {} MB",
        decoder.working_bytes((256, 256)) >> 20,
        encoder.working_bytes((2048, 2048)) >> 20
    );
}
