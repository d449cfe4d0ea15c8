//! Soft borders.

use std::ops::Range;

/// Weights of the pixels `outer` of a cell `core` on an axis of `length` pixels: 1 within, fading as a raised cosine
/// over `feather` pixels on both sides of its borders, as far as `outer` reaches; 0 beyond. The weights of two cells that
/// share a border and reach equally far over it sum to one. At the ends of the axis nothing fades.
pub(crate) fn ramp(outer: Range<u32>, core: Range<u32>, length: u32, feather: u32) -> Vec<f32> {
    let side = |border: u32, reach: u32, inner: bool, x: u32| -> f32 {
        if !inner {
            return 1.0;
        }
        let reach = feather.min(reach);
        let distance = (f64::from(x) + 0.5 - f64::from(border)) as f32;
        if reach == 0 {
            return if distance > 0.0 { 1.0 } else { 0.0 };
        }
        let u = (distance / reach as f32).clamp(-1.0, 1.0);
        0.5 + 0.5 * (u * std::f32::consts::FRAC_PI_2).sin()
    };
    outer
        .clone()
        .map(|x| {
            let left = side(core.start, core.start - outer.start, core.start > 0, x);
            // Seen from the right end the axis runs backwards.
            let mirrored = 2 * u64::from(core.end) - 1 - u64::from(x).min(2 * u64::from(core.end) - 1);
            let right = side(core.end, outer.end - core.end, core.end < length, mirrored as u32);
            left * right
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cells_sum_to_one() {
        let a = ramp(0..24, 0..16, 40, 8);
        let b = ramp(8..40, 16..40, 40, 8);
        for x in 0..40usize {
            let sum = a.get(x).unwrap_or(&0.0) + x.checked_sub(8).and_then(|x| b.get(x)).unwrap_or(&0.0);
            assert!((sum - 1.0).abs() < 1e-6, "{x}: {sum}");
        }
        assert_eq!(ramp(0..1, 0..1, 1, 50), [1.0]);
        assert_eq!(ramp(0..4, 1..3, 4, 0), [0.0, 1.0, 1.0, 0.0]);
    }
}
