//! Maps that need not be in memory.

use super::{Cut, Shape};
use crate::Result;
use crate::kernels::{Activation, Moments};
use crate::layers::{GroupNorm, Map, Pool, Region, Then, Upsample};

/// Pixels of a map that is made once and kept. Beyond, it is made anew, part by part, each time it is looked at.
const KEPT: usize = 1 << 20;

/// A map, or what it is made of.
pub(in super::super) enum Source<'a> {
    Map(Map),
    /// A map that is twice as large.
    Doubled(Map, &'a Upsample),
}

/// A part of a source.
pub(in super::super) enum Part<'a> {
    Of(&'a Map),
    Made(Map),
}

impl Part<'_> {
    /// A map that holds the part.
    pub(in super::super) fn map(&self) -> &Map {
        match self {
            Part::Of(map) => map,
            Part::Made(map) => map,
        }
    }

    /// Takes the part back.
    pub(in super::super) fn give(self, pool: &mut Pool) {
        if let Part::Made(map) = self {
            pool.give(map);
        }
    }
}

impl<'a> Source<'a> {
    /// Twice as large as a map.
    ///
    /// # Errors
    /// When there is no memory for the map, or a device fails.
    pub(super) fn doubled(map: Map, by: &'a Upsample, pool: &mut Pool) -> Result<Self> {
        if 4 * map.region.width() * map.region.height() > KEPT {
            return Ok(Self::Doubled(map, by));
        }
        Source::Doubled(map, by).whole(pool).map(Self::Map)
    }

    /// Values in memory of a source that doubles a map of this shape, and the most while it is made.
    pub(super) fn room(of: Shape, cut: Cut) -> (u64, u64) {
        let double = Shape { size: (2 * of.size.0, 2 * of.size.1), ..of };
        if double.size.0 * double.size.1 > KEPT {
            let part = cut.values(double) + cut.values(double) / 4;
            return (of.values() + part, of.values());
        }
        (double.values(), of.values() + double.values())
    }

    /// All of it.
    pub(in super::super) fn region(&self) -> Region {
        match self {
            Self::Map(map) => map.region,
            Self::Doubled(map, _) => map.region.times(2),
        }
    }

    /// A map that knows a part of it.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails.
    pub(in super::super) fn part(&self, part: Region, pool: &mut Pool) -> Result<Part<'_>> {
        match self {
            Self::Map(map) => Ok(Part::Of(map)),
            Self::Doubled(map, by) => {
                let cut = map.cut(by.needs(part, map.region), 1, pool)?;
                let made = by.run(&cut, Then::NOTHING, 0, pool)?;
                pool.give(cut);
                Ok(Part::Made(made))
            }
        }
    }

    /// What the groups of a normalisation are like, over all of it.
    ///
    /// # Errors
    /// As [`Source::part`].
    pub(in super::super) fn statistics(&self, norm: &GroupNorm, tile: usize, pool: &mut Pool) -> Result<Vec<Moments>> {
        if let Self::Map(map) = self {
            return norm.statistics(map, map.region);
        }
        let mut all: Vec<Moments> = vec![];
        for cell in self.region().cells(tile) {
            let part = self.part(cell, pool)?;
            let new = norm.statistics(part.map(), cell)?;
            part.give(pool);
            all = match all.is_empty() {
                true => new,
                false => all.into_iter().zip(new).map(|(all, new)| all.pool(new)).collect(),
            };
        }
        Ok(all)
    }

    /// Normalises a part, with SiLU behind it, and gives what it is made of too.
    ///
    /// # Errors
    /// As [`Source::part`].
    pub(in super::super) fn normalised(
        &self,
        norm: &GroupNorm,
        moments: &[Moments],
        region: Region,
        pool: &mut Pool,
    ) -> Result<(Map, Part<'_>)> {
        let part = self.part(region, pool)?;
        Ok((norm.apply(part.map(), region, moments, Activation::Silu, pool)?, part))
    }

    /// All of it as one map.
    ///
    /// # Errors
    /// As [`Source::part`].
    pub(in super::super) fn whole(self, pool: &mut Pool) -> Result<Map> {
        match self {
            Self::Map(map) => Ok(map),
            Self::Doubled(map, by) => {
                let out = by.run(&map, Then::NOTHING, 0, pool)?;
                pool.give(map);
                Ok(out)
            }
        }
    }

    /// Takes back what it is made of.
    pub(in super::super) fn give(self, pool: &mut Pool) {
        let (Self::Map(map) | Self::Doubled(map, _)) = self;
        pool.give(map);
    }
}
