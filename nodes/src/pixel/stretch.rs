//! Resampling to another size, of a part as of the whole: every sample depends on its place alone.

use super::{
    resample::Filter,
    {room, zeros},
};
use engine::{
    NodeResult,
    value::{Rect, Size},
};
use rayon::prelude::*;
use std::{f64::consts::PI, ops::Range};

/// So many samples are summed up at a time: sums of thousands in one go would lose digits.
const SUMMED: usize = 64;

/// What is resampled, and how far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The size of the whole picture.
    pub frame: Size,
    /// The part of it that the samples show. Samples of the result that look beyond it are as they would be at the edge of
    /// a picture.
    pub seen: Rect,
    /// The size that the whole picture becomes.
    pub to: Size,
    /// The part of that which is wanted.
    pub part: Rect,
}

impl Window {
    /// The whole.
    pub(crate) fn whole(from: Size, to: Size) -> Self {
        Self { frame: from, seen: from.rect(), to, part: to.rect() }
    }

    /// How many samples of the picture a sample of the result looks at, to either side, where `from` become `to`.
    pub(crate) fn reach(filter: Filter, from: u32, to: u32) -> u32 {
        let scale = f64::from(from) / f64::from(to.max(1));
        (filter.support() * scale.max(1.0)).ceil() as u32 + 1
    }
}

impl Filter {
    /// How far it looks at most, in samples of the larger grid.
    fn support(self) -> f64 {
        match self {
            Self::Lanczos3 => 3.0,
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
            Self::Area | Self::Nearest => 0.5,
        }
    }

    /// The weight of a sample at this distance.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Lanczos3 if x >= 3.0 => 0.0,
            Self::Lanczos3 if x < 1e-9 => 1.0,
            Self::Lanczos3 => 3.0 * (PI * x).sin() * (PI * x / 3.0).sin() / (PI * x).powi(2),
            // Catmull and Rom's.
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Bicubic => 0.0,
            Self::Bilinear => (1.0 - x).max(0.0),
            // Half open: of two samples that are equally far one counts.
            Self::Area | Self::Nearest => f64::from(u8::from((-0.5..0.5).contains(&distance))),
        }
    }
}

/// The samples that one sample of the result is the weighed mean of.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

/// The taps of the samples `part` when `from` samples become `to`, of which those of `seen` are there. Reductions take the
/// mean over what a sample covers.
fn taps(filter: Filter, from: u32, to: u32, seen: Range<u32>, part: Range<u32>) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to.max(1));
    let stretch = if filter == Filter::Nearest { 1.0 } else { scale.max(1.0) };
    let width = filter.support() * stretch;
    let (start, end) = (f64::from(seen.start), f64::from(seen.end));
    part.map(|at| {
        let centre = (f64::from(at) + 0.5) * scale;
        let first = (centre - width).floor().clamp(start, end) as usize;
        let last = (centre + width).ceil().clamp(start, end) as usize;
        let weigh = |i: usize| filter.weight((i as f64 + 0.5 - centre) / stretch);
        // What weighs nothing is not looked at: it may be no number.
        let first = (first..last).find(|&i| weigh(i) != 0.0).unwrap_or(last);
        let last = (first..last).rfind(|&i| weigh(i) != 0.0).map_or(first, |i| i + 1);
        let sum: f64 = (first..last).map(weigh).sum();
        if sum == 0.0 {
            let nearest = centre.floor().clamp(start, (end - 1.0).max(start)) as usize;
            return Taps { first: nearest, weights: vec![1.0] };
        }
        Taps { first, weights: (first..last).map(|i| (weigh(i) / sum) as f32).collect() }
    })
    .collect()
}

/// The wanted part of a plane at another size. Filters with negative weights may leave the range of the input.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn plane(samples: &[f32], window: &Window, filter: Filter) -> NodeResult<Vec<f32>> {
    let mut out = zeros(window.part.size().pixels())?;
    plane_into(samples, window, filter, &mut out)?;
    Ok(out)
}

