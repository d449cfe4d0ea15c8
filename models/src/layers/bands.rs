//! 3x3 convolutions one behind the other, band by band: each makes as many new rows as what comes in allows, and keeps the few
//! rows that will be looked at again. Nothing is computed twice, however low the bands are, and what one layer has written
//! the next one finds in the cache. (Fused-layer evaluation: Alwani et al. 2016.)

use std::iter::once;

use super::{Conv2d, Map, Pool, Region, Then, Window};
use crate::Result;

/// About how many bytes a band of one map has: two of them fit the caches that a few cores share. Tests take the lowest bands, so
/// that small pictures have several.
const BYTES: usize = if cfg!(test) { 1 } else { 4 << 20 };
/// The fewest rows: what is kept between bands is copied, so that there should be many times more.
const LEAST: usize = 16;
/// Rows by which each layer stays behind the one before: one that it cannot know yet, and one so that bands end between the
/// pairs of rows that are computed together.
const LAG: usize = 2;

/// How far a chain goes next.
#[derive(Clone, Copy)]
pub(crate) struct Band {
    /// Behind the last row of the input that is looked at.
    bottom: usize,
    /// Whether that is all of it.
    last: bool,
}

impl Band {
    /// All at once.
    fn whole(input: Region) -> impl Iterator<Item = Self> {
        once(Self { bottom: input.bottom, last: true })
    }

    /// Bands for a chain of layers after which all of `cell` is known. A device computes all at once.
    pub(crate) fn all(input: Region, cell: Region, layers: &[&Conv2d]) -> impl Iterator<Item = Self> + use<> {
        let on_device = layers.iter().any(|layer| layer.on_candle());
        let bytes = if on_device { 0 } else { widest(layers) };
        Self::of(input, cell, layers.len(), bytes)
    }

    /// The same for so many layers and bytes per pixel of a map.
    pub(crate) fn of(input: Region, cell: Region, layers: usize, bytes: usize) -> impl Iterator<Item = Self> + use<> {
        let rows = Self::rows(input.width(), bytes);
        let first = paired(cell.top + rows + LAG * layers, input);
        let bottoms = (first..input.bottom).step_by(rows);
        bottoms.map(|bottom| Self { bottom, last: false }).chain(Self::whole(input))
    }

    /// Behind the last row that so many layers can make of the band, of a result that ends at `end`.
    pub(crate) fn behind(self, layers: usize, end: usize) -> usize {
        if self.last { end } else { self.bottom - LAG * layers }
    }

    /// Bytes of so many maps of such a chain that live at once when so wide and high an input comes in, the input itself left out.
    pub(crate) fn most_bytes((width, height): (usize, usize), layers: &[&Conv2d], maps: usize) -> u64 {
        let bytes = widest(layers);
        // The first band goes down as far as all layers stay behind.
        let band = Self::rows(width, bytes) + LAG * layers.len();
        // Each layer keeps some rows, and those that are added to a later result some more.
        let kept = if height > band { (3 * LAG + 1) * layers.len() } else { 0 };
        let rows = maps * band.min(height) + kept;
        (rows as u64).saturating_mul(width as u64).saturating_mul(bytes as u64)
    }

    /// Rows of a band of maps that are so wide: an even number.
    fn rows(width: usize, bytes: usize) -> usize {
        (BYTES / (width * bytes).max(1)).max(LEAST).next_multiple_of(2)
    }
}

/// Bytes per pixel of the widest result.
fn widest(layers: &[&Conv2d]) -> usize {
    layers.iter().map(|layer| layer.channels() * layer.out().bytes()).max().unwrap_or(0)
}

/// The row at which a pair of rows begins, here or above.
fn paired(row: usize, level: Region) -> usize {
    row - (row + level.origin.1) % 2
}

/// The result of a layer, of which only the rows are kept that will be looked at again.
pub(crate) struct Rolling {
    /// How many rows those are.
    keep: usize,
    /// Behind the last row that was made.
    done: Option<usize>,
    kept: Option<Map>,
}

impl Rolling {
    /// For a map that the next layer reads, or that is added to what so many convolutions make of it; 0 when it leaves the chain.
    pub(crate) fn behind(layers: usize) -> Self {
        Self { keep: if layers == 0 { 0 } else { LAG * layers + 1 }, done: None, kept: None }
    }

