//! Model files: the header of a safetensors file, and networks that are found from the names of tensors; as a file on the disk also
//! checkpoints, adapters and embeddings of Stable Diffusion.
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::stable_diffusion::{Checkpoint, Embedding, Lora, identify};
use models::{Compute, Precision, SuperResolution, check_safetensors};

fuzz_target!(|file: &[u8]| {
    let path = std::env::temp_dir().join(format!("upweave-fuzz-{}.safetensors", std::process::id()));
    std::fs::write(&path, file).expect("room for the file");
    if let (Ok(_), Ok(checkpoint)) = (identify(&path), Checkpoint::open(&path)) {
        _ = checkpoint.unet(&Compute::default(), &[]);
        _ = checkpoint.vae_decoder(&Compute::default(), &[]);
    }
    _ = Lora::open(&path);
    _ = Embedding::open(&path);
    if check_safetensors(file, "fuzz").is_ok()
        && let Ok(net) = SuperResolution::from_safetensors(file, Compute::cpu(Precision::F32))
    {
        assert!(net.scale() > 0 && net.flops_per_pixel().is_finite());
    }
});
