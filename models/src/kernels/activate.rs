//! Activation functions.

use super::Element;
use super::isa::{Isa, Kernel};
use super::math;
use super::simd::Simd;

/// What a layer's sums go through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation<'a> {
    /// Nothing: `y`.
    Identity,
    /// `y * sigmoid(y)`.
    Silu,
    /// `y * Phi(y)`.
    Gelu,
    /// `y * sigmoid(1.702 y)`.
    QuickGelu,
    /// `y`, times the slope where it is negative.
    LeakyRelu(f32),
    /// The same with one slope per channel.
    Prelu(&'a [f32]),
}

impl Activation<'_> {
    /// Applies it to a vector, as exactly as a result in `O` deserves.
    ///
    /// # Safety
    /// The processor must have the set of `V`; the slopes of a `Prelu` must be readable for a vector at `slopes`.
    #[inline(always)]
    pub(super) unsafe fn apply<V: Simd, O: Element>(self, y: V, slopes: V) -> V {
        // SAFETY: passed on from the caller.
        unsafe {
            let bent = |slope: V| {
                let zero = V::splat(0.0);
                // In this order NaN comes through.
                zero.max(y).add(slope.mul(zero.min(y)))
            };
            match self {
                Self::Identity => y,
                Self::Silu => math::silu::<V, O>(y),
                Self::Gelu => math::gelu::<V, O>(y),
                Self::QuickGelu => math::quick_gelu::<V, O>(y),
                Self::LeakyRelu(slope) => bent(V::splat(slope)),
                Self::Prelu(_) => bent(slopes),
            }
        }
    }

    /// Applies it to a vector in memory. No closure: those are not always compiled for the set.
    ///
    /// # Safety
    /// As `apply`, and `at` must be readable and writable for a vector.
    #[inline(always)]
    unsafe fn apply_at<V: Simd, E: Element>(self, at: *mut E) {
        // SAFETY: passed on from the caller.
        unsafe { E::store(self.apply::<V, E>(E::load(at), V::splat(0.0)), at) }
    }
}

/// Applies an activation to every value, in place. A `Prelu` has no channels here and is not meant.
pub fn activate<E: Element>(values: &mut [E], activation: Activation<'_>) {
    debug_assert!(!matches!(activation, Activation::Prelu(_)), "no channels to have slopes");
    Isa::detect().run(Activate { values, activation });
}

struct Activate<'a, E> {
    values: &'a mut [E],
    activation: Activation<'a>,
}

impl<E: Element> Kernel for Activate<'_, E> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        // SAFETY: each chunk is one vector long, and 16 values are enough for any vector.
        unsafe {
            let mut chunks = self.values.chunks_exact_mut(V::LANES);
            for chunk in &mut chunks {
                self.activation.apply_at::<V, E>(chunk.as_mut_ptr());
            }
            let rest = chunks.into_remainder();
            let mut spare = [E::default(); 16];
            spare[..rest.len()].copy_from_slice(rest);
            self.activation.apply_at::<V, E>(spare.as_mut_ptr());
            rest.copy_from_slice(&spare[..rest.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::kernels::isa::available;

    fn run(isa: Isa, inputs: &[f32], activation: Activation<'_>) -> Vec<f32> {
        let mut out = inputs.to_vec();
        isa.run(Activate { values: &mut out[..], activation });
        out
    }

    #[test]
    fn silu_is_close_for_all_magnitudes() {
        let inputs: Vec<f32> = (-85_000..=100_000).map(|i| i as f32 / 1_000.0).collect();
        for isa in available() {
            for (&x, found) in inputs.iter().zip(run(isa, &inputs, Activation::Silu)) {
                let exact = f64::from(x) / (1.0 + f64::from(-x).exp());
                assert!(
                    (f64::from(found) - exact).abs() <= 1e-6 * exact.abs(),
                    "{isa:?} silu({x}) = {found}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn ends_and_nan() {
        for isa in available() {
            let values = run(isa, &[f32::NAN, -1e30, -1000.0, 0.0, 1e30, f32::MAX], Activation::Silu);
            assert!(values[0].is_nan());
            assert!(values[1].abs() < 1e-4 && values[2].abs() < 1e-30);
            assert_eq!(values[3..], [0.0, 1e30, f32::MAX]);
            for activation in [Activation::Gelu, Activation::QuickGelu, Activation::LeakyRelu(0.1)] {
                let values = run(isa, &[f32::NAN, 0.0, 50.0], activation);
                assert!(values[0].is_nan() && values[1..] == [0.0, 50.0], "{isa:?} {activation:?} {values:?}");
            }
        }
    }

    /// The error function by its series, which converges for all that matters here.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn gelus_and_leaks_match_their_definitions() {
        let inputs: Vec<f32> = (-5_000..=5_000).map(|i| i as f32 / 1_000.0).collect();
        for isa in available() {
            let all = [Activation::Gelu, Activation::QuickGelu, Activation::LeakyRelu(0.2)];
            let [gelu, quick, leaky] = all.map(|activation| run(isa, &inputs, activation));
            for (i, x) in inputs.iter().map(|x| f64::from(*x)).enumerate() {
                let exact = [
                    x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2)),
                    x / (1.0 + (-1.702 * x).exp()),
                    if x < 0.0 { 0.2 * x } else { x },
                ];
                for (found, exact) in [gelu[i], quick[i], leaky[i]].into_iter().zip(exact) {
                    assert!((f64::from(found) - exact).abs() <= 1e-6, "{isa:?} {x}: {found}, not {exact}");
                }
            }
        }
    }

    /// What becomes a bf16 need not be computed more exactly than that.
    #[test]
    fn bf16_is_right_to_its_last_bits() {
        let inputs: Vec<bf16> = (-1200..1200).map(|i| bf16::from_f32(i as f32 / 100.0)).collect();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (activation, exact) in [
            (Activation::Silu, &(|x| x * sigmoid(x)) as &dyn Fn(f64) -> f64),
            (Activation::QuickGelu, &|x| x * sigmoid(1.702 * x)),
        ] {
            for isa in available() {
                let mut found = inputs.clone();
                isa.run(Activate { values: &mut found[..], activation });
                for (x, found) in inputs.iter().zip(found) {
                    let exact = exact(x.to_f64());
                    let error = (found.to_f64() - exact).abs();
                    assert!(
                        error <= 4.3e-3 * exact.abs() + 1e-30,
                        "{isa:?} {activation:?} of {x}: {found} for {exact}"
                    );
                }
            }
        }
        for isa in available() {
            for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
                let mut ends = [f32::NAN, -1000.0, 0.0, 3e38].map(bf16::from_f32);
                isa.run(Activate { values: &mut ends[..], activation });
                assert!(
                    ends[0].is_nan() && ends[2] == bf16::ZERO && ends[3] == bf16::from_f32(3e38),
                    "{isa:?} {ends:?}"
                );
                assert!(ends[1].to_f32().abs() < 1e-20, "{isa:?} {activation:?} {ends:?}");
            }
        }
    }
}
