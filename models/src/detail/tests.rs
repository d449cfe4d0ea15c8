use super::*;
use crate::layers::{Pool, Region};
use crate::noise::gaussian;
use crate::testing::exact;
use crate::watch::testing::Keeper;
use crate::{Error, Unwatched};

static GOLDEN: &[u8] = include_bytes!("../../tests/golden/detail_tiny.safetensors");

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

fn sampled(net: &Net, width: u32, height: u32, rgb: &[f32], sampling: &Sampling) -> Vec<f32> {
    sampled_at((0, 0), net, width, height, rgb, sampling)
}

fn sampled_at(origin: (u32, u32), net: &Net, width: u32, height: u32, rgb: &[f32], sampling: &Sampling) -> Vec<f32> {
    run::sample(net, Picture::new(width, height, rgb).unwrap().at(origin), sampling, &mut Unwatched).unwrap()
}

#[test]
fn velocity_equals_pytorch() {
    let golden = Weights::read(GOLDEN, "golden", "").unwrap();
    let (b, h, w) = (2, 24, 16);
    let tensor = |name| golden.tensor(name, &[b, 3, h, w]).unwrap();
    let (z, cond, wanted) = (tensor("in.z"), tensor("in.cond"), tensor("out.v"));
    let (time, coarse) = (golden.tensor("in.t", &[b]).unwrap(), golden.tensor("in.coarse", &[b]).unwrap());
    let told = golden.tensor("in.style", &[b, Style::ALL.len()]).unwrap();
    let style = |n: usize| Style::ALL.into_iter().zip(&told[n * Style::ALL.len()..]).find(|(_, told)| **told > 0.5);
    let nets = exact().map(tiny_on);
    for (net, n) in nets.iter().flat_map(|net| (0..b).map(move |n| (net, n))) {
        let part = |all: &'_ [f32]| all[n * 3 * h * w..][..3 * h * w].to_vec();
        let (z, cond) = (part(&z), part(&cond));
        let at =
            |c: usize, y: usize, x: usize| if c < 3 { z[(c * h + y) * w + x] } else { cond[((c - 3) * h + y) * w + x] };

        let mut pool = Pool::default();
        let mut halves = pool.map(Region::whole(w / 2, h / 2), 24, Precision::F32).unwrap();
        let unshuffle = |y: usize, row: &mut [f32]| {
            for (i, value) in row.iter_mut().enumerate() {
                let (x, c) = (i / 24, i % 24);
                *value = at(c / 4, 2 * y + c / 2 % 2, 2 * x + c % 2);
            }
        };
        halves.write(unshuffle).unwrap();
        let e = net.embed(time[n], coarse[n], style(n).map(|(style, _)| style));
        let fill = |map: &mut crate::layers::Map, first: usize| {
            let channels = map.channels;
            map.write(|y, row| {
                for (x, pixel) in row.chunks_mut(channels).enumerate() {
                    (0..6).for_each(|c| pixel[first + c] = at(c, y, x));
                }
            })
        };
        let v = net.velocity(&halves, fill, &e, &mut pool).unwrap();
        let wanted = part(&wanted);
        let scale = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        for (i, wanted) in wanted.iter().enumerate() {
            let (c, y, x) = (i / (h * w), i / w % h, i % w);
            let found = v.pixels(x, y, 1)[c];
            assert!((found - wanted).abs() < 1e-5 * scale, "picture {n}, {c} {y} {x}: {found} for {wanted}");
        }
    }
}

