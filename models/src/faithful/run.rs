//! The network over a whole picture.

use rayon::prelude::*;

use super::net::Net;
use crate::layers::{Map, Pool, Precision, Region};
use crate::{DamageCondition, Error, Factor, Picture, Result, Watch, bicubic, planes};

/// See [`super::Faithful::enlarge`].
pub(super) fn enlarge(
    net: &Net,
    picture: Picture<'_>,
    damage: DamageCondition,
    factor: Factor,
    tile: u32,
    watch: &mut dyn Watch,
) -> Result<Vec<f32>> {
    let (width, height) = picture.size()?;
    if tile == 0 {
        return Err(Error::Setting { name: "tile", value: "0".into(), hint: "a tile has at least one pixel" });
    }
    let (whole, tile) = (Region::whole(width, height), tile as usize);
    let total = whole.count(tile);

    watch.step(0, total)?;
    let mut out = bicubic(picture, factor)?;
    let mut pool = Pool::default();
    for (cell, done) in whole.cells(tile).zip(1..) {
        let pixels = cell.times(factor.get() as usize);
        let part = pixels.part(0);
        if let Some(values) = watch.recall(part).filter(|values| values.len() == part.len()) {
            planes::paste(&values, pixels, &mut out);
            watch.step(done, total)?;
            continue;
        }
        let mut input = pool.map(cell.grown(net.radius()), Net::INPUTS, Precision::F32)?;
        fill(&mut input, picture.rgb, damage.planes())?;
        let residual = net.residual(&input, factor, &mut pool)?;
        pool.give(input);
        add(&residual, cell, factor.get() as usize, &mut out);
        pool.give(residual);
        watch.keep(part, &|| planes::cut(&out, pixels));
        watch.step(done, total)?;
    }
    Ok(out)
}

/// Cuts the input of the network out of the picture.
fn fill(input: &mut Map, rgb: &[f32], damage: [f32; 3]) -> Result<()> {
    let Region { left, top, right, of: (width, height), .. } = input.region;
    let plane = width * height;
    input.write(|y, row| {
        let at = (top + y) * width;
        let [red, green, blue] = [0, 1, 2].map(|c| &rgb[c * plane + at + left..c * plane + at + right]);
        for ((pixel, red), (green, blue)) in row.chunks_exact_mut(Net::INPUTS).zip(red).zip(green.iter().zip(blue)) {
            pixel[..3].copy_from_slice(&[*red, *green, *blue]);
            pixel[3..].copy_from_slice(&damage);
        }
    })
}

/// Adds the residual of one cell to the enlarged picture: channel c * s * s + i * s + j is row i, column j of plane c.
fn add(residual: &Map, cell: Region, scale: usize, out: &mut [f32]) {
    let from = residual.region;
    debug_assert!(from.contains(cell));
    let (wide, high) = (cell.of.0 * scale, cell.of.1 * scale);
    for (c, plane) in out.chunks_exact_mut(wide * high).enumerate() {
        let rows = &mut plane[cell.top * scale * wide..cell.bottom * scale * wide];
        rows.par_chunks_exact_mut(wide).enumerate().with_min_len(16).for_each(|(y, row)| {
            let line = residual.pixels(cell.left - from.left, cell.top + y / scale - from.top, cell.width());
            let pixels = line.chunks_exact(residual.channels);
            let first = (c * scale + y % scale) * scale;
            let row = &mut row[cell.left * scale..cell.right * scale];
            for (group, pixel) in row.chunks_exact_mut(scale).zip(pixels) {
                for (value, residual) in group.iter_mut().zip(&pixel[first..first + scale]) {
                    *value += residual;
                }
            }
        });
    }
}
