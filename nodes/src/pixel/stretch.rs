//! Linear interpolation to another size, of a part as of the whole: every sample depends on its place alone.

use super::{room, zeros};
use engine::{
    NodeResult,
    value::{Rect, Size},
};
use rayon::prelude::*;

/// The samples that one sample of the result is the weighed mean of.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// The taps of the samples `range` when `from` samples become `to`. Reductions take the mean over what a sample covers.
fn taps(from: u32, to: u32, range: std::ops::Range<u32>) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to.max(1));
    let width = scale.max(1.0);
    range
        .map(|at| {
            let centre = (f64::from(at) + 0.5) * scale;
            let first = (centre - width).floor().max(0.0) as usize;
            let last = ((centre + width).ceil() as usize).min(from as usize);
            let weigh = |i: usize| (1.0 - ((i as f64 + 0.5 - centre) / width).abs()).max(0.0);
            let sum: f64 = (first..last).map(weigh).sum();
            Taps { first, weights: (first..last).map(|i| (weigh(i) / sum) as f32).collect() }
        })
        .collect()
}

/// The part of a plane at another size that lies in `part` of it.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn plane(samples: &[f32], from: Size, to: Size, part: Rect) -> NodeResult<Vec<f32>> {
    let across = taps(from.width, to.width, part.x..part.right());
    let down = taps(from.height, to.height, part.y..part.bottom());
    let mean = |taps: &Taps, sample: &dyn Fn(usize) -> f32| -> f32 {
        taps.weights.iter().enumerate().map(|(i, weight)| weight * sample(taps.first + i)).sum()
    };
    let (first, last) = match (down.first(), down.last()) {
        (Some(first), Some(last)) => (first.first, last.first + last.weights.len()),
        _ => return room(0),
    };
    let width = part.width as usize;
    let mut rows = zeros((last - first) * width)?;
    rows.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
        let source = &samples[(first + y) * from.width as usize..][..from.width as usize];
        row.iter_mut().zip(&across).for_each(|(v, taps)| *v = mean(taps, &|i| source[i]));
    });
    let mut out = zeros(part.size().pixels())?;
    out.par_chunks_mut(width.max(1)).zip(&down).for_each(|(row, taps)| {
        row.iter_mut().enumerate().for_each(|(x, v)| *v = mean(taps, &|i| rows[(i - first) * width + x]));
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        pixel::resample::{self, Filter},
        testing,
    };

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let from = Size::new(37, 23);
        let samples = testing::noise(from, 3).plane(0).to_vec();
        for to in [Size::new(111, 69), Size::new(50, 80), Size::new(37, 23), Size::new(9, 5)] {
            let whole = plane(&samples, from, to, to.rect()).unwrap();
            let usual = resample::plane(&samples, from, to, Filter::Bilinear).unwrap();
            let worst = whole.iter().zip(&usual).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{to}: {worst}");
            let rect = Rect { x: to.width / 3, y: to.height / 4, width: to.width / 2, height: to.height / 2 };
            let part = plane(&samples, from, to, rect).unwrap();
            let cut: Vec<f32> = (rect.y..rect.bottom())
                .flat_map(|y| (rect.x..rect.right()).map(move |x| (y * to.width + x) as usize))
                .map(|at| whole[at])
                .collect();
            assert_eq!(part, cut, "{to}");
        }
    }
}