#[test]
fn tiles_do_not_change_a_bit() {
    let net = tiny();
    for (width, height, origin) in [(1, 1, (0, 0)), (1, 40, (5, 3)), (37, 53, (8, 16)), (200, 130, (3, 1001))] {
        let rgb = picture(width, height);
        let run = |tile| {
            let sampling = Sampling { seed: 3, steps: 2, coarse: 1.6, tile, style: Some(Style::Anime) };
            sampled_at(origin, &net, width, height, &rgb, &sampling).into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let whole = run(1000);
        assert_eq!(whole.len() as u32, 3 * width * height);
        assert!(whole == run(64) && whole == run(16) && whole == run(u32::MAX), "{width}x{height} at {origin:?}");
    }
}

#[test]
fn a_stopped_run_goes_on_behind_its_last_tile() {
    let (net, rgb) = (tiny(), picture(60, 44));
    let sampling = Sampling { seed: 3, steps: 3, tile: 16, ..Sampling::default() };
    let whole = sampled_at((3, 5), &net, 60, 44, &rgb, &sampling);
    // The frame begins at (0, 0).
    let tiles = 4 * 4 * 3;
    let mut keeper = Keeper::default();
    for stop in [1, 20, tiles as u64 - 1] {
        (keeper.stop_after, keeper.recalled) = (Some(stop), 0);
        let stopped = run::sample(&net, Picture::new(60, 44, &rgb).unwrap().at((3, 5)), &sampling, &mut keeper);
        assert!(matches!(stopped, Err(Error::Cancelled)));
        assert_eq!(keeper.computed as u64, stop);
    }
    (keeper.stop_after, keeper.recalled) = (None, 0);
    let again = run::sample(&net, Picture::new(60, 44, &rgb).unwrap().at((3, 5)), &sampling, &mut keeper).unwrap();
    assert_eq!((keeper.computed, keeper.recalled), (tiles, tiles - 1));
    assert!(again.iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn threads_do_not_change_a_bit() {
    let (net, rgb) = (tiny(), picture(60, 44));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| sampled(&net, 60, 44, &rgb, &Sampling::default()))
    };
    assert_eq!(run(1), run(5));
}

/// A part with a margin of the radius per step, and of the blocks of 8 pixels, sees what the whole picture sees.
#[test]
fn a_preview_equals_the_whole_picture() {
    let file = include_bytes!("../../weights/detail.safetensors");
    let embedded =
        |precision| Net::load(&Weights::read(file, "detail", "").unwrap().on(Compute::cpu(precision))).unwrap();
    preview(&tiny());
    preview(&embedded(Precision::F32));
    preview(&embedded(Precision::Bf16));
}

fn preview(net: &Net) {
    let margin = (net.radius() as u32 + 8).next_multiple_of(8);
    let (width, height) = (2 * margin + 40, 60);
    let rgb = picture(width, height);
    let sampling = Sampling { steps: 1, seed: 11, ..Sampling::default() };
    let whole = sampled(net, width, height, &rgb, &sampling);
    for cut in [32, 24, 27] {
        let part: Vec<f32> = rgb.chunks(width as usize).flat_map(|row| &row[cut..]).copied().collect();
        let found = sampled_at((cut as u32, 0), net, width - cut as u32, height, &part, &sampling);
        let rows = whole.chunks(width as usize).zip(found.chunks(width as usize - cut));
        for (whole, found) in rows {
            assert!(whole[cut + margin as usize..] == found[margin as usize..], "cut at {cut}");
        }
    }
}

#[test]
fn seed_style_and_coarseness_matter() {
    let (net, rgb) = (tiny(), picture(16, 16));
    let base = Sampling::default();
    let run = |sampling: Sampling| sampled(&net, 16, 16, &rgb, &sampling);
    let first = run(base.clone());
    assert_ne!(first, run(Sampling { seed: 1, ..base.clone() }));
    assert_ne!(first, run(Sampling { coarse: 2.0, ..base.clone() }));
    assert_ne!(first, run(Sampling { steps: 5, ..base.clone() }));
    assert_ne!(first, sampled_at((8, 0), &net, 16, 16, &rgb, &base));
    assert_ne!(first, run(Sampling { style: Some(Style::Impasto), ..base.clone() }));
}

#[test]
fn embedded_weights_work() {
    let net: &dyn Backbone = Detail::embedded(Precision::F32).unwrap();
    let rgb = picture(24, 10);
    let mut steps = 0;
    let mut watch = |done, total| {
        steps += 1;
        assert!(done <= total && total == 6);
        Ok(())
    };
    let sampling = Sampling { steps: 3, tile: 16, ..Sampling::default() };
    let out = net.sample(Picture::new(24, 10, &rgb).unwrap(), &sampling, &mut watch).unwrap();
    assert!(out.len() == rgb.len() && out.iter().all(|value| value.is_finite()));
    assert_eq!(steps, 7);
    assert!(net.flops_per_pixel() > 0.0 && net.card().bytes <= 16 << 20, "DESIGN.md allows 16 MB");
}

#[test]
fn embedded_styles_differ() {
    let net = Detail::embedded(Precision::F32).unwrap();
    let rgb = picture(32, 32);
    let run = |style| {
        let sampling = Sampling { style, ..Sampling::default() };
        net.sample(Picture::new(32, 32, &rgb).unwrap(), &sampling, &mut Unwatched).unwrap()
    };
    let styles = [None, Some(Style::Anime), Some(Style::Impasto), Some(Style::Watercolor)];
    let all = styles.map(run);
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            let apart = (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt();
            assert!(apart > 1.0 / 255.0, "{:?}: {apart}", styles[i]);
        }
    }
}

