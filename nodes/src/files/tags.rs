//! Editing an EXIF block in its place, so that what programs have put at fixed offsets, such as the notes of cameras, stays
//! valid.

use engine::value::Size;

const SHORT: u16 = 3;
const LONG: u16 = 4;
const EXIF: u16 = 0x8769;
const GPS: u16 = 0x8825;
const ENTRY: usize = 12;

/// An EXIF block that holds nothing but a comment of the user, where other programs look for how a picture was made.
pub(super) fn comment(text: &str) -> Vec<u8> {
    const COMMENT: u16 = 0x9286;
    const UNDEFINED: u16 = 7;
    let mut words = b"UNICODE\0".to_vec();
    words.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
    let mut block = b"MM\0\x2a\0\0\0\x08".to_vec();
    let folder = |block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32| {
        block.extend(1u16.to_be_bytes());
        block.extend(tag.to_be_bytes());
        block.extend(kind.to_be_bytes());
        block.extend(count.to_be_bytes());
        block.extend(value.to_be_bytes());
        block.extend([0; 4]);
    };
    folder(&mut block, EXIF, LONG, 1, 26);
    folder(&mut block, COMMENT, UNDEFINED, words.len() as u32, 44);
    block.extend(words);
    block
}

/// An EXIF block, or nothing to edit when it is no such block. What lies outside of it is left alone.
pub(super) struct Tags<'a> {
    block: &'a mut [u8],
    big: bool,
}

impl<'a> Tags<'a> {
    pub(super) fn new(block: &'a mut [u8]) -> Option<Self> {
        match block.get(..4)? {
            [b'M', b'M', 0, 42] => Some(Self { block, big: true }),
            [b'I', b'I', 42, 0] => Some(Self { block, big: false }),
            _ => None,
        }
    }

    /// Width and height wherever they are told.
    pub(super) fn set_size(&mut self, size: Size) {
        let root = self.long(4).map(|at| at as usize);
        let inner = root.and_then(|root| self.below(root, EXIF));
        for (folder, width, height) in [(root, 0x0100, 0x0101), (inner, 0xA002, 0xA003)] {
            for (tag, value) in [(width, size.width), (height, size.height)] {
                if let Some(at) = folder.and_then(|folder| self.find(folder, tag)) {
                    self.set_number(at, value);
                }
            }
        }
    }

    /// Takes out the small picture, which would show what was before.
    pub(super) fn drop_thumbnail(&mut self) {
        let Some(root) = self.long(4).map(|at| at as usize) else { return };
        let Some(link) = self.short(root).map(|count| root + 2 + ENTRY * usize::from(count)) else { return };
        let Some(second) = self.long(link).filter(|at| *at != 0).map(|at| at as usize) else { return };
        let number = |tag| self.find(second, tag).and_then(|at| self.long(at + 8)).map(|value| value as usize);
        if let (Some(start), Some(length)) = (number(0x0201), number(0x0202)) {
            self.wipe(start, length);
        }
        self.wipe_folder(second);
        self.put(link, &[0; 4]);
    }

