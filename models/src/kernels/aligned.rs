//! Values that begin at a line of the cache.

use std::ops::{Deref, DerefMut};

/// A line of the cache, in bytes. What crosses two of them takes the matrix unit seven times as long to read, and vectors twice.
const LINE: usize = 64;

/// A slice of its own that begins at a line of the cache.
pub struct Aligned<T> {
    /// Some more than are wanted, so that a line begins among the first. The system's allocator does not know aligned memory that
    /// is already zero.
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: bytemuck::Zeroable> Aligned<T> {
    /// So many zeros, in memory that the system has cleared: whoever writes to it first takes its pages, in parallel where many do.
    /// `None` when there is no memory for them.
    pub fn try_zeros(len: usize) -> Option<Self> {
        let values = bytemuck::allocation::try_zeroed_vec(len.checked_add(Self::SPARE)?).ok()?;
        Some(Self::begin(values))
    }

    /// The same for those who cannot go on without; like any vector, it ends the process where there is no memory.
    pub fn zeros(len: usize) -> Self {
        Self::begin(bytemuck::allocation::zeroed_vec(len + Self::SPARE))
    }

    /// Values enough to reach the next line.
    const SPARE: usize = LINE.div_ceil(size_of::<T>());

    fn begin(values: Vec<T>) -> Self {
        let (start, len) = (values.as_ptr().align_offset(LINE), values.len() - Self::SPARE);
        Self { values, start: start.min(Self::SPARE), len }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_begin_at_a_line() {
        for len in [0, 1, 31, 1000, 100_000] {
            let (wide, narrow) = (Aligned::<f32>::zeros(len), Aligned::<u16>::try_zeros(len).unwrap());
            assert!(wide.as_ptr().addr() % LINE == 0 && narrow.as_ptr().addr() % LINE == 0);
            assert!(wide.len() == len && wide.iter().all(|value| *value == 0.0));
            assert!(narrow.len() == len && narrow.iter().all(|value| *value == 0));
        }
        assert!(Aligned::<f32>::try_zeros(usize::MAX).is_none() && Aligned::<f32>::try_zeros(usize::MAX / 8).is_none());
    }
}
