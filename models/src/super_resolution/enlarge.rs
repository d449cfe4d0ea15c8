//! An upscaler over a whole picture, cell by cell.

use std::borrow::Cow;

use super::Network;
use crate::layers::{Pool, Precision, Region};
use crate::picture::{room, zeros};
use crate::tiles::tile_by_tile;
use crate::{Picture, Result, Watch, planes};

/// Pixels on each side by which the cells of networks without a radius overlap their neighbours.
pub(super) const OVERLAP: usize = 16;

/// The smallest cells of such networks: no pixel then belongs to more than two in a row.
pub(super) const LEAST: usize = 2 * OVERLAP;

/// Enlarges a picture; three planes.
///
/// # Errors
/// A picture that does not fit its size, a `tile` of 0, too little memory, or what `watch` stopped with.
pub(crate) fn enlarge(net: &dyn Network, picture: Picture<'_>, tile: u32, watch: &mut dyn Watch) -> Result<Vec<f32>> {
    let squares = net.unshuffle();
    let (whole, rgb) = if squares == 1 {
        (picture.region()?, Cow::Borrowed(picture.rgb))
    } else {
        let (whole, planes) = unshuffled(picture, squares)?;
        (whole, Cow::Owned(planes))
    };
    // Cells of as many pixels of the picture as were asked for.
    let edge = if tile == 0 { 0 } else { (tile / squares as u32).max(1) };
    let out = match net.radius() {
        Some(radius) => exact(net, radius, &rgb, whole, edge, watch)?,
        None => blended(net, &rgb, whole, edge, watch)?,
    };
    let (width, height) = picture.size()?;
    let (scale, full) = (net.scale() / squares, whole.times(net.scale()));
    Ok(match (width * scale, height * scale) == full.of {
        true => out,
        false => planes::cut(&out, Region { right: width * scale, bottom: height * scale, ..full }),
    })
}

/// Cells with margins as wide as the network looks: the result is that of the whole picture.
fn exact(
    net: &dyn Network,
    radius: usize,
    rgb: &[f32],
    whole: Region,
    tile: u32,
    watch: &mut dyn Watch,
) -> Result<Vec<f32>> {
    let mut pool = Pool::default();
    let start = || net.base(rgb, whole.of.0);
    tile_by_tile(whole, tile, net.scale(), watch, start, |cell, out| {
        run(net, rgb, cell.grown(radius), cell, out, &mut pool)
    })
}

/// Runs the network on a part of the planes, once for each colour if it takes but one.
fn run(net: &dyn Network, rgb: &[f32], seen: Region, cell: Region, out: &mut [f32], pool: &mut Pool) -> Result<()> {
    let channels = net.colours() * net.unshuffle().pow(2);
    let (from, to) = (seen.of.0 * seen.of.1 * channels, seen.of.0 * seen.of.1 * net.scale().pow(2) * net.colours());
    for (planes, out) in rgb.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        let mut input = pool.map(seen, channels, Precision::F32)?;
        planes::fill(&mut input, planes, &[])?;
        net.enlarged(input, cell, pool, &mut |map, pool| {
            let values = map.here(pool)?;
            // The edge of the squares whose pixels are still channels.
            let square = (values.channels / net.colours()).isqrt();
            planes::add(&values, cell.times(net.scale() / square).within(values.region), square, out);
            pool.give(values);
            Ok(())
        })?;
    }
    Ok(())
}

/// Cells that overlap, each run as if it were a picture of its own. Where two overlap, one fades into the other.
fn blended(net: &dyn Network, rgb: &[f32], whole: Region, tile: u32, watch: &mut dyn Watch) -> Result<Vec<f32>> {
    let (mut pool, scale) = (Pool::default(), net.scale());
    // A tile of 0 is refused, as it is elsewhere.
    let edge = if tile == 0 { 0 } else { (tile as usize).max(LEAST) };
    let full = (rgb.len() / net.unshuffle().pow(2)).saturating_mul(scale * scale);
    let start = || zeros(full, "the enlarged picture");
    let side = u32::try_from(edge).unwrap_or(u32::MAX);
    // What is added to the neighbours of a cell is not in its part, so that parts that were kept are of no use here.
    let mut watch = Steps(watch);
    tile_by_tile(whole, side, scale, &mut watch, start, |cell, out| {
        let seen = cell.grown(OVERLAP);
        let planes = planes::cut(rgb, seen);
        let alone = Region::whole(seen.width(), seen.height());
        let mut values = net.base(&planes, alone.of.0)?;
        run(net, &planes, alone, alone, &mut values, &mut pool)?;
        fade_in(&values, seen.times(scale), cell.times(scale), OVERLAP * scale, out);
        Ok(())
    })
}

