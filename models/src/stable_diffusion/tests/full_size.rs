//! The networks at their full sizes against diffusers, with the random weights that `tests/parity/full_size.py` draws:
//!
//!     python models/tests/parity/full_size.py --out FOLDER
//!     UPWEAVE_GOLDENS=FOLDER cargo test --release -p upweave-models --lib full_size -- --ignored --nocapture --test-threads 1
//!
//! The files have gigabytes, so they are made where they are needed.

use super::*;

fn file(name: &str) -> Vec<u8> {
    let folder =
        std::env::var_os("UPWEAVE_GOLDENS").expect("UPWEAVE_GOLDENS names the folder that full_size.py has filled");
    std::fs::read(std::path::Path::new(&folder).join(format!("full_{name}.safetensors"))).unwrap()
}

/// In f32 and bf16: f32 has to be exact, and both are told.
fn on_processor(mut run: impl FnMut(&Compute, &mut Check<'_>)) {
    for (precision, most) in [(Precision::F32, 1e-3), (Precision::Bf16, f32::INFINITY)] {
        let (mut largest, mut roots) = (0.0f32, 0.0f32);
        run(&Compute::cpu(precision), &mut |name, wanted, found| {
            let (worst, root) = errors(wanted, found);
            assert!(worst < most, "{name}: {worst}");
            (largest, roots) = (largest.max(worst), roots.max(root));
        });
        println!("{}: largest relative error {largest:.2e}, relative root mean square {roots:.2e}", precision.name());
    }
}

#[test]
#[ignore = "needs the files of full_size.py"]
fn unet() {
    let file = file("unet");
    on_processor(|compute, check| super::unet::compare(&file, &UnetConfig::default(), compute, check));
}

#[test]
#[ignore = "needs the files of full_size.py"]
fn controlnet() {
    let (file, unet) = (file("controlnet"), file("unet"));
    on_processor(|compute, check| {
        super::controlnet::compare((&file, &unet), &ControlNetConfig::default(), compute, check);
    });
}

#[test]
#[ignore = "needs the files of full_size.py"]
fn vae() {
    let file = file("vae");
    on_processor(|compute, check| super::vae::compare(&file, &VaeConfig::default(), 64, compute, check));
}

/// As many transformer blocks as the file has: all of them take 10 GiB.
#[test]
#[ignore = "needs the files of full_size.py"]
fn unet_xl() {
    let file = file("unet_xl");
    let count =
        Weights::read(&file, "unet", "").unwrap().count("mid_block.attentions.0.transformer_blocks.", ".norm1.weight");
    let config = UnetConfig { transformers: vec![0, 2, count], ..UnetConfig::sdxl() };
    on_processor(|compute, check| super::unet::compare(&file, &config, compute, check));
}
