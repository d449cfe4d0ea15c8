use super::*;
use crate::noise::gaussian;
use crate::testing::exact;
use crate::watch::testing::Keeper;
use crate::{Error, Unwatched};

static GOLDEN: &[u8] = include_bytes!("../../tests/golden/faithful_tiny.safetensors");

fn picture(width: u32, height: u32) -> Vec<f32> {
    (0..3 * width * height).map(|i| 0.5 + 0.2 * gaussian(5, i, 0, 0, 0)).collect()
}

/// The golden network has random weights everywhere, so nothing in it is zero by chance.
fn tiny() -> Net {
    tiny_on(Compute::default())
}

fn tiny_on(compute: Compute) -> Net {
    Net::load(&Weights::read(GOLDEN, "golden", "net.").unwrap().on(compute)).unwrap()
}

#[test]
fn results_equal_pytorch() {
    let golden = Weights::read(GOLDEN, "golden", "").unwrap();
    let rgb = golden.tensor("in.x", &[1, 3, 20, 17]).unwrap();
    let damage = golden.tensor("in.damage", &[1, 3]).unwrap();
    let damage = DamageCondition {
        noise_sigma: damage[0] * 50.0,
        jpeg_quality: Some(100.0 - damage[1] * 100.0),
        blur_sigma: damage[2] * 3.0,
    };
    for factor in Factor::ALL {
        let s = factor.get() as usize;
        let wanted = golden.tensor(&format!("out.x{s}"), &[1, 3, 20 * s, 17 * s]).unwrap();
        let picture = Picture::new(17, 20, &rgb).unwrap();
        for compute in exact() {
            let net = tiny_on(compute.clone());
            let found = run::enlarge(&net, picture, damage, factor, 8, &mut Unwatched).unwrap();
            let worst = wanted.iter().zip(&found).map(|(w, f)| (w - f).abs() / w.abs().max(1.0)).fold(0.0, f32::max);
            assert!(worst < 1e-5, "x{s} on {}: off by {worst}", compute.family());
        }
    }
}

/// With channels enough for the fast convolution, whose tiles of four pixels must not depend on where a picture is cut.
#[test]
fn cuts_do_not_change_a_bit() {
    let (width, height) = (90, 61);
    let rgb = picture(width, height);
    for precision in [Precision::F32, Precision::Bf16] {
        let net = Faithful::embedded(precision).unwrap();
        let go = |picture: Picture<'_>, tile| {
            net.enlarge(picture, DamageCondition::default(), Factor::X2, tile, &mut Unwatched).unwrap()
        };
        let whole = go(Picture::new(width, height, &rgb).unwrap(), 1000);
        assert!(whole == go(Picture::new(width, height, &rgb).unwrap(), 17));
        for cut in [4, 9] {
            let part: Vec<f32> = rgb.chunks(width as usize).flat_map(|row| &row[cut..]).copied().collect();
            let part = Picture::new(width - cut as u32, height, &part).unwrap().at((cut as u32, 0));
            let found = go(part, 40);
            let margin = 2 * net.radius() as usize;
            for (whole, found) in whole.chunks(2 * width as usize).zip(found.chunks(2 * (width as usize - cut))) {
                assert!(whole[2 * cut + margin..] == found[margin..], "cut at {cut}");
            }
        }
    }
}

