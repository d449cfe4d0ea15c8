//! A content as a file.
//!
//! `UWC1`, the length of the head and the head, then the blocks: how it is stored (1 byte), its length in bytes, the
//! length that is stored, and the bytes. All numbers are little-endian. There is no checksum: the name of the file is the
//! digest of the value that must come out.

use crate::{
    digest::{Digest, little_endian},
    value::{Block, Image, Value, decode, encode},
};
use std::{borrow::Cow, sync::Arc};

const MAGIC: &[u8; 4] = b"UWC1";
/// Longest head: tiles have 64 bytes each.
const LONGEST_HEAD: usize = 64 << 20;
/// A block is compressed when that saves at least this share of its bytes. Less is not worth the time.
const WORTH: f64 = 0.3;
/// So much of the middle of a block tells whether compressing pays.
const SAMPLE: usize = 64 << 10;
/// LZ4 cannot expand more than this, so that a broken length never asks for much memory.
const MOST_EXPANDED: usize = 255;

/// How a block is stored.
const RAW_BYTES: u8 = 0;
const PACKED_BYTES: u8 = 1;
const RAW_SAMPLES: u8 = 2;
/// The first bytes of all samples, then the second ones, and so on, compressed: exponents are alike, mantissas are not.
const PACKED_SAMPLES: u8 = 3;

/// A value on its way to the disk: parts to be written one after the other.
pub(super) struct Blob<'a>(Vec<Cow<'a, [u8]>>);

impl<'a> Blob<'a> {
    pub(super) fn new(value: &'a Value) -> Self {
        let (head, blocks) = encode(value);
        let mut parts = vec![Cow::Borrowed(&MAGIC[..]), (head.len() as u32).to_le_bytes().to_vec().into(), head.into()];
        for block in blocks {
            let (length, how, stored) = match block {
                Block::Bytes(bytes) => match packed(&bytes, 1) {
                    Some(packed) => (bytes.len(), PACKED_BYTES, packed.into()),
                    None => (bytes.len(), RAW_BYTES, bytes),
                },
                Block::Samples(samples) => {
                    let bytes = as_bytes(samples);
                    match packed(&bytes, 4) {
                        Some(packed) => (bytes.len(), PACKED_SAMPLES, packed.into()),
                        None => (bytes.len(), RAW_SAMPLES, bytes),
                    }
                }
            };
            let mut about = vec![how];
            about.extend((length as u64).to_le_bytes());
            about.extend((stored.len() as u64).to_le_bytes());
            parts.push(about.into());
            parts.push(stored);
        }
        Self(parts)
    }

    pub(super) fn parts(&self) -> Vec<&[u8]> {
        self.0.iter().map(AsRef::as_ref).collect()
    }
}

/// The value in a file; `None` when it is broken.
pub(super) fn read(file: &[u8], picture: &dyn Fn(Digest) -> Option<Arc<Image>>) -> Option<Value> {
    let rest = file.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > LONGEST_HEAD {
        return None;
    }
    let (head, mut rest) = rest.split_at_checked(length)?;
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (how, after) = rest.split_first()?;
        let (length, after) = after.split_first_chunk()?;
        let (stored, after) = after.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (stored, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*stored)).ok()?)?;
        blocks.push(match *how {
            RAW_BYTES | RAW_SAMPLES if stored.len() != length => return None,
            RAW_BYTES => Block::Bytes(stored.to_vec().into()),
            RAW_SAMPLES => Block::Samples(as_samples(stored)?.into()),
            PACKED_BYTES => Block::Bytes(unpacked(stored, length)?.into()),
            PACKED_SAMPLES => Block::Samples(gathered(&unpacked(stored, length)?)?.into()),
            _ => return None,
        });
        rest = after;
    }
    decode(head, blocks, picture)
}

/// The bytes compressed, when that pays. `width` is that of one item.
fn packed(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let pays = |packed: &[u8], bytes: &[u8]| (packed.len() as f64) < bytes.len() as f64 * (1.0 - WORTH);
    let pack = |bytes: &[u8]| lz4_flex::block::compress(&spread(bytes, width));
    if bytes.len() > 2 * SAMPLE {
        let start = (bytes.len() - SAMPLE) / 2 / width * width;
        let sample = &bytes[start..start + SAMPLE];
        if !pays(&pack(sample), sample) {
            return None;
        }
    }
    Some(pack(bytes)).filter(|packed| pays(packed, bytes))
}

