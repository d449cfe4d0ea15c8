//! The little of EXIF and TIFF directories that is looked at: orientation and resolution.

use image::metadata::Orientation;
use std::collections::HashSet;

/// Takes the orientation out of an EXIF block, which then says that the picture stands upright.
pub(super) fn take_orientation(exif: &mut [u8]) -> Orientation {
    Orientation::remove_from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// The first directory of an EXIF block or a TIFF file, which are built alike.
pub(super) struct Directory<'a> {
    block: &'a [u8],
    /// Whether the greater byte comes first.
    pub(super) big: bool,
}

impl<'a> Directory<'a> {
    pub(super) fn new(block: &'a [u8]) -> Option<Self> {
        match block.get(..4)? {
            [b'M', b'M', 0, 42] => Some(Self { block, big: true }),
            [b'I', b'I', 42, 0] => Some(Self { block, big: false }),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.block.get(at..at.checked_add(length)?)
    }

    pub(super) fn short(&self, at: usize) -> Option<u16> {
        let b: [u8; 2] = self.block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    pub(super) fn long(&self, at: usize) -> Option<u32> {
        let b: [u8; 4] = self.block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }

    /// Where the entry of a tag of the first directory starts.
    fn entry(&self, tag: u16) -> Option<usize> {
        self.entry_of(self.long(4)? as usize, tag)
    }

    pub(super) fn entry_of(&self, start: usize, tag: u16) -> Option<usize> {
        self.entries(start).find(|&at| self.short(at) == Some(tag))
    }

    /// Where the entries of a directory start, as far as the block goes.
    pub(super) fn entries(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let most = self.block.len().saturating_sub(start.saturating_add(2)) / 12;
        let count = self.short(start).map_or(0, usize::from).min(most);
        (0..count).map(move |number| start + 2 + 12 * number)
    }

    fn ratio(&self, tag: u16) -> Option<f64> {
        let at = self.long(self.entry(tag)? + 8)? as usize;
        let value = f64::from(self.long(at)?) / f64::from(self.long(at.checked_add(4)?)?);
        (value.is_finite() && value > 0.0).then_some(value)
    }
}

/// Dots per inch by the first directory of an EXIF block or a TIFF file.
pub(super) fn dpi(block: &[u8]) -> Option<(f64, f64)> {
    const X_RESOLUTION: u16 = 0x11A;
    const Y_RESOLUTION: u16 = 0x11B;
    const RESOLUTION_UNIT: u16 = 0x128;
    let directory = Directory::new(block)?;
    let per_inch = match directory.entry(RESOLUTION_UNIT).and_then(|at| directory.short(at + 8)) {
        None | Some(2) => 1.0,
        Some(3) => 2.54,
        Some(_) => return None,
    };
    let x = directory.ratio(X_RESOLUTION)?;
    Some((x * per_inch, directory.ratio(Y_RESOLUTION).unwrap_or(x) * per_inch))
}

/// Whether the picture in a TIFF file is made of four inks.
pub(super) fn is_cmyk(file: &[u8]) -> bool {
    const PHOTOMETRIC: u16 = 0x106;
    const SEPARATED: u16 = 5;
    let directory = Directory::new(file);
    let told = directory.as_ref().and_then(|directory| directory.short(directory.entry(PHOTOMETRIC)? + 8));
    told == Some(SEPARATED)
}

/// The colour profile in a TIFF file.
pub(super) fn icc(file: &[u8]) -> Option<Vec<u8>> {
    const ICC_PROFILE: u16 = 0x8773;
    block(file, ICC_PROFILE)
}

/// XMP in a TIFF file.
pub(super) fn xmp(file: &[u8]) -> Option<Vec<u8>> {
    const XMP: u16 = 700;
    block(file, XMP)
}

pub(super) fn is_tiff(file: &[u8]) -> bool {
    Directory::new(file).is_some()
}

/// IPTC in a TIFF file.
pub(super) fn iptc(file: &[u8]) -> Option<Vec<u8>> {
    const IPTC: u16 = 0x83BB;
    block(file, IPTC)
}

fn block(file: &[u8], tag: u16) -> Option<Vec<u8>> {
    const LONG: u16 = 4;
    let directory = Directory::new(file)?;
    let entry = directory.entry(tag)?;
    let unit = if directory.short(entry + 2)? == LONG { 4 } else { 1 };
    // More than four bytes lie elsewhere, and none of these blocks is that small.
    let (count, at) = (directory.long(entry + 4)? as usize, directory.long(entry + 8)? as usize);
    file.get(at..at.checked_add(count.checked_mul(unit)?)?).map(<[u8]>::to_vec)
}

/// Where the directories of the pages of a TIFF file start. Small copies and masks of other pages are none.
pub(super) fn pages(file: &[u8]) -> impl Iterator<Item = u32> + '_ {
    const KIND: u16 = 0xFE;
    const COPY_OR_MASK: u32 = 1 | 4;
    let directory = Directory::new(file);
    let mut at = directory.as_ref().and_then(|directory| directory.long(4)).filter(|at| *at != 0);
    // A chain that leads back to itself has no end.
    let mut seen = HashSet::new();
    let all = std::iter::from_fn(move || {
        let directory = directory.as_ref()?;
        let here = at.filter(|here| seen.insert(*here))?;
        let entries = usize::from(directory.short(here as usize)?);
        at = directory.long((here as usize).checked_add(2 + 12 * entries)?).filter(|next| *next != 0);
        let kind = directory.entry_of(here as usize, KIND).and_then(|entry| directory.long(entry + 8)).unwrap_or(0);
        Some((here, kind))
    });
    all.filter(|(_, kind)| kind & COPY_OR_MASK == 0).map(|(here, _)| here)
}

/// A TIFF file of which a page is the first.
pub(super) fn with_first(file: &[u8], page: u32) -> Vec<u8> {
    let mut file = file.to_vec();
    let big = file.starts_with(b"MM");
    if let Some(place) = file.get_mut(4..8) {
        place.copy_from_slice(&if big { page.to_be_bytes() } else { page.to_le_bytes() });
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_and_chains_end() {
        // Directories of one entry, the kind of the page, at 8, 26 and 44; the last leads back to the first.
        let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
        for (kind, next) in [(0u32, 26u32), (1, 44), (2, 8)] {
            file.extend(b"\x01\0\xfe\0\x04\0\x01\0\0\0");
            file.extend(kind.to_le_bytes());
            file.extend(next.to_le_bytes());
        }
        assert_eq!(pages(&file).collect::<Vec<_>>(), [8, 44]);
        assert_eq!(pages(&with_first(&file, 44)).next(), Some(44));
        for cut in 0..file.len() {
            pages(&file[..cut]).count();
        }
    }

    #[test]
    fn resolution_is_found_and_nonsense_is_not() {
        let mut block = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
        block.extend(b"\x1a\x01\x05\0\x01\0\0\0\x26\0\0\0"); // x resolution at 38
        block.extend(b"\x28\x01\x03\0\x01\0\0\0\x03\0\0\0"); // per centimetre
        block.extend(b"\0\0\0\0"); // no next directory
        block.extend(100u32.to_le_bytes());
        block.extend(1u32.to_le_bytes());
        assert_eq!(dpi(&block), Some((254.0, 254.0)));
        for cut in 0..block.len() {
            dpi(&block[..cut]);
        }
        let end = block.len();
        block[end - 4..].fill(0);
        assert_eq!(dpi(&block), None, "a zero divisor");
        block[4..8].fill(0xff);
        assert_eq!(dpi(&block), None);
    }
}
