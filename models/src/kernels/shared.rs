//! A slice that several threads write to, each in places of its own.

use std::marker::PhantomData;

/// A mutable slice whose parts are handed out without looking whether they overlap.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is no more than a slice that is borrowed mutably; whoever writes through it promises not to share places.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The value at `index`, which may be one behind the end.
    ///
    /// # Safety
    /// What is written through it lies within the slice, and no other thread reads or writes it meanwhile.
    #[inline(always)]
    pub(super) unsafe fn at(self, index: usize) -> *mut T {
        debug_assert!(index <= self.len);
        // SAFETY: the index lies within the slice.
        unsafe { self.start.add(index) }
    }
}
