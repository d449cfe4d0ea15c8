//! The fields of EXIF, which lie in a block of their own or among those of a TIFF file, on their way from one to the other.

use super::exif::Directory;
use std::io::{Seek, Write};
use tiff::{
    TiffResult,
    encoder::{DirectoryEncoder, TiffEncoder, TiffKindStandard},
    tags::{Tag, Type},
};

const EXIF: u16 = 0x8769;
const GPS: u16 = 0x8825;
const INTEROPERABILITY: u16 = 0xA005;

/// What the makers of cameras note. It may hold offsets from the start of the file, and so has to lie where it was.
const NOTE: u16 = 0x927C;
/// So far into a file a note is put where it was.
const FARTHEST_NOTE: usize = 1 << 16;

/// Whether a field of the first directory tells how the picture lies in its file, where on the ground its pixels lie, or something
/// that is carried on its own: orientation, resolution, profile, XMP, IPTC.
fn is_of_the_file(tag: u16) -> bool {
    matches!(tag,
        // Of old programs' processing nothing but their name is of use.
        0..=0x000A | 0x000C..=0x00FF
        | 0x0100..=0x010C | 0x0111..=0x011C | 0x0120..=0x012C | 0x013D | 0x0140..=0x015B | 0x0200..=0x0214 | 0x02BC
        | 0x830E | 0x8480..=0x8482 | 0x83BB | 0x85D8 | 0x8649 | 0x8773 | 0x87AF..=0x87B1 | 0x935C
        // DNG.
        | 0xC612..=0xC7FF
        | EXIF | GPS)
}

/// One field. Its bytes are in the order of this machine.
#[derive(Debug, PartialEq)]
struct Field {
    tag: u16,
    kind: u16,
    bytes: Vec<u8>,
    /// Where a note lay.
    at: Option<usize>,
}

/// All fields.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fields {
    root: Vec<Field>,
    exif: Vec<Field>,
    gps: Vec<Field>,
    interoperability: Vec<Field>,
}

/// Bytes of a value, and how many of them belong together in the order of a machine.
fn width(kind: u16) -> Option<(usize, usize)> {
    Some(match kind {
        1 | 2 | 6 | 7 => (1, 1),
        3 | 8 => (2, 2),
        4 | 9 | 11 => (4, 4),
        5 | 10 => (8, 4),
        12 => (8, 8),
        _ => return None,
    })
}

