//! The little of EXIF and TIFF directories that is looked at: orientation and resolution.

use image::metadata::Orientation;

/// Takes the orientation out of an EXIF block, which then says that the picture stands upright.
pub(super) fn take_orientation(exif: &mut [u8]) -> Orientation {
    Orientation::remove_from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// Dots per inch by the first directory of an EXIF block or a TIFF file, which are built alike.
pub(super) fn dpi(block: &[u8]) -> Option<(f64, f64)> {
    const X_RESOLUTION: u16 = 0x11A;
    const Y_RESOLUTION: u16 = 0x11B;
    const RESOLUTION_UNIT: u16 = 0x128;
    let big = match block.get(..4)? {
        [b'M', b'M', 0, 42] => true,
        [b'I', b'I', 42, 0] => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let b: [u8; 2] = block.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    };
    let u32_at = |at: usize| {
        let b: [u8; 4] = block.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    };
    let directory = u32_at(4)? as usize;
    let (mut x, mut y, mut unit) = (None, None, 2);
    for entry in 0..usize::from(u16_at(directory)?) {
        let at = directory.checked_add(2 + 12 * entry)?;
        let Some(tag) = u16_at(at) else { break };
        let ratio = || {
            let at = u32_at(at + 8)? as usize;
            let (above, below) = (u32_at(at)?, u32_at(at.checked_add(4)?)?);
            let value = f64::from(above) / f64::from(below);
            (value.is_finite() && value > 0.0).then_some(value)
        };
        match tag {
            X_RESOLUTION => x = ratio(),
            Y_RESOLUTION => y = ratio(),
            RESOLUTION_UNIT => unit = u16_at(at + 8)?,
            _ => {}
        }
    }
    let per_inch = match unit {
        2 => 1.0,
        3 => 2.54,
        _ => return None,
    };
    let x = x?;
    Some((x * per_inch, y.unwrap_or(x) * per_inch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolution_is_found_and_nonsense_is_not() {
        let mut block = b"II\x2a\0\x08\0\0\0\x02\0".to_vec();
        block.extend(b"\x1a\x01\x05\0\x01\0\0\0\x26\0\0\0"); // x resolution at 38
        block.extend(b"\x28\x01\x03\0\x01\0\0\0\x03\0\0\0"); // per centimetre
        block.extend(b"\0\0\0\0"); // no next directory
        block.extend(100u32.to_le_bytes());
        block.extend(1u32.to_le_bytes());
        assert_eq!(dpi(&block), Some((254.0, 254.0)));
        for cut in 0..block.len() {
            dpi(&block[..cut]);
        }
        let end = block.len();
        block[end - 4..].fill(0);
        assert_eq!(dpi(&block), None, "a zero divisor");
        block[4..8].fill(0xff);
        assert_eq!(dpi(&block), None);
    }
}
