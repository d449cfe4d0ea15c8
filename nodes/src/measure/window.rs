//! Where to look: a picture in windows, all of a small one, evenly chosen parts of a large one.

use engine::value::{Image, Rect, Size};

/// Pixels that are looked at, at most; more would not make the measures better, only slower.
pub const ENOUGH: u64 = 1 << 20;

/// Edge of a window in pixels, about.
const EDGE: u32 = 128;

/// One window: the colour planes and the luma of a part of a picture, in 8-bit steps (0 to 255).
#[derive(Clone, Debug)]
pub struct Window {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue.
    pub rgb: [Vec<f32>; 3],
    /// BT.601 luma.
    pub luma: Vec<f32>,
}

impl Window {
    /// Cuts a window. Samples that are not numbers count as black.
    pub fn cut(image: &Image, rect: Rect) -> Self {
        let stride = image.size().width as usize;
        let plane = |c: usize| -> Vec<f32> {
            let source = image.plane(c);
            (rect.y..rect.bottom())
                .flat_map(|y| {
                    let start = y as usize * stride + rect.x as usize;
                    source[start..start + rect.width as usize].iter()
                })
                .map(|&v| if v.is_finite() { v.clamp(0.0, 1.0) * 255.0 } else { 0.0 })
                .collect()
        };
        let rgb = [plane(0), plane(1), plane(2)];
        let luma = rgb[0].iter().zip(&rgb[1]).zip(&rgb[2]).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b);
        Self { width: rect.width as usize, height: rect.height as usize, luma: luma.collect(), rgb }
    }

    /// Whether a sample of the 8x8 block at (`x`, `y`) is clipped in a colour plane.
    pub fn clipped(&self, x: usize, y: usize) -> bool {
        self.rgb.iter().any(|plane| {
            (y..y + 8).any(|row| {
                let start = row * self.width + x;
                plane[start..start + 8].iter().any(|&v| v <= 0.25 || v >= 254.75)
            })
        })
    }
}

/// The windows of a picture: they cover it, or when it has more than [`ENOUGH`] pixels, as many evenly spread ones as
/// together have about so many. All start at multiples of 8, so that every window sees the blocks of a JPEG at the
/// same phase.
pub fn choose(size: Size) -> Vec<Rect> {
    let cuts = |length: u32| -> Vec<(u32, u32)> {
        let n = length.div_ceil(EDGE).max(1);
        let at = |i: u32| if i == n { length } else { (u64::from(i) * u64::from(length) / u64::from(n)) as u32 & !7 };
        (0..n).map(|i| (at(i), at(i + 1) - at(i))).collect()
    };
    let (columns, rows) = (cuts(size.width), cuts(size.height));
    let all = columns.len() as u64 * rows.len() as u64;
    let wanted = if size.area() <= ENOUGH { all } else { (ENOUGH / u64::from(EDGE * EDGE)).min(all).max(1) };
    // One cell out of each of as many equal stretches of the rows of cells.
    (0..wanted)
        .map(|i| if wanted == all { i } else { spread(i, wanted, all, columns.len() as u64) })
        .map(|cell| {
            let (x, width) = columns[(cell % columns.len() as u64) as usize];
            let (y, height) = rows[(cell / columns.len() as u64) as usize];
            Rect { x, y, width, height }
        })
        .collect()
}

/// The `i`-th of `wanted` cells out of `all`: stratified row by row, shifted in each stratum so that columns vary too.
fn spread(i: u64, wanted: u64, all: u64, columns: u64) -> u64 {
    let (start, end) = (i * all / wanted, (i + 1) * all / wanted);
    let room = (end - start).max(1);
    // A fixed odd multiplier walks through the places of a stratum without following the columns.
    (start + (i * 7 + i / columns.max(1)) % room).min(all - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pictures_are_covered() {
        for (w, h) in [(1, 1), (7, 9), (129, 500), (768, 512), (20000, 1)] {
            let windows = choose(Size::new(w, h));
            let area: u64 = windows.iter().map(|r| r.size().area()).sum();
            assert_eq!(area, u64::from(w) * u64::from(h), "{w}x{h}");
            assert!(windows.iter().all(|r| r.x % 8 == 0 && r.y % 8 == 0));
        }
    }

    #[test]
    fn large_pictures_are_sampled_evenly() {
        let windows = choose(Size::new(6000, 4000));
        assert_eq!(windows.len(), 64);
        for (i, r) in windows.iter().enumerate() {
            assert!(r.right() <= 6000 && r.bottom() <= 4000 && !windows[..i].contains(r));
        }
        let left = windows.iter().filter(|r| r.x < 3000).count();
        let upper = windows.iter().filter(|r| r.y < 2000).count();
        assert!((20..=44).contains(&left) && (28..=36).contains(&upper), "{left} {upper}");
    }
}
