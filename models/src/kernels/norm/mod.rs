//! Normalisation: over the channels of each pixel, or over groups of channels of a whole map.
//!
//! All of them give the same bits for every number of threads, and in f32 for every set with a fused multiply-add.

mod group;
mod layer;
mod rms;

use super::Element;
use super::simd::Simd;

pub use group::{Moments, group_apply, group_norm, group_statistics};
pub use layer::layer_norm;
pub use rms::rms_norm;

/// The first `many` lanes of a vector, zeros behind them.
///
/// # Safety
/// `from` must be readable for `many` values, at most `V::LANES`; the processor must have the set of `V`.
#[inline(always)]
unsafe fn load_some<V: Simd, E: Element>(from: *const E, many: usize) -> V {
    // SAFETY: passed on from the caller; 16 values are enough for any vector.
    unsafe {
        if many == V::LANES {
            return E::load(from);
        }
        let mut spare = [E::default(); 16];
        std::ptr::copy_nonoverlapping(from, spare.as_mut_ptr(), many);
        E::load(spare.as_ptr())
    }
}

/// Stores the first `many` lanes.
///
/// # Safety
/// `to` must be writable for `many` values, at most `V::LANES`; the processor must have the set of `V`.
#[inline(always)]
unsafe fn store_some<V: Simd, E: Element>(value: V, to: *mut E, many: usize) {
    // SAFETY: as above.
    unsafe {
        if many == V::LANES {
            return E::store(value, to);
        }
        let mut spare = [E::default(); 16];
        E::store(value, spare.as_mut_ptr());
        std::ptr::copy_nonoverlapping(spare.as_ptr(), to, many);
    }
}
