//! The boxes around the pictures of an AVIF file: items, what is said about them, and how they belong together
//! (ISO/IEC 23008-12, HEIF; ISO/IEC 23000-22, MIAF).

use super::super::boxes::{self, Part};
use std::{borrow::Cow, collections::BTreeMap};

/// More items, or more pieces of items, than any file of one picture has: tiles of 64 pixels an edge for a whole gigapixel
/// would be a quarter of it.
const MOST: usize = 1 << 18;

/// Says why a container cannot be read. `end of file` in it means that the file is cut off.
pub(super) type Trouble = &'static str;
type Outcome<T> = Result<T, Trouble>;

const CUT: Trouble = "end of file among the boxes";

/// Something in the file: a picture, tiles that make one, a block of metadata.
#[derive(Debug, Default)]
pub(super) struct Item<'a> {
    /// Four letters, such as `av01`, `grid`, `Exif`, `mime`.
    pub kind: [u8; 4],
    /// What a `mime` item holds.
    mime: &'a [u8],
    /// The bytes of it, in order.
    pieces: Vec<&'a [u8]>,
    /// Whether some of the pieces lie behind the end of the file, or in a place that is not known here.
    lost: Option<Trouble>,
    /// What is said about it, in order, as numbers into the list of properties; and whether it must be understood.
    properties: Vec<(usize, bool)>,
}

/// An item refers to others.
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

/// The container, of which no picture is taken apart yet.
pub(super) struct Container<'a> {
    length: usize,
    items: BTreeMap<u32, Item<'a>>,
    references: Vec<Reference>,
    properties: Vec<Part<'a>>,
    /// The item that is the picture.
    pub primary: u32,
}

/// Reads numbers off the front of bytes.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of 0 to 8 bytes, the greatest first.
    pub(super) fn number(&mut self, bytes: usize) -> Outcome<u64> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    /// A number of 0 to 4 bytes.
    pub(super) fn short(&mut self, bytes: usize) -> Outcome<u32> {
        Ok(self.number(bytes.min(4))? as u32)
    }

    /// A text up to the byte 0 that ends it, or as far as the bytes go.
    fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == 0);
        let text = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = &self.0[end.map_or(self.0.len(), |end| end + 1)..];
        text
    }

    /// Version and flags, with which many boxes begin.
    fn version(&mut self) -> Outcome<(u8, u32)> {
        let word = self.short(4)?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }
}

fn named<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes::parts(bytes).find(|part| part.name == name).map(|part| part.data)
}

impl<'a> Container<'a> {
    /// Reads the boxes of a whole file.
    pub(super) fn parse(bytes: &'a [u8]) -> Outcome<Self> {
        let meta = named(bytes, b"meta").ok_or("no still picture in it")?;
        let meta = meta.get(4..).ok_or(CUT)?;
        let mut primary = Reader(named(meta, b"pitm").ok_or("no picture among its items")?);
        let (version, _) = primary.version()?;
        let primary = primary.short(if version == 0 { 2 } else { 4 })?;
        let mut container = Self {
            length: bytes.len(),
            items: BTreeMap::new(),
            references: Vec::new(),
            properties: Vec::new(),
            primary,
        };
        container.kinds(named(meta, b"iinf").ok_or("no list of items in it")?)?;
        container.places(named(meta, b"iloc").ok_or("no places of items in it")?, bytes, named(meta, b"idat"))?;
        if let Some(references) = named(meta, b"iref") {
            container.references(references)?;
        }
        if let Some(properties) = named(meta, b"iprp") {
            container.properties = boxes::parts(named(properties, b"ipco").unwrap_or_default()).collect();
            for part in boxes::parts(properties).filter(|part| part.name == b"ipma") {
                container.associations(part.data)?;
            }
        }
        Ok(container)
    }

    /// What each item is.
    fn kinds(&mut self, data: &'a [u8]) -> Outcome<()> {
        let mut list = Reader(data);
        let (version, _) = list.version()?;
        list.number(if version == 0 { 2 } else { 4 })?;
        for part in boxes::parts(list.0).filter(|part| part.name == b"infe") {
            let mut entry = Reader(part.data);
            let (version, _) = entry.version()?;
            if version < 2 {
                continue;
            }
            let id = entry.short(if version == 2 { 2 } else { 4 })?;
            // Protected items are none of ours: their kind is left empty.
            let protection = entry.short(2)?;
            let kind = entry.take(4)?.try_into().unwrap_or_default();
            entry.text();
            let mime = entry.text();
            if self.items.len() >= MOST {
                return Err("more items than a picture has");
            }
            if protection == 0 {
                self.items.insert(id, Item { kind, mime, ..Item::default() });
            }
        }
        Ok(())
    }

