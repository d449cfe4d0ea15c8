use crate::digest::Digester;

/// A measured quantity and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measure {
    /// The quantity.
    pub value: f32,
    /// 0 (a guess) to 1 (sure).
    pub confidence: f32,
}

/// What was measured of the damage in a picture, and what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Damage {
    /// Standard deviation of the noise, in 8-bit steps (0 to 255).
    pub noise: Measure,
    /// JPEG quality, 1 to 100; 100 means that no compression was found.
    pub jpeg_quality: Measure,
    /// Standard deviation of the blur, in pixels.
    pub blur: Measure,
    /// Whether the picture is to be restored before detail is added.
    pub restore: bool,
}

impl Damage {
    /// A picture that nothing is wrong with.
    pub const NONE: Self = Self {
        noise: Measure { value: 0.0, confidence: 1.0 },
        jpeg_quality: Measure { value: 100.0, confidence: 1.0 },
        blur: Measure { value: 0.0, confidence: 1.0 },
        restore: false,
    };

    pub(super) fn digest_into(&self, d: &mut Digester) {
        for m in [self.noise, self.jpeg_quality, self.blur] {
            d.f64(f64::from(m.value));
            d.f64(f64::from(m.confidence));
        }
        d.u64(u64::from(self.restore));
    }
}
