//! The little of EXIF and TIFF directories that is looked at: orientation and resolution.

use image::metadata::Orientation;

/// Takes the orientation out of an EXIF block, which then says that the picture stands upright.
pub(super) fn take_orientation(exif: &mut [u8]) -> Orientation {
    Orientation::remove_from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// The first directory of an EXIF block or a TIFF file, which are built alike.
struct Directory<'a> {
    block: &'a [u8],
    big: bool,
}

impl<'a> Directory<'a> {
    fn new(block: &'a [u8]) -> Option<Self> {
        match block.get(..4)? {
            [b'M', b'M', 0, 42] => Some(Self { block, big: true }),
            [b'I', b'I', 42, 0] => Some(Self { block, big: false }),
            _ => None,
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let b: [u8; 2] = self.block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let b: [u8; 4] = self.block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }

    /// Where the entry of a tag starts.
    fn entry(&self, tag: u16) -> Option<usize> {
        let start = self.long(4)? as usize;
        let count = usize::from(self.short(start)?);
        (0..count).map_while(|i| start.checked_add(2 + 12 * i)).find(|&at| self.short(at) == Some(tag))
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

/// Whether a TIFF file holds further pictures.
pub(super) fn has_more(file: &[u8]) -> bool {
    let next = || {
        let directory = Directory::new(file)?;
        let start = directory.long(4)? as usize;
        directory.long(start.checked_add(2 + 12 * usize::from(directory.short(start)?))?)
    };
    next().is_some_and(|next| next != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
