//! The little of EXIF and TIFF directories that is looked at: orientation and resolution.

use image::metadata::Orientation;
use std::collections::HashSet;

/// Takes the orientation out of an EXIF block, which then says that the picture stands upright.
pub(super) fn take_orientation(exif: &mut [u8]) -> Orientation {
    Orientation::remove_from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// The directories of an EXIF block or a TIFF file, which are built alike.
pub(super) struct Directory<'a> {
    block: &'a [u8],
    /// Whether the greater byte comes first.
    pub(super) big: bool,
    /// Whether places and counts have 8 bytes, as in BigTIFF.
    wide: bool,
}

impl<'a> Directory<'a> {
    pub(super) fn new(block: &'a [u8]) -> Option<Self> {
        match block.get(..4)? {
            [b'M', b'M', 0, 42] => Some(Self { block, big: true, wide: false }),
            [b'I', b'I', 42, 0] => Some(Self { block, big: false, wide: false }),
            _ => None,
        }
    }

    /// Those of a TIFF file, which may be a BigTIFF.
    fn of_file(file: &'a [u8]) -> Option<Self> {
        match file.get(..8)? {
            [b'M', b'M', 0, 43, 0, 8, 0, 0] => Some(Self { block: file, big: true, wide: true }),
            [b'I', b'I', 43, 0, 8, 0, 0, 0] => Some(Self { block: file, big: false, wide: true }),
            _ => Self::new(file),
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

    /// A place or a count, of as many bytes as they have here.
    fn place(&self, at: usize) -> Option<usize> {
        if !self.wide {
            return Some(self.long(at)? as usize);
        }
        let b: [u8; 8] = self.block.get(at..at.checked_add(8)?)?.try_into().ok()?;
        usize::try_from(if self.big { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) }).ok()
    }

    /// Where the first directory starts.
    fn first(&self) -> Option<usize> {
        self.place(if self.wide { 8 } else { 4 })
    }

    /// Bytes of an entry: tag, kind, count, value.
    fn entry_bytes(&self) -> usize {
        if self.wide { 20 } else { 12 }
    }

    /// How many entries a directory claims, and where they start.
    fn claimed(&self, start: usize) -> Option<(usize, usize)> {
        let count = if self.wide { self.place(start)? } else { usize::from(self.short(start)?) };
        Some((count, start.checked_add(if self.wide { 8 } else { 2 })?))
    }

    /// Where the directory behind one starts.
    fn next(&self, start: usize) -> Option<usize> {
        let (count, entries) = self.claimed(start)?;
        self.place(entries.checked_add(count.checked_mul(self.entry_bytes())?)?)
    }

    /// How many values an entry has, and where they start: in it, when they are small enough.
    fn values(&self, entry: usize) -> Option<(usize, usize)> {
        let width = match self.short(entry + 2)? {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        let (count, inside) = (self.place(entry + 4)?, entry + if self.wide { 12 } else { 8 });
        let room = if self.wide { 8 } else { 4 };
        let at = if count.checked_mul(width)? <= room { inside } else { self.place(inside)? };
        Some((count, at))
    }

    /// Where the only value of a tag of the first directory starts.
    fn value(&self, tag: u16) -> Option<usize> {
        Some(self.values(self.entry_of(self.first()?, tag)?)?.1)
    }

    pub(super) fn entry_of(&self, start: usize, tag: u16) -> Option<usize> {
        self.entries(start).find(|&at| self.short(at) == Some(tag))
    }

    /// Where the entries of a directory start, as far as the block goes.
    pub(super) fn entries(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let bytes = self.entry_bytes();
        let (count, entries) = self.claimed(start).unwrap_or_default();
        let most = self.block.len().saturating_sub(entries) / bytes;
        (0..count.min(most)).map(move |number| entries + bytes * number)
    }

    fn ratio(&self, tag: u16) -> Option<f64> {
        let at = self.value(tag)?;
        let value = f64::from(self.long(at)?) / f64::from(self.long(at.checked_add(4)?)?);
        (value.is_finite() && value > 0.0).then_some(value)
    }
}

/// Dots per inch by the first directory of an EXIF block or a TIFF file.
pub(super) fn dpi(block: &[u8]) -> Option<(f64, f64)> {
    const X_RESOLUTION: u16 = 0x11A;
    const Y_RESOLUTION: u16 = 0x11B;
    const RESOLUTION_UNIT: u16 = 0x128;
    let directory = Directory::of_file(block)?;
    let per_inch = match directory.value(RESOLUTION_UNIT).and_then(|at| directory.short(at)) {
        None | Some(2) => 1.0,
        Some(3) => 2.54,
        Some(_) => return None,
    };
    let x = directory.ratio(X_RESOLUTION)?;
    Some((x * per_inch, directory.ratio(Y_RESOLUTION).unwrap_or(x) * per_inch))
}

/// What the samples of a TIFF file stand for.
fn photometric(file: &[u8]) -> Option<u16> {
    const PHOTOMETRIC: u16 = 0x106;
    let directory = Directory::of_file(file)?;
    directory.short(directory.value(PHOTOMETRIC)?)
}

/// Whether the picture in a TIFF file is made of four inks.
pub(super) fn is_cmyk(file: &[u8]) -> bool {
    const SEPARATED: u16 = 5;
    photometric(file) == Some(SEPARATED)
}

/// What the samples of a TIFF file are, where its decoder knows no name for them.
pub(super) fn unusual(file: &[u8]) -> Option<&'static str> {
    Some(match photometric(file)? {
        3 => "a palette",
        4 => "a mask",
        6 => "brightness and differences of colour (YCbCr)",
        8..=10 => "L*a*b* colours",
        32_803 | 34_892 => "samples of a camera",
        32_844 | 32_845 => "logarithms (LogLuv)",
        _ => return None,
    })
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
    Directory::of_file(file).is_some()
}

/// IPTC in a TIFF file.
pub(super) fn iptc(file: &[u8]) -> Option<Vec<u8>> {
    const IPTC: u16 = 0x83BB;
    block(file, IPTC)
}

fn block(file: &[u8], tag: u16) -> Option<Vec<u8>> {
    const LONG: u16 = 4;
    let directory = Directory::of_file(file)?;
    let entry = directory.entry_of(directory.first()?, tag)?;
    let unit = if directory.short(entry + 2)? == LONG { 4 } else { 1 };
    let (count, at) = directory.values(entry)?;
    file.get(at..at.checked_add(count.checked_mul(unit)?)?).map(<[u8]>::to_vec)
}

/// Where the directories of the pages of a TIFF file start. Small copies and masks of other pages are none.
pub(super) fn pages(file: &[u8]) -> impl Iterator<Item = usize> + '_ {
    const KIND: u16 = 0xFE;
    const COPY_OR_MASK: u32 = 1 | 4;
    let directory = Directory::of_file(file);
    let mut at = directory.as_ref().and_then(Directory::first).filter(|at| *at != 0);
    // A chain that leads back to itself has no end.
    let mut seen = HashSet::new();
    let all = std::iter::from_fn(move || {
        let directory = directory.as_ref()?;
        let here = at.filter(|here| seen.insert(*here))?;
        at = directory.next(here).filter(|next| *next != 0);
        let kind = directory.entry_of(here, KIND).and_then(|entry| directory.long(directory.values(entry)?.1));
        Some((here, kind.unwrap_or(0)))
    });
    all.filter(|(_, kind)| kind & COPY_OR_MASK == 0).map(|(here, _)| here)
}

