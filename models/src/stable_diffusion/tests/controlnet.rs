//! ControlNets against diffusers.

use super::unet::{Told, sd1, xl};
use super::*;

fn config(unet: UnetConfig) -> ControlNetConfig {
    ControlNetConfig { unet, picture: 3, hint: vec![4, 6, 8, 10] }
}

/// The values of each layer, plane by plane.
fn values(residuals: &Residuals) -> Vec<Vec<f32>> {
    residuals.maps.iter().map(|map| to_planes(map).unwrap()).collect()
}

/// Runs the ControlNet of a golden file and the U-Net of another, and gives what is wanted and found to `check`.
pub(super) fn compare(
    (file, unet_file): (&[u8], &[u8]),
    config: &ControlNetConfig,
    compute: &Compute,
    check: &mut Check<'_>,
) {
    let told = Told::read(file, &config.unet);
    let (shape, pictures) = tensor(file, "in.picture");
    let (_, controlled) = tensor(file, "out.controlled");
    let net = ControlNet::from_safetensors(file, config.clone(), compute.clone()).unwrap();
    let unet = Unet::from_safetensors(unet_file, config.unet.clone(), compute.clone()).unwrap();
    let mut scratch = Scratch::default();
    for (i, latent) in told.latents.iter().enumerate() {
        let hint = net.hint(&pictures[i], (shape[3], shape[2]), &mut scratch).unwrap();
        let condition = told.condition(i, 500.0);
        // The second run has the memory of the first one.
        for _ in 0..2 {
            let residuals = net.run(latent, told.size, condition, &hint, &mut scratch).unwrap();
            for (layer, found) in values(&residuals).iter().enumerate() {
                let name = format!("residual{layer}");
                check(&name, &tensor(file, &format!("out.{name}")).1[i], found);
            }
            let found = unet.run(latent, told.size, condition, Some(&residuals), &mut scratch).unwrap();
            check("controlled", &controlled[i], &found);
            scratch.recycle(residuals);
        }
    }
}

#[test]
fn stable_diffusion_1_equals_diffusers() {
    let (file, unet) = (golden!("controlnet_tiny.safetensors"), golden!("unet_tiny.safetensors"));
    on_all(|compute, check| compare((&file, &unet), &config(sd1()), compute, check));
}

#[test]
fn sdxl_equals_diffusers() {
    let (file, unet) = (golden!("controlnet_xl_tiny.safetensors"), golden!("unet_xl_tiny.safetensors"));
    on_all(|compute, check| compare((&file, &unet), &config(xl()), compute, check));
}

/// A ControlNet that has run once: its residuals for a latent of 8x4.
fn residuals(compute: &Compute) -> Residuals {
    let net = ControlNet::load(&Weights::random().on(compute.clone()), config(sd1())).unwrap();
    let mut scratch = Scratch::default();
    let picture: Vec<f32> = (0..3 * 64 * 32).map(|i| (i % 100) as f32 / 100.0).collect();
    let hint = net.hint(&picture, (64, 32), &mut scratch).unwrap();
    let condition = Condition { time: 10.0, text: &[0.5; 32], added: None };
    net.run(&[0.25; 4 * 32], (8, 4), condition, &hint, &mut scratch).unwrap()
}

#[test]
fn layers_are_weighed() {
    for compute in exact() {
        let (plain, mut weighed) = (values(&residuals(&compute)), residuals(&compute));
        let factors: Vec<f32> = (0..weighed.layers()).map(|i| i as f32).collect();
        weighed.weigh(&factors).unwrap();
        for ((plain, weighed), factor) in plain.iter().zip(values(&weighed)).zip(factors) {
            assert!(plain.iter().zip(weighed).all(|(plain, weighed)| weighed == factor * plain));
        }
        assert!(matches!(weighed.weigh(&[1.0]), Err(Error::Setting { name: "control weights", .. })));
        assert!(weighed.weigh(&vec![f32::NAN; weighed.layers()]).is_err());
    }
}

#[test]
fn a_map_weighs_every_layer_by_its_area() {
    for compute in exact() {
        let (plain, mut weighed) = (values(&residuals(&compute)), residuals(&compute));
        let map: Vec<f32> = (0..32).map(|i| (i % 8) as f32 + 10.0 * (i / 8) as f32).collect();
        weighed.weigh_by_map(&map, (8, 4)).unwrap();
        let factor = |wide: usize, x: usize, y: usize| match wide {
            8 => x as f32 + 10.0 * y as f32,
            _ => 2.0 * x as f32 + 0.5 + 10.0 * (2.0 * y as f32 + 0.5),
        };
        for ((plain, weighed), map) in plain.iter().zip(values(&weighed)).zip(&residuals(&compute).maps) {
            let (wide, high) = map.size();
            for (i, (plain, weighed)) in plain.iter().zip(weighed).enumerate() {
                let wanted = plain * factor(wide, i % wide, i / wide % high);
                assert!((weighed - wanted).abs() <= 1e-5 * wanted.abs(), "{weighed} for {wanted}");
            }
        }
        for (map, size) in [(&map[..], (4, 8)), (&map[1..], (8, 4)), (&[f32::INFINITY; 32][..], (8, 4))] {
            assert!(matches!(weighed.weigh_by_map(map, size), Err(Error::Setting { name: "control map", .. })));
        }
    }
}

