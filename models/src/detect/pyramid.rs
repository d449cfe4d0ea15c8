//! Pictures of any size through networks that look at squares: in several sizes, square by square.

use std::ops::Range;

use rayon::prelude::*;

use super::Found;
use crate::layers::{Map, Pool, Precision, Region};
use crate::picture::zeros;
use crate::{Picture, Result};

/// A network that finds things in squares.
pub(super) trait Sight: Send + Sync {
    /// Edge of the squares, in pixels.
    fn edge(&self) -> usize;

    /// What the sides of a square must be multiples of, where it may be smaller.
    fn align(&self) -> usize;

    /// Pixels of the closest level per pixel of the picture: 1 looks at every pixel, less at smaller pictures only.
    fn closest(&self) -> f32;

    /// Whether it sees squares of one size only: smaller pictures are enlarged, and lie in the middle.
    fn fixed(&self) -> bool {
        self.align() == self.edge()
    }

    /// How it wants a pixel: red, green and blue, 0 to 1. What lies beyond the picture is black.
    fn pixel(&self, rgb: [f32; 3]) -> [f32; 3];

    /// Everything in a square.
    ///
    /// # Errors
    /// When there is no memory for its maps.
    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>>;

    /// How sure it is of what it found in a part of the picture, and not in all of it.
    fn closer(&self, confidence: f32) -> f32 {
        confidence
    }

    /// The whole of something of which a part was found.
    fn whole(&self, found: Found) -> Found {
        found
    }
}

/// Overlap that counts two boxes of one size as one thing.
const SAME: f32 = 0.3;
/// Share of the smaller box that counts two boxes of different sizes as one thing.
const WITHIN: f32 = 0.7;
/// Squares overlap by this part of their edge, so that what fits into it is whole in one of them.
const OVERLAP: usize = 4;
/// A box that comes so close to a cut is a part of something that another square shows whole.
const CUT: f32 = 2.0;

/// Everything in a picture, the surest first; boxes are cut at the sides of the picture.
pub(super) fn find(sight: &dyn Sight, picture: Picture<'_>) -> Result<Vec<Found>> {
    let (width, height) = picture.size()?;
    let mut pool = Pool::default();
    let mut all = Vec::new();
    for (level, scale) in scales(sight, width.max(height)).into_iter().enumerate() {
        let side = |of: usize| ((of as f32 * scale).round() as usize).max(1);
        let size = (side(width), side(height));
        let resized = if size == (width, height) { None } else { Some(resized(picture.rgb, (width, height), size)?) };
        let planes = resized.as_deref().unwrap_or(picture.rgb);
        let back = (width as f32 / size.0 as f32, height as f32 / size.1 as f32);
        let before =
            if sight.fixed() { [size.0, size.1].map(|side| sight.edge().saturating_sub(side) / 2) } else { [0; 2] };
        let middle = (-(before[0] as f32), -(before[1] as f32));
        for (top, bottom) in spans(size.1, sight.edge()) {
            for (left, right) in spans(size.0, sight.edge()) {
                let square = square(sight, planes, size, before, (left..right, top..bottom), &mut pool)?;
                let whole = |found: &Found| {
                    let clear = |from: f32, to: f32, start: usize, end: usize, of: usize| {
                        (start == 0 || from >= CUT) && (end == of || to <= (end - start) as f32 - CUT)
                    };
                    clear(found.x, found.x + found.width, left, right, size.0)
                        && clear(found.y, found.y + found.height, top, bottom, size.1)
                };
                let found = sight.look(square, &mut pool)?.into_iter().map(|found| found.placed(middle, (1.0, 1.0)));
                all.extend(found.filter(whole).map(|mut found| {
                    if level > 0 {
                        found.confidence = sight.closer(found.confidence);
                    }
                    (level, found.placed((left as f32, top as f32), back))
                }));
            }
        }
    }
    let mut found: Vec<Found> = distinct(all).into_iter().map(|found| sight.whole(found)).collect();
    found.retain_mut(|found| found.cut((width as f32, height as f32)));
    Ok(found)
}

