//! Activations: the part of a feature map that is known, with a border of zeros for the padding of 3x3 convolutions.

use crate::picture::zeros;
use crate::{Error, Part, Result};

/// A rectangle of a level of the picture, in pixels of that level.
///
/// A network runs on a cut-out of the picture. What a layer cannot know exactly, because it lies too close to a cut, it does
/// not compute: the region shrinks at cut sides, and only there. So all that is computed equals the run on the whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// First column.
    pub(crate) left: usize,
    /// First row.
    pub(crate) top: usize,
    /// Behind the last column.
    pub(crate) right: usize,
    /// Behind the last row.
    pub(crate) bottom: usize,
    /// Width and height of the whole level.
    pub(crate) of: (usize, usize),
}

impl Region {
    /// The whole of a level.
    pub(crate) fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, right: width, bottom: height, of: (width, height) }
    }

    /// Cuts the level into cells of at most `edge` pixels, row by row.
    pub(crate) fn cells(self, edge: usize) -> impl Iterator<Item = Self> {
        let rows = (self.top..self.bottom).step_by(edge);
        rows.flat_map(move |top| {
            let bottom = top.saturating_add(edge).min(self.bottom);
            let columns = (self.left..self.right).step_by(edge);
            columns.map(move |left| Self {
                left,
                top,
                right: left.saturating_add(edge).min(self.right),
                bottom,
                ..self
            })
        })
    }

    /// The same place on a level that is `by` times as large.
    pub(crate) fn times(self, by: usize) -> Self {
        Self {
            left: self.left * by,
            top: self.top * by,
            right: self.right * by,
            bottom: self.bottom * by,
            of: (self.of.0 * by, self.of.1 * by),
        }
    }

    /// This place as a part of the work. Sides of pictures fit 32 bits.
    pub(crate) fn part(self, stage: u32) -> Part {
        let side = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Part { stage, corner: (side(self.left), side(self.top)), size: (side(self.width()), side(self.height())) }
    }

    /// How many cells [`Region::cells`] gives.
    pub(crate) fn count(self, edge: usize) -> u64 {
        self.width().div_ceil(edge) as u64 * self.height().div_ceil(edge) as u64
    }

    pub(crate) fn width(self) -> usize {
        self.right - self.left
    }

    pub(crate) fn height(self) -> usize {
        self.bottom - self.top
    }

    /// With `by` more pixels on each side, as far as the level goes.
    pub(crate) fn grown(self, by: usize) -> Self {
        Self {
            left: self.left.saturating_sub(by),
            top: self.top.saturating_sub(by),
            right: self.right.saturating_add(by).min(self.of.0),
            bottom: self.bottom.saturating_add(by).min(self.of.1),
            ..self
        }
    }

    /// What a 3x3 convolution can know: one pixel less at each cut side. At the sides of the picture the padding is known.
    pub(crate) fn shrunk(self) -> Self {
        let cut_right = usize::from(self.right < self.of.0);
        let cut_bottom = usize::from(self.bottom < self.of.1);
        let (left, top) = (self.left + usize::from(self.left > 0), self.top + usize::from(self.top > 0));
        Self {
            left,
            top,
            right: (self.right - cut_right).max(left),
            bottom: (self.bottom - cut_bottom).max(top),
            ..self
        }
    }

    /// The pixels of the level of half the size that are known in full. The level must have an even size.
    pub(crate) fn halved(self) -> Self {
        let (left, top) = (self.left.div_ceil(2), self.top.div_ceil(2));
        Self {
            left,
            top,
            right: (self.right / 2).max(left),
            bottom: (self.bottom / 2).max(top),
            of: (self.of.0 / 2, self.of.1 / 2),
        }
    }

    /// The same place on the level of twice the size.
    pub(crate) fn doubled(self) -> Self {
        Self {
            left: self.left * 2,
            top: self.top * 2,
            right: self.right * 2,
            bottom: self.bottom * 2,
            of: (self.of.0 * 2, self.of.1 * 2),
        }
    }

    /// Whether `other` lies within.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.left <= other.left && self.top <= other.top && self.right >= other.right && self.bottom >= other.bottom
    }
}