    /// Where the bytes of each item lie.
    fn places(&mut self, data: &'a [u8], file: &'a [u8], idat: Option<&'a [u8]>) -> Outcome<()> {
        let mut list = Reader(data);
        let (version, _) = list.version()?;
        if version > 2 {
            return Err("places of items in a form that is not known");
        }
        let sizes = list.short(2)? as usize;
        let (offset, length, base, index) = (sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15);
        if [offset, length, base, index].iter().any(|&size| size > 8) {
            return Err("places of items in a form that is not known");
        }
        let wide = if version < 2 { 2 } else { 4 };
        let (items, mut pieces) = (list.short(wide)?, 0);
        for _ in 0..items {
            let id = list.short(wide)?;
            let method = if version == 0 { 0 } else { list.short(2)? & 15 };
            list.take(2)?;
            let base = list.number(base)?;
            let count = list.short(2)?;
            pieces += count as usize;
            if pieces > MOST {
                return Err("more pieces of items than a picture has");
            }
            let mut found = self.items.get_mut(&id);
            for _ in 0..count {
                list.take(if version == 0 { 0 } else { index })?;
                let (offset, length) = (list.number(offset)?, list.number(length)?);
                let Some(item) = &mut found else { continue };
                let source = match method {
                    0 => file,
                    1 => idat.unwrap_or_default(),
                    _ => {
                        item.lost = Some("an item that is made of others");
                        continue;
                    }
                };
                let start = base.checked_add(offset).and_then(|start| usize::try_from(start).ok());
                let rest = start.and_then(|start| source.get(start..));
                // Without a length it is all that is left.
                let length = if length == 0 {
                    rest.map_or(0, <[u8]>::len)
                } else {
                    usize::try_from(length).unwrap_or(usize::MAX)
                };
                match rest.and_then(|rest| rest.get(..length)) {
                    Some(piece) => item.pieces.push(piece),
                    None => item.lost = Some("end of file in an item"),
                }
            }
        }
        Ok(())
    }

    fn references(&mut self, data: &'a [u8]) -> Outcome<()> {
        let mut list = Reader(data);
        let wide = if list.version()?.0 == 0 { 2 } else { 4 };
        for part in boxes::parts(list.0) {
            let mut entry = Reader(part.data);
            let (from, count) = (entry.short(wide)?, entry.short(2)?);
            let to = (0..count).map(|_| entry.short(wide)).collect::<Outcome<Vec<u32>>>()?;
            self.references.push(Reference { kind: part.name.try_into().unwrap_or_default(), from, to });
        }
        Ok(())
    }

    /// Which properties belong to which item.
    fn associations(&mut self, data: &'a [u8]) -> Outcome<()> {
        let mut list = Reader(data);
        let (version, flags) = list.version()?;
        let wide = flags & 1 == 1;
        for _ in 0..list.short(4)? {
            let id = list.short(if version == 0 { 2 } else { 4 })?;
            let count = list.short(1)?;
            let mut found = self.items.get_mut(&id);
            for _ in 0..count {
                let word = if wide { list.short(2)? } else { list.short(1)? };
                let needed = word >> if wide { 15 } else { 7 } == 1;
                let number = (word & if wide { 0x7fff } else { 0x7f }) as usize;
                // They are counted from 1.
                if let (Some(item), Some(index)) = (&mut found, number.checked_sub(1)) {
                    item.properties.push((index, needed));
                }
            }
        }
        Ok(())
    }

    pub(super) fn item(&self, id: u32) -> Outcome<&Item<'a>> {
        self.items.get(&id).ok_or("an item of it is missing")
    }

    /// The bytes of an item.
    pub(super) fn data(&self, id: u32) -> Outcome<Cow<'a, [u8]>> {
        let item = self.item(id)?;
        if let Some(trouble) = item.lost {
            return Err(trouble);
        }
        match *item.pieces {
            [] => Err("an item of it is empty"),
            [piece] => Ok(Cow::Borrowed(piece)),
            // The same bytes may be named again and again.
            _ if item.pieces.iter().map(|piece| piece.len()).sum::<usize>() > self.length => {
                Err("an item that is longer than the file")
            }
            _ => Ok(Cow::Owned(item.pieces.concat())),
        }
    }

    /// What is said about an item, in order; and whether one who does not understand it must not show the item.
    pub(super) fn properties(&self, id: u32) -> impl Iterator<Item = (Part<'a>, bool)> {
        let associated = self.items.get(&id).map_or(&[][..], |item| &item.properties);
        associated.iter().filter_map(|&(index, needed)| Some((*self.properties.get(index)?, needed)))
    }

    /// What is said about an item under that name, first.
    pub(super) fn property(&self, id: u32, name: &[u8; 4]) -> Option<&'a [u8]> {
        self.properties(id).find(|(part, _)| part.name == name).map(|(part, _)| part.data)
    }

    /// The items that an item refers to in that sense.
    pub(super) fn referred(&self, from: u32, kind: &[u8; 4]) -> &[u32] {
        let found = self.references.iter().find(|reference| reference.from == from && &reference.kind == kind);
        found.map_or(&[], |reference| &reference.to)
    }

    /// The items that refer to an item in that sense.
    pub(super) fn referring(&self, to: u32, kind: &[u8; 4]) -> impl Iterator<Item = u32> {
        let meant = move |reference: &&Reference| &reference.kind == kind && reference.to.contains(&to);
        self.references.iter().filter(meant).map(|reference| reference.from)
    }

    /// A block of metadata about the picture.
    pub(super) fn metadata(&self, kind: &[u8; 4], mime: &[u8]) -> Option<Cow<'a, [u8]>> {
        let meant = |id: &u32| self.items.get(id).is_some_and(|item| &item.kind == kind && item.mime.starts_with(mime));
        let id = self.referring(self.primary, b"cdsc").find(meant)?;
        self.data(id).ok()
    }

    /// Width and height that are said of an item.
    pub(super) fn size(&self, id: u32) -> Outcome<(u32, u32)> {
        let mut size = Reader(self.property(id, b"ispe").ok_or("no size is said of its picture")?);
        size.version()?;
        Ok((size.short(4)?, size.short(4)?))
    }
}