fn unpacked(stored: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > stored.len().saturating_mul(MOST_EXPANDED) {
        return None;
    }
    lz4_flex::block::decompress(stored, length).ok().filter(|bytes| bytes.len() == length)
}

/// The first byte of every item, then every second, and so on. The length is a multiple of `width`.
fn spread(bytes: &[u8], width: usize) -> Cow<'_, [u8]> {
    if width == 1 {
        return bytes.into();
    }
    let mut spread = vec![0; bytes.len()];
    for (at, to) in spread.chunks_exact_mut((bytes.len() / width).max(1)).enumerate() {
        to.iter_mut().zip(bytes.chunks_exact(width)).for_each(|(to, item)| *to = item[at]);
    }
    spread.into()
}

/// The samples whose bytes were [`spread`].
fn gathered(bytes: &[u8]) -> Option<Vec<f32>> {
    let count = bytes.len() / 4;
    let sample = |i: usize| f32::from_le_bytes(std::array::from_fn(|at| bytes[at * count + i]));
    bytes.len().is_multiple_of(4).then(|| (0..count).map(sample).collect())
}

fn as_bytes(samples: Cow<'_, [f32]>) -> Cow<'_, [u8]> {
    match samples {
        Cow::Borrowed(samples) => little_endian(samples),
        Cow::Owned(samples) => little_endian(&samples).into_owned().into(),
    }
}

fn as_samples(bytes: &[u8]) -> Option<Vec<f32>> {
    let (chunks, rest) = bytes.as_chunks();
    rest.is_empty().then(|| chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{File, Mask, Size};

    fn there_and_back(value: &Value) -> usize {
        let blob = Blob::new(value);
        let file = blob.parts().concat();
        assert_eq!(read(&file, &|_| None).expect("it is whole").digest(), value.digest());
        file.len()
    }

    fn mask(sample: impl Fn(u32) -> f32) -> Value {
        let size = Size::new(512, 300);
        Value::Mask(Arc::new(Mask::new(size, (0..512 * 300).map(sample).collect())))
    }

    #[test]
    fn what_compresses_is_compressed() {
        // Eight bits are behind most samples that come from a file.
        let file = there_and_back(&mask(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32 / 255.0));
        assert!(file < 512 * 300 * 4 * 7 / 10, "{file}");
        assert!(there_and_back(&mask(|_| 0.5)) < 10_000);
        let mixed = |i: u32| (i ^ (i << 13)).wrapping_mul(2_654_435_761).rotate_left(i % 31).wrapping_mul(0x9E37_79B1);
        let noise = there_and_back(&mask(|i| f32::from_bits(mixed(i))));
        assert!(noise >= 512 * 300 * 4);
        there_and_back(&Value::File(Arc::new(File { bytes: (0..100).collect() })));
        there_and_back(&Value::Text("".into()));
    }

    #[test]
    fn broken_files_are_no_values() {
        let value = mask(|i| (i % 256) as f32 / 255.0);
        let good = Blob::new(&value).parts().concat();
        for length in (0..64).chain([good.len() / 2, good.len() - 1]) {
            assert!(read(&good[..length], &|_| None).is_none(), "cut at {length}");
        }
        for at in (0..64).chain((64..good.len()).step_by(977)) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            let digest = read(&bad, &|_| None).map(|value| value.digest());
            assert_ne!(digest, Some(value.digest()), "bit flipped at {at}");
        }
        assert!(read(&[&good[..], &[0]].concat(), &|_| None).is_none());
    }

    #[test]
    fn spreading_is_taken_back() {
        let bytes: Vec<u8> = (0..40).collect();
        assert_eq!(gathered(&spread(&bytes, 4)), as_samples(&bytes));
        assert_eq!(spread(&bytes, 4)[..3], [0, 4, 8]);
    }
}
