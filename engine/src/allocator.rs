//! What the allocator does with memory that is given back.

/// Has large blocks given back to the system at once, from now on.
///
/// glibc keeps them for the next ones, and more of them the longer a program runs: it raises the size from which on blocks are mapped one
/// by one to that of the largest that was given back (mallopt(3), `M_MMAP_THRESHOLD`). Strips of many sizes leave gaps then, which
/// took twice the memory that was in use. Other allocators give back by themselves. Mapping costs time, a tenth of that of a
/// run, so this is for where memory is short.
pub(crate) fn give_back_at_once() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of the C library")]
    {
        const LARGE: libc::c_int = 1 << 20;
        // SAFETY: it takes two numbers, touches nothing but the allocator's settings, under its own lock, and may be called at any
        // time. Where it refuses, nothing has changed.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
