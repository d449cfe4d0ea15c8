//! Limits on model files, looked at before memory is spent on them.

use crate::{Error, Result};
use safetensors::SafeTensors;

/// Most bytes of the header of a safetensors file.
pub const MOST_HEADER_BYTES: usize = 16 << 20;
/// Most tensors of a model file.
pub const MOST_TENSORS: usize = 100_000;

/// Refuses a safetensors file whose header is beyond the limits or lies about the file. `name` is what errors call it.
///
/// # Errors
/// [`Error::Weights`].
pub fn check_safetensors(file: &[u8], name: &str) -> Result<()> {
    let broken = |message: String| Error::Weights { file: name.into(), message };
    let Some((length, rest)) = file.split_first_chunk() else {
        return Err(broken("not a safetensors file: it has no header".into()));
    };
    let length = u64::from_le_bytes(*length);
    if length > MOST_HEADER_BYTES as u64 {
        return Err(broken(format!("its header has {length} bytes, above the limit of {MOST_HEADER_BYTES}")));
    }
    if length > rest.len() as u64 {
        return Err(broken("it is cut off: its end is missing".into()));
    }
    // Every entry names its offsets, so that they can be counted before they are taken apart.
    let marks = b"data_offsets";
    let tensors = rest[..length as usize].windows(marks.len()).filter(|window| window == marks).count();
    if tensors > MOST_TENSORS {
        return Err(broken(format!("it has {tensors} tensors, above the limit of {MOST_TENSORS}")));
    }
    SafeTensors::read_metadata(file).map(|_| ()).map_err(|error| broken(format!("not a safetensors file: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(file: &[u8]) -> String {
        check_safetensors(file, "model").unwrap_err().to_string()
    }

    fn with_header(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    #[test]
    fn headers_beyond_the_limits_are_refused() {
        assert!(refusal(b"abc").contains("no header"));
        assert!(refusal(&u64::MAX.to_le_bytes()).contains("above the limit of 16777216"));
        assert!(refusal(&(MOST_HEADER_BYTES as u64).to_le_bytes()).contains("cut off"));
        let entry = r#""a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let header = format!("{{{}}}", vec![entry; MOST_TENSORS + 1].join(","));
        assert!(refusal(&with_header(&header, 0)).contains("above the limit of 100000"));
    }

    #[test]
    fn lies_about_the_file_are_refused() {
        let good = with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4);
        assert!(check_safetensors(&good, "model").is_ok());
        for header in [
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
            "{",
            "",
        ] {
            assert!(check_safetensors(&with_header(header, 4), "model").is_err(), "{header}");
        }
        for length in 0..good.len() {
            assert!(check_safetensors(&good[..length], "model").is_err(), "cut at {length}");
        }
    }
}
