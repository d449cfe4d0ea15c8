//! Cells of planes that lie one after the other: cut out and put back, as feature maps, and from feature maps.

use rayon::prelude::*;

use crate::Result;
use crate::layers::{Map, Region};
use crate::picture::zeros;

/// The values of a cell, plane by plane.
pub(crate) fn cut(planes: &[f32], cell: Region) -> Vec<f32> {
    let plane = cell.of.0 * cell.of.1;
    let mut values = vec![0.0; planes.len() / plane * cell.width() * cell.height()];
    values.par_chunks_exact_mut(cell.width().max(1)).enumerate().with_min_len(32).for_each(|(i, row)| {
        let (c, y) = (i / cell.height(), cell.top + i % cell.height());
        row.copy_from_slice(&planes[c * plane + y * cell.of.0..][cell.left..cell.right]);
    });
    values
}

/// Takes [`cut`] back.
pub(crate) fn paste(values: &[f32], cell: Region, planes: &mut [f32]) {
    let mut rows = values.chunks_exact(cell.width());
    for plane in planes.chunks_exact_mut(cell.of.0 * cell.of.1) {
        for (y, row) in (cell.top..cell.bottom).zip(&mut rows) {
            plane[y * cell.of.0..][cell.left..cell.right].copy_from_slice(row);
        }
    }
}

/// Fills a map with its part of planes, and the channels behind them with the same values everywhere.
pub(crate) fn fill(input: &mut Map, planes: &[f32], others: &[f32]) -> Result<()> {
    let Region { left, top, right, of: (width, height), .. } = input.region;
    let (plane, channels) = (width * height, input.channels);
    assert_eq!(planes.len() + others.len() * plane, channels * plane, "a value for each channel");
    input.write(|y, row| {
        let at = (top + y) * width;
        for (c, plane) in planes.chunks_exact(plane).enumerate() {
            let values = row[c..].iter_mut().step_by(channels);
            values.zip(&plane[at + left..at + right]).for_each(|(value, from)| *value = *from);
        }
        for pixel in row.chunks_exact_mut(channels) {
            pixel[channels - others.len()..].copy_from_slice(others);
        }
    })
}

/// Adds the result of one cell, before the pixel shuffle, to the enlarged picture: channel c * s * s + i * s + j is row i,
/// column j of plane c.
pub(crate) fn add(residual: &Map, cell: Region, scale: usize, out: &mut [f32]) {
    let from = residual.region;
    debug_assert!(from.contains(cell));
    let (wide, high) = (cell.of.0 * scale, cell.of.1 * scale);
    for (c, plane) in out.chunks_exact_mut(wide * high).enumerate() {
        let rows = &mut plane[cell.top * scale * wide..cell.bottom * scale * wide];
        rows.par_chunks_exact_mut(wide).enumerate().with_min_len(16).for_each(|(y, row)| {
            let line = residual.pixels(cell.left - from.left, cell.top + y / scale - from.top, cell.width());
            let first = (c * scale + y % scale) * scale;
            let (row, line) = (&mut row[cell.left * scale..cell.right * scale], (&*line, residual.channels, first));
            // Loops of a known length are several times as fast.
            match scale {
                1 => add_groups::<1>(row, line),
                2 => add_groups::<2>(row, line),
                3 => add_groups::<3>(row, line),
                4 => add_groups::<4>(row, line),
                _ => row.chunks_exact_mut(scale).enumerate().for_each(|(x, group)| {
                    let values = &line.0[x * line.1 + first..][..scale];
                    group.iter_mut().zip(values).for_each(|(value, residual)| *value += residual);
                }),
            }
        });
    }
}

/// Adds some channels of each pixel, from channel `first` on, to as many values that lie side by side.
fn add_groups<const S: usize>(row: &mut [f32], (line, channels, first): (&[f32], usize, usize)) {
    let (groups, _) = row.as_chunks_mut::<S>();
    for (group, pixel) in groups.iter_mut().zip(line.chunks_exact(channels)) {
        if let Some(values) = pixel[first..].first_chunk::<S>() {
            (0..S).for_each(|i| group[i] += values[i]);
        }
    }
}

/// Planes of rows of `width` values, each pixel `scale` x `scale` times.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn nearest(planes: &[f32], width: usize, scale: usize) -> Result<Vec<f32>> {
    let mut out = zeros(planes.len().saturating_mul(scale * scale), "the enlarged picture")?;
    let wide = width * scale;
    out.par_chunks_exact_mut((wide * scale).max(1)).zip(planes.par_chunks_exact(width.max(1))).for_each(
        |(lines, row)| {
            let (first, others) = lines.split_at_mut(wide);
            first.chunks_exact_mut(scale).zip(row).for_each(|(group, value)| group.fill(*value));
            others.chunks_exact_mut(wide).for_each(|line| line.copy_from_slice(first));
        },
    );
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_and_put_back() {
        let cell = Region { left: 1, top: 2, right: 4, bottom: 4, ..Region::whole(5, 4) };
        let planes: Vec<f32> = (0..60).map(|i| i as f32).collect();
        let values = cut(&planes, cell);
        assert_eq!(values[..4], [11.0, 12.0, 13.0, 16.0]);
        assert_eq!(values.len(), 18);
        let mut other = vec![-1.0; 60];
        paste(&values, cell, &mut other);
        for (i, (a, b)) in planes.iter().zip(&other).enumerate() {
            let (x, y) = (i % 5, i / 5 % 4);
            assert_eq!(*b, if (1..4).contains(&x) && (2..4).contains(&y) { *a } else { -1.0 });
        }
    }
}