    /// Takes out where the picture was taken.
    pub(super) fn drop_gps(&mut self) {
        let Some(root) = self.long(4).map(|at| at as usize) else { return };
        let Some(at) = self.find(root, GPS) else { return };
        if let Some(folder) = self.long(at + 8) {
            self.wipe_folder(folder as usize);
        }
        let Some(count) = self.short(root).filter(|count| *count > 0) else { return };
        // The entries behind it and the link to the next folder move up.
        let end = root + 2 + ENTRY * usize::from(count) + 4;
        if end <= self.block.len() {
            self.block.copy_within(at + ENTRY..end, at);
            self.wipe(end - ENTRY, ENTRY);
            let less = count - 1;
            self.put(root, &if self.big { less.to_be_bytes() } else { less.to_le_bytes() });
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = self.block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = at.checked_add(bytes.len()).and_then(|end| self.block.get_mut(at..end)) {
            place.copy_from_slice(bytes);
        }
    }

    fn wipe(&mut self, at: usize, length: usize) {
        let end = at.saturating_add(length).min(self.block.len());
        if let Some(place) = self.block.get_mut(at..end) {
            place.fill(0);
        }
    }

    /// Where the entries of a folder start.
    fn entries(&self, folder: usize) -> impl Iterator<Item = usize> + use<> {
        let most = self.block.len().saturating_sub(folder.saturating_add(2)) / ENTRY;
        let count = self.short(folder).map_or(0, usize::from).min(most);
        (0..count).map(move |number| folder + 2 + ENTRY * number)
    }

    fn find(&self, folder: usize, tag: u16) -> Option<usize> {
        self.entries(folder).find(|at| self.short(*at) == Some(tag))
    }

    fn below(&self, folder: usize, tag: u16) -> Option<usize> {
        self.long(self.find(folder, tag)? + 8).map(|at| at as usize)
    }

    fn set_number(&mut self, at: usize, value: u32) {
        if !matches!(self.short(at + 2), Some(SHORT | LONG)) {
            return;
        }
        let (kind, bytes) = match (u16::try_from(value), self.short(at + 2)) {
            (Ok(small), Some(SHORT)) => {
                let [a, b] = if self.big { small.to_be_bytes() } else { small.to_le_bytes() };
                (SHORT, [a, b, 0, 0])
            }
            _ => (LONG, if self.big { value.to_be_bytes() } else { value.to_le_bytes() }),
        };
        self.put(at + 2, &if self.big { kind.to_be_bytes() } else { kind.to_le_bytes() });
        self.put(at + 8, &bytes);
    }

    /// Fills a folder with zeros, and what it points at.
    fn wipe_folder(&mut self, folder: usize) {
        for at in self.entries(folder) {
            let unit = match self.short(at + 2) {
                Some(3 | 8) => 2,
                Some(4 | 9 | 11) => 4,
                Some(5 | 10 | 12) => 8,
                _ => 1,
            };
            let length = self.long(at + 4).map_or(0, |count| (count as usize).saturating_mul(unit));
            if let Some(start) = self.long(at + 8).filter(|_| length > 4) {
                self.wipe(start as usize, length);
            }
        }
        let length = 2 + ENTRY * self.entries(folder).count();
        self.wipe(folder, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width as a short, a folder of EXIF with the height as a long, a folder of GPS, and a thumbnail.
    fn block() -> Vec<u8> {
        let mut block = b"II\x2a\0\x08\0\0\0".to_vec();
        let entry = |block: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: u32| {
            block.extend(tag.to_le_bytes());
            block.extend(kind.to_le_bytes());
            block.extend(count.to_le_bytes());
            block.extend(value.to_le_bytes());
        };
        block.extend(3u16.to_le_bytes());
        entry(&mut block, 0x0100, SHORT, 1, 640);
        entry(&mut block, EXIF, LONG, 1, 50);
        entry(&mut block, GPS, LONG, 1, 68);
        block.extend(94u32.to_le_bytes()); // at 46: the next folder
        block.extend(1u16.to_le_bytes()); // at 50
        entry(&mut block, 0xA003, LONG, 1, 480);
        block.extend([0; 4]);
        block.extend(1u16.to_le_bytes()); // at 68
        entry(&mut block, 2, 5, 1, 86);
        block.extend([0; 4]);
        block.extend(*b"latitude"); // at 86
        block.extend(2u16.to_le_bytes()); // at 94
        entry(&mut block, 0x0201, LONG, 1, 124);
        entry(&mut block, 0x0202, LONG, 1, 5);
        block.extend([0; 4]);
        block.extend(*b"small"); // at 124
        block
    }

    #[test]
    fn sizes_are_told_anew() {
        let mut block = block();
        let mut tags = Tags::new(&mut block).unwrap();
        tags.set_size(Size::new(70_000, 960));
        assert_eq!(
            tags.find(8, 0x0100).map(|at| (tags.short(at + 2), tags.long(at + 8))),
            Some((Some(LONG), Some(70_000)))
        );
        assert_eq!(tags.find(50, 0xA003).and_then(|at| tags.long(at + 8)), Some(960));
    }

    #[test]
    fn places_and_small_pictures_are_gone() {
        let mut block = block();
        let mut tags = Tags::new(&mut block).unwrap();
        tags.drop_gps();
        tags.drop_thumbnail();
        assert_eq!(tags.short(8), Some(2));
        assert!(tags.find(8, GPS).is_none() && tags.find(8, EXIF).is_some());
        assert_eq!(tags.long(34), Some(0), "there is no next folder");
        let text = String::from_utf8_lossy(&block).into_owned();
        assert!(!text.contains("latitude") && !text.contains("small"), "{text}");
    }

    #[test]
    fn a_comment_is_where_it_is_looked_for() {
        let mut block = comment("Möwe");
        let tags = Tags::new(&mut block).unwrap();
        let at = tags.find(8, EXIF).and_then(|at| tags.long(at + 8)).unwrap() as usize;
        let entry = tags.find(at, 0x9286).unwrap();
        let (length, start) = (tags.long(entry + 4).unwrap() as usize, tags.long(entry + 8).unwrap() as usize);
        assert_eq!(&tags.block[start..start + length], b"UNICODE\0\0M\0\xf6\0w\0e");
    }

    #[test]
    fn nonsense_is_left_alone() {
        let whole = block();
        for cut in 0..whole.len() {
            for flip in 0..whole.len() {
                let mut block = whole[..cut].to_vec();
                if let Some(byte) = block.get_mut(flip) {
                    *byte ^= 0xff;
                }
                let Some(mut tags) = Tags::new(&mut block) else { continue };
                tags.set_size(Size::new(1, 1));
                tags.drop_gps();
                tags.drop_thumbnail();
            }
        }
        assert!(Tags::new(&mut b"no".to_vec()).is_none());
    }
}
