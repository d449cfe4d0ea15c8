//! A whole drawing with a ControlNet and a LoRA against diffusers, from the same noise: `tests/parity/pipeline.py`.

use super::super::networks::Networks;
use super::super::painter::Painter;
use super::super::*;
use super::usual;
use crate::files::Tensors;
use crate::stable_diffusion::samplers::{SamplerKind, Spacing};
use crate::stable_diffusion::{Conditioning, tiny};
use crate::testing::{errors, golden};
use crate::{Compute, Precision, Unwatched};

#[test]
fn a_drawing_equals_that_of_diffusers() {
    let file = golden!("pipeline_tiny.safetensors");
    let folder = tempfile::tempdir().unwrap();
    let materials = tiny::unpack(&file, folder.path()).unwrap();
    let painter = Painter::load(&materials, &Compute::cpu(Precision::F32)).unwrap();
    let tensors = Tensors::read("golden", &file, None).unwrap();
    let values = |name: &str| tensors.get(name).unwrap().values().unwrap();
    let [_, _, height, width] = tensors.get("in.picture").unwrap().shape()[..] else { panic!("a picture") };
    let rgb = values("in.picture");
    let mean = painter.encode(&rgb, (width, height)).unwrap();
    assert!(errors(&values("out.mean"), &mean).0 < 1e-4);

    let text = |name: &str| Conditioning { tokens: values(name), width: 16, pooled: None };
    let wanted = [(Place::WHOLE, text("in.wanted"))];
    for (name, sampler, spacing) in [
        ("ddim", SamplerKind::Ddim, Spacing::Leading),
        ("euler", SamplerKind::Euler, Spacing::Karras),
        ("dpm2m", SamplerKind::Dpm2m, Spacing::Karras),
    ] {
        let unwanted = text("in.unwanted");
        let how = Redrawing {
            way: Way::Steps { count: 10, sampler, spacing, inversion: None },
            ..usual(&rgb, (width, height), &wanted, &unwanted)
        };
        let drawn = painter.redraw(&how, &mut Unwatched).unwrap();
        let same = painter.decode(&values(&format!("out.{name}")), (width / 8, height / 8)).unwrap();
        let (worst, _) = errors(&same, &drawn);
        println!("{name}: {worst:.1e}");
        assert!(worst < 1e-3, "{name}: {worst}");
    }
}