#[test]
fn tiles_do_not_change_a_bit() {
    let damage = DamageCondition { noise_sigma: 9.0, jpeg_quality: Some(60.0), blur_sigma: 0.4 };
    for (width, height) in [(1, 1), (1, 40), (37, 53), (200, 130)] {
        let rgb = picture(width, height);
        let run = |factor, tile| {
            let picture = Picture::new(width, height, &rgb).unwrap();
            let out = run::enlarge(&tiny(), picture, damage, factor, tile, &mut Unwatched).unwrap();
            out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        for factor in Factor::ALL {
            let whole = run(factor, 1000);
            assert_eq!(whole.len() as u32, 3 * width * height * factor.get().pow(2));
            assert!(whole == run(factor, 64) && whole == run(factor, 16) && whole == run(factor, u32::MAX));
        }
    }
}

#[test]
fn a_stopped_run_goes_on_behind_its_last_tile() {
    let (net, rgb) = (tiny(), picture(40, 33));
    let go = |keeper: &mut Keeper| {
        run::enlarge(&net, Picture::new(40, 33, &rgb).unwrap(), DamageCondition::default(), Factor::X2, 16, keeper)
    };
    let mut keeper = Keeper { stop_after: Some(4), ..Keeper::default() };
    assert!(go(&mut keeper).is_err());
    keeper.stop_after = None;
    let resumed = go(&mut keeper).unwrap();
    assert_eq!((keeper.computed, keeper.recalled), (9, 4));
    assert!(resumed == go(&mut Keeper::default()).unwrap());
}

#[test]
fn embedded_weights_work() {
    let net = Faithful::embedded(Precision::F32).unwrap();
    let rgb = picture(24, 10);
    let out = net
        .enlarge(Picture::new(24, 10, &rgb).unwrap(), DamageCondition::default(), Factor::X2, 16, &mut Unwatched)
        .unwrap();
    assert_eq!(out.len(), 3 * 48 * 20);
    assert!(out.iter().all(|value| value.is_finite()));
    assert!(net.flops_per_pixel(Factor::X4) > net.flops_per_pixel(Factor::X1) && net.radius() >= 3);
    assert!(net.card().bytes <= 16 << 20, "DESIGN.md allows 16 MB");
}

#[test]
fn runs_can_be_watched_and_stopped() {
    let rgb = picture(40, 20);
    let picture = Picture::new(40, 20, &rgb).unwrap();
    let mut seen = vec![];
    let mut watch = |done, total| {
        seen.push((done, total));
        if done == 2 { Err(Error::Cancelled) } else { Ok(()) }
    };
    let out = run::enlarge(&tiny(), picture, DamageCondition::default(), Factor::X1, 10, &mut watch);
    assert_eq!(out.err(), Some(Error::Cancelled));
    assert_eq!(seen, [(0, 8), (1, 8), (2, 8)]);
}

#[test]
fn wrong_input_is_an_error() {
    let run = |width, height, len: usize, tile| {
        let rgb = vec![0.0; len];
        let picture = Picture { width, height, rgb: &rgb, origin: (0, 0) };
        run::enlarge(&tiny(), picture, DamageCondition::default(), Factor::X4, tile, &mut Unwatched).err()
    };
    assert!(matches!(run(2, 2, 11, 8), Some(Error::PictureSize { .. })));
    assert!(matches!(run(0, 2, 0, 8), Some(Error::PictureSize { .. })));
    assert!(matches!(run(2, 2, 12, 0), Some(Error::Setting { name: "tile", .. })));
}

#[test]
fn values_that_are_no_numbers_do_not_panic() {
    for value in [f32::NAN, f32::INFINITY, f32::MIN] {
        let picture = Picture { width: 3, height: 2, rgb: &[value; 18], origin: (0, 0) };
        let damage = DamageCondition { noise_sigma: value, jpeg_quality: Some(value), blur_sigma: value };
        assert!(run::enlarge(&tiny(), picture, damage, Factor::X2, 8, &mut Unwatched).is_ok());
    }
}

#[test]
fn broken_files_are_errors() {
    assert!(matches!(Faithful::from_safetensors(b"no", &Compute::default()), Err(Error::Weights { .. })));
    assert!(
        matches!(Faithful::from_safetensors(GOLDEN, &Compute::default()), Err(Error::Weights { .. })),
        "the golden file has no name"
    );
    let good: &[u8] = include_bytes!("../../weights/faithful.safetensors");
    for len in [0, 7, 8, 100, good.len() / 2, good.len() - 1] {
        assert!(Faithful::from_safetensors(&good[..len], &Compute::default()).is_err());
    }
    let renamed = |from: &str, to: &str| {
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(good[8..header].to_vec()).unwrap();
        assert!(from.len() == to.len() && text.contains(from));
        let mut file = good[..8].to_vec();
        file.extend(text.replacen(from, to, 1).into_bytes());
        file.extend(&good[header..]);
        Faithful::from_safetensors(&file, &Compute::default()).err().unwrap()
    };
    let missing = Error::TensorMissing { file: "faithful".into(), tensor: "tail.bias".into() };
    assert_eq!(renamed("\"tail.bias\"", "\"tail.bios\""), missing);
    assert!(matches!(renamed("\"body.0.a.bias\"", "\"body.0.a.bios\""), Error::TensorMissing { .. }));
    assert!(matches!(renamed("\"up2.bias\"", "\"up2.baas\""), Error::TensorMissing { .. }));
}