/// A feature map of one region: rows of pixels, the channels of a pixel side by side, and one pixel of zeros around.
pub(crate) struct Map {
    pub(crate) region: Region,
    pub(crate) channels: usize,
    pub(crate) values: Vec<f32>,
}

impl Map {
    /// Values from one row to the next.
    pub(crate) fn row(&self) -> usize {
        (self.region.width() + 2) * self.channels
    }

    /// Index of the first channel of the pixel that lies at column `x` and row `y` of the region.
    pub(crate) fn at(&self, x: usize, y: usize) -> usize {
        (y + 1) * self.row() + (x + 1) * self.channels
    }

    /// The pixels of each row as one slice, the border left out.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (row, channels) = (self.row(), self.channels);
        let (len, height) = (self.region.width() * channels, self.region.height());
        self.values.chunks_exact_mut(row.max(1)).skip(1).take(height).map(move |row| &mut row[channels..][..len])
    }
}

/// Buffers of maps that are done, for the maps to come: fresh memory costs as much time as the arithmetic.
#[derive(Default)]
pub(crate) struct Pool(Vec<Vec<f32>>);

impl Pool {
    /// A map with zeros around it; what is in it is left over from other maps.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the memory cannot be had.
    pub(crate) fn map(&mut self, region: Region, channels: usize) -> Result<Map> {
        const WHAT: &str = "a feature map";
        let (wide, high) = (region.width() + 2, region.height() + 2);
        let len = wide.checked_mul(high).and_then(|pixels| pixels.checked_mul(channels));
        let len = len.ok_or(Error::TooLarge { what: WHAT, bytes: u64::MAX })?;

        let fits = |values: &Vec<f32>| values.len() >= len;
        let best = (0..self.0.len()).filter(|&i| fits(&self.0[i])).min_by_key(|&i| self.0[i].len());
        let mut values = match best {
            Some(index) => self.0.swap_remove(index),
            None => {
                // A spare that is too small is of no use to a run of equal tiles.
                self.0.pop();
                zeros(len, WHAT)?
            }
        };

        let row = wide * channels;
        values[..row].fill(0.0);
        values[len - row..len].fill(0.0);
        for line in values[..len].chunks_exact_mut(row.max(1)) {
            line[..channels].fill(0.0);
            line[row - channels..].fill(0.0);
        }
        Ok(Map { region, channels, values })
    }

    /// Takes back the buffer of a map.
    pub(crate) fn give(&mut self, map: Map) {
        self.0.push(map.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_shrink_at_cuts_only() {
        let whole = Region::whole(10, 6);
        assert_eq!(whole.shrunk(), whole);
        let part = Region { left: 0, top: 2, right: 7, bottom: 6, of: (10, 6) };
        assert_eq!(part.shrunk(), Region { left: 0, top: 3, right: 6, bottom: 6, of: (10, 6) });
        assert_eq!(part.grown(2), Region { left: 0, top: 0, right: 9, bottom: 6, of: (10, 6) });
        assert_eq!(part.halved(), Region { left: 0, top: 1, right: 3, bottom: 3, of: (5, 3) });
    }

    #[test]
    fn cells_cover_the_level_once() {
        let whole = Region::whole(13, 7);
        for edge in [1, 4, 7, 100, usize::MAX] {
            let cells: Vec<Region> = whole.cells(edge).collect();
            assert_eq!(cells.len() as u64, whole.count(edge));
            assert_eq!(cells.iter().map(|cell| cell.width() * cell.height()).sum::<usize>(), 13 * 7);
            assert!(cells.iter().all(|cell| whole.contains(*cell)));
        }
    }

    #[test]
    fn a_used_buffer_gets_a_clean_border() {
        let mut pool = Pool::default();
        let mut map = pool.map(Region::whole(4, 3), 2).unwrap();
        map.values.fill(9.0);
        pool.give(map);
        let map = pool.map(Region::whole(2, 3), 2).unwrap();
        let border = map.values[..5 * map.row()].iter().filter(|value| **value == 0.0).count();
        assert_eq!(border, (4 * 5 - 2 * 3) * 2);
    }
}
