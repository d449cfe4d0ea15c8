//! Values that begin at a line of the cache.

use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// A line of the cache, in bytes. What crosses two of them takes the matrix unit seven times as long to read, and vectors twice.
pub(super) const LINE: usize = 64;

/// A slice of its own that begins at a line of the cache, of memory that the system has cleared: whoever writes to it first takes its
/// pages, in parallel where many do.
pub struct Aligned<T> {
    memory: Memory<T>,
    len: usize,
}

enum Memory<T> {
    /// Some more values than are wanted, so that a line begins among the first, and where it does. The system's allocator does not
    /// know aligned memory that is already zero.
    Heap(Vec<T>, usize),
    /// Pages of its own.
    Pages(MmapMut),
}

impl<T: Pod> Aligned<T> {
    /// So many zeros for a short time. Like any vector, it ends the process where there is no memory.
    pub fn zeros(len: usize) -> Self {
        Self::begin(bytemuck::allocation::zeroed_vec(len + Self::SPARE))
    }

    /// The same for what stays longer and is gone through from end to end: in large pages where the system has them, which it takes
    /// less time to get and to find.
    pub fn lasting(len: usize) -> Self {
        Self::in_pages(len).unwrap_or_else(|| Self::zeros(len))
    }

    /// The same; `None` where there is no memory.
    pub fn try_lasting(len: usize) -> Option<Self> {
        Self::in_pages(len).or_else(|| {
            let values = bytemuck::allocation::try_zeroed_vec(len.checked_add(Self::SPARE)?).ok()?;
            Some(Self::begin(values))
        })
    }

    /// In large pages, where there are such and it is worth their while.
    fn in_pages(len: usize) -> Option<Self> {
        const WORTH_IT: usize = 4 << 20;
        let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| *bytes >= WORTH_IT)?;
        let pages = MmapMut::map_anon(bytes).ok()?;
        large(&pages)?;
        Some(Self { memory: Memory::Pages(pages), len })
    }

    /// Values enough to reach the next line.
    const SPARE: usize = LINE.div_ceil(size_of::<T>());

    fn begin(values: Vec<T>) -> Self {
        let (start, len) = (values.as_ptr().align_offset(LINE), values.len() - Self::SPARE);
        Self { memory: Memory::Heap(values, start.min(Self::SPARE)), len }
    }
}

/// Asks for large pages; `None` where there are none.
#[cfg(target_os = "linux")]
fn large(pages: &MmapMut) -> Option<()> {
    pages.advise(memmap2::Advice::HugePage).ok()
}

#[cfg(not(target_os = "linux"))]
fn large(_pages: &MmapMut) -> Option<()> {
    None
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.memory {
            Memory::Heap(values, start) => &values[*start..start + self.len],
            Memory::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Heap(values, start) => &mut values[*start..*start + self.len],
            Memory::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_begin_at_a_line() {
        for len in [0, 1, 31, 1000, 100_000, 3_000_001] {
            let all = [Aligned::<f32>::zeros(len), Aligned::try_lasting(len).unwrap(), Aligned::lasting(len)];
            for mut values in all {
                assert!(values.as_ptr().addr().is_multiple_of(LINE));
                assert!(values.len() == len && values.iter().all(|value| *value == 0.0));
                values.fill(1.0);
                assert!(values.iter().all(|value| *value == 1.0));
            }
            let narrow = Aligned::<u16>::lasting(len);
            assert!(narrow.as_ptr().addr().is_multiple_of(LINE) && narrow.len() == len);
        }
        assert!(
            Aligned::<f32>::try_lasting(usize::MAX).is_none() && Aligned::<f32>::try_lasting(usize::MAX / 8).is_none()
        );
    }
}
