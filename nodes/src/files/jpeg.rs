//! JPEG segments: density, quality, completeness, and the segments that the encoder does not write.

use super::{iptc, xmp};

const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// Before parts of what is too long for one segment: its name of 32 letters, its length, the place of the part.
const MORE_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const RECIPE: &[u8] = b"upweave\0";

/// Most bytes of one segment beside its length.
pub(super) const SEGMENT: usize = 65_533;

pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
}

/// One segment: its marker, where its data starts, and its data.
struct Segment<'a> {
    marker: u8,
    start: usize,
    data: &'a [u8],
}

/// The segments up to the first scan.
fn head(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    let mut over = !is_jpeg(bytes);
    std::iter::from_fn(move || {
        while !over {
            // Markers may be padded with any number of 0xFF.
            match *bytes.get(at..at + 2)? {
                [0xFF, 0xFF] => at += 1,
                [0xFF, 0x01 | 0xD0..=0xD8] => at += 2,
                [0xFF, marker] if marker != 0 && marker != 0xD9 => {
                    let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
                    let start = at + 4;
                    let data = bytes.get(start..at + 2 + length.max(2))?;
                    at = start + data.len();
                    over = marker == 0xDA;
                    return Some(Segment { marker, start, data });
                }
                [0xFF, 0xD9] => over = true,
                // Some programs tell a wrong length: the next marker is looked for, as decoders do.
                _ => at += 1 + bytes.get(at + 1..)?.iter().position(|&byte| byte == 0xFF)?,
            }
        }
        None
    })
}

/// Whether the pixels begin within these first bytes of a file.
pub(super) fn reaches_pixels(bytes: &[u8]) -> bool {
    head(bytes).any(|segment| segment.marker == 0xDA)
}

/// Whether the file stops within its pixels: there is a scan, and no end behind it.
pub(super) fn cut_off(bytes: &[u8]) -> bool {
    head(bytes).find(|segment| segment.marker == 0xDA).is_some_and(|scan| {
        let pixels = &bytes[scan.start + scan.data.len()..];
        !pixels.windows(2).rev().any(|pair| pair == [0xFF, 0xD9])
    })
}

/// IPTC among the resources of Photoshop, which may fill several segments.
pub(super) fn iptc(bytes: &[u8]) -> Option<Vec<u8>> {
    let parts = head(bytes).filter(|segment| segment.marker == 0xED);
    let resources: Vec<u8> =
        parts.filter_map(|segment| segment.data.strip_prefix(iptc::PHOTOSHOP)).flatten().copied().collect();
    iptc::in_resources(&resources)
}

/// XMP, with what did not fit into the first segment.
pub(super) fn xmp(bytes: &[u8]) -> Option<Vec<u8>> {
    let segments = || head(bytes).filter(|segment| segment.marker == 0xE1);
    let first = segments().find_map(|segment| segment.data.strip_prefix(XMP))?;
    let told = std::str::from_utf8(first).ok();
    let Some(name) = told.and_then(xmp::rest_of) else { return Some(first.to_vec()) };
    let mut parts: Vec<(u32, &[u8])> = segments()
        .filter_map(|segment| {
            let part = segment.data.strip_prefix(MORE_XMP)?.strip_prefix(name.as_bytes())?;
            Some((u32::from_be_bytes(part.get(4..8)?.try_into().ok()?), part.get(8..)?))
        })
        .collect();
    parts.sort_by_key(|(place, _)| *place);
    let rest: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).copied().collect();
    let whole = std::str::from_utf8(&rest).ok().zip(told).and_then(|(rest, told)| xmp::joined(told, rest));
    Some(whole.map_or_else(|| first.to_vec(), String::into_bytes))
}

/// Whether the picture is made of four inks.
pub(super) fn is_cmyk(bytes: &[u8]) -> bool {
    let frame =
        head(bytes).find(|segment| matches!(segment.marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF));
    frame.is_some_and(|frame| frame.data.get(5) == Some(&4))
}

/// Dots per inch by the JFIF header.
pub(super) fn dpi(bytes: &[u8]) -> Option<(f64, f64)> {
    let jfif = head(bytes).find(|s| s.marker == 0xE0 && s.data.starts_with(b"JFIF\0"))?.data;
    let per_inch = match jfif.get(7)? {
        1 => 1.0,
        2 => 2.54,
        _ => return None,
    };
    let edge = |at: usize| Some(f64::from(u16::from_be_bytes(jfif.get(at..at + 2)?.try_into().ok()?)));
    let (x, y) = (edge(8)?, edge(10)?);
    (x > 0.0 && y > 0.0).then_some((x * per_inch, y * per_inch))
}

/// The recipe, when the file carries one.
pub(super) fn recipe(bytes: &[u8]) -> Option<String> {
    let text: Vec<u8> = head(bytes)
        .filter(|segment| segment.marker == 0xFE)
        .filter_map(|segment| segment.data.strip_prefix(RECIPE))
        .flatten()
        .copied()
        .collect();
    if text.is_empty() { None } else { String::from_utf8(text).ok() }
}

