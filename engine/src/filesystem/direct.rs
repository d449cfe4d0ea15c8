//! Large files go to the disk past the memory in which the system keeps files: copying them there takes longer than writing
//! them, and would push out what is read again.

use std::{fs::OpenOptions, io, io::Write, path::Path};

/// Bytes of one write.
const CHUNK: usize = 1 << 20;
/// What addresses and lengths must be multiples of, on all usual disks.
const ALIGN: usize = 4096;

/// Writes the content of a file that was just made. `None` when that cannot be done in this way: because the content is
/// too small to be worth it, or the file system does not take it.
pub(super) fn write(path: &Path, parts: &[&[u8]]) -> Option<io::Result<()>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length < CHUNK {
        return None;
    }
    let mut options = OpenOptions::new();
    options.write(true);
    set_direct(&mut options)?;
    let mut file = options.open(path).ok()?;
    let mut room = vec![0; CHUNK + ALIGN];
    let start = room.as_ptr().align_offset(ALIGN);
    let buffer = room.get_mut(start..start + CHUNK)?;
    let mut filled = 0;
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(CHUNK - filled));
            buffer[filled..][..now.len()].copy_from_slice(now);
            filled += now.len();
            rest = later;
            if filled == CHUNK {
                match file.write_all(buffer) {
                    Ok(()) => filled = 0,
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
        }
    }
    // Whole blocks only; what is too much is cut off.
    let end = file.write_all(&buffer[..filled.next_multiple_of(ALIGN)]);
    Some(end.and_then(|()| file.set_len(length as u64)))
}

#[cfg(target_os = "linux")]
fn set_direct(options: &mut OpenOptions) -> Option<()> {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32);
    Some(())
}

#[cfg(not(target_os = "linux"))]
fn set_direct(_: &mut OpenOptions) -> Option<()> {
    None
}
