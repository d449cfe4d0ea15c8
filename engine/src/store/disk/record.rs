//! An action record as a file: which contents an action gave.
//!
//! `UWA1`, the action, how many outputs, their digests, and the first half of the blake3 of all before.

use crate::digest::Digest;

const MAGIC: &[u8; 4] = b"UWA1";
/// Most outputs of a node that are believed.
const MOST: usize = 255;
const CHECK: usize = 16;

/// The file of a record; `None` for more outputs than a node can have.
pub(super) fn write(action: Digest, outputs: &[Digest]) -> Option<Vec<u8>> {
    let count = u8::try_from(outputs.len()).ok()?;
    let mut file = MAGIC.to_vec();
    file.extend(action.0);
    file.push(count);
    file.extend(outputs.iter().flat_map(|output| output.0));
    file.extend_from_slice(&blake3::hash(&file).as_bytes()[..CHECK]);
    Some(file)
}

/// The outputs that a file names; `None` when it is broken or of another action.
pub(super) fn read(file: &[u8], action: Digest) -> Option<Vec<Digest>> {
    let (told, check) = file.split_last_chunk::<CHECK>()?;
    if blake3::hash(told).as_bytes()[..CHECK] != check[..] {
        return None;
    }
    let rest = told.strip_prefix(MAGIC)?.strip_prefix(&action.0)?;
    let (count, outputs) = rest.split_first()?;
    let (outputs, rest) = outputs.as_chunks::<32>();
    (outputs.len() == usize::from(*count) && rest.is_empty()).then(|| outputs.iter().map(|o| Digest(*o)).collect())
}

/// Size of the longest record.
pub(super) const LONGEST: u64 = (MAGIC.len() + 32 + 1 + MOST * 32 + CHECK) as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digester;

    #[test]
    fn records_come_back_or_are_refused() {
        let digest = |name: &str| Digester::new(name).finish();
        let outputs = [digest("x"), digest("y")];
        let file = write(digest("a"), &outputs).expect("few outputs");
        assert_eq!(read(&file, digest("a")), Some(outputs.to_vec()));
        assert_eq!(read(&file, digest("b")), None, "swapped with another's");
        for length in 0..file.len() {
            assert_eq!(read(&file[..length], digest("a")), None);
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 1;
            assert_eq!(read(&bad, digest("a")), None, "bit flipped at {at}");
        }
        assert!(write(digest("a"), &vec![digest("x"); 256]).is_none());
        assert_eq!(write(digest("a"), &vec![digest("x"); 255]).map(|file| file.len() as u64), Some(LONGEST));
    }
}
