//! IPTC: titles, names and rights that agencies and archives write. JPEG and PNG hold it in resources of Photoshop.

/// What stands before resources in a segment of JPEG.
pub(super) const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
const SIGNATURE: &[u8] = b"8BIM";
const IPTC: u16 = 0x0404;

/// IPTC among the resources of Photoshop, which also hold small pictures and sizes of what was before.
pub(super) fn in_resources(mut bytes: &[u8]) -> Option<Vec<u8>> {
    while let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        let kind = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
        // The name has a byte of length before it, and both together an even number of bytes.
        let name = 1 + usize::from(*rest.get(2)?);
        let at = 2 + name + name % 2;
        let length = u32::from_be_bytes(rest.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize;
        let data = rest.get(at + 4..(at + 4).checked_add(length)?)?;
        if kind == IPTC {
            return (!data.is_empty()).then(|| data.to_vec());
        }
        bytes = rest.get(at + 4 + length + length % 2..)?;
    }
    None
}

/// IPTC as a resource.
pub(super) fn resource(iptc: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend(IPTC.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((iptc.len() as u32).to_be_bytes());
    bytes.extend(iptc);
    if iptc.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

/// The form that ImageMagick has given it in texts of PNG files, and that others read: a name, a length, hexadecimal digits.
pub(super) fn to_text(iptc: &[u8]) -> String {
    use std::fmt::Write;
    let bytes = resource(iptc);
    let mut text = format!("\niptc\n{:8}\n", bytes.len());
    for line in bytes.chunks(36) {
        for byte in line {
            // Memory takes all that is written.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// What such a text holds.
pub(super) fn of_text(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_start().splitn(3, '\n').nth(2)?;
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(byte).collect::<Option<_>>()?;
    if bytes.starts_with(SIGNATURE) {
        in_resources(&bytes)
    } else {
        Some(bytes).filter(|bytes| bytes.starts_with(&[0x1C]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &[u8] = b"\x1c\x02\x05\0\x05title";

    #[test]
    fn it_is_found_among_resources_and_in_texts() {
        let mut bytes = b"8BIM\x04\x0c\x03abc\0\0\0\x05small\0".to_vec();
        assert_eq!(in_resources(&bytes), None);
        bytes.extend(resource(DATA));
        assert_eq!(in_resources(&bytes).as_deref(), Some(DATA));
        for cut in 0..bytes.len() {
            in_resources(&bytes[..cut]);
        }
        let text = to_text(&DATA[..9]);
        assert_eq!(of_text(&text).as_deref(), Some(&DATA[..9]));
        for cut in 0..text.len() {
            of_text(&text[..cut]);
        }
    }
}
