//! Picture files of all formats: whatever the bytes are, they are a picture or one clear message. The first byte chooses
//! the name of the file, by which TGA is known, or asks for the second of several pictures.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use nodes::{files, limits::Limits};

/// Small, so that many files are tried.
const LIMITS: Limits = Limits { input_pixels: Some(1 << 18), decode_seconds: Some(5), ..Limits::SERVER };

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some((first, file)) = bytes.split_first() else { return Corpus::Reject };
    let name = if *first == b'T' { "fuzz.tga" } else { "fuzz.png" };
    match files::decode(name, file, &LIMITS, if *first == b'2' { 2 } else { 0 }) {
        Ok(picture) => {
            assert_eq!(picture.samples().len(), picture.size().pixels() * picture.channels());
            assert!(picture.samples().iter().all(|sample| (0.0..=1.0).contains(sample)), "samples leave 0 to 1");
        }
        Err(failure) => assert!(!failure.message.is_empty()),
    }
    Corpus::Keep
});
