//! Which part of a level of the picture is known.

use crate::Part;

/// How a convolution walks over a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Edge of the patch.
    pub(crate) kernel: usize,
    /// Pixels from one patch to the next.
    pub(crate) stride: usize,
    /// Zeros in front of each row and column.
    pub(crate) before: usize,
    /// Zeros behind them.
    pub(crate) after: usize,
}

impl Window {
    /// A stride of 1 and a padding that keeps the size, for odd kernels.
    pub(crate) const fn same(kernel: usize) -> Self {
        Self { kernel, stride: 1, before: kernel / 2, after: kernel / 2 }
    }
}

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
    /// Where the level begins (column, row) in that of a larger picture, of which it is a part.
    pub(crate) origin: (usize, usize),
}

impl Region {
    /// The whole of a level.
    pub(crate) fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, right: width, bottom: height, of: (width, height), origin: (0, 0) }
    }

    /// The same where the level is a part of a larger picture's.
    pub(crate) fn at(self, origin: (usize, usize)) -> Self {
        Self { origin, ..self }
    }

    /// Whether the first pixel lies in an odd column, and in an odd row, of the larger picture's level.
    pub(super) fn odd(self) -> (bool, bool) {
        ((self.left + self.origin.0) % 2 == 1, (self.top + self.origin.1) % 2 == 1)
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
            origin: (self.origin.0 * by, self.origin.1 * by),
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

    /// The same pixels under other names: each is called by the number of its neighbour, `by` columns and rows on.
    pub(super) fn moved(self, by: (usize, usize)) -> Self {
        Self {
            left: self.left + by.0,
            right: self.right + by.0,
            top: self.top + by.1,
            bottom: self.bottom + by.1,
            ..self
        }
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

    /// What two places of a level have in common.
    pub(crate) fn within(self, other: Self) -> Self {
        let (left, top) = (self.left.max(other.left), self.top.max(other.top));
        let (right, bottom) = (self.right.min(other.right).max(left), self.bottom.min(other.bottom).max(top));
        Self { left, top, right, bottom, ..self }
    }

    /// What a convolution can know of its output: at cut sides only the pixels whose whole patch is known; at the sides of the
    /// picture the padding is known.
    pub(crate) fn convolved(self, window: Window) -> Self {
        let Window { kernel, stride, before, after } = window;
        let side = |of: usize| (of + before + after).checked_sub(kernel).map_or(0, |rest| rest / stride + 1);
        let axis = |first: usize, end: usize, of: usize| {
            let known = if first == 0 { 0 } else { (first + before).div_ceil(stride) };
            let behind = (end + before).checked_sub(kernel).map_or(0, |rest| rest / stride + 1);
            (known, if end == of { side(of) } else { behind }.max(known))
        };
        let (left, right) = axis(self.left, self.right, self.of.0);
        let (top, bottom) = axis(self.top, self.bottom, self.of.1);
        // A level that begins between two patches would be another one.
        debug_assert!(self.origin.0.is_multiple_of(stride) && self.origin.1.is_multiple_of(stride), "{self:?}");
        let origin = (self.origin.0 / stride, self.origin.1 / stride);
        Self { left, top, right, bottom, of: (side(self.of.0), side(self.of.1)), origin }
    }

    /// Whether `other` lies within.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.left <= other.left && self.top <= other.top && self.right >= other.right && self.bottom >= other.bottom
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_shrink_at_cuts_only() {
        let whole = Region::whole(10, 6);
        let same = Window::same(3);
        assert_eq!(whole.convolved(same), whole);
        let part = Region { left: 0, top: 2, right: 7, bottom: 6, ..whole };
        assert_eq!(part.convolved(same), Region { left: 0, top: 3, right: 6, bottom: 6, ..whole });
        assert_eq!(part.grown(2), Region { left: 0, top: 0, right: 9, bottom: 6, ..whole });
        assert_eq!(
            part.convolved(Window { kernel: 2, stride: 2, before: 0, after: 0 }),
            Region { left: 0, top: 1, right: 3, bottom: 3, of: (5, 3), origin: (0, 0) }
        );
        // As PyTorch does it: 3x3 with a stride of 2 and a padding of 1, or of 1 behind the end only.
        let odd = Region::whole(7, 4);
        assert_eq!(odd.convolved(Window { kernel: 3, stride: 2, before: 1, after: 1 }), Region::whole(4, 2));
        assert_eq!(odd.convolved(Window { kernel: 3, stride: 2, before: 0, after: 1 }), Region::whole(3, 2));
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
}
