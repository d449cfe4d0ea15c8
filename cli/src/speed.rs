//! How fast this machine is: its vector units, and the networks on a small picture.

use models::{
    DamageCondition, Factor, Faithful, Picture, Precision, Unwatched, bf16,
    kernels::{self, Isa},
};
use std::time::{Duration, Instant};

/// What all threads together can do at most, in f32 and in bf16: operations per second.
pub(crate) struct Peaks([f64; 2]);

impl Peaks {
    pub(crate) fn measure() -> Self {
        let (isa, threads) = (Isa::detect(), rayon::current_num_threads() as f64);
        Self([kernels::peak::<f32>(isa) * threads, kernels::peak::<bf16>(isa) * threads])
    }

    pub(crate) fn of(&self, precision: Precision) -> f64 {
        match precision {
            Precision::F32 => self.0[0],
            Precision::Bf16 => self.0[1],
        }
    }
}

/// Edge of the picture that is measured on: large enough to keep all cores busy, small enough for no time at all.
const EDGE: u32 = 96;
const PATIENCE: Duration = Duration::from_millis(250);

/// Floating point operations per second of the faithful network.
///
/// # Errors
/// When the model is damaged.
pub(crate) fn measure() -> models::Result<f64> {
    let model = Faithful::embedded(Precision::fastest())?;
    let pixels: Vec<f32> = (0..3 * EDGE * EDGE).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let picture = Picture::new(EDGE, EDGE, &pixels)?;
    let flops = model.flops_per_pixel(Factor::X2) * f64::from(EDGE * EDGE);
    let begun = Instant::now();
    let mut best = Duration::MAX;
    // The first run fills caches and starts threads; the best of several is what a long run sees.
    for _ in 0..4 {
        let start = Instant::now();
        model.enlarge(picture, DamageCondition::default(), Factor::X2, Faithful::TILE, &mut Unwatched)?;
        best = best.min(start.elapsed());
        if begun.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(flops / best.as_secs_f64().max(1e-6))
}

/// `3 s`, `4 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
    }
}