/// Pixels of each level per pixel of the picture, the coarsest first: one square shows all, and then twice as close each time.
fn scales(sight: &dyn Sight, longest: usize) -> Vec<f32> {
    let mut scale = sight.edge() as f32 / longest as f32;
    if !sight.fixed() {
        scale = scale.min(1.0);
    }
    let mut scales = vec![scale];
    while scale < sight.closest() {
        scale = (2.0 * scale).min(sight.closest());
        scales.push(scale);
    }
    scales
}

/// Where squares begin and end along a side.
fn spans(length: usize, edge: usize) -> Vec<(usize, usize)> {
    if length <= edge {
        return vec![(0, length)];
    }
    let count = (length - edge).div_ceil(edge - edge / OVERLAP) + 1;
    // Spread evenly, so that the last one is no thin strip.
    (0..count).map(|i| (length - edge) * i / (count - 1)).map(|start| (start, start + edge)).collect()
}

/// A part of a level as its network wants it; what lies around it is black.
fn square(
    sight: &dyn Sight,
    planes: &[f32],
    (width, height): (usize, usize),
    before: [usize; 2],
    (columns, rows): (Range<usize>, Range<usize>),
    pool: &mut Pool,
) -> Result<Map> {
    let side = |length: usize| length.next_multiple_of(sight.align());
    let mut map = pool.map(Region::whole(side(columns.len()), side(rows.len())), 3, Precision::F32)?;
    let place = |at: usize, before: usize, of: &Range<usize>| {
        at.checked_sub(before).filter(|at| *at < of.len()).map(|at| of.start + at)
    };
    map.write(|y, row| {
        let y = place(y, before[1], &rows);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let colour = |c: usize| match (place(x, before[0], &columns), y) {
                // What is no number counts as black.
                #[allow(clippy::manual_clamp, reason = "a clamp keeps what is no number")]
                (Some(x), Some(y)) => planes[(c * height + y) * width + x].max(0.0).min(1.0),
                _ => 0.0,
            };
            pixel.copy_from_slice(&sight.pixel([colour(0), colour(1), colour(2)]));
        }
    })?;
    Ok(map)
}

