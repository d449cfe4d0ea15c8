//! The limit that kernels are measured against.

use std::hint::black_box;
use std::time::Instant;

use super::element::Multiply;
use super::isa::{Isa, Kernel};
use super::simd::Simd;
use super::{Element, matrix};

/// Products per vector and measurement.
const ROUNDS: u32 = 200_000;

/// What this processor's vector or matrix units can do at most in f32, or in bf16 with f32 sums: floating-point operations per
/// second of one thread, measured with sums that never leave their registers. Takes some milliseconds.
pub fn peak<E: Element>(isa: Isa) -> f64 {
    if isa.widens::<E>() {
        return peak::<f32>(isa);
    }
    let once = |_| {
        if isa.has_tiles::<E>() {
            return matrix::peak();
        }
        let start = Instant::now();
        let flops = isa.run(Rounds(std::marker::PhantomData::<E>));
        flops / start.elapsed().as_secs_f64()
    };
    (0..20).map(once).fold(0.0, f64::max)
}

struct Rounds<E>(std::marker::PhantomData<E>);

impl<E: Element> Kernel for Rounds<E> {
    /// The operations done.
    type Out = f64;

    #[inline(always)]
    unsafe fn run<V: Simd>(self) -> f64 {
        // Ten chains hide the latency of every processor's two units.
        const CHAINS: usize = 10;
        // SAFETY: passed on from the caller; 32 values are enough for a step of any vector.
        unsafe {
            let factors = black_box([E::from_f32(0.5); 32]);
            let (a, b) = (E::Alike::value::<V>(factors.as_ptr(), 0), E::Alike::factor::<V>(factors.as_ptr(), 0));
            let mut sums = [V::splat(black_box(1.0)); CHAINS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = E::Alike::mac(*sum, a, b);
                }
            }
            let mut out = [0.0f32; 16];
            for sum in sums {
                sum.store(out.as_mut_ptr());
                black_box(&out);
            }
        }
        2.0 * E::PER_STEP as f64 * f64::from(ROUNDS) * CHAINS as f64 * V::LANES as f64
    }
}