/// Adds the planes of `seen`, weighed down towards the sides where it overlaps others: by half where `cell` ends.
fn fade_in(values: &[f32], seen: Region, cell: Region, overlap: usize, out: &mut [f32]) {
    let weights = |first: usize, last: usize, (start, end): (usize, usize), of: usize| -> Vec<f32> {
        let share = |distance: usize| (distance as f32 + 0.5) / (2 * overlap) as f32;
        let weight = |at: usize| {
            let rising = if start == 0 { 1.0 } else { share(at + overlap - start).min(1.0) };
            let falling = if end == of { 1.0 } else { share(end + overlap - 1 - at).min(1.0) };
            rising * falling
        };
        (first..last).map(weight).collect()
    };
    let across = weights(seen.left, seen.right, (cell.left, cell.right), seen.of.0);
    let down = weights(seen.top, seen.bottom, (cell.top, cell.bottom), seen.of.1);
    let planes = values.chunks_exact(seen.width() * seen.height());
    for (plane, out) in planes.zip(out.chunks_exact_mut(seen.of.0 * seen.of.1)) {
        for ((y, row), weight) in (seen.top..).zip(plane.chunks_exact(seen.width())).zip(&down) {
            let out = &mut out[y * seen.of.0..][seen.left..seen.right];
            for ((out, value), share) in out.iter_mut().zip(row).zip(&across) {
                *out += value * share * weight;
            }
        }
    }
}

/// A watch that is told of steps, and keeps nothing.
struct Steps<'a>(&'a mut dyn Watch);

impl Watch for Steps<'_> {
    fn step(&mut self, done: u64, total: u64) -> Result<()> {
        self.0.step(done, total)
    }
}

/// The pixels of squares as the channels of one: plane c * edge * edge + y * edge + x holds colour c of row y and column x of each
/// square. What is missing to full squares is mirrored, the last pixel left out.
fn unshuffled(picture: Picture<'_>, edge: usize) -> Result<(Region, Vec<f32>)> {
    let (width, height) = picture.size()?;
    let (wide, high) = (width.div_ceil(edge), height.div_ceil(edge));
    let mirrored = |at: usize, of: usize| if at < of { at } else { (2 * of).saturating_sub(2 + at).min(of - 1) };
    let len = (wide * high).saturating_mul(3 * edge * edge);
    let mut planes = room(len, "the picture in squares")?;
    for plane in picture.rgb.chunks_exact(width * height) {
        for place in 0..edge * edge {
            for y in 0..high {
                let row = &plane[mirrored(y * edge + place / edge, height) * width..][..width];
                planes.extend((0..wide).map(|x| row[mirrored(x * edge + place % edge, width)]));
            }
        }
    }
    let origin = (picture.origin.0 as usize / edge, picture.origin.1 as usize / edge);
    Ok((Region::whole(wide, high).at(origin), planes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_pixel_add_up_to_one() {
        for (width, height) in [(100, 37), (64, 65), (33, 200)] {
            let whole = Region::whole(width, height);
            let mut out = vec![0.0; width * height];
            for cell in whole.cells(LEAST) {
                let seen = cell.grown(OVERLAP);
                fade_in(&vec![1.0; seen.width() * seen.height()], seen, cell, OVERLAP, &mut out);
            }
            assert!(out.iter().all(|value| (value - 1.0).abs() < 1e-6), "{width}x{height}: {out:?}");
        }
    }

    #[test]
    fn squares_become_channels() {
        let rgb: Vec<f32> = (0..3 * 3 * 2).map(|i| i as f32).collect();
        let (region, planes) = unshuffled(Picture::new(3, 2, &rgb).unwrap(), 2).unwrap();
        assert_eq!((region.of, planes.len()), ((2, 1), 24));
        // Column 3 mirrors column 1.
        assert_eq!(planes[..8], [0.0, 2.0, 1.0, 1.0, 3.0, 5.0, 4.0, 4.0]);
    }
}
