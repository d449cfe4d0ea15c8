//! U-Nets against diffusers.

use super::*;

pub(super) fn sd1() -> UnetConfig {
    UnetConfig {
        widths: vec![16, 20],
        transformers: vec![1, 0],
        heads: vec![4, 4],
        blocks: 1,
        text: 32,
        groups: 4,
        ..UnetConfig::default()
    }
}

pub(super) fn xl() -> UnetConfig {
    UnetConfig {
        widths: vec![8, 12, 16],
        transformers: vec![0, 1, 2],
        heads: vec![2, 3, 4],
        added: Some(AddedConfig { pooled: 12, ids: 6, width: 8 }),
        text: 24,
        blocks: 1,
        groups: 4,
        ..UnetConfig::sdxl()
    }
}

/// What a network is told in a golden file, for each of its latents.
pub(super) struct Told {
    pub(super) size: (usize, usize),
    pub(super) latents: Vec<Vec<f32>>,
    texts: Vec<Vec<f32>>,
    added: Option<[Vec<Vec<f32>>; 2]>,
}

impl Told {
    pub(super) fn read(file: &[u8], config: &UnetConfig) -> Self {
        let (shape, latents) = tensor(file, "in.x");
        let added = config.added.map(|_| ["in.pooled", "in.ids"].map(|name| tensor(file, name).1));
        Self { size: (shape[3], shape[2]), latents, texts: tensor(file, "in.context").1, added }
    }

    pub(super) fn condition(&self, i: usize, time: f32) -> Condition<'_> {
        let added = self.added.as_ref().map(|[pooled, ids]| Added { pooled: &pooled[i], ids: &ids[i] });
        Condition { time, text: &self.texts[i], added }
    }
}

/// Runs the U-Net of a golden file, and gives what is wanted and found to `check`.
pub(super) fn compare(file: &[u8], config: &UnetConfig, compute: &Compute, check: &mut Check<'_>) {
    let told = Told::read(file, config);
    let unet = Unet::from_safetensors(file, config.clone(), compute.clone()).unwrap();
    let mut scratch = Scratch::default();
    for time in [981, 37] {
        let (_, wanted) = tensor(file, &format!("out.t{time}"));
        for (i, (latent, wanted)) in told.latents.iter().zip(&wanted).enumerate() {
            let condition = told.condition(i, time as f32);
            let found = unet.run(latent, told.size, condition, None, &mut scratch).unwrap();
            check(&format!("time {time}"), wanted, &found);
        }
    }
}

#[test]
fn stable_diffusion_1_equals_diffusers() {
    let file = golden!("unet_tiny.safetensors");
    on_all(|compute, check| compare(&file, &sd1(), compute, check));
}

#[test]
fn stable_diffusion_2_equals_diffusers() {
    let config = UnetConfig { widths: vec![8, 16], heads: vec![2, 4], linear: true, text: 24, ..sd1() };
    let file = golden!("unet_sd2_tiny.safetensors");
    on_all(|compute, check| compare(&file, &config, compute, check));
}

#[test]
fn sdxl_equals_diffusers() {
    let file = golden!("unet_xl_tiny.safetensors");
    // Groups of two channels over few pixels make much of the last bits.
    on_all_within(0.1, |compute, check| compare(&file, &xl(), compute, check));
}