/// Puts XMP, IPTC and the recipe into a finished file, behind the segments that must come first.
pub(super) fn insert(file: &mut Vec<u8>, xmp: Option<&[u8]>, iptc: Option<&[u8]>, recipe: Option<&str>) {
    let mut extra = Vec::new();
    let mut segment = |marker: u8, prefix: &[u8], data: &[u8]| {
        extra.extend([0xFF, marker]);
        extra.extend(((prefix.len() + data.len() + 2) as u16).to_be_bytes());
        extra.extend(prefix);
        extra.extend(data);
    };
    if let Some(packet) = xmp {
        if XMP.len() + packet.len() <= SEGMENT {
            segment(0xE1, XMP, packet);
        } else {
            // The first segment names the rest. The rule wants MD5 for that, but nobody can tell one name from another.
            let name: String = blake3::hash(packet).to_hex().to_uppercase().chars().take(32).collect();
            segment(0xE1, XMP, xmp::naming_rest(&name).as_bytes());
            let room = SEGMENT - MORE_XMP.len() - 40;
            for (number, part) in packet.chunks(room).enumerate() {
                let place = ((number * room) as u32).to_be_bytes();
                let length = (packet.len() as u32).to_be_bytes();
                segment(0xE1, &[MORE_XMP, name.as_bytes(), &length, &place].concat(), part);
            }
        }
    }
    let resource = iptc.map(iptc::resource).unwrap_or_default();
    for part in resource.chunks(SEGMENT - iptc::PHOTOSHOP.len()) {
        segment(0xED, iptc::PHOTOSHOP, part);
    }
    for part in recipe.unwrap_or_default().as_bytes().chunks(SEGMENT - RECIPE.len()) {
        segment(0xFE, RECIPE, part);
    }
    let at = head(file)
        .take_while(|segment| matches!(segment.marker, 0xE0 | 0xE1))
        .last()
        .map_or(2, |segment| segment.start + segment.data.len());
    file.splice(at..at, extra);
}

/// Quality, 1 to 100, of the file's luma quantisation table on the scale of the Independent JPEG Group (libjpeg): the
/// one whose table, the standard's example scaled by `5000 / quality` or `200 - 2 quality` percent, is nearest.
pub(super) fn quality(bytes: &[u8]) -> Option<u8> {
    let table = head(bytes).filter(|s| s.marker == 0xDB).find_map(|segment| luma_table(segment.data))?;
    let distance = |quality: u8| -> u32 {
        let quality = u32::from(quality);
        let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
        let step = |standard: u16| ((u32::from(standard) * percent + 50) / 100).clamp(1, 255);
        table.iter().zip(STANDARD_LUMA).map(|(&q, standard)| u32::from(q).abs_diff(step(standard))).sum()
    };
    (1..=100).min_by_key(|&quality| distance(quality))
}

/// Table 0 in a segment that may hold several, in zigzag order.
fn luma_table(mut data: &[u8]) -> Option<[u16; 64]> {
    while let Some((&head, rest)) = data.split_first() {
        let wide = head >> 4 != 0;
        let bytes = rest.get(..if wide { 128 } else { 64 })?;
        if head & 15 == 0 {
            return Some(std::array::from_fn(|i| {
                if wide { u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]) } else { u16::from(bytes[i]) }
            }));
        }
        data = &rest[bytes.len()..];
    }
    None
}

/// Table K.1 of ITU-T T.81, in zigzag order.
const STANDARD_LUMA: [u16; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
    60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
    121, 112, 100, 120, 92, 101, 103, 99,
];

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};

    fn file(quality: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode(&[90; 48 * 16], 16, 16, ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    #[test]
    fn quality_is_told_by_the_tables() {
        for wanted in [10u8, 25, 40, 50, 60, 75, 85, 92, 97] {
            let found = quality(&file(wanted)).unwrap();
            assert!(found.abs_diff(wanted) <= 1, "{wanted} read as {found}");
        }
        assert_eq!(quality(b"no jpeg"), None);
    }

    #[test]
    fn long_xmp_is_split_and_joined() {
        let long = format!(
            "<x:xmpmeta><rdf:RDF><rdf:Description>{}</rdf:Description></rdf:RDF></x:xmpmeta>",
            "long ".repeat(50_000)
        );
        for packet in ["<x:xmpmeta><rdf:RDF></rdf:RDF></x:xmpmeta>", &long] {
            let mut bytes = file(80);
            insert(&mut bytes, Some(packet.as_bytes()), None, None);
            let found = String::from_utf8(xmp(&bytes).unwrap()).unwrap();
            assert!(found.len() >= packet.len() && found.matches("long ").count() == packet.matches("long ").count());
            assert!(!found.contains("HasExtendedXMP"));
            assert!(image::load_from_memory(&bytes).is_ok());
            for cut in (0..bytes.len()).step_by(97) {
                xmp(&bytes[..cut]);
            }
        }
    }

    #[test]
    fn segments_behind_a_wrong_length_are_found() {
        let mut bytes = file(80);
        insert(&mut bytes, Some(b"<xmp/>"), None, None);
        bytes.splice(2..2, *b"\xff\xed\x00\x04abstray bytes");
        assert_eq!(xmp(&bytes).as_deref(), Some(&b"<xmp/>"[..]));
        assert!(quality(&bytes).is_some() && !cut_off(&bytes));
    }

    #[test]
    fn segments_are_put_in_and_found_again() {
        let mut bytes = file(80);
        let recipe_text = "r".repeat(100_000);
        insert(&mut bytes, Some(b"<xmp/>"), Some(b"\x1c\x02\x05\0\x01t"), Some(&recipe_text));
        assert_eq!(iptc(&bytes).as_deref(), Some(&b"\x1c\x02\x05\0\x01t"[..]));
        assert_eq!(recipe(&bytes), Some(recipe_text));
        assert!(!cut_off(&bytes));
        assert!(cut_off(&bytes[..bytes.len() - 2]));
        assert!(image::load_from_memory(&bytes).is_ok());
        for cut in 0..600 {
            let part = &bytes[..cut];
            cut_off(part);
            recipe(part);
            quality(part);
            dpi(part);
        }
    }
}
