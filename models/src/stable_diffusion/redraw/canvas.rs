//! Parts of pictures of three planes, cut out and put back.

use super::layout::Patch;
use crate::Result;
use crate::picture::zeros;

/// A picture of three planes, and how many pixels it has.
#[derive(Clone, Copy)]
pub(super) struct Canvas<'a> {
    pub(super) rgb: &'a [f32],
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Canvas<'_> {
    /// The part of it at a patch of pixels; beyond the picture its edges go on.
    pub(super) fn cut(&self, at: Patch) -> Result<Vec<f32>> {
        let mut out = zeros(3 * at.area(), "a tile")?;
        let planes = self.rgb.chunks_exact(self.width * self.height);
        for (target, plane) in out.chunks_exact_mut(at.area()).zip(planes) {
            for (y, line) in target.chunks_exact_mut(at.width).enumerate() {
                let row = &plane[(at.y + y).min(self.height - 1) * self.width..][..self.width];
                for (x, value) in line.iter_mut().enumerate() {
                    *value = row[(at.x + x).min(self.width - 1)];
                }
            }
        }
        Ok(out)
    }
}

/// Adds the share of a tile, which lies at a patch of pixels, to a picture of so many pixels: `out += across * down * (tile - base)`.
pub(super) fn add_share(
    out: &mut [f32],
    (width, height): (usize, usize),
    at: Patch,
    (tile, base): (&[f32], &[f32]),
    (across, down): (&[f32], &[f32]),
) {
    let tiles = tile.chunks_exact(at.area()).zip(base.chunks_exact(width * height));
    for (plane, (tile, base)) in out.chunks_exact_mut(width * height).zip(tiles) {
        for (y, down) in down.iter().enumerate().take(height.saturating_sub(at.y)) {
            let visible = at.width.min(width.saturating_sub(at.x));
            let place = (at.y + y) * width + at.x;
            let line = plane[place..][..visible].iter_mut().zip(&base[place..][..visible]);
            for ((value, base), (new, across)) in line.zip(tile[y * at.width..].iter().zip(across)) {
                *value += across * down * (new - base);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_go_on() {
        let rgb: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let canvas = Canvas { rgb: &rgb, width: 2, height: 2 };
        let part = canvas.cut(Patch { x: 1, y: 1, width: 2, height: 2 }).unwrap();
        assert_eq!(part[..4], [3.0; 4]);
        assert_eq!(part[8..], [11.0; 4]);
    }

    #[test]
    fn a_full_share_replaces() {
        let base = vec![0.5; 27];
        let mut out = base.clone();
        let at = Patch { x: 1, y: 1, width: 4, height: 4 };
        add_share(&mut out, (3, 3), at, (&[1.0; 48], &base), (&[1.0; 4], &[1.0; 4]));
        assert_eq!(out[..9], [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0]);
    }
}
