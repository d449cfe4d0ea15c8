//! Noise for rows of pixels.

use super::isa::Kernel;
use super::simd::Simd;
use crate::noise::gaussian;

/// Fills a row with [`gaussian`] noise, `x` being the column of its first pixel: the same bits, several at a time.
pub fn gaussian_row(seed: u64, (x, y): (u32, u32), channel: u32, step: u32, row: &mut [f32]) {
    super::Isa::detect().run(Row { seed, x, y, channel, step, row });
}

struct Row<'a> {
    seed: u64,
    x: u32,
    y: u32,
    channel: u32,
    step: u32,
    row: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Out = ();

    /// The compiler makes vectors of the set out of it.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Self { seed, x, y, channel, step, row } = self;
        for (i, value) in row.iter_mut().enumerate() {
            *value = gaussian(seed, x.wrapping_add(i as u32), y, channel, step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::available;

    #[test]
    fn rows_hold_the_noise_of_their_pixels() {
        for isa in available() {
            let mut row = [0.0; 103];
            isa.run(Row { seed: 5 << 33 | 9, x: 7, y: 3, channel: 2, step: 1, row: &mut row });
            for (value, x) in row.iter().zip(7..) {
                assert_eq!(value.to_bits(), gaussian(5 << 33 | 9, x, 3, 2, 1).to_bits(), "{isa:?}, column {x}");
            }
        }
    }
}
