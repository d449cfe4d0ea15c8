//! What stands before the first frame of JPEG XL: size, kinds of samples, colours (ISO/IEC 18181-1, annexes D and E).

use engine::value::Size;

/// Bits, the least of a number first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// How many bits of the last byte are taken; 0 when all are.
    taken: u32,
}

impl Bits {
    fn put(&mut self, count: u32, value: u64) {
        for bit in 0..count {
            if self.taken == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << self.taken;
            }
            self.taken = (self.taken + 1) % 8;
        }
    }

    /// A number of up to 64 bits (D.3, `U64`).
    fn long(&mut self, value: u64) {
        match value {
            0 => self.put(2, 0),
            1..=16 => self.put(6, 1 | (value - 1) << 2),
            17..=272 => self.put(10, 2 | (value - 17) << 2),
            _ => {
                self.put(14, 3 | (value & 0xfff) << 2);
                let mut rest = value >> 12;
                let mut shift = 12;
                while rest > 0 && shift < 60 {
                    self.put(9, 1 | (rest & 0xff) << 1);
                    (rest, shift) = (rest >> 8, shift + 8);
                }
                if rest > 0 {
                    self.put(5, 1 | rest << 1);
                } else {
                    self.put(1, 0);
                }
            }
        }
    }

    /// An edge of the picture.
    fn edge(&mut self, edge: u32) {
        let less = u64::from(edge.saturating_sub(1));
        let (choice, bits) = match less {
            0..512 => (0, 9),
            512..8192 => (1, 13),
            8192..262_144 => (2, 18),
            _ => (3, 30),
        };
        self.put(2, choice);
        self.put(bits, less);
    }

    /// Whole numbers of 8 or 16 bits.
    fn depth(&mut self, sixteen: bool) {
        self.put(1, 0);
        if sixteen { self.put(8, 3 | 15 << 2) } else { self.put(2, 0) }
    }
}

/// What the samples of a picture are.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    pub size: Size,
    pub grey: bool,
    pub alpha: bool,
    pub sixteen: bool,
    /// The profile of the colours; sRGB without one.
    pub icc: Option<&'a [u8]>,
}

/// All up to the first frame.
pub(super) fn header(kind: Kind<'_>) -> Vec<u8> {
    let mut out = Bits::default();
    out.put(16, 0x0AFF);
    // Any size, of no named shape.
    out.put(1, 0);
    out.edge(kind.size.height);
    out.put(3, 0);
    out.edge(kind.size.width);
    // Nothing is as usual, but there is nothing unusual to say about how it is shown.
    out.put(2, 0);
    out.depth(kind.sixteen);
    // Whether 16 bits are enough to compute in.
    out.put(1, u64::from(!kind.sixteen));
    match (kind.alpha, kind.sixteen) {
        (false, _) => out.put(2, 0),
        (true, false) => out.put(3, 1 | 1 << 2),
        (true, true) => {
            out.put(2, 1);
            // Not the usual alpha: its depth, the full size, no name, colours that are not multiplied by it.
            out.put(3, 0);
            out.depth(true);
            out.put(5, 0);
        }
    }
    // Colours as they are, without the change of colours that loss needs.
    out.put(1, 0);
    let space = u64::from(kind.grey);
    match (kind.icc, kind.grey) {
        (None, false) => out.put(1, 1),
        (None, true) => {
            // Grey, D65, no gamma but the curve of sRGB, and relative to white.
            out.put(2, 0);
            out.put(2, space);
            out.put(2, 1);
            out.put(1, 0);
            out.put(6, 2 | 11 << 2);
            out.put(2, 1);
        }
        (Some(_), _) => {
            out.put(2, 0b10);
            out.put(2, space);
        }
    }
    // No extensions; the usual transforms.
    out.put(3, 0b100);
    if let Some(icc) = kind.icc {
        profile(&mut out, icc);
    }
    out.bytes
}

