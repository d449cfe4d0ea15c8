//! How a picture is cut into the tiles that are redrawn, in latents.

/// Pixels of the picture to a latent, each way.
pub(super) const LATENT: usize = 8;
/// Latents that the sides of a tile are multiples of: the U-Net halves them three times.
const MULTIPLE: usize = 8;

/// A rectangle of latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Patch {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Patch {
    /// Latents in it.
    pub fn area(self) -> usize {
        self.width * self.height
    }

    /// Width and height.
    pub fn size(self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The same in pixels.
    pub(super) fn pixels(self) -> Self {
        let [x, y, width, height] = [self.x, self.y, self.width, self.height].map(|length| length * LATENT);
        Self { x, y, width, height }
    }
}

/// Tiles of one size that cover a picture in rows and columns, each overlapping its neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    columns: Vec<usize>,
    rows: Vec<usize>,
    /// Width and height of each tile, in latents.
    pub(super) tile: (usize, usize),
    /// Width and height of all of them together.
    pub(super) whole: (usize, usize),
}

impl Layout {
    /// Tiles of at most `tile` latents that overlap by at least `overlap` over a picture of so many pixels: as few as cover it, no larger
    /// than that takes, spread evenly. A picture that is smaller than a tile gets one of its own size, rounded up.
    pub(super) fn new(pixels: (usize, usize), tile: (usize, usize), overlap: (usize, usize)) -> Self {
        let (width, columns, across) = Self::along(pixels.0, tile.0, overlap.0);
        let (height, rows, down) = Self::along(pixels.1, tile.1, overlap.1);
        Self { columns, rows, tile: (width, height), whole: (across, down) }
    }

    /// The length of the tiles, where they begin, and what they cover together, along one side.
    fn along(pixels: usize, tile: usize, overlap: usize) -> (usize, Vec<usize>, usize) {
        let whole = pixels.div_ceil(LATENT).max(1);
        let tile = (tile / MULTIPLE).max(1) * MULTIPLE;
        if whole <= tile {
            let length = whole.next_multiple_of(MULTIPLE);
            return (length, vec![0], length);
        }
        let overlap = overlap.min(tile / 2);
        let count = (whole - overlap).div_ceil(tile - overlap);
        let tile = (whole + (count - 1) * overlap).div_ceil(count).next_multiple_of(MULTIPLE).min(tile);
        let starts = (0..count).map(|i| i * (whole - tile) / (count - 1)).collect();
        (tile, starts, whole)
    }

    /// How many tiles there are.
    pub(super) fn count(&self) -> usize {
        self.columns.len() * self.rows.len()
    }

    /// Columns and rows of tiles.
    pub(super) fn grid(&self) -> (usize, usize) {
        (self.columns.len(), self.rows.len())
    }

    /// The tile of a column and a row.
    pub(super) fn patch(&self, column: usize, row: usize) -> Patch {
        let (width, height) = self.tile;
        Patch { x: self.columns[column], y: self.rows[row], width, height }
    }

    /// All tiles, row by row.
    pub(super) fn patches(&self) -> impl Iterator<Item = Patch> {
        let places = self.rows.iter().flat_map(|y| self.columns.iter().map(move |x| (*x, *y)));
        places.map(|(x, y)| Patch { x, y, width: self.tile.0, height: self.tile.1 })
    }

    /// The tiles as a chequerboard: first the white fields, then the black ones, each with its column and row.
    pub(super) fn phases(&self) -> [Vec<(usize, usize)>; 2] {
        let (columns, rows) = self.grid();
        let of = |colour: usize| {
            let fields = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
            fields.filter(|(column, row)| (column + row) % 2 == colour).collect()
        };
        [of(0), of(1)]
    }

    /// The share of each column of pixels, and of each row, that a tile of this column and row has in the picture. Over all tiles the
    /// products sum to one: neighbours fade into each other over all of their overlap.
    pub(super) fn shares(&self, column: usize, row: usize) -> (Vec<f32>, Vec<f32>) {
        (shares(&self.columns, column, self.tile.0), shares(&self.rows, row, self.tile.1))
    }
}

/// The share of each pixel along a side of tile `index`.
fn shares(starts: &[usize], index: usize, tile: usize) -> Vec<f32> {
    let (start, length) = (starts[index] * LATENT, tile * LATENT);
    let before = index.checked_sub(1).map(|before| starts[before] * LATENT + length);
    let after = starts.get(index + 1).map(|after| after * LATENT);
    let at = |i: usize| {
        let pixel = start + i;
        let rising = before.map_or(1.0, |end| ramp(pixel, start, end));
        let falling = after.map_or(1.0, |begin| 1.0 - ramp(pixel, begin, start + length));
        // Where three tiles of a row meet, the share of the middle one is what the others leave.
        (rising + falling - 1.0).max(0.0)
    };
    (0..length).map(at).collect()
}

/// From 0 before `begin` to 1 behind `end`, smoothly.
fn ramp(pixel: usize, begin: usize, end: usize) -> f32 {
    if pixel < begin {
        return 0.0;
    }
    if pixel >= end {
        return 1.0;
    }
    let t = (pixel - begin) as f32 + 0.5;
    let t = t / (end - begin) as f32;
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_everything_evenly() {
        for (pixels, tile, overlap) in
            [((1024, 1024), (64, 64), 8), ((2048, 1536), (112, 144), 16), ((1999, 77), (64, 96), 8)]
        {
            let layout = Layout::new(pixels, tile, (overlap, overlap));
            let (width, height) = layout.whole;
            let mut seen = vec![0; width * height];
            for patch in layout.patches() {
                assert!(patch.width % 8 == 0 && patch.height % 8 == 0);
                for y in patch.y..patch.y + patch.height {
                    seen[y * width + patch.x..][..patch.width].iter_mut().for_each(|n| *n += 1);
                }
            }
            assert!(seen.iter().all(|n| *n > 0), "{pixels:?}");
            assert_eq!(layout.patches().count(), layout.count());
        }
    }

    #[test]
    fn tiles_are_no_larger_than_it_takes() {
        let layout = Layout::new((1024, 1024), (112, 144), (14, 18));
        assert_eq!((layout.count(), layout.tile), (2, (72, 128)));
    }

    #[test]
    fn a_small_picture_is_one_tile() {
        let layout = Layout::new((300, 17), (112, 144), (14, 18));
        assert_eq!((layout.count(), layout.tile), (1, (40, 8)));
    }

    #[test]
    fn shares_sum_to_one() {
        let layout = Layout::new((1600, 900), (64, 64), (8, 8));
        let (width, height) = (layout.whole.0 * LATENT, layout.whole.1 * LATENT);
        let mut sum = vec![0f32; width * height];
        let (columns, rows) = layout.grid();
        for (column, row) in (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row))) {
            let (across, down) = layout.shares(column, row);
            let at = layout.patch(column, row).pixels();
            for (y, down) in down.iter().enumerate() {
                for (x, across) in across.iter().enumerate() {
                    sum[(at.y + y) * width + at.x + x] += down * across;
                }
            }
        }
        assert!(sum.iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    }

    #[test]
    fn neighbours_have_different_colours() {
        let layout = Layout::new((1600, 900), (64, 64), (8, 8));
        let [white, black] = layout.phases();
        assert_eq!(white.len() + black.len(), layout.count());
        for (column, row) in &white {
            assert!(!white.contains(&(column + 1, *row)) && !white.contains(&(*column, row + 1)));
        }
    }
}
