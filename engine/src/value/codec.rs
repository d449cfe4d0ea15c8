//! Values as bytes, for keeping them on the disk.
//!
//! A value is a head of numbers and texts, and blocks: its samples and long runs of bytes, which are written as they lie in
//! memory or compressed. Nothing here needs to be trusted when it is read: whoever asks for a value compares its digest.

use super::{
    Damage, Field, File, Guide, Image, Mask, Measure, Metadata, Rect, Region, RegionKind, Regions, SampleDepth, Size,
    Tile, Tiles, Value,
};
use crate::digest::Digest;
use std::{borrow::Cow, sync::Arc};

/// A long part of a value.
#[derive(Debug)]
pub(crate) enum Block<'a> {
    Samples(Cow<'a, [f32]>),
    Bytes(Cow<'a, [u8]>),
}

/// A value in parts. The pictures of tiles are not among them: tiles name the digests of their pictures.
pub(crate) fn encode(value: &Value) -> (Vec<u8>, Vec<Block<'_>>) {
    let mut head = Head::default();
    let mut blocks = Vec::new();
    match value {
        Value::Image(v) => {
            head.u32(0).size(v.size()).u32(v.channels() as u32).metadata(&v.metadata);
            blocks.push(Block::Samples(v.samples().into()));
            for block in [&v.metadata.icc, &v.metadata.exif, &v.metadata.xmp, &v.metadata.iptc] {
                blocks.push(Block::Bytes(block.as_deref().unwrap_or_default().into()));
            }
            blocks.push(Block::Bytes(texts_to_bytes(&v.metadata.texts).into()));
        }
        Value::Mask(v) => {
            head.u32(1).size(v.size());
            blocks.push(Block::Samples(v.samples().into()));
        }
        Value::Tiles(v) => {
            head.u32(2).size(v.frame).u32(v.items.len() as u32);
            for tile in &v.items {
                head.rect(tile.core).rect(tile.outer).0.extend_from_slice(&tile.pixels.digest().0);
            }
        }
        Value::Regions(v) => {
            head.u32(3).size(v.frame).u32(v.items.len() as u32);
            for r in &v.items {
                head.u32(r.kind as u32).f32(r.x).f32(r.y).f32(r.width).f32(r.height).f32(r.confidence);
            }
        }
        Value::Damage(v) => {
            head.u32(4).u32(u32::from(v.restore));
            for measure in [v.noise, v.jpeg_quality, v.blur] {
                head.f32(measure.value).f32(measure.confidence);
            }
        }
        Value::Guide(v) => {
            head.u32(5).size(v.size());
            for field in [&v.creativity, &v.resemblance, &v.detail] {
                match field {
                    Field::Uniform(value) => {
                        head.u32(0).f32(*value);
                    }
                    Field::Map(mask) => {
                        head.u32(1);
                        blocks.push(Block::Samples(mask.samples().into()));
                    }
                }
            }
        }
        Value::Number(v) => {
            head.u32(6).f64(*v);
        }
        Value::Text(v) => {
            head.u32(7);
            blocks.push(Block::Bytes(v.as_bytes().into()));
        }
        Value::File(v) => {
            head.u32(8);
            blocks.push(Block::Bytes(v.bytes.as_slice().into()));
        }
    }
    (head.0, blocks)
}

/// A value from its parts; `picture` finds those of tiles. `None` when the parts are no value.
pub(crate) fn decode(
    head: &[u8],
    blocks: Vec<Block<'static>>,
    picture: &dyn Fn(Digest) -> Option<Arc<Image>>,
) -> Option<Value> {
    let mut head = Reader(head);
    let mut blocks = Blocks(blocks.into_iter());
    let value = match head.u32()? {
        0 => {
            let (size, channels) = (head.size()?, head.u32()? as usize);
            let mut metadata = head.metadata()?;
            let samples = blocks.samples(size.area().checked_mul(channels as u64)?)?;
            for block in [&mut metadata.icc, &mut metadata.exif, &mut metadata.xmp, &mut metadata.iptc] {
                *block = Some(blocks.bytes()?).filter(|bytes| !bytes.is_empty());
            }
            metadata.texts = texts_of_bytes(&blocks.bytes()?)?;
            (channels == 3 || channels == 4)
                .then(|| Value::Image(Arc::new(Image::new(size, channels, samples, Arc::new(metadata)))))?
        }
        1 => Value::Mask(Arc::new(blocks.mask(head.size()?)?)),
        2 => {
            let (frame, count) = (head.size()?, head.u32()?);
            let tile = |_| {
                let (core, outer) = (head.rect()?, head.rect()?);
                Some(Tile { core, outer, pixels: picture(Digest(head.take()?))? })
            };
            Value::Tiles(Arc::new(Tiles { frame, items: (0..count).map(tile).collect::<Option<_>>()? }))
        }
        3 => {
            let (frame, count) = (head.size()?, head.u32()?);
            let region = |_| {
                let kind = match head.u32()? {
                    0 => RegionKind::Face,
                    1 => RegionKind::Hand,
                    _ => return None,
                };
                let mut next = || head.f32();
                let (x, y, width, height, confidence) = (next()?, next()?, next()?, next()?, next()?);
                Some(Region { kind, x, y, width, height, confidence })
            };
            Value::Regions(Arc::new(Regions { frame, items: (0..count).map(region).collect::<Option<_>>()? }))
        }
        4 => {
            let restore = head.u32()? == 1;
            let mut next = || Some(Measure { value: head.f32()?, confidence: head.f32()? });
            Value::Damage(Arc::new(Damage { noise: next()?, jpeg_quality: next()?, blur: next()?, restore }))
        }
        5 => {
            let size = head.size()?;
            let mut next = || {
                Some(match head.u32()? {
                    0 => Field::Uniform(head.f32()?),
                    _ => Field::Map(Arc::new(blocks.mask(size)?)),
                })
            };
            Value::Guide(Arc::new(Guide::new(size, next()?, next()?, next()?)))
        }
        6 => Value::Number(head.f64()?),
        7 => Value::Text(String::from_utf8(blocks.bytes()?).ok()?.into()),
        8 => Value::File(Arc::new(File { bytes: blocks.bytes()? })),
        _ => return None,
    };
    // What is left over would go unnoticed by the digest.
    (head.0.is_empty() && blocks.0.next().is_none()).then_some(value)
}

#[derive(Default)]
struct Head(Vec<u8>);

impl Head {
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    fn f32(&mut self, value: f32) -> &mut Self {
        self.u32(value.to_bits())
    }
    fn f64(&mut self, value: f64) -> &mut Self {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        self
    }
    fn size(&mut self, size: Size) -> &mut Self {
        self.u32(size.width).u32(size.height)
    }
    fn rect(&mut self, rect: Rect) -> &mut Self {
        self.u32(rect.x).u32(rect.y).size(rect.size())
    }
    fn metadata(&mut self, metadata: &Metadata) -> &mut Self {
        let (x, y) = metadata.dpi.unwrap_or((0.0, 0.0));
        let quality = metadata.jpeg_quality.unwrap_or(0);
        self.f64(x).f64(y).u32(metadata.depth as u32).u32(u32::from(metadata.grey)).u32(quality.into())
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
    fn f32(&mut self) -> Option<f32> {
        self.u32().map(f32::from_bits)
    }
    fn f64(&mut self) -> Option<f64> {
        self.take().map(|bytes| f64::from_bits(u64::from_le_bytes(bytes)))
    }
    fn size(&mut self) -> Option<Size> {
        Some(Size::new(self.u32()?, self.u32()?))
    }
    fn rect(&mut self) -> Option<Rect> {
        Some(Rect { x: self.u32()?, y: self.u32()?, width: self.u32()?, height: self.u32()? })
    }
    fn metadata(&mut self) -> Option<Metadata> {
        let dpi = Some((self.f64()?, self.f64()?)).filter(|dpi| *dpi != (0.0, 0.0));
        let depth = match self.u32()? {
            0 => SampleDepth::Eight,
            1 => SampleDepth::Sixteen,
            2 => SampleDepth::Float,
            _ => return None,
        };
        let grey = self.u32()? == 1;
        let jpeg_quality = u8::try_from(self.u32()?).ok().filter(|quality| *quality > 0);
        Some(Metadata { dpi, depth, grey, jpeg_quality, ..Metadata::default() })
    }
}

fn texts_to_bytes(texts: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts.iter().flat_map(|(keyword, text)| [keyword, text]) {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn texts_of_bytes(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let (mut texts, mut rest) = (Vec::new(), bytes);
    let next = |rest: &mut &[u8]| {
        let (length, after) = rest.split_first_chunk()?;
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *rest = after;
        String::from_utf8(text.to_vec()).ok()
    };
    while !rest.is_empty() {
        texts.push((next(&mut rest)?, next(&mut rest)?));
    }
    Some(texts)
}

struct Blocks(std::vec::IntoIter<Block<'static>>);

impl Blocks {
    fn samples(&mut self, count: u64) -> Option<Vec<f32>> {
        match self.0.next()? {
            Block::Samples(samples) if samples.len() as u64 == count => Some(samples.into_owned()),
            _ => None,
        }
    }
    fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next()? {
            Block::Bytes(bytes) => Some(bytes.into_owned()),
            Block::Samples(_) => None,
        }
    }
    fn mask(&mut self, size: Size) -> Option<Mask> {
        Some(Mask::new(size, self.samples(size.area())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(at: u32) -> Arc<Image> {
        let size = Size::new(3, 2);
        let metadata = Metadata {
            icc: Some(vec![1, 2, 3]),
            iptc: Some(vec![0x1c, 2]),
            texts: vec![("Title".to_owned(), "Möwe".to_owned()), ("Author".to_owned(), String::new())],
            dpi: Some((72.0, 96.5)),
            depth: SampleDepth::Sixteen,
            grey: true,
            jpeg_quality: Some(90),
            ..Metadata::default()
        };
        let samples = (0..24).map(|i| (i + at) as f32 / 7.0).collect();
        Arc::new(Image::new(size, 4, samples, Arc::new(metadata)))
    }

    /// One value of every type.
    fn all() -> Vec<Value> {
        let size = Size::new(3, 2);
        let mask = Arc::new(Mask::new(size, vec![0.0, 0.25, 0.5, f32::NAN, -0.0, 1.0]));
        let rect = Rect { x: 0, y: 0, width: 3, height: 2 };
        let tile = |at| Tile { core: rect, outer: rect, pixels: picture(at) };
        let region = Region { kind: RegionKind::Hand, x: 1.5, y: 2.0, width: 3.0, height: 4.0, confidence: 0.7 };
        let guide = Guide::new(size, Field::Map(mask.clone()), Field::Uniform(0.5), Field::Map(mask.clone()));
        vec![
            Value::Image(picture(0)),
            Value::Mask(mask),
            Value::Tiles(Arc::new(Tiles { frame: size, items: vec![tile(0), tile(5)] })),
            Value::Regions(Arc::new(Regions { frame: size, items: vec![region, region] })),
            Value::Damage(Arc::new(Damage { restore: true, ..Damage::NONE })),
            Value::Guide(Arc::new(guide)),
            Value::Number(-0.1),
            Value::Text("Grüße".into()),
            Value::File(Arc::new(File { bytes: vec![7; 100] })),
        ]
    }

    fn owned(blocks: Vec<Block<'_>>) -> Vec<Block<'static>> {
        let own = |block| match block {
            Block::Samples(samples) => Block::Samples(Cow::Owned(Cow::into_owned(samples))),
            Block::Bytes(bytes) => Block::Bytes(Cow::Owned(Cow::into_owned(bytes))),
        };
        blocks.into_iter().map(own).collect()
    }

    fn find(digest: Digest) -> Option<Arc<Image>> {
        [0, 5].map(picture).into_iter().find(|picture| picture.digest() == digest)
    }

    #[test]
    fn every_type_comes_back_as_it_was() {
        let mut types: Vec<_> = all().iter().map(Value::ty).collect();
        types.dedup();
        assert_eq!(types.len(), super::super::Type::ALL.len());
        for value in all() {
            let (head, blocks) = encode(&value);
            let back = decode(&head, owned(blocks), &find).expect("it is a value");
            assert_eq!(back.digest(), value.digest(), "{value:?}");
            assert_eq!(back.ty(), value.ty());
        }
    }

    #[test]
    fn what_is_cut_or_too_long_is_no_value() {
        for value in all() {
            let (head, blocks) = encode(&value);
            let blocks = owned(blocks);
            for length in 0..head.len() {
                let (_, blocks) = encode(&value);
                assert!(decode(&head[..length], owned(blocks), &find).is_none(), "{value:?} cut at {length}");
            }
            let long = [head.as_slice(), &[0]].concat();
            assert!(decode(&long, blocks, &find).is_none(), "{value:?} with more");
        }
        assert!(decode(&[9, 0, 0, 0], Vec::new(), &find).is_none());
    }

    #[test]
    fn tiles_need_their_pictures() {
        let (head, _) = encode(&all()[2]);
        assert!(decode(&head, Vec::new(), &|_| None).is_none());
    }
}