/// A number in bytes of seven bits, the least first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// The profile (annex E.4): how each byte differs from what is foretold of the first 128, then all others as they are. The code of its
/// bytes gives 8 bits to each.
fn profile(out: &mut Bits, icc: &[u8]) {
    let (head, rest) = icc.split_at(icc.len().min(128));
    let length = icc.len() as u64;
    // No list of tags is foretold; the rest is put in at once.
    let commands = if rest.is_empty() { vec![] } else { [vec![0, 1], varint(rest.len() as u64)].concat() };
    let mut stream = [varint(length), varint(commands.len() as u64), commands].concat();
    stream.extend(head.iter().enumerate().map(|(at, byte)| byte.wrapping_sub(foretold(at, head, length as u32))));
    stream.extend(rest);
    out.long(stream.len() as u64);
    // No repetitions; one code for all contexts, which is a prefix code; bytes stand for themselves.
    out.put(1, 0);
    out.put(1, 1);
    out.put(2, 0);
    out.put(1, 1);
    out.put(4, 15);
    // 256 symbols: 1 + 2^7 + 127.
    out.put(1, 1);
    out.put(4, 7);
    out.put(7, 127);
    // Lengths of codes are coded themselves: of those in question, in their fixed order, only 7 and 8 come up, with one bit each.
    // Then every symbol has length 8.
    out.put(2, 0);
    out.put(18, 0);
    out.put(4, 0b0111);
    out.put(4, 0b0111);
    (0..256).for_each(|_| out.put(1, 1));
    for byte in stream {
        // Codes begin with their greatest bit.
        out.put(8, u64::from(byte.reverse_bits()));
    }
}

/// What a byte of the head of a profile most likely is (table E.2).
fn foretold(at: usize, head: &[u8], length: u32) -> u8 {
    match at {
        0..4 => length.to_be_bytes()[at],
        8 => 4,
        12..24 => b"mntrRGB XYZ "[at - 12],
        36..=39 => b"acsp"[at - 36],
        41..=43 => {
            // The maker of the system, told by the first letter, or two.
            let told = at - 40;
            match (head[40], head[41]) {
                (b'A', _) => b"APPL"[told],
                (b'M', _) => b"MSFT"[told],
                (b'S', b'G') if told > 1 => b"SGI "[told],
                (b'S', b'U') if told > 1 => b"SUNW"[told],
                _ => 0,
            }
        }
        70 => 246,
        71 => 214,
        73 => 1,
        78 => 211,
        79 => 45,
        // Who made it is mostly who computes with it.
        80..84 => head[at - 76],
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jxl_bitstream::Bitstream;
    use jxl_oxide::ImageHeader;
    use jxl_oxide_common::Bundle;

    #[test]
    fn numbers_are_read_as_they_were_put() {
        for value in [0, 1, 16, 17, 272, 273, 4095, 4096, 1 << 20, 1 << 40, (1 << 60) - 1, u64::MAX] {
            let mut bits = Bits::default();
            bits.long(value);
            assert_eq!(Bitstream::new(&bits.bytes).read_u64().unwrap(), value);
        }
    }

    #[test]
    fn headers_tell_what_there_is() {
        for system in [*b"APPL", *b"MSFT", *b"SGI ", *b"SUNW", [0; 4], *b"SOME"] {
            for length in [128, 129, 300, 70_000] {
                let mut icc: Vec<u8> = (0..length).map(|i| (i * i + i / 7) as u8).collect();
                icc[..4].copy_from_slice(&(length as u32).to_be_bytes());
                icc[40..44].copy_from_slice(&system);
                for (grey, alpha, sixteen) in (0..8).map(|i| (i & 1 == 1, i & 2 == 2, i & 4 == 4)) {
                    let size = Size::new(7000, 300_001);
                    let bytes = header(Kind { size, grey, alpha, sixteen, icc: Some(&icc) });
                    let mut stream = Bitstream::new(&bytes);
                    let read = ImageHeader::parse(&mut stream, ()).unwrap();
                    assert_eq!((read.size.width, read.size.height), (7000, 300_001));
                    let told = &read.metadata;
                    let depth = if sixteen { 16 } else { 8 };
                    assert_eq!((told.bit_depth.bits_per_sample(), told.ec_info.len()), (depth, usize::from(alpha)));
                    assert!(told.ec_info.iter().all(|alpha| alpha.bit_depth.bits_per_sample() == depth));
                    assert_eq!(told.grayscale(), grey);
                    let packed = jxl_color::icc::read_icc(&mut stream).unwrap();
                    assert!(jxl_color::icc::decode_icc(&packed).unwrap() == icc);
                }
            }
        }
    }
}