impl Fields {
    /// The fields in an EXIF block or a TIFF file; nothing when there are none.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        let directory = Directory::new(file)?;
        let root = directory.long(4)? as usize;
        let below = |start: usize, tag| Some(directory.long(directory.entry_of(start, tag)? + 8)? as usize);
        let all = |start: Option<usize>| start.map(|start| fields(&directory, start)).unwrap_or_default();
        let exif = below(root, EXIF);
        let fields = Self {
            root: fields(&directory, root).into_iter().filter(|field| !is_of_the_file(field.tag)).collect(),
            exif: all(exif).into_iter().filter(|field| field.tag != INTEROPERABILITY).collect(),
            gps: all(below(root, GPS)),
            interoperability: all(exif.and_then(|exif| below(exif, INTEROPERABILITY))),
        };
        (fields != Self::default()).then_some(fields)
    }

    /// How many bytes the fields in a file would have, told without taking them out of it: many may be made of the same bytes.
    pub(super) fn length(file: &[u8]) -> u64 {
        let Some(directory) = Directory::new(file) else { return 0 };
        let Some(root) = directory.long(4).map(|at| at as usize) else { return 0 };
        let below = |start: usize, tag| Some(directory.long(directory.entry_of(start, tag)? + 8)? as usize);
        let of = |start: usize, root: bool| -> u64 {
            let wanted = directory
                .entries(start)
                .filter(|&at| directory.short(at).is_some_and(|tag| !root || !is_of_the_file(tag)));
            wanted.filter_map(|at| Some(value(&directory, at)?.bytes.len() as u64)).sum()
        };
        of(root, true) + [EXIF, GPS].iter().filter_map(|tag| Some(of(below(root, *tag)?, false))).sum::<u64>()
    }

    /// The fields as a block of their own.
    pub(super) fn block(&self) -> Vec<u8> {
        let mut block = if cfg!(target_endian = "big") { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
        block.extend([0; 4]);
        let note = self.exif.iter().find(|field| field.tag == NOTE);
        let note = note.and_then(|note| Some((note, note.at.filter(|at| (8..FARTHEST_NOTE).contains(at))?)));
        if let Some((note, at)) = note {
            block.resize(at, 0);
            block.extend(&note.bytes);
        }
        let note = note.map(|(_, at)| at as u32);
        let mut put = |fields: &[Field], below: &[(u16, Option<u32>)]| -> Option<u32> {
            let links = below.iter().filter_map(|(tag, at)| {
                Some(Field { tag: *tag, kind: 4, bytes: (*at)?.to_ne_bytes().to_vec(), at: None })
            });
            let links: Vec<Field> = links.collect();
            let mut all: Vec<&Field> = fields.iter().chain(&links).collect();
            all.sort_by_key(|field| field.tag);
            (!all.is_empty()).then(|| put_directory(&mut block, &all, note))
        };
        let interoperability = put(&self.interoperability, &[]);
        let exif = put(&self.exif, &[(INTEROPERABILITY, interoperability)]);
        let gps = put(&self.gps, &[]);
        let root = put(&self.root, &[(EXIF, exif), (GPS, gps)]).unwrap_or(0);
        block[4..8].copy_from_slice(&root.to_ne_bytes());
        block
    }

    /// Writes the directories of the fields that have their own, and gives what the first directory of the file is to hold.
    ///
    /// # Errors
    /// When the file takes no more.
    pub(super) fn write<W: Write + Seek>(&self, file: &mut TiffEncoder<W>) -> TiffResult<Told<'_>> {
        let mut put = |fields: &[Field], below: Option<u32>| -> TiffResult<Option<u32>> {
            if fields.is_empty() && below.is_none() {
                return Ok(None);
            }
            let mut directory = file.extra_directory()?;
            for note in fields.iter().filter(|field| field.tag == NOTE) {
                // Hardly more than the head of the file has been written.
                let here = usize::try_from(directory.write_data(&[0u8; 0][..])?).unwrap_or(usize::MAX);
                let gap = note.at.filter(|at| *at < FARTHEST_NOTE).and_then(|at| at.checked_sub(here)).unwrap_or(0);
                directory.write_data(&vec![0u8; gap][..])?;
                note.write(&mut directory)?;
            }
            fields.iter().filter(|field| field.tag != NOTE).try_for_each(|field| field.write(&mut directory))?;
            if let Some(below) = below {
                directory.write_tag(Tag::Unknown(INTEROPERABILITY), below)?;
            }
            directory.finish_with_offsets().map(|offset| Some(offset.offset))
        };
        let interoperability = put(&self.interoperability, None)?;
        let exif = put(&self.exif, interoperability)?;
        let gps = put(&self.gps, None)?;
        Ok(Told { root: &self.root, exif, gps })
    }
}

/// What the first directory of a TIFF file is to hold.
pub(super) struct Told<'a> {
    root: &'a [Field],
    exif: Option<u32>,
    gps: Option<u32>,
}

impl Told<'_> {
    pub(super) fn write<W: Write + Seek>(
        &self,
        directory: &mut DirectoryEncoder<'_, W, TiffKindStandard>,
    ) -> TiffResult<()> {
        self.root.iter().try_for_each(|field| field.write(directory))?;
        for (tag, at) in [(EXIF, self.exif), (GPS, self.gps)] {
            if let Some(at) = at {
                directory.write_tag(Tag::from_u16_exhaustive(tag), at)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn write<W: Write + Seek>(&self, directory: &mut DirectoryEncoder<'_, W, TiffKindStandard>) -> TiffResult<()> {
        let Some(kind) = Type::from_u16(self.kind) else { return Ok(()) };
        let entry = directory.write_entry_bytes(kind, &self.bytes)?;
        let mut one = tiff::Directory::empty();
        one.extend([(Tag::from_u16_exhaustive(self.tag), entry)]);
        directory.extend_from(&one);
        Ok(())
    }
}

/// A value as it lies in a file.
struct Value<'a> {
    kind: u16,
    at: usize,
    bytes: &'a [u8],
}

fn value<'a>(directory: &Directory<'a>, entry: usize) -> Option<Value<'a>> {
    let kind = directory.short(entry + 2)?;
    let length = (directory.long(entry + 4)? as usize).checked_mul(width(kind)?.0)?;
    // What fits into the entry lies in it.
    let at = if length <= 4 { entry + 8 } else { directory.long(entry + 8)? as usize };
    let bytes = directory.bytes(at, length)?;
    (length > 0).then_some(Value { kind, at, bytes })
}

