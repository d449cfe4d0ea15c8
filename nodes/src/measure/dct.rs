//! The 8x8 cosine transform of JPEG.

use std::sync::LazyLock;

/// Rows are the frequencies: `BASIS[u][x]`, orthonormal.
static BASIS: LazyLock<[[f32; 8]; 8]> = LazyLock::new(|| {
    std::array::from_fn(|u| {
        std::array::from_fn(|x| {
            let scale = if u == 0 { (1.0f64 / 8.0).sqrt() } else { 0.5 };
            (scale * (std::f64::consts::PI * u as f64 * (2 * x + 1) as f64 / 16.0).cos()) as f32
        })
    })
});

/// Orthonormal two-dimensional DCT of the block whose left upper sample is `plane[at]`: coefficient `[8 v + u]` belongs
/// to vertical frequency `v` and horizontal frequency `u`. White noise keeps its deviation in every coefficient.
///
/// # Panics
/// When the block leaves the plane: a mistake of the caller.
pub fn forward(plane: &[f32], stride: usize, at: usize) -> [f32; 64] {
    let basis = &*BASIS;
    let mut rows = [[0f32; 8]; 8];
    for v in 0..8 {
        for (y, weight) in basis[v].iter().enumerate() {
            let line = &plane[at + y * stride..at + y * stride + 8];
            for x in 0..8 {
                rows[v][x] += weight * line[x];
            }
        }
    }
    let mut out = [0f32; 64];
    for v in 0..8 {
        for u in 0..8 {
            out[8 * v + u] = (0..8).map(|x| rows[v][x] * basis[u][x]).sum();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_energy_and_finds_the_mean() {
        let block: Vec<f32> = (0..64).map(|i| ((i * 37) % 64) as f32).collect();
        let c = forward(&block, 8, 0);
        let energy = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        assert!((energy(&c) / energy(&block) - 1.0).abs() < 1e-5);
        assert!((c[0] - 8.0 * 31.5).abs() < 1e-2);
    }
}