#[test]
fn wrong_inputs_are_errors() {
    let unet = Unet::from_safetensors(&golden!("unet_tiny.safetensors"), sd1(), Compute::default()).unwrap();
    fn told(text: &[f32]) -> Condition<'_> {
        Condition { time: 1.0, text, added: None }
    }
    let run = |size, len, text: &[f32]| unet.run(&vec![0.0; len], size, told(text), None, &mut Scratch::default());
    assert!(run((2, 2), 16, &[0.0; 32]).is_ok());
    for (size, len, text) in [((3, 2), 24, 32), ((2, 2), 15, 32), ((0, 2), 0, 32), ((2, 2), 16, 31), ((2, 2), 16, 0)] {
        assert!(matches!(run(size, len, &vec![0.0; text]), Err(Error::Setting { .. })), "{size:?} {len} {text}");
    }
    let run = |condition| unet.run(&[0.0; 16], (2, 2), condition, None, &mut Scratch::default()).err();
    let added = Some(Added { pooled: &[], ids: &[] });
    assert!(matches!(run(Condition { added, ..told(&[0.0; 32]) }), Some(Error::Setting { name: "added", .. })));
    let never = Condition { time: f32::NAN, ..told(&[0.0; 32]) };
    assert!(matches!(run(never), Some(Error::Setting { name: "time", .. })));

    let file = golden!("unet_xl_tiny.safetensors");
    let unet = Unet::from_safetensors(&file, xl(), Compute::default()).unwrap();
    let run = |pooled: usize, ids: usize| {
        let (pooled, ids) = (vec![0.0; pooled], vec![0.0; ids]);
        let added = (!pooled.is_empty()).then_some(Added { pooled: &pooled, ids: &ids });
        let condition = Condition { time: 1.0, text: &[0.0; 24], added };
        unet.run(&[0.0; 64], (4, 4), condition, None, &mut Scratch::default())
    };
    assert!(run(12, 6).is_ok());
    for (pooled, ids) in [(0, 0), (12, 5), (11, 6)] {
        assert!(matches!(run(pooled, ids), Err(Error::Setting { name: "added", .. })), "{pooled} {ids}");
    }
}

#[test]
fn wrong_configurations_are_errors() {
    let file = golden!("unet_tiny.safetensors");
    let load = |config| Unet::from_safetensors(&file, config, Compute::default()).err().unwrap();
    assert!(matches!(load(UnetConfig { groups: 3, ..sd1() }), Error::Setting { name: "norm groups", .. }));
    assert!(matches!(load(UnetConfig { heads: vec![3, 4], ..sd1() }), Error::Setting { name: "heads", .. }));
    assert!(matches!(load(UnetConfig { widths: vec![], ..sd1() }), Error::Setting { name: "widths", .. }));
    assert!(matches!(load(UnetConfig { heads: vec![4], ..sd1() }), Error::Setting { .. }));
    assert!(matches!(load(UnetConfig { blocks: 2, ..sd1() }), Error::TensorMissing { .. }));
    assert!(matches!(load(UnetConfig { added: xl().added, ..sd1() }), Error::TensorMissing { .. }));
    let odd = AddedConfig { width: 7, ..xl().added.unwrap() };
    assert!(matches!(load(UnetConfig { added: Some(odd), ..sd1() }), Error::Setting { name: "added sizes", .. }));
    assert!(matches!(load(UnetConfig::default()), Error::TensorShape { .. } | Error::TensorMissing { .. }));
}

/// The prediction of memory, against what the maps of a run really took.
#[test]
fn working_memory_is_predicted() {
    for (config, size) in [(sd1(), (64, 48)), (xl(), (64, 64)), (sd1(), (128, 128))] {
        let weights = Weights::random();
        for precision in [Precision::F32, Precision::Bf16] {
            let unet = Unet::load(&weights.on(Compute::cpu(precision)), config.clone()).unwrap();
            let mut scratch = Scratch::default();
            let numbers = config.added.map(|added| (vec![0.0; added.pooled], vec![0.0; added.ids]));
            let added = numbers.as_ref().map(|(pooled, ids)| Added { pooled, ids });
            let condition = Condition { time: 1.0, text: &vec![0.0; config.text], added };
            unet.run(&vec![0.0; 4 * size.0 * size.1], size, condition, None, &mut scratch).unwrap();
            let (predicted, real) = (unet.working_bytes(size) as f64, scratch.most_bytes() as f64);
            assert!((0.77..1.3).contains(&(predicted / real)), "{size:?} {precision:?}: {predicted} for {real}");
        }
    }
}
