//! Drawing out of noise that was found by inversion against diffusers' `DDIMInverseScheduler`: `tests/parity/inversion.py`.

use super::super::networks::Networks;
use super::super::*;
use super::usual;
use crate::files::Tensors;
use crate::stable_diffusion::samplers::{SamplerKind, Spacing};
use crate::stable_diffusion::{Conditioning, tiny};
use crate::testing::{errors, golden};
use crate::{Compute, Precision, Unwatched};

#[test]
fn what_is_drawn_out_of_found_noise_is_what_diffusers_draws() {
    let (networks, outputs) = (golden!("pipeline_tiny.safetensors"), golden!("inversion_tiny.safetensors"));
    let folder = tempfile::tempdir().unwrap();
    let materials = tiny::unpack(&networks, folder.path()).unwrap();
    let materials = Materials { controls: vec![], loras: vec![], ..materials };
    let [networks, outputs] = [&networks, &outputs].map(|file| Tensors::read("golden", file, None).unwrap());
    let values = |name: &str| outputs.get(name).unwrap().values().unwrap();
    let picture = networks.get("in.picture").unwrap();
    let [_, _, height, width] = picture.shape()[..] else { panic!("a picture") };
    let rgb = picture.values().unwrap();
    let text = |name: &str| Conditioning { tokens: values(name), width: 16, pooled: None };
    let (wanted, unwanted) = ([(Place::WHOLE, text("in.wanted"))], text("in.unwanted"));
    let scheduler = materials.checkpoint.join("scheduler");
    std::fs::create_dir(&scheduler).unwrap();
    for prediction in ["epsilon", "v_prediction"] {
        let settings = format!(r#"{{"prediction_type": "{prediction}"}}"#);
        std::fs::write(scheduler.join("scheduler_config.json"), settings).unwrap();
        let painter = Painter::load(&materials, &Compute::cpu(Precision::F32)).unwrap();
        for renoise in [0.0, 0.3] {
            let inversion = Some(Inversion { renoise, kernel: 0 });
            let how = Redrawing {
                way: Way::Steps { count: 10, sampler: SamplerKind::Ddim, spacing: Spacing::Leading, inversion },
                ..usual(&rgb, (width, height), &wanted, &unwanted)
            };
            let drawn = painter.redraw(&how, &mut Unwatched).unwrap();
            let same = values(&format!("out.{prediction}.{renoise:.1}"));
            let (worst, _) = errors(&painter.decode(&same, (width / 8, height / 8)).unwrap(), &drawn);
            println!("{prediction} {renoise}: {worst:.1e}");
            assert!(worst < 1e-3, "{prediction} {renoise}: {worst}");
        }
    }
}
