//! What becomes of sums once they are complete.

use super::pack::Block;
use super::{After, Place, Residual};
use crate::kernels::shared::Shared;
use crate::kernels::simd::Simd;
use crate::kernels::{Activation, Element, math};

/// What follows the sums, and where the results go.
#[derive(Clone, Copy)]
pub(super) struct Finish<'a, O> {
    pub(super) place: Place,
    pub(super) after: After<'a, O>,
    pub(super) out: Shared<'a, O>,
}

/// Some pixels of an output row.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) count: usize,
}

impl<O: Element> Finish<'_, O> {
    /// Multiplies values with the GELU of their gates and stores them.
    ///
    /// # Safety
    /// As `store`, for a block of one vector of values and one vector of gates.
    #[inline(always)]
    pub(super) unsafe fn open_gates<V: Simd>(&self, block: &Block, at: Pixels, sums: *mut f32, channels_out: usize) {
        let first = block.first / 2;
        let channels = V::LANES.min(channels_out - first);
        let start = self.place.start + at.y * self.place.row + at.x * self.place.pixel + first;
        // SAFETY: `check` has made sure that the output holds the channels of every pixel; the sums hold two vectors per
        // pixel, and 16 values are enough for any vector.
        unsafe {
            for p in 0..at.count {
                let sums = sums.add(p * 2 * V::LANES);
                let value = V::load(sums).mul(math::gelu::<V, O>(V::load(sums.add(V::LANES))));
                let to = self.out.at(start + p * self.place.pixel);
                if channels == V::LANES {
                    O::store(value, to);
                } else {
                    let mut spare = [O::default(); 16];
                    O::store(value, spare.as_mut_ptr());
                    std::ptr::copy_nonoverlapping(spare.as_ptr(), to, channels);
                }
            }
        }
    }

    /// Applies `after` to the sums of some pixels and stores them.
    ///
    /// # Safety
    /// `check` must have looked at the place and at what follows; the pixels lie within the place; `sums` holds `NV` vectors
    /// for each, `NV` being the block's; the processor has the set of `V`.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    pub(super) unsafe fn store<V: Simd, const NV: usize>(&self, block: &Block, at: Pixels, sums: *mut f32) {
        let (After { film, activation, add }, channels) = (self.after, block.channels);
        let width = NV * V::LANES;
        let start = |place: &Place| place.start + at.y * place.row + at.x * place.pixel + block.first;
        // SAFETY: `check` has made sure that scale, shift, slopes, base and output are long enough for the block's channels
        // of every pixel; the sums hold whole vectors.
        unsafe {
            let (mut scale, mut shift, mut slopes) = ([V::splat(1.0); NV], [V::splat(0.0); NV], [V::splat(0.0); NV]);
            if let Some(film) = film {
                scale = fetch(film.scale.as_ptr().add(block.first), channels);
                shift = fetch(film.shift.as_ptr().add(block.first), channels);
            }
            if let Activation::Prelu(all) = activation {
                slopes = fetch(all.as_ptr().add(block.first), channels);
            }
            for p in 0..at.count {
                let mut values = [V::splat(0.0); NV];
                for v in 0..NV {
                    values[v] = V::load(sums.add(p * width + v * V::LANES));
                }
                if film.is_some() {
                    for v in 0..NV {
                        values[v] = values[v].fma(scale[v], shift[v]);
                    }
                }
                for v in 0..NV {
                    values[v] = activation.apply::<V, O>(values[v], slopes[v]);
                }
                for Residual { base, place, gain } in add.into_iter().flatten() {
                    let base: [V; NV] = fetch(base.as_ptr().add(start(&place) + p * place.pixel), channels);
                    for v in 0..NV {
                        values[v] = values[v].fma(V::splat(gain), base[v]);
                    }
                }
                let to = self.out.at(start(&self.place) + p * self.place.pixel);
                if channels == width {
                    for v in 0..NV {
                        O::store(values[v], to.add(v * V::LANES));
                    }
                } else {
                    let mut spare = [O::default(); 48];
                    for v in 0..NV {
                        O::store(values[v], spare.as_mut_ptr().add(v * V::LANES));
                    }
                    std::ptr::copy_nonoverlapping(spare.as_ptr(), to, channels);
                }
            }
        }
    }
}

/// Reads `channels` values into vectors, zeros behind them.
///
/// # Safety
/// `from` must be readable for `channels` values, `channels <= NV * LANES`, and the processor must have the set of `V`.
#[inline(always)]
unsafe fn fetch<V: Simd, T: Element, const NV: usize>(from: *const T, channels: usize) -> [V; NV] {
    // SAFETY: whole vectors are only read when all their values are there; 48 values are three vectors of any set.
    unsafe {
        let mut spare = [T::default(); 48];
        let mut from = from;
        if channels < NV * V::LANES {
            std::ptr::copy_nonoverlapping(from, spare.as_mut_ptr(), channels);
            from = spare.as_ptr();
        }
        let mut vectors = [V::splat(0.0); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = T::load(from.add(v * V::LANES));
        }
        vectors
    }
}
