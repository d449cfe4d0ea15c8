//! The size that a file claims, read before its decoder sees it: some decoders have bounds of their own and call a file
//! broken that is only too large, so that nobody could tell which limit it is that stops it.

use super::decode::Kind;
use engine::value::Size;
use image::ImageFormat;

/// The size in the header of the formats whose decoders refuse large ones by themselves. What is no header, or belongs to
/// another format, is the decoder's matter. Edges that no `u32` can hold count as the longest that one can.
pub(super) fn size(format: Kind, bytes: &[u8]) -> Option<Size> {
    let Kind::Of(format) = format else { return None };
    match format {
        ImageFormat::Bmp => bitmap(bytes.get(14..)?),
        ImageFormat::Ico => icon(bytes),
        ImageFormat::Qoi => Some(Size::new(big(bytes, 4)?, big(bytes, 8)?)),
        ImageFormat::Pnm => map(bytes),
        ImageFormat::Hdr => radiance(bytes),
        ImageFormat::WebP => webp(bytes),
        ImageFormat::OpenExr => window(bytes),
        _ => None,
    }
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    little(bytes, at).map(u32::swap_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// A number in decimal; as large as can be when it is larger.
fn number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit) && !text.is_empty();
    digits.then(|| text.iter().fold(0u32, |n, &digit| n.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

/// A device-independent bitmap, from its own header on. Rows may go either way.
fn bitmap(header: &[u8]) -> Option<Size> {
    match little(header, 0)? {
        12 => Some(Size::new(short(header, 4)?, short(header, 6)?)),
        _ => Some(Size::new(little(header, 4)?, (little(header, 8)? as i32).unsigned_abs())),
    }
}

/// The largest bitmap of an icon; its height is that of colours and mask together. Whole PNG files inside tell their size
/// to the decoder.
fn icon(bytes: &[u8]) -> Option<Size> {
    let entry = |index: usize| {
        let start = little(bytes, 6 + 16 * index + 12)? as usize;
        bytes.get(start..).filter(|inside| little(inside, 0) == Some(40)).and_then(bitmap)
    };
    let count = short(bytes, 4)? as usize;
    let sizes = (0..count).filter_map(entry).map(|size| Size::new(size.width, size.height / 2));
    sizes.max_by_key(|size| size.area())
}

/// The portable maps of Netpbm, P1 to P7.
fn map(bytes: &[u8]) -> Option<Size> {
    // A header is short; comments in it are not worth more.
    let head = &bytes[..bytes.len().min(1 << 16)];
    let mut words = head
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .map(|line| line.split(|&byte| byte == b'#').next().unwrap_or(line))
        .flat_map(|line| line.split(u8::is_ascii_whitespace))
        .filter(|word| !word.is_empty());
    let kind = words.next()?;
    if kind != b"P7" {
        return Some(Size::new(number(words.next()?)?, number(words.next()?)?));
    }
    let (mut width, mut height) = (None, None);
    while let (None, _) | (_, None) = (width, height) {
        match words.next()? {
            b"WIDTH" => width = number(words.next()?),
            b"HEIGHT" => height = number(words.next()?),
            b"ENDHDR" => return None,
            _ => {}
        }
    }
    Some(Size::new(width?, height?))
}

/// Radiance: `-Y 480 +X 640` behind the first empty line, with any signs and in any order.
fn radiance(bytes: &[u8]) -> Option<Size> {
    let mut lines = bytes[..bytes.len().min(1 << 16)].split(|&byte| byte == b'\n');
    lines.by_ref().find(|line| line.is_empty())?;
    let mut words = lines.next()?.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let (axis, first) = (words.next()?, number(words.next()?)?);
    let (_, second) = (words.next()?, number(words.next()?)?);
    let tall = axis.ends_with(b"Y");
    Some(if tall { Size::new(second, first) } else { Size::new(first, second) })
}

/// WebP: of the canvas, or of the one picture.
fn webp(bytes: &[u8]) -> Option<Size> {
    // Bits below 24, less one.
    let long = |at: usize| little(bytes, at).map(|edge| (edge & 0x00ff_ffff) + 1);
    match bytes.get(12..16)? {
        b"VP8X" => Some(Size::new(long(24)?, long(27)?)),
        b"VP8L" => {
            let edges = little(bytes, 21)?;
            Some(Size::new((edges & 0x3fff) + 1, (edges >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some(Size::new(short(bytes, 26)? & 0x3fff, short(bytes, 28)? & 0x3fff)),
        _ => None,
    }
}

/// OpenEXR: the data window among the attributes of the first header, each a name, a type, a length and a value.
fn window(bytes: &[u8]) -> Option<Size> {
    fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
        let rest = bytes.get(*at..)?;
        let end = rest.iter().take(256).position(|&byte| byte == 0)?;
        *at += end + 1;
        Some(&rest[..end])
    }
    let mut at = 8;
    loop {
        let name = text(bytes, &mut at)?;
        if name.is_empty() {
            return None;
        }
        text(bytes, &mut at)?;
        let length = little(bytes, at)? as usize;
        if name == b"dataWindow" {
            let edge = |corner: usize| little(bytes, at + 4 + 4 * corner).map(|edge| i64::from(edge as i32));
            let long = |from: i64, to: i64| u32::try_from(to - from + 1).ok();
            return Some(Size::new(long(edge(0)?, edge(2)?)?, long(edge(1)?, edge(3)?)?));
        }
        at = at.checked_add(4)?.checked_add(length)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat::*};
    use std::io::Cursor;

    fn size(format: ImageFormat, bytes: &[u8]) -> Option<Size> {
        super::size(Kind::Of(format), bytes)
    }

    fn file(format: ImageFormat) -> Vec<u8> {
        let (rgb, float) = (DynamicImage::new_rgb8(21, 13), DynamicImage::new_rgb32f(21, 13));
        let picture = if matches!(format, Hdr | OpenExr) { float } else { rgb };
        let picture = if format == Ico { picture.to_rgba8().into() } else { picture };
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn claims_are_those_of_the_decoder() {
        for format in [Bmp, Qoi, Pnm, Hdr, WebP, OpenExr] {
            let bytes = file(format);
            assert_eq!(size(format, &bytes), Some(Size::new(21, 13)), "{format:?}");
            for cut in 0..bytes.len().min(400) {
                size(format, &bytes[..cut]);
            }
        }
        // A picture within is a file of its own, which its own decoder looks at.
        assert_eq!(size(Ico, &file(Ico)), None);
        assert_eq!(size(Jpeg, &file(Jpeg)), None);
    }

    #[test]
    fn headers_of_many_forms() {
        let map = |text: &str| size(Pnm, text.as_bytes()).map(|size| (size.width, size.height));
        assert_eq!(map("P2\n# 5 5\n 7\t8 255"), Some((7, 8)));
        assert_eq!(map("P6 4294967296 99999999999999999999999 255"), Some((u32::MAX, u32::MAX)));
        assert_eq!(map("P7\nWIDTH 3\nDEPTH 3\nHEIGHT 9\nENDHDR\n"), Some((3, 9)));
        assert_eq!(map("P7\nWIDTH 3\nENDHDR\nHEIGHT 9\n"), None);
        assert_eq!(map("P6 -1 2"), None);
        assert_eq!(size(Hdr, b"#?RADIANCE\n\n+X 30 -Y 20\n"), Some(Size::new(30, 20)));
        let mut downwards = [0; 54];
        downwards[14] = 40;
        downwards[18..22].copy_from_slice(&70_000i32.to_le_bytes());
        downwards[22..26].copy_from_slice(&(-9i32).to_le_bytes());
        assert_eq!(size(Bmp, &downwards), Some(Size::new(70_000, 9)));
        let dib = &downwards[14..];
        let icon = [&[0, 0, 1, 0, 1, 0][..], &[0; 12], &[22, 0, 0, 0], dib].concat();
        assert_eq!(size(Ico, &icon), Some(Size::new(70_000, 4)));
    }
}
