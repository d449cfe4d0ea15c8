//! Files of weights of all formats: pickles, zips, ncnn, ONNX. An input that begins with the magic number of ncnn is a `.param`, and
//! what follows its first empty line is its `.bin`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::{Compute, SuperResolution, files::Tensors};

fuzz_target!(|file: &[u8]| {
    let cut = file.windows(2).position(|pair| pair == b"\n\n").map(|at| file.split_at(at + 2));
    let read = match cut {
        Some((param, bin)) if param.starts_with(b"7767517") => Tensors::read("fuzz", param, Some(bin)),
        _ => Tensors::read("fuzz", file, None),
    };
    if let Ok(tensors) = read {
        for name in tensors.names() {
            let tensor = tensors.get(name).expect("a name that was told");
            let count: usize = tensor.shape().iter().product();
            assert!(tensor.values().is_none_or(|values| values.len() == count));
        }
        _ = models::detector("fuzz", tensors.clone(), [0; 32], Compute::default());
        _ = SuperResolution::of("fuzz", tensors, Compute::default());
    }
});