/// What two steps give lies far closer to what eight give than two steps of the weights for any number do.
#[test]
fn two_steps_have_weights_that_get_as_far_as_eight() {
    let net = Detail::embedded(Precision::F32).unwrap();
    let photo = image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/sample.jpg")).unwrap();
    let photo = image::imageops::blur(&photo.crop_imm(100, 60, 96, 96).to_rgb8(), 0.7);
    let plane = |c: usize| photo.pixels().map(move |pixel| f32::from(pixel.0[c]) / 255.0);
    let rgb: Vec<f32> = (0..3).flat_map(plane).collect();
    for style in [None, Some(Style::Anime), Some(Style::Impasto), Some(Style::Watercolor)] {
        let sampling = |steps| Sampling { steps, style, ..Sampling::default() };
        let run = |net, steps| sampled(net, 96, 96, &rgb, &sampling(steps));
        let any = net.of(&sampling(8)).unwrap();
        let eight = run(any, 8);
        let apart = |values: Vec<f32>| values.iter().zip(&eight).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let (own, others) = (apart(run(net.of(&sampling(2)).unwrap(), 2)), apart(run(any, 2)));
        println!("{style:?}: {:.2}", own / others);
        assert!(own < 0.7 * others, "{style:?}: {own} and {others} from eight steps");
    }
}

#[test]
fn wrong_settings_are_errors() {
    let rgb = picture(4, 4);
    let good = Sampling::default();
    for (name, sampling) in [
        ("steps", Sampling { steps: 0, ..good.clone() }),
        ("steps", Sampling { steps: u32::MAX, ..good.clone() }),
        ("tile", Sampling { tile: 0, ..good.clone() }),
        ("coarse", Sampling { coarse: f32::NAN, ..good.clone() }),
    ] {
        let out = run::sample(&tiny(), Picture::new(4, 4, &rgb).unwrap(), &sampling, &mut Unwatched);
        assert!(matches!(out, Err(Error::Setting { name: found, .. }) if found == name), "{name}");
    }
    for (name, origin) in [("origin x", (u32::MAX, 0)), ("origin y", (0, u32::MAX - 5))] {
        let picture = Picture::new(4, 4, &rgb).unwrap().at(origin);
        let out = run::sample(&tiny(), picture, &good, &mut Unwatched);
        assert!(matches!(out, Err(Error::Setting { name: found, .. }) if found == name), "{name}");
    }
    let short = Picture { width: 4, height: 5, rgb: &rgb, origin: (0, 0) };
    assert!(matches!(run::sample(&tiny(), short, &good, &mut Unwatched), Err(Error::PictureSize { .. })));
}

#[test]
fn broken_files_are_errors() {
    let good: &[u8] = include_bytes!("../../weights/detail.safetensors");
    for len in [0, 7, 8, 100, good.len() / 2, good.len() - 1] {
        assert!(Detail::from_safetensors(&good[..len], &Compute::default()).is_err());
    }
    let other: &[u8] = include_bytes!("../../weights/faithful.safetensors");
    let message = Detail::from_safetensors(other, &Compute::default()).err().unwrap().to_string();
    assert_eq!(message, "model file `detail`: it holds the network `faithful`");
}