    /// The next rows, as far as `input` and the band go, and those that were kept above them.
    ///
    /// # Errors
    /// As [`Conv2d::run`].
    pub(crate) fn run(
        &mut self,
        conv: &Conv2d,
        input: &Map,
        band: Band,
        then: Then<'_>,
        pool: &mut Pool,
    ) -> Result<Map> {
        let known = Region { bottom: input.region.bottom.min(band.bottom), ..input.region };
        let mut new = known.convolved(Window::same(3));
        new.top = self.done.unwrap_or(new.top);
        if !band.last {
            new.bottom = paired(new.bottom, new);
        }
        self.done = Some(new.bottom);
        let out = match self.kept.take() {
            None => conv.run_for(input, new, then, 0, pool)?,
            Some(kept) => {
                let mut out = conv.room(Region { top: kept.region.top, ..new }, 0, pool)?;
                kept.copy_to(&mut out, kept.region);
                pool.give(kept);
                conv.run_part(input, &mut out, new, then, pool)?;
                out
            }
        };
        if self.keep > 0 && !band.last {
            let Region { top, bottom, .. } = out.region;
            let rows = Region { top: bottom.saturating_sub(self.keep).max(top), ..out.region };
            self.kept = Some(out.cut(rows, out.margin, pool)?);
        }
        Ok(out)
    }
}

/// A chain of layers in which each reads nothing but the result of the one before. `take` gets the new rows of the last one.
///
/// # Errors
/// As [`Conv2d::run`], and what `take` failed with.
pub(crate) fn along(
    layers: &[(&Conv2d, Then<'_>)],
    input: Map,
    bands: impl Iterator<Item = Band>,
    pool: &mut Pool,
    take: &mut dyn FnMut(Map, &mut Pool) -> Result<()>,
) -> Result<()> {
    let mut rolling: Vec<Rolling> =
        (1..=layers.len()).map(|i| Rolling::behind(usize::from(i < layers.len()))).collect();
    for band in bands {
        let mut x: Option<Map> = None;
        for ((conv, then), rolling) in layers.iter().zip(&mut rolling) {
            let y = rolling.run(conv, x.as_ref().unwrap_or(&input), band, *then, pool)?;
            x.replace(y).into_iter().for_each(|done| pool.give(done));
        }
        x.into_iter().try_for_each(|rows| take(rows, pool))?;
    }
    pool.give(input);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Compute, Precision};
    use crate::noise::gaussian;

    const CHANNELS: usize = 32;
    const LAYERS: u32 = 5;

    fn layers() -> Vec<Conv2d> {
        let layer = |number: u32| {
            let weights: Vec<f32> =
                (0..(CHANNELS * CHANNELS * 9) as u32).map(|i| 0.06 * gaussian(number.into(), i, 0, 0, 0)).collect();
            let bias = [0.1; CHANNELS];
            Conv2d::new(&Compute::cpu(Precision::F32), &weights, &bias, CHANNELS, Window::same(3)).unwrap()
        };
        (0..LAYERS).map(layer).collect()
    }

    /// All that can be known of the last result.
    fn at_once(layers: &[(&Conv2d, Then<'_>)], input: Map, pool: &mut Pool) -> Map {
        layers.iter().fold(input, |x, (conv, then)| conv.run(&x, *then, pool).unwrap())
    }

    fn input(region: Region) -> Map {
        let mut map = Pool::default().map(region, CHANNELS, Precision::F32).unwrap();
        let value = |x: usize, y: usize, c: usize| gaussian(9, x as u32, y as u32, c as u32, 0);
        map.write(|y, row| {
            row.iter_mut().enumerate().for_each(|(i, v)| {
                *v = value(region.left + i / CHANNELS, region.top + y, i % CHANNELS);
            });
        })
        .unwrap();
        map
    }

    #[test]
    fn bands_do_not_change_a_bit() {
        let convs = layers();
        let chain: Vec<(&Conv2d, Then<'_>)> = convs.iter().map(|conv| (conv, Then::SILU)).collect();
        let refs: Vec<&Conv2d> = convs.iter().collect();
        let radius = convs.len();
        let pool = &mut Pool::default();
        // Pictures of one band and of many, cells inside and at the sides, levels that begin in odd rows.
        for (height, top, bottom, origin) in
            [(9, 0, 9, 0), (90, 0, 90, 1), (90, 13, 77, 0), (90, 20, 90, 3), (61, 0, 30, 2)]
        {
            let level = Region::whole(14, height).at((0, origin));
            let cell = Region { top, bottom, ..level };
            let seen = cell.grown(radius);
            let whole = at_once(&chain, input(seen), pool);
            let wanted = whole.cut(cell, 0, pool).unwrap().fetch().unwrap();
            let (mut found, mut next, mut bands) = (Vec::new(), cell.top, 0);
            along(&chain, input(seen), Band::all(seen, cell, &refs), pool, &mut |rows, pool| {
                let new = cell.within(rows.region);
                assert_eq!(new.top, next);
                (next, bands) = (new.bottom, bands + 1);
                found.extend(rows.cut(new, 0, pool)?.fetch()?);
                Ok(())
            })
            .unwrap();
            assert!(found == wanted, "{height} rows, {top} to {bottom}, level begins in row {origin}");
            assert_eq!(bands > 2, height > 61, "{bands} bands of {height} rows");
        }
    }
}
