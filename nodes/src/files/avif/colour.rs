//! What the numbers of a picture mean as colours: code points of ITU-T H.273.

use jxl_color::icc::colour_encoding_to_icc;
use jxl_oxide::{
    EnumColourEncoding, RenderingIntent,
    color::{ColourSpace, Customxy, Primaries, TransferFunction, WhitePoint},
};

/// Code points for primaries, transfer and matrix, and whether samples use their full range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colours {
    pub primaries: u16,
    pub transfer: u16,
    pub matrix: u16,
    pub full: bool,
}

/// How three planes become red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Matrix {
    /// They are green, blue and red.
    Identity,
    /// Luma with these shares of red and blue, and differences from it.
    Luma { red: f32, blue: f32 },
    /// Luma, and differences of green and orange.
    GreenOrange,
}

/// Chromaticities of red, green, blue and white, in millionths.
type Chromaticities = [(i32, i32); 4];

const D65: (i32, i32) = (312_700, 329_000);
const C: (i32, i32) = (310_000, 316_000);

/// Table 2 of H.273, without those that are unspecified.
fn chromaticities(primaries: u16) -> Option<Chromaticities> {
    Some(match primaries {
        1 => [(640_000, 330_000), (300_000, 600_000), (150_000, 60_000), D65],
        4 => [(670_000, 330_000), (210_000, 710_000), (140_000, 80_000), C],
        5 => [(640_000, 330_000), (290_000, 600_000), (150_000, 60_000), D65],
        6 | 7 => [(630_000, 340_000), (310_000, 595_000), (155_000, 70_000), D65],
        8 => [(681_000, 319_000), (243_000, 692_000), (145_000, 49_000), C],
        9 => [(708_000, 292_000), (170_000, 797_000), (131_000, 46_000), D65],
        11 => [(680_000, 320_000), (265_000, 690_000), (150_000, 60_000), (314_000, 351_000)],
        12 => [(680_000, 320_000), (265_000, 690_000), (150_000, 60_000), D65],
        22 => [(630_000, 340_000), (295_000, 605_000), (155_000, 77_000), D65],
        _ => return None,
    })
}

impl Colours {
    /// Those of a `colr` property of the kind `nclx`, behind its kind.
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?));
        Some(Self { primaries: word(0)?, transfer: word(2)?, matrix: word(4)?, full: data.get(6)? >> 7 == 1 })
    }

    /// The matrix, when it is known here.
    pub(super) fn matrix(self) -> Option<Matrix> {
        let luma = |red, blue| Matrix::Luma { red, blue };
        Some(match self.matrix {
            0 => Matrix::Identity,
            1 => luma(0.2126, 0.0722),
            // Unspecified is what JPEG does, as everywhere in AVIF.
            2 | 5 | 6 => luma(0.299, 0.114),
            4 => luma(0.30, 0.11),
            7 => luma(0.212, 0.087),
            8 => Matrix::GreenOrange,
            9 => luma(0.2627, 0.0593),
            12 => {
                let (red, blue) = shares(chromaticities(self.primaries).unwrap_or(chromaticities(1)?));
                luma(red, blue)
            }
            _ => return None,
        })
    }

    /// A profile for colours that are not those of sRGB, which needs none. The curve of BT.709 counts as that of sRGB where
    /// the primaries are, since what cameras and screens make of it is that.
    pub(super) fn profile(self, grey: bool) -> Option<Vec<u8>> {
        let [red, green, blue, white] = chromaticities(self.primaries).or(chromaticities(1))?;
        let usual = self.primaries == 1 || chromaticities(self.primaries).is_none();
        let tf = match self.transfer {
            1 | 6 | 13 | 14 | 15 if usual => return None,
            1 | 6 | 14 | 15 => TransferFunction::Bt709,
            4 => TransferFunction::Gamma { g: 22_000_000, inverted: false },
            5 => TransferFunction::Gamma { g: 28_000_000, inverted: false },
            8 => TransferFunction::Linear,
            16 => TransferFunction::Pq,
            17 => TransferFunction::Dci,
            18 => TransferFunction::Hlg,
            _ if usual => return None,
            _ => TransferFunction::Srgb,
        };
        let point = |(x, y)| Customxy { x, y };
        let encoding = EnumColourEncoding {
            colour_space: if grey { ColourSpace::Grey } else { ColourSpace::Rgb },
            white_point: if white == D65 { WhitePoint::D65 } else { WhitePoint::Custom(point(white)) },
            primaries: match self.primaries {
                _ if usual => Primaries::Srgb,
                9 => Primaries::Bt2100,
                12 => Primaries::P3,
                _ => Primaries::Custom { red: point(red), green: point(green), blue: point(blue) },
            },
            tf,
            rendering_intent: RenderingIntent::Perceptual,
        };
        Some(colour_encoding_to_icc(&encoding))
    }
}

/// The shares of red and blue in luma that follow from chromaticities (H.273, equations 32 to 37): how much of each primary
/// it takes to make white.
fn shares(of: Chromaticities) -> (f32, f32) {
    let [red, green, blue, white] = of.map(|(x, y)| {
        let (x, y) = (f64::from(x), f64::from(y));
        [x / y, 1.0, (1e6 - x - y) / y]
    });
    let determinant = |a: [f64; 3], b: [f64; 3], c: [f64; 3]| {
        a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
    };
    let whole = determinant(red, green, blue);
    ((determinant(white, green, blue) / whole) as f32, (determinant(red, green, white) / whole) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_from_chromaticities() {
        for (primaries, red, blue) in [(1, 0.2126, 0.0722), (9, 0.2627, 0.0593), (4, 0.299, 0.114)] {
            let found = shares(chromaticities(primaries).unwrap());
            assert!((found.0 - red).abs() < 1e-3 && (found.1 - blue).abs() < 1e-3, "{primaries}: {found:?}");
        }
    }

    #[test]
    fn only_other_colours_need_a_profile() {
        let profile = |primaries, transfer| Colours { primaries, transfer, matrix: 6, full: true }.profile(false);
        for (primaries, transfer) in [(1, 13), (2, 2), (1, 1), (2, 13), (99, 99)] {
            assert_eq!(profile(primaries, transfer), None, "{primaries} {transfer}");
        }
        for primaries in [0, 1, 2, 4, 5, 6, 8, 9, 11, 12, 22] {
            for transfer in [4, 5, 8, 16, 17, 18] {
                let icc = profile(primaries, transfer).unwrap();
                assert_eq!((&icc[16..20], &icc[36..40]), (&b"RGB "[..], &b"acsp"[..]));
            }
        }
        // Display P3: red lies where Apple's profile has it, adapted to D50.
        let icc = profile(12, 13).unwrap();
        let tags = u32::from_be_bytes(icc[128..132].try_into().unwrap()) as usize;
        let tag = (0..tags).map(|i| &icc[132 + 12 * i..][..12]).find(|tag| &tag[..4] == b"rXYZ").unwrap();
        let at = u32::from_be_bytes(tag[4..8].try_into().unwrap()) as usize + 8;
        let number = |i: usize| i32::from_be_bytes(icc[at + 4 * i..][..4].try_into().unwrap()) as f32 / 65_536.0;
        for (i, wanted) in [0.5151, 0.2412, -0.0011].into_iter().enumerate() {
            assert!((number(i) - wanted).abs() < 2e-3, "{i}: {}", number(i));
        }
    }
}
