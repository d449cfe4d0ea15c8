//! The zip archives that PyTorch writes: stored entries, found through the directory at the end. Nothing is unpacked.

use std::collections::HashMap;

use super::Said;
use crate::limits::MOST_TENSORS;

/// Most bytes of a comment at the end.
const MOST_COMMENT: usize = 1 << 16;

/// Whether this begins like a zip archive.
pub(super) fn is_zip(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04") || file.starts_with(b"PK\x05\x06")
}

/// The entries of an archive, by name.
pub(super) fn entries(file: &[u8]) -> Said<HashMap<&str, &[u8]>> {
    let (count, start) = directory(file)?;
    if count > 2 * MOST_TENSORS as u64 {
        return Err(format!("its zip has {count} entries, above the limit of {}", 2 * MOST_TENSORS));
    }
    let mut at = start;
    let mut found = HashMap::new();
    let mut total = 0u64;
    for _ in 0..count {
        let entry = Entry::read(file, &mut at)?;
        let data = entry.data(file)?;
        // Entries that share their bytes would let a small file claim any size.
        total = total.saturating_add(data.len() as u64);
        if total > file.len() as u64 {
            return Err("the entries of its zip lie over each other".into());
        }
        if found.insert(entry.name, data).is_some() {
            return Err(format!("its zip has `{}` twice", entry.name));
        }
    }
    Ok(found)
}

/// How many entries there are, and where their directory begins.
fn directory(file: &[u8]) -> Said<(u64, usize)> {
    let cut = || "it is cut off: the directory at its end is missing".to_owned();
    let first = file.len().saturating_sub(22 + MOST_COMMENT);
    let end = (first..=file.len().saturating_sub(22)).rev().find(|&at| file[at..].starts_with(b"PK\x05\x06"));
    let end = end.ok_or_else(cut)?;
    let (count, start) = (u64::from(u16_at(file, end + 10).ok_or_else(cut)?), u32_at(file, end + 16).ok_or_else(cut)?);
    if count != 0xffff && start != u32::MAX {
        return Ok((count, start as usize));
    }
    // The numbers do not fit: the larger directory is told by a note in front of the end.
    let note = end.checked_sub(20).filter(|&at| file[at..].starts_with(b"PK\x06\x07")).ok_or_else(cut)?;
    let large = u64_at(file, note + 8).and_then(|at| usize::try_from(at).ok()).ok_or_else(cut)?;
    if file.get(large..).is_none_or(|rest| !rest.starts_with(b"PK\x06\x06")) {
        return Err(cut());
    }
    let field = |at: usize| large.checked_add(at).and_then(|at| u64_at(file, at)).ok_or_else(cut);
    Ok((field(32)?, usize::try_from(field(48)?).map_err(|_| cut())?))
}

/// A line of the directory.
struct Entry<'a> {
    name: &'a str,
    size: u64,
    header: u64,
}

impl<'a> Entry<'a> {
    fn read(file: &'a [u8], at: &mut usize) -> Said<Self> {
        let broken = || "the directory of its zip is broken".to_owned();
        let line = file.get(*at..).filter(|line| line.starts_with(b"PK\x01\x02")).ok_or_else(broken)?;
        let short = |at: usize| u16_at(line, at).ok_or_else(broken);
        let (flags, method) = (short(8)?, short(10)?);
        let (name, extra, comment) = (usize::from(short(28)?), usize::from(short(30)?), usize::from(short(32)?));
        let name_bytes = line.get(46..46 + name).ok_or_else(broken)?;
        let shown = String::from_utf8_lossy(name_bytes);
        let name_text = std::str::from_utf8(name_bytes).map_err(|_| format!("its zip names an entry `{shown}`"))?;
        let leaves = |part: &str| part == ".." || part.contains(['\\', '\0']);
        if name_text.starts_with('/') || name_text.split('/').any(leaves) || name_text.contains(':') {
            return Err(format!("its zip has an entry `{name_text}`, which would leave the archive"));
        }
        if flags & 1 != 0 {
            return Err(format!("`{name_text}` in its zip is encrypted"));
        }
        if method != 0 {
            return Err(format!(
                "`{name_text}` in its zip is compressed, which PyTorch never does: load and save it with PyTorch, or unpack it if it \
                 is a zip around a model file"
            ));
        }
        let wide = |at: usize| u32_at(line, at).map(u64::from).ok_or_else(broken);
        let (mut packed, mut size, mut header) = (wide(20)?, wide(24)?, wide(42)?);
        let more = line.get(46 + name..46 + name + extra).ok_or_else(broken)?;
        // Numbers that do not fit stand in an extra field, in this order.
        let mut large = large_numbers(more);
        for field in [&mut size, &mut packed, &mut header] {
            if *field == u64::from(u32::MAX) {
                *field = large.next().ok_or_else(broken)?;
            }
        }
        if packed != size {
            return Err(format!("`{name_text}` in its zip has two sizes"));
        }
        *at += 46 + name + extra + comment;
        Ok(Self { name: name_text, size, header })
    }

    /// Its bytes.
    fn data(&self, file: &'a [u8]) -> Said<&'a [u8]> {
        let broken = || format!("`{}` in its zip is cut off", self.name);
        let header = usize::try_from(self.header).map_err(|_| broken())?;
        let local = file.get(header..).filter(|local| local.starts_with(b"PK\x03\x04")).ok_or_else(broken)?;
        let short = |at: usize| u16_at(local, at).map(usize::from).ok_or_else(broken);
        let start = 30 + short(26)? + short(28)?;
        let size = usize::try_from(self.size).map_err(|_| broken())?;
        start.checked_add(size).and_then(|end| local.get(start..end)).ok_or_else(broken)
    }
}

/// The numbers of 64 bits in the extra fields of an entry.
fn large_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut numbers: &[u8] = &[];
    while let (Some(kind), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(body) = extra.get(4..4 + usize::from(length)) else { break };
        if kind == 1 {
            numbers = body;
        }
        extra = &extra[4 + usize::from(length)..];
    }
    numbers.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
