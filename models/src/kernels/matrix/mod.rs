//! Products on the matrix unit of a processor: tiles of bf16, summed up in f32.
//!
//! A tile holds 16 rows of up to 32 values. One instruction multiplies 16 rows with the weights of 16 channels: as many
//! products as sixteen 512-bit vectors do. Rows are read with any distance in memory, so a convolution
//! multiplies the pixels of a map where they lie, and the weights are packed as they are for vectors.
//!
//! Each sum is a chain over the parts of its depth in their order. It does not know the rows beside it.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(not(target_arch = "x86_64"))]
#[path = "none.rs"]
mod amx;

use half::bf16;

pub(super) use amx::{available, peak};

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Most bf16 of a row.
pub(super) const DEPTH: usize = 32;

/// How a row of values is cut into parts that fit a tile: as few as there can be, equally long, the last one beginning early where
/// the values do not fill it. What two parts share meets weights of zero in the second.
#[derive(Clone, Copy)]
pub(super) struct Depth {
    values: usize,
    /// How many parts there are.
    pub(super) parts: usize,
    /// Values of each part, an even number.
    pub(super) part: usize,
}

impl Depth {
    /// Of an even number of values.
    pub(super) fn new(values: usize) -> Self {
        let parts = values.div_ceil(DEPTH).max(1);
        Self { values, parts, part: values.div_ceil(parts).next_multiple_of(2) }
    }

    /// All values as one part, for those who need none.
    pub(super) fn whole(values: usize) -> Self {
        Self { values, parts: 1, part: values }
    }

    /// Values of all parts, those that are shared counted twice.
    pub(super) fn padded(self) -> usize {
        self.parts * self.part
    }

    /// Where a part begins among the values.
    pub(super) fn start(self, part: usize) -> usize {
        (part * self.part).min(self.values - self.part)
    }

    /// Where a value lies among those of all parts.
    pub(super) fn place(self, value: usize) -> usize {
        let last = self.parts - 1;
        if value < last * self.part { value } else { last * self.part + value - self.start(last) }
    }
}

/// Two groups of rows: they meet the same weights.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Pair {
    /// The first value of each group.
    pub(super) input: [*const bf16; 2],
    /// What the sums of each group's first row start from.
    pub(super) from: [*const f32; 2],
    /// The sums of each group's first row; those of the next row lie behind them.
    pub(super) sums: [*mut f32; 2],
}

impl Pair {
    /// Pairs of so many groups, of which `of` tells the first value, what the sums start from, and the sums. Where one is left, it goes
    /// with itself.
    pub(super) fn all(
        groups: usize,
        of: impl Fn(usize) -> (*const bf16, *const f32, *mut f32),
    ) -> impl Iterator<Item = Self> {
        (0..groups).step_by(2).map(move |first| {
            let (a, b) = (of(first), of((first + 1).min(groups - 1)));
            Self { input: [a.0, b.0], from: [a.1, b.1], sums: [a.2, b.2] }
        })
    }
}

/// Sums of products: for groups of rows and one or two vectors of channels.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "nobody multiplies without the unit"))]
pub(super) struct Product<'a> {
    pub(super) pairs: &'a [Pair],
    /// Rows of each group, 1 to [`ROWS`].
    pub(super) rows: usize,
    /// Values from one row of the input to the next.
    pub(super) step: usize,
    /// Where the parts of a row lie, from the group's first value on, in bytes.
    pub(super) parts: &'a [usize],
    /// Values of a part, even and at most 32.
    pub(super) part: usize,
    /// For each pair of values of each part so many vectors of weights.
    pub(super) weights: *const bf16,
    pub(super) vectors: usize,
    /// Values from what the sums of one row start from to what those of the next start from.
    pub(super) apart: usize,
    /// What is wanted next: as much of it as there are weights comes in from memory meanwhile.
    pub(super) next: Option<*const u8>,
}

impl Product<'_> {
    /// Adds the products up.
    ///
    /// # Safety
    /// The unit must be [`available`]. The input must be readable for all parts of all rows, the weights for all parts, what
    /// the sums start from for all rows; the sums must be writable.
    pub(super) unsafe fn run(&self) {
        debug_assert!((1..=ROWS).contains(&self.rows) && self.part <= DEPTH && matches!(self.vectors, 1 | 2));
        if !self.pairs.is_empty() && !self.parts.is_empty() && self.part > 0 {
            // SAFETY: passed on from the caller; neither list is empty.
            unsafe { amx::multiply(self) }
        }
    }
}
