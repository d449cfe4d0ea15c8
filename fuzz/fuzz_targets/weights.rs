//! Model files: the header of a safetensors file, and networks that are found from the names of tensors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::{Compute, Precision, SuperResolution, check_safetensors};

fuzz_target!(|file: &[u8]| {
    if check_safetensors(file, "fuzz").is_ok()
        && let Ok(net) = SuperResolution::from_safetensors(file, Compute::cpu(Precision::F32))
    {
        assert!(net.scale() > 0 && net.flops_per_pixel().is_finite());
    }
});