/// Like [`plane`], into a plane that is there already.
pub(crate) fn plane_into(samples: &[f32], window: &Window, filter: Filter, out: &mut [f32]) -> NodeResult<()> {
    let Window { frame, seen, to, part } = *window;
    let across = taps(filter, frame.width, to.width, seen.x..seen.right(), part.x..part.right());
    let down = taps(filter, frame.height, to.height, seen.y..seen.bottom(), part.y..part.bottom());
    let (Some(first), Some(last)) = (down.iter().map(|t| t.first).min(), down.iter().map(Taps::end).max()) else {
        return room(0).map(drop);
    };
    let (width, stride) = (part.width as usize, seen.width as usize);
    let mut rows = zeros((last - first) * width)?;
    rows.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
        let source = &samples[(first + y - seen.y as usize) * stride..][..stride];
        for (v, taps) in row.iter_mut().zip(&across) {
            let seen = &source[taps.first - seen.x as usize..];
            let sum = |(weights, samples): (&[f32], &[f32])| {
                weights.iter().zip(samples).fold(0.0, |sum, (weight, sample)| sum + weight * sample)
            };
            *v = taps.weights.chunks(SUMMED).zip(seen.chunks(SUMMED)).map(sum).fold(0.0, |all, part| all + part);
        }
    });
    out.par_chunks_mut(width.max(1)).zip(&down).for_each(|(row, taps)| {
        row.fill(0.0);
        let mut sum = vec![0f32; width];
        for (number, weights) in taps.weights.chunks(SUMMED).enumerate() {
            sum.fill(0.0);
            for (i, weight) in weights.iter().enumerate() {
                let source = &rows[(taps.first + number * SUMMED + i - first) * width..][..width];
                sum.iter_mut().zip(source).for_each(|(v, sample)| *v += weight * sample);
            }
            row.iter_mut().zip(&sum).for_each(|(v, sum)| *v += sum);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const FILTERS: [Filter; 5] = [Filter::Lanczos3, Filter::Bicubic, Filter::Bilinear, Filter::Area, Filter::Nearest];

    fn cut(plane: &[f32], size: Size, rect: Rect) -> Vec<f32> {
        let row = |y: u32| &plane[(y * size.width + rect.x) as usize..][..rect.width as usize];
        (rect.y..rect.bottom()).flat_map(row).copied().collect()
    }

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let from = Size::new(87, 63);
        let samples = testing::noise(from, 3).plane(0).to_vec();
        for to in [Size::new(261, 189), Size::new(65, 47), Size::new(100, 50), from, Size::new(19, 11)] {
            for filter in FILTERS {
                let whole = plane(&samples, &Window::whole(from, to), filter).unwrap();
                let part = Rect { x: to.width / 3, y: to.height / 4, width: to.width / 2, height: to.height / 2 };
                let window = Window { part, ..Window::whole(from, to) };
                let expected = cut(&whole, to, part);
                assert_eq!(plane(&samples, &window, filter).unwrap(), expected, "{filter:?} {to}");
                // The same with no more of the picture than is looked at.
                let reach =
                    Window::reach(filter, from.width, to.width).max(Window::reach(filter, from.height, to.height));
                let seen = part.behind(from, to).grown(reach, from);
                assert!(to.width < 40 || seen != from.rect());
                let window = Window { seen, ..window };
                assert_eq!(plane(&cut(&samples, from, seen), &window, filter).unwrap(), expected, "{filter:?} {to}");
            }
        }
    }

    #[test]
    fn flat_planes_stay_flat_and_the_same_size_is_the_same_plane() {
        let from = Size::new(31, 17);
        let samples = testing::noise(from, 3).plane(0).to_vec();
        for filter in FILTERS {
            let same = plane(&samples, &Window::whole(from, from), filter).unwrap();
            let worst = same.iter().zip(&samples).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{filter:?}: {worst}");
        }
    }
}
