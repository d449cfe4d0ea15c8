//! How long a checkpoint takes until its first step can begin, and how much memory: all of its parts are read.
//!
//!     cargo run --release -p upweave-models --example load -- CHECKPOINT [f32|bf16] [LORA]

use std::path::Path;
use std::time::Instant;

use models::stable_diffusion::{Adapter, Checkpoint, Lora, Part};
use models::{Compute, Precision, Result};

fn main() -> Result<()> {
    let start = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        eprintln!("usage: load CHECKPOINT [f32|bf16] [LORA]");
        std::process::exit(2);
    };
    let precision = match arguments.get(1).map(String::as_str) {
        Some("f32") => Precision::F32,
        Some("bf16") => Precision::Bf16,
        _ => Precision::fastest(),
    };
    let compute = Compute::cpu(precision);
    let lora = arguments.get(2).map(|path| Lora::open(Path::new(path))).transpose()?;
    let adapters: Vec<Adapter<'_>> = lora.iter().map(|lora| Adapter::all(lora, 1.0)).collect();

    let checkpoint = Checkpoint::open(Path::new(path))?;
    let since = |what: &str| println!("{:6.2} s {what}", start.elapsed().as_secs_f64());
    since("open");
    let mut bytes = 0;
    if checkpoint.has(Part::Text) {
        bytes += checkpoint.text_encoders(&compute, &adapters)?.iter().map(|clip| clip.bytes()).sum::<u64>();
        since("text encoders");
    }
    // What a run holds at once is held here, too.
    let vae = match checkpoint.has(Part::Vae) {
        true => Some((checkpoint.vae_encoder(&compute, &[])?, checkpoint.vae_decoder(&compute, &[])?)),
        false => None,
    };
    since("autoencoder");
    bytes += vae.as_ref().map_or(0, |(_, decoder)| decoder.bytes());
    let unet = match checkpoint.has(Part::Unet) {
        true => Some(checkpoint.unet(&compute, &adapters)?),
        false => None,
    };
    since("U-Net: the first step can begin");
    bytes += unet.as_ref().map_or(0, |unet| unet.bytes());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory =
        |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or(" unknown").trim().to_owned();
    println!("{} MiB of weights (without the encoder) in {}", bytes >> 20, precision.name());
    println!("most memory {} (files mapped: {}, own: {})", memory("VmHWM:"), memory("RssFile:"), memory("RssAnon:"));
    let before = Instant::now();
    let digest: String = checkpoint.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{:6.2} s for the digest {digest}", before.elapsed().as_secs_f64());
    Ok(())
}