/// Drops what was found more than once: the surer one stays.
fn distinct(mut all: Vec<(usize, Found)>) -> Vec<Found> {
    all.sort_by(|(_, a), (_, b)| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<(usize, Found)> = Vec::new();
    for (level, found) in all {
        let same = |(other, known): &(usize, Found)| {
            let common = known.common(&found);
            let (a, b) = (known.area(), found.area());
            common > SAME * (a + b - common) || (*other != level && common > WITHIN * a.min(b))
        };
        if !kept.iter().any(same) {
            kept.push((level, found));
        }
    }
    kept.into_iter().map(|(_, found)| found).collect()
}

/// Three planes at another size: the mean of what a pixel covers where the picture shrinks, between neighbours where it grows.
fn resized(planes: &[f32], (width, height): (usize, usize), to: (usize, usize)) -> Result<Vec<f32>> {
    let (across, down) = (Weights::along(width, to.0), Weights::along(height, to.1));
    let mut out = zeros(3 * to.0 * to.1, "a smaller picture")?;
    out.par_chunks_exact_mut(to.0).enumerate().with_min_len(8).for_each_init(
        || vec![0.0; width],
        |line, (row, out)| {
            let (plane, y) = (&planes[row / to.1 * width * height..][..width * height], row % to.1);
            line.fill(0.0);
            for (y, weight) in down[y].iter() {
                line.iter_mut().zip(&plane[y * width..]).for_each(|(sum, value)| *sum += weight * value);
            }
            for (value, weights) in out.iter_mut().zip(&across) {
                *value = weights.iter().map(|(x, weight)| weight * line[x]).sum();
            }
        },
    );
    Ok(out)
}

/// Which input pixels an output pixel is made of, with weights that sum to one: a tent as wide as what it covers where the picture
/// shrinks, linear interpolation where it grows.
pub(super) struct Weights {
    first: usize,
    weights: Vec<f32>,
}

impl Weights {
    /// Those of all pixels along a side.
    pub(super) fn along(from: usize, to: usize) -> Vec<Self> {
        let step = from as f32 / to as f32;
        let reach = step.max(1.0);
        let weights = |i: usize| {
            let centre = (i as f32 + 0.5) * step - 0.5;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor().max(0.0) as usize).min(from - 1);
            let first = first.min(last);
            let mut weights: Vec<f32> =
                (first..=last).map(|x| (1.0 - (x as f32 - centre).abs() / reach).max(1e-6)).collect();
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Self { first, weights }
        };
        (0..to).map(weights).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f32)> {
        (self.first..).zip(self.weights.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds white squares of at least 8 pixels, by their outlines.
    struct White;

    impl Sight for White {
        fn edge(&self) -> usize {
            64
        }
        fn align(&self) -> usize {
            16
        }
        fn closest(&self) -> f32 {
            1.0
        }
        fn pixel(&self, rgb: [f32; 3]) -> [f32; 3] {
            rgb
        }
        fn look(&self, square: Map, _: &mut Pool) -> Result<Vec<Found>> {
            let (width, height) = (square.region.width(), square.region.height());
            assert!(width.is_multiple_of(16) && height.is_multiple_of(16) && width <= 64 && height <= 64);
            let white = |x: usize, y: usize| square.pixels(x, y, 1)[0] > 0.6;
            let mut found = Vec::new();
            for y in 0..height {
                for x in 0..width {
                    let begins = white(x, y) && (x == 0 || !white(x - 1, y)) && (y == 0 || !white(x, y - 1));
                    let (across, down) = (
                        (x..width).take_while(|x| white(*x, y)).count(),
                        (y..height).take_while(|y| white(x, *y)).count(),
                    );
                    if begins && across.min(down) >= 8 {
                        let (width, height) = (across as f32, down as f32);
                        found.push(Found { x: x as f32, y: y as f32, width, height, ..Found::default() });
                    }
                }
            }
            Ok(found)
        }
    }

    fn picture(size: (usize, usize), squares: &[(usize, usize, usize)]) -> Vec<f32> {
        let mut rgb = vec![0.0; 3 * size.0 * size.1];
        for (i, value) in rgb.iter_mut().enumerate() {
            let (x, y) = (i % size.0, i / size.0 % size.1);
            let inside = |s: &(usize, usize, usize)| (s.0..s.0 + s.2).contains(&x) && (s.1..s.1 + s.2).contains(&y);
            *value = if squares.iter().any(inside) { 1.0 } else { 0.0 };
        }
        rgb
    }

    #[test]
    fn large_and_small_things_are_found_once() {
        // Small ones on cuts between squares, and one that is larger than any square.
        let squares = [(60, 10, 9), (100, 44, 12), (5, 95, 150), (290, 60, 10), (291, 239, 9)];
        let rgb = picture((300, 248), &squares);
        let found = find(&White, Picture::new(300, 248, &rgb).unwrap()).unwrap();
        assert_eq!(found.len(), squares.len(), "{found:?}");
        for (x, y, edge) in squares {
            let near = |found: &Found| {
                let off =
                    [found.x - x as f32, found.y - y as f32, found.width - edge as f32, found.height - edge as f32];
                off.iter().all(|off| off.abs() <= 10.0)
            };
            assert!(found.iter().any(near), "{x} {y} {edge} in {found:?}");
        }
    }

    #[test]
    fn squares_cover_a_side() {
        for length in [1, 63, 64, 65, 100, 112, 113, 1000] {
            let spans = spans(length, 64);
            assert_eq!((spans[0].0, spans.last().map(|span| span.1)), (0, Some(length)));
            assert!(spans.windows(2).all(|pair| pair[1].0 > pair[0].0 && pair[1].0 + 16 <= pair[0].1), "{spans:?}");
        }
    }

    #[test]
    fn resizing_keeps_flat_areas() {
        for to in [(7, 3), (20, 12), (41, 30)] {
            let out = resized(&[0.25; 3 * 20 * 12], (20, 12), to).unwrap();
            assert!(out.len() == 3 * to.0 * to.1 && out.iter().all(|value| (value - 0.25).abs() < 1e-6));
        }
    }
}