fn fields(directory: &Directory<'_>, start: usize) -> Vec<Field> {
    let field = |entry| {
        let tag = directory.short(entry)?;
        let Value { kind, at, bytes } = value(directory, entry)?;
        let mut bytes = bytes.to_vec();
        if directory.big != cfg!(target_endian = "big") {
            bytes.chunks_exact_mut(width(kind)?.1).for_each(<[u8]>::reverse);
        }
        Some(Field { tag, kind, bytes, at: (tag == NOTE).then_some(at) })
    };
    directory.entries(start).filter_map(field).collect()
}

/// Puts a directory behind a block, and tells where it starts. A note may be in its place already.
fn put_directory(block: &mut Vec<u8>, fields: &[&Field], note: Option<u32>) -> u32 {
    let even = |block: &mut Vec<u8>| block.resize(block.len().next_multiple_of(2), 0);
    even(block);
    let start = block.len();
    block.extend((fields.len() as u16).to_ne_bytes());
    let mut at = block.len();
    // The entries, and no further directory.
    block.resize(at + 12 * fields.len() + 4, 0);
    for field in fields {
        let unit = width(field.kind).map_or(1, |(bytes, _)| bytes);
        let count = (field.bytes.len() / unit) as u32;
        let mut entry = [field.tag.to_ne_bytes(), field.kind.to_ne_bytes()].concat();
        entry.extend(count.to_ne_bytes());
        if field.bytes.len() <= 4 {
            entry.extend(&field.bytes);
        } else if let Some(note) = note.filter(|_| field.tag == NOTE) {
            entry.extend(note.to_ne_bytes());
        } else {
            even(block);
            entry.extend((block.len() as u32).to_ne_bytes());
            block.extend(&field.bytes);
        }
        block[at..at + entry.len()].copy_from_slice(&entry);
        at += 12;
    }
    start as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the other order of bytes: a maker, an exposure time, a longitude.
    fn block() -> Vec<u8> {
        let mut block = b"MM\0\x2a\0\0\0\x08".to_vec();
        let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
            [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value].concat()
        };
        // Directories at 8 (four entries), 62 (two) and 92 (one), values at 110.
        block.extend([0, 4]);
        block.extend(entry(0x0100, 3, 1, [0, 9, 0, 0]));
        block.extend(entry(0x010F, 2, 6, 110u32.to_be_bytes()));
        block.extend(entry(EXIF, 4, 1, 62u32.to_be_bytes()));
        block.extend(entry(GPS, 4, 1, 92u32.to_be_bytes()));
        block.extend([0; 4]);
        block.extend([0, 2]);
        block.extend(entry(0x829A, 5, 1, 116u32.to_be_bytes()));
        block.extend(entry(NOTE, 7, 9, 124u32.to_be_bytes()));
        block.extend([0; 4]);
        block.extend([0, 1]);
        block.extend(entry(3, 2, 2, *b"E\0\0\0"));
        block.extend([0; 4]);
        block.extend(b"Maker\0");
        block.extend([1u32, 250].iter().flat_map(|n| n.to_be_bytes()));
        block.extend(b"not moved");
        block
    }

    #[test]
    fn fields_survive_the_move() {
        let fields = Fields::of(&block()).unwrap();
        assert_eq!(fields.root.len(), 1, "the width belongs to the file");
        let exposure = [1u32.to_ne_bytes(), 250u32.to_ne_bytes()].concat();
        let note = Field { tag: NOTE, kind: 7, bytes: b"not moved".to_vec(), at: Some(124) };
        assert_eq!(fields.exif, [Field { tag: 0x829A, kind: 5, bytes: exposure, at: None }, note]);
        assert_eq!(fields.gps, [Field { tag: 3, kind: 2, bytes: b"E\0".to_vec(), at: None }]);
        let moved = fields.block();
        assert_eq!(Fields::of(&moved).unwrap(), fields);
        assert_eq!(&moved[124..133], b"not moved");
        let mut file = std::io::Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut file).unwrap();
        let told = fields.write(&mut encoder).unwrap();
        let mut image = encoder.new_image::<tiff::encoder::colortype::Gray8>(2, 1).unwrap();
        told.write(image.encoder()).unwrap();
        image.write_data(&[1, 2]).unwrap();
        assert_eq!(Fields::of(file.get_ref()).unwrap(), fields);
        assert_eq!(Fields::length(&block()), 6 + 8 + 9 + 2);
        for file in [block(), moved] {
            for cut in 0..file.len() {
                Fields::of(&file[..cut]);
                Fields::length(&file[..cut]);
            }
        }
        assert_eq!(Fields::of(b"II\x2a\0\x08\0\0\0\0\0"), None);
    }
}
