//! Byte-pair encoding (Sennrich, Haddow and Birch 2016) of a single word.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::LazyLock;

/// The merges of CLIP, from the first: for each the ids of its two parts, u16, little-endian. `tests/parity/tokenizer.py` writes them.
static MERGES: &[u8] = include_bytes!("merges.bin");

/// By both parts of a merge, its place: the lower, the earlier it is done.
static PLACES: LazyLock<HashMap<(u32, u32), u32>> = LazyLock::new(|| {
    let part = |bytes: &[u8]| u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    MERGES.chunks_exact(4).zip(0..).map(|(pair, place)| ((part(pair), part(&pair[2..])), place)).collect()
});

/// Ids below are single bytes; from here on they are single bytes that end a word.
const AT_END: u32 = 256;
/// The id of the first merge.
const FIRST_MERGE: u32 = 512;

/// The id of a byte. The vocabulary has those that are printable in Latin-1 first.
fn byte_id(byte: u8) -> u32 {
    let byte = u32::from(byte);
    match byte {
        33..=126 => byte - 33,
        161..=172 => byte - 161 + 94,
        174..=255 => byte - 174 + 106,
        0..=32 => byte + 188,
        127..=160 => byte - 127 + 221,
        _ => 255,
    }
}

/// A part of the word: its id, and the parts beside it.
struct Part {
    id: u32,
    before: Option<usize>,
    behind: Option<usize>,
}

/// Appends the ids of a word. The pair whose merge comes first is merged first, from the left; pairs wait in a heap, so that long
/// words take no more than n log n.
pub(super) fn encode(word: &str, ids: &mut Vec<u32>) {
    let len = word.len();
    let mut parts: Vec<Part> = word
        .bytes()
        .enumerate()
        .map(|(i, byte)| Part {
            id: byte_id(byte) + if i + 1 == len { AT_END } else { 0 },
            before: i.checked_sub(1),
            behind: Some(i + 1).filter(|behind| *behind < len),
        })
        .collect();

    let places = &*PLACES;
    let waiting = |left: usize, ids: (u32, u32)| places.get(&ids).map(|place| Reverse((*place, left, ids)));
    let mut heap: BinaryHeap<_> =
        parts.windows(2).enumerate().filter_map(|(i, pair)| waiting(i, (pair[0].id, pair[1].id))).collect();
    while let Some(Reverse((place, left, pair))) = heap.pop() {
        // A pair may have lost one of its parts while it waited. A part that was merged into another has an id of its own.
        let Some(right) = parts[left].behind else { continue };
        if (parts[left].id, parts[right].id) != pair {
            continue;
        }
        let behind = parts[right].behind;
        parts[left].id = FIRST_MERGE + place;
        parts[left].behind = behind;
        parts[right].id = GONE;
        if let Some(behind) = behind {
            parts[behind].before = Some(left);
            heap.extend(waiting(left, (parts[left].id, parts[behind].id)));
        }
        if let Some(before) = parts[left].before {
            heap.extend(waiting(before, (parts[before].id, parts[left].id)));
        }
    }
    ids.extend(parts.iter().map(|part| part.id).filter(|id| *id != GONE));
}

/// The id of a part that is merged into the one before it.
const GONE: u32 = u32::MAX;
