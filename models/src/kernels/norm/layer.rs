//! Layer normalisation.

use rayon::prelude::*;

use super::{load_some, store_some};
use crate::kernels::isa::Kernel;
use crate::kernels::shared::Shared;
use crate::kernels::simd::Simd;
use crate::kernels::tokens::check_output;
use crate::kernels::{Element, Isa, Place, Tokens};

/// Sums run in so many strands, whatever the width of the vectors, so that every set gives the same bits.
const STRANDS: usize = 32;

/// Pixels of a job.
const PIXELS: usize = 16;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the channels of each pixel (Ba, Kiros and Hinton 2016), from
/// the pixels of `from` to as many pixels of `place`; one weight and one bias per channel. In parallel over pixels. Exact
/// also where the mean is much larger than the deviation.
///
/// # Panics
/// When a map does not lie within its slice, output pixels would overlap, the numbers of pixels, or of weights and biases,
/// differ, or the processor lacks the instruction set.
#[allow(clippy::too_many_arguments)]
pub fn layer_norm<I: Element, O: Element>(
    isa: Isa,
    from: Tokens<'_, I>,
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    out: &mut [O],
    place: Place,
) {
    let (pixels, channels) = (from.count(), weight.len());
    assert_eq!(bias.len(), channels, "a bias for each weight");
    assert_eq!(pixels, place.width * place.height, "an output pixel for each pixel");
    if pixels == 0 || channels == 0 {
        return;
    }
    from.check(channels, "pixels");
    check_output(place, channels, out.len());
    let out = Shared::new(out);
    (0..pixels.div_ceil(PIXELS)).into_par_iter().for_each(|job| {
        let (first, end) = (job * PIXELS, ((job + 1) * PIXELS).min(pixels));
        isa.run(Pixels { from, weight, bias, epsilon, out, place, first, end });
    });
}

struct Pixels<'a, I, O> {
    from: Tokens<'a, I>,
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    out: Shared<'a, O>,
    place: Place,
    first: usize,
    end: usize,
}

impl<I: Element, O: Element> Kernel for Pixels<'_, I, O> {
    type Out = ();

    /// Relies on what `layer_norm` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Place { start, row, pixel, width, .. } = self.place;
        for index in self.first..self.end {
            let to = start + index / width * row + index % width * pixel;
            // SAFETY: the caller vouches for the set, and that all channels of both pixels lie within their maps; no other
            // thread writes to this pixel.
            unsafe { self.pixel::<V>(self.from.data.as_ptr().add(self.from.at(index)), self.out.at(to)) };
        }
    }
}

impl<I: Element, O: Element> Pixels<'_, I, O> {
    /// # Safety
    /// The processor must have the set of `V`; `from` must be readable and `to` writable for a pixel.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn pixel<V: Simd>(&self, from: *const I, to: *mut O) {
        let channels = self.weight.len();
        let whole = channels - channels % STRANDS;
        let vectors = STRANDS / V::LANES;
        // SAFETY: passed on from the caller; eight lanes or more make four vectors or fewer of the strands.
        unsafe {
            // The channels behind the last whole line of strands, and something harmless.
            let mut rest = [0.0f32; STRANDS];
            for (i, value) in rest[..channels - whole].iter_mut().enumerate() {
                *value = (*from.add(whole + i)).to_f32();
            }
            let mut sums = [V::splat(0.0); 4];
            for c in (0..whole).step_by(STRANDS) {
                for v in 0..vectors {
                    sums[v] = sums[v].add(I::load(from.add(c + v * V::LANES)));
                }
            }
            for v in 0..vectors {
                sums[v] = sums[v].add(V::load(rest.as_ptr().add(v * V::LANES)));
            }
            let mean = total(sums) / channels as f32;

            rest[channels - whole..].fill(mean);
            // The mean was rounded: what is left of it comes out of the second round.
            let (mut sums, mut squares) = ([V::splat(0.0); 4], [V::splat(0.0); 4]);
            let middle = V::splat(mean);
            for c in (0..whole).step_by(STRANDS) {
                for v in 0..vectors {
                    let difference = I::load::<V>(from.add(c + v * V::LANES)).sub(middle);
                    sums[v] = sums[v].add(difference);
                    squares[v] = difference.fma(difference, squares[v]);
                }
            }
            for v in 0..vectors {
                let difference = V::load(rest.as_ptr().add(v * V::LANES)).sub(middle);
                sums[v] = sums[v].add(difference);
                squares[v] = difference.fma(difference, squares[v]);
            }
            let left = total(sums) / channels as f32;
            let variance = (total(squares) / channels as f32 - left * left).max(0.0);
            let factor = V::splat(1.0 / (variance + self.epsilon).sqrt());
            let left = V::splat(left);

            for c in (0..channels).step_by(V::LANES) {
                let many = V::LANES.min(channels - c);
                let weight = load_some::<V, f32>(self.weight.as_ptr().add(c), many);
                let bias = load_some::<V, f32>(self.bias.as_ptr().add(c), many);
                let value = load_some::<V, I>(from.add(c), many).sub(middle).sub(left);
                store_some(value.mul(factor).fma(weight, bias), to.add(c), many);
            }
        }
    }
}

