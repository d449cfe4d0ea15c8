//! Gaussian noise as a function of the place: a tile, a preview, the whole picture and another machine all see the same.
//!
//! Random bits come from Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), a counter-based
//! generator; the normal distribution from Box and Muller. Only plain f32 additions, multiplications, divisions and square
//! roots are used, all exactly rounded, so the bits do not depend on a C library or on fused instructions. All of it is inlined into
//! [`gaussian_row`](crate::kernels::gaussian_row), which is compiled for each set of vectors.

/// Standard normal noise for one channel of one pixel. `x` and `y` are absolute picture coordinates, `step` tells apart
/// independent draws at the same place. Never beyond about 5.9.
#[inline(always)]
pub fn gaussian(seed: u64, x: u32, y: u32, channel: u32, step: u32) -> f32 {
    let key = [seed as u32, (seed >> 32) as u32];
    let [first, second, ..] = philox([x, y, channel, step], key);
    // 24 bits each: exact in an f32. The radius must not see a zero.
    let radius = ((first >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0);
    let turn = (second >> 8) as f32 * (1.0 / 16_777_216.0);
    (-2.0 * ln(radius)).sqrt() * turn_sin_cos(turn).1
}

/// Philox 4x32 with ten rounds.
#[inline(always)]
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let product = |a: u32, b: u32| {
        let wide = u64::from(a) * u64::from(b);
        ((wide >> 32) as u32, wide as u32)
    };
    for _ in 0..10 {
        let (high0, low0) = product(0xD251_1F53, counter[0]);
        let (high1, low1) = product(0xCD9E_8D57, counter[2]);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// Natural logarithm of a normal positive number, after Cephes' `logf`.
#[inline(always)]
fn ln(value: f32) -> f32 {
    // value = 2^exponent * mantissa, the mantissa within sqrt(1/2)..sqrt(2).
    let bits = value.to_bits();
    let (mut exponent, mut mantissa) = ((bits >> 23) as i32 - 126, f32::from_bits(bits & 0x007F_FFFF | 0x3F00_0000));
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        exponent -= 1;
        mantissa += mantissa;
    }
    let (x, n) = (mantissa - 1.0, exponent as f32);
    let mut p = 7.037_683_6e-2;
    for c in [
        -0.115_146_1,
        0.116_769_984,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_57,
        0.200_007_15,
        -0.249_999_94,
        0.333_333_3,
    ] {
        p = p * x + c;
    }
    let square = x * x;
    x + (p * x * square + n * -2.121_944_4e-4 - 0.5 * square) + n * 0.693_359_4
}

/// Sine and cosine of `turns * 2 pi`, `turns` not negative and below 2^21. Polynomials after Cephes' `sinf` and `cosf`.
#[inline(always)]
pub(crate) fn turn_sin_cos(turns: f32) -> (f32, f32) {
    let quarters = (turns * 4.0 + 0.5).floor();
    let x = (turns - quarters * 0.25) * std::f32::consts::TAU;
    let z = x * x;
    let sin = x + x * z * ((-1.951_529_6e-4 * z + 8.332_161e-3) * z - 0.166_666_55);
    let cos = 1.0 - 0.5 * z + z * z * ((2.443_315_7e-5 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2);
    match quarters as u32 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the Random123 library (`kat_vectors`, "philox4x32 10").
    #[test]
    fn philox_matches_the_published_vectors() {
        let vectors = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, answer) in vectors {
            assert_eq!(philox(counter, key), answer);
        }
    }

    #[test]
    fn elementary_functions_are_close() {
        for i in 1..10_000 {
            let u = i as f32 / 10_000.0;
            let exact = f64::from(u).ln();
            assert!((f64::from(ln(u)) - exact).abs() < 3e-7 * exact.abs().max(0.1), "ln {u}");
            for turn in [u, u * 64.0] {
                let (sin, cos) = (f64::from(turn) * std::f64::consts::TAU).sin_cos();
                let (s, c) = turn_sin_cos(turn);
                assert!((f64::from(s) - sin).abs() < 3e-7 && (f64::from(c) - cos).abs() < 3e-7, "turn {turn}");
            }
        }
    }

    #[test]
    fn noise_is_standard_normal_and_uncorrelated() {
        const N: u32 = 256;
        let at = |x, y, channel| f64::from(gaussian(7, x, y, channel, 0));
        let (mut sum, mut squares, mut fourth, mut across, mut down, mut channels) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for y in 0..N {
            for x in 0..N {
                let value = at(x, y, 0);
                sum += value;
                squares += value * value;
                fourth += value.powi(4);
                across += value * at(x + 1, y, 0);
                down += value * at(x, y + 1, 0);
                channels += value * at(x, y, 1);
            }
        }
        let n = f64::from(N * N);
        assert!((sum / n).abs() < 0.015 && (squares / n - 1.0).abs() < 0.02 && (fourth / n - 3.0).abs() < 0.15);
        assert!([across, down, channels].iter().all(|sum| (sum / n).abs() < 0.015));
    }

    #[test]
    fn every_argument_matters() {
        let base = gaussian(1, 2, 3, 0, 0);
        for other in [
            gaussian(2, 2, 3, 0, 0),
            gaussian(1 << 32 | 1, 2, 3, 0, 0),
            gaussian(1, 3, 3, 0, 0),
            gaussian(1, 2, 4, 0, 0),
            gaussian(1, 2, 3, 1, 0),
            gaussian(1, 2, 3, 0, 1),
        ] {
            assert_ne!(base.to_bits(), other.to_bits());
        }
    }
}