#[test]
fn several_are_added() {
    for compute in exact() {
        let (mut both, mut other) = (residuals(&compute), residuals(&compute));
        other.weigh(&vec![-0.5; other.layers()]).unwrap();
        both.add(&other).unwrap();
        for (plain, sum) in values(&residuals(&compute)).iter().zip(values(&both)) {
            assert!(plain.iter().zip(sum).all(|(plain, sum)| (sum - 0.5 * plain).abs() <= 1e-6 * plain.abs()));
        }
        let mut fewer = residuals(&compute);
        fewer.maps.pop();
        assert!(matches!(both.add(&fewer), Err(Error::Setting { name: "residuals", .. })));
    }
}

#[test]
fn soft_weights_are_those_of_the_first_layers() {
    let weights = soft_weights(0.6, 13);
    assert_eq!(weights.len(), 13);
    assert_eq!(weights[12], 0.6);
    assert!((weights[0] - 0.6 * 0.825f32.powi(12)).abs() < 1e-7);
    assert_eq!(soft_weights(0.6, 10), weights[..10]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let net = ControlNet::load(&Weights::random(), config(sd1())).unwrap();
    let mut scratch = Scratch::default();
    for size in [(20, 16), (16, 20), (0, 16)] {
        assert!(matches!(net.hint(&vec![0.0; 3 * size.0 * size.1], size, &mut scratch), Err(Error::Setting { .. })));
    }
    let hint = net.hint(&[0.0; 3 * 256], (16, 16), &mut scratch).unwrap();
    let condition = Condition { time: 10.0, text: &[0.5; 32], added: None };
    let run = |size: (usize, usize), scratch: &mut _| {
        net.run(&vec![0.0; 4 * size.0 * size.1], size, condition, &hint, scratch)
    };
    assert!(matches!(run((4, 2), &mut scratch), Err(Error::Setting { name: "hint", .. })));
    assert!(matches!(run((3, 2), &mut scratch), Err(Error::Setting { name: "latent size", .. })));
    let residuals = run((2, 2), &mut scratch).unwrap();
    // For a latent of another size, and for another network.
    let unet = |config: UnetConfig, size: (usize, usize), scratch: &mut _| {
        let text = vec![0.0; config.text];
        let unet = Unet::load(&Weights::random(), config).unwrap();
        let condition = Condition { time: 10.0, text: &text, added: None };
        unet.run(&vec![0.0; 4 * size.0 * size.1], size, condition, Some(&residuals), scratch)
    };
    assert!(unet(sd1(), (2, 2), &mut scratch).is_ok());
    for (config, size) in [(sd1(), (4, 2)), (UnetConfig { added: None, ..xl() }, (4, 4))] {
        assert!(matches!(unet(config, size, &mut scratch), Err(Error::Setting { name: "residuals", .. })));
    }
    let wrong = ControlNetConfig { hint: vec![], ..config(sd1()) };
    assert!(matches!(ControlNet::load(&Weights::random(), wrong), Err(Error::Setting { name: "hint", .. })));
}

/// The prediction of memory, against what the maps of a run really took.
#[test]
fn working_memory_is_predicted() {
    for precision in [Precision::F32, Precision::Bf16] {
        let net = ControlNet::load(&Weights::random().on(Compute::cpu(precision)), config(sd1())).unwrap();
        let (mut scratch, size) = (Scratch::default(), (64, 64));
        let hint = net.hint(&vec![0.5; 3 * 512 * 512], (512, 512), &mut scratch).unwrap();
        let mut scratch = Scratch::default();
        let condition = Condition { time: 10.0, text: &[0.5; 32], added: None };
        net.run(&vec![0.0; 4 * 4096], size, condition, &hint, &mut scratch).unwrap();
        let hint = hint.bytes() as f64;
        let (predicted, real) = (net.working_bytes(size) as f64, scratch.most_bytes() as f64 + hint);
        assert!((0.77..1.3).contains(&(predicted / real)), "{precision:?}: {predicted} for {real}");
    }
}