/// The sum of all strands, in an order that does not depend on the width of the vectors.
///
/// # Safety
/// The processor must have the set of `V`.
#[inline(always)]
unsafe fn total<V: Simd>(sums: [V; 4]) -> f32 {
    let mut strands = [0.0f32; STRANDS];
    for (v, sum) in sums.iter().enumerate().take(STRANDS / V::LANES) {
        // SAFETY: all vectors together have as many lanes as there are strands.
        unsafe { sum.store(strands.as_mut_ptr().add(v * V::LANES)) };
    }
    let mut many = STRANDS;
    while many > 1 {
        many /= 2;
        for i in 0..many {
            strands[i] += strands[i + many];
        }
    }
    strands[0]
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::isa::available;
    use crate::noise::gaussian;

    fn values(len: usize, seed: u64, mean: f32) -> Vec<f32> {
        (0..len as u32).map(|i| bf16::from_f32(gaussian(seed, i, 0, 0, 0)).to_f32() + mean).collect()
    }

    fn run<I: Element, O: Element>(isa: Isa, channels: usize, size: (usize, usize), gap: usize, mean: f32) -> Vec<O> {
        let pixel = channels + gap;
        let (start, row) = (gap, pixel * size.0 + gap);
        let data: Vec<I> = values(start + row * size.1, 1, mean).into_iter().map(I::from_f32).collect();
        let mut out = vec![O::from_f32(77.0); data.len()];
        let from = Tokens { data: &data, start, row, pixel, width: size.0, height: size.1 };
        let place = Place { start, row, pixel, width: size.0, height: size.1 };
        layer_norm(isa, from, &values(channels, 2, 0.0), &values(channels, 3, 0.0), 1e-5, &mut out, place);
        out
    }

    fn check<I: Element, O: Element>(isa: Isa, channels: usize, size: (usize, usize), gap: usize, mean: f32, off: f64) {
        let found = run::<I, O>(isa, channels, size, gap, mean);
        let (weight, bias) = (values(channels, 2, 0.0), values(channels, 3, 0.0));
        let data = values(found.len(), 1, mean);
        let mut exact = vec![77.0; found.len()];
        for (y, x) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (y, x))) {
            let at = gap + y * ((channels + gap) * size.0 + gap) + x * (channels + gap);
            let pixel: Vec<f64> = data[at..][..channels].iter().map(|v| f64::from(I::from_f32(*v).to_f32())).collect();
            let mean = pixel.iter().sum::<f64>() / channels as f64;
            let variance = pixel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / channels as f64;
            for (c, value) in pixel.iter().enumerate() {
                exact[at + c] = (value - mean) / (variance + 1e-5).sqrt() * f64::from(weight[c]) + f64::from(bias[c]);
            }
        }
        for (found, exact) in found.into_iter().zip(exact) {
            let found = f64::from(found.to_f32());
            assert!((found - exact).abs() <= off * exact.abs().max(1.0), "{isa:?} {channels}: {found} for {exact}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::random_cases(64))]

        #[test]
        fn layer_norm_matches_its_definition(
            channels in 1usize..200, size in (1usize..20, 1usize..4), gap in 0usize..3, mean in -4.0f32..4.0,
        ) {
            for isa in available() {
                check::<f32, f32>(isa, channels, size, gap, mean, 1e-5);
                check::<f32, bf16>(isa, channels, size, gap, mean, 1e-2);
                check::<bf16, bf16>(isa, channels, size, gap, mean, 1e-2);
                check::<bf16, f32>(isa, channels, size, gap, mean, 1e-5);
            }
        }
    }

    #[test]
    fn a_mean_far_from_zero_does_no_harm() {
        for isa in available() {
            for channels in [2, 37, 320, 1280] {
                check::<f32, f32>(isa, channels, (3, 2), 0, 1e4, 1e-5);
                check::<f32, f32>(isa, channels, (3, 2), 0, -1e5, 1e-5);
            }
        }
    }

    #[test]
    fn sets_and_threads_do_not_change_a_bit() {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let run = |isa| bits(run::<f32, f32>(isa, 75, (50, 3), 1, 3.0));
        let fused: Vec<Isa> = available().filter(|isa| *isa != Isa::Plain).collect();
        for pair in fused.windows(2) {
            assert_eq!(run(pair[0]), run(pair[1]));
        }
        for isa in available() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            assert_eq!(run(isa), pool.install(|| run(isa)));
        }
    }
}
