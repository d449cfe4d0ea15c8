//! Restoration in one step against the formulas of the papers, with adapters that PEFT put in: `tests/parity/one_step.py`.

use std::path::PathBuf;

use safetensors::SafeTensors;

use super::super::networks::Networks;
use super::super::*;
use super::usual;
use crate::files::Tensors;
use crate::stable_diffusion::samplers::{SamplerKind, Spacing};
use crate::stable_diffusion::{Conditioning, tiny};
use crate::testing::{errors, golden};
use crate::{Compute, Error, Precision, Unwatched};

/// A Stable Diffusion 2 of random weights, and adapters of both kinds.
struct Bench {
    folder: tempfile::TempDir,
    materials: Materials,
    outputs: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outputs = golden!("one_step/outputs.safetensors").into_owned();
        let mut materials = tiny::unpack(&golden!("pipeline_tiny.safetensors"), folder.path()).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&outputs).unwrap();
        let config = &metadata.metadata().as_ref().unwrap()["unet"];
        let unet = materials.checkpoint.join("unet");
        std::fs::write(unet.join("config.json"), config).unwrap();
        let weights = golden!("unet_sd2_tiny.safetensors");
        std::fs::write(unet.join("diffusion_pytorch_model.safetensors"), weights).unwrap();
        for (name, file) in
            [("pisa_sr.pkl", golden!("one_step/pisa_sr.pkl")), ("osediff.pkl", golden!("one_step/osediff.pkl"))]
        {
            std::fs::write(folder.path().join(name), file).unwrap();
        }
        materials.controls.clear();
        materials.loras.clear();
        Self { folder, materials, outputs }
    }

    fn adapter(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn painter(&self, loras: &[&str]) -> crate::Result<Painter> {
        let loras = loras.iter().map(|name| (self.adapter(name), 1.0)).collect();
        Painter::load(&Materials { loras, ..self.materials.clone() }, &Compute::cpu(Precision::F32))
    }

    fn values(&self, name: &str) -> Vec<f32> {
        Tensors::read("golden", &self.outputs, None).unwrap().get(name).unwrap().values().unwrap()
    }

    fn text(&self, name: &str) -> Conditioning {
        let tokens = self.values(name);
        Conditioning { width: tokens.len() / 77, tokens, pooled: None }
    }

    /// What `painter` makes of the picture of the golden file.
    fn draw(&self, painter: &Painter, way: Way, amounts: (Amount<'_>, Amount<'_>, f32)) -> crate::Result<Vec<f32>> {
        let (resemblance, creativity, guidance) = amounts;
        let rgb = self.values("in.picture");
        let (wanted, unwanted) = ([(Place::WHOLE, self.text("in.wanted"))], self.text("in.unwanted"));
        let how = Redrawing { creativity, resemblance, guidance, way, ..usual(&rgb, (SIDE, SIDE), &wanted, &unwanted) };
        painter.redraw(&how, &mut Unwatched)
    }

    /// Compares with the picture of a latent of the golden file.
    fn compare(&self, painter: &Painter, name: &str, amounts: (Amount<'_>, Amount<'_>, f32)) {
        let drawn = self.draw(painter, Way::OneStep, amounts).unwrap();
        let wanted = painter.decode(&self.values(&format!("out.{name}")), (SIDE / 8, SIDE / 8)).unwrap();
        let (worst, _) = errors(&wanted, &drawn);
        println!("{name}: {worst:.1e}");
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

const SIDE: usize = 64;

/// Values of latents, for each of their pixels.
fn spread(latents: &[f32]) -> Vec<f32> {
    (0..SIDE * SIDE).map(|i| latents[i / SIDE / 8 * (SIDE / 8) + i % SIDE / 8]).collect()
}

#[test]
fn two_halves_count_as_the_formula_of_pisa_sr_says() {
    let bench = Bench::new();
    let painter = bench.painter(&["pisa_sr.pkl"]).unwrap();
    for (name, resemblance, creativity, guidance) in [
        ("pisa.default", 1.0, 1.0, 1.0),
        ("pisa.pixels", 1.0, 0.4, 1.0),
        ("pisa.meaning", 0.5, 1.0, 1.0),
        ("pisa.guided", 0.8, 0.2, 2.0),
    ] {
        bench.compare(&painter, name, (Amount::Uniform(resemblance), Amount::Uniform(creativity), guidance));
    }
    let (resemblance, creativity) = (spread(&bench.values("in.pix")), spread(&bench.values("in.sem")));
    bench.compare(&painter, "pisa.maps", (Amount::Map(&resemblance), Amount::Map(&creativity), 1.0));
}

#[test]
fn the_latent_is_denoised_from_the_last_time_as_in_osediff() {
    let bench = Bench::new();
    let painter = bench.painter(&["osediff.pkl"]).unwrap();
    bench.compare(&painter, "osediff.default", (Amount::Uniform(0.5), Amount::Uniform(1.0), 1.0));
    bench.compare(&painter, "osediff.part", (Amount::Uniform(0.5), Amount::Uniform(0.6), 1.0));
}

#[test]
fn ways_and_adapters_belong_together() {
    let bench = Bench::new();
    let natural = (Amount::Uniform(1.0), Amount::Uniform(1.0), 1.0);
    let steps = Way::Steps { count: 4, sampler: SamplerKind::Euler, spacing: Spacing::Karras, inversion: None };
    for (loras, way, hint) in
        [(&[][..], Way::OneStep, "OSEDiff or PiSA-SR"), (&["pisa_sr.pkl"], steps, "take `OneStep`")]
    {
        let error = bench.draw(&bench.painter(loras).unwrap(), way, natural).unwrap_err();
        assert!(matches!(&error, Error::Setting { name: "sampler", hint: told, .. } if told.contains(hint)), "{error}");
    }
    let error = bench.painter(&["pisa_sr.pkl", "osediff.pkl"]).err().unwrap().to_string();
    assert!(error.contains("osediff.pkl") && error.contains("take one of them"), "{error}");
    // What it changes is a full autoencoder.
    let small = bench.adapter("taesd.safetensors");
    std::fs::write(&small, golden!("taesd_tiny.safetensors")).unwrap();
    let loras = vec![(bench.adapter("osediff.pkl"), 1.0)];
    let materials = Materials { vae: Some(small), loras, ..bench.materials.clone() };
    let error = Painter::load(&materials, &Compute::cpu(Precision::F32)).err().unwrap().to_string();
    assert!(error.contains("a small one (TAESD) cannot take"), "{error}");
    // For another model.
    let one = Bench::new();
    tiny::unpack(&golden!("pipeline_tiny.safetensors"), one.folder.path()).unwrap();
    let error = one.painter(&["pisa_sr.pkl"]).err().unwrap().to_string();
    assert!(error.contains("made for another model"), "{error}");
}