/// A TIFF file of which a page is the first.
pub(super) fn with_first(file: &[u8], page: usize) -> Vec<u8> {
    let mut first = (page as u64).to_be_bytes();
    let Some(directory) = Directory::of_file(file) else { return file.to_vec() };
    let place = if directory.wide { 8..16 } else { 4..8 };
    if !directory.big {
        first.reverse();
    }
    // The lesser half, where there is room for no more.
    let half = if directory.big { &first[4..] } else { &first[..4] };
    let mut file = file.to_vec();
    if let Some(there) = file.get_mut(place) {
        there.copy_from_slice(if directory.wide { &first } else { half });
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
    fn pages_of_large_files_are_pages() {
        use tiff::encoder::{TiffEncoder, colortype::RGB8};
        let mut file = std::io::Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new_big(&mut file).unwrap();
        for shade in [10u8, 20, 30] {
            let mut image = encoder.new_image::<RGB8>(5, 4).unwrap();
            image.encoder().write_tag(tiff::tags::Tag::Unknown(700), &b"<x:xmpmeta/>"[..]).unwrap();
            image.write_data(&[shade; 60]).unwrap();
        }
        let file = file.into_inner();
        assert_eq!(pages(&file).count(), 3);
        assert_eq!((xmp(&file).as_deref(), photometric(&file)), (Some(&b"<x:xmpmeta/>"[..]), Some(2)));
        let limits = crate::limits::Limits::LOCAL;
        for (frame, shade) in [(1, 10.0), (2, 20.0), (3, 30.0)] {
            let page = super::super::decode("a.tif", &file, &limits, frame).unwrap();
            assert_eq!((page.plane(0)[0] * 255.0).round(), shade);
        }
        let failure = super::super::decode("a.tif", &file, &limits, 4).map(|page| page.size()).unwrap_err();
        assert!(failure.message.contains("no frame 4: there are 3 frames"), "{failure}");
        for cut in 0..file.len() {
            pages(&file[..cut]).count();
            xmp(&file[..cut]);
        }
    }

    #[test]
    fn what_is_not_read_has_a_name() {
        use tiff::encoder::{TiffEncoder, colortype::YCbCr8};
        let mut file = std::io::Cursor::new(Vec::new());
        TiffEncoder::new(&mut file).unwrap().write_image::<YCbCr8>(5, 4, &[9; 60]).unwrap();
        let limits = crate::limits::Limits::LOCAL;
        let failure = super::super::decode("a.tif", file.get_ref(), &limits, 0).map(|page| page.size()).unwrap_err();
        assert!(failure.message.contains("TIFF of brightness and differences of colour (YCbCr)"), "{failure}");
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
