//! Graphics processors, for programs that were built for them (`--features cuda`, `--features metal`).

use std::sync::OnceLock;

use candle_core::{DType, Device};

use crate::{Compute, Error, Precision, Result};

/// What this program can compute on besides the processor.
pub const BUILT_FOR: Option<&str> = if cfg!(feature = "cuda") {
    Some("CUDA")
} else if cfg!(feature = "metal") {
    Some("Metal")
} else {
    None
};

/// The one that was chosen.
static CHOSEN: OnceLock<Device> = OnceLock::new();

/// Has all that [`Compute::here`] gives computed on a graphics processor, counted from 0. The first choice stays.
///
/// # Errors
/// [`Error::Setting`] when the program was not built for any, [`Error::Device`] when this one cannot be had.
pub fn choose(number: usize) -> Result<()> {
    let device = if cfg!(feature = "cuda") {
        Device::new_cuda(number)?
    } else if cfg!(feature = "metal") {
        Device::new_metal(number)?
    } else {
        let hint = "the program was built for the processor alone";
        return Err(Error::Setting { name: "gpu", value: number.to_string(), hint });
    };
    CHOSEN.get_or_init(|| device);
    Ok(())
}

/// Whether one was chosen.
pub(crate) fn is_chosen() -> bool {
    CHOSEN.get().is_some()
}

impl Compute {
    /// What this process computes on, in these numbers: the graphics processor that was chosen, or else the processor with its
    /// best instruction set.
    pub fn here(precision: Precision) -> Self {
        match CHOSEN.get() {
            Some(device) => Self::on(device, precision),
            None => Self::cpu(precision),
        }
    }

    /// A device of candle's, with candle's operations.
    fn on(device: &Device, precision: Precision) -> Self {
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        Self::Candle { device: device.clone(), dtype }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_family_of_its_own() {
        let families = [Precision::F32, Precision::Bf16].map(|precision| Compute::on(&Device::Cpu, precision).family());
        assert_ne!(families[0], families[1]);
        assert_ne!(families[0], Compute::cpu(Precision::F32).family());
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn what_was_not_built_in_cannot_be_chosen() {
        assert!(choose(0).unwrap_err().to_string().contains("built for the processor alone"));
        assert!(!is_chosen() && matches!(Compute::here(Precision::F32), Compute::Cpu { .. }));
    }
}
