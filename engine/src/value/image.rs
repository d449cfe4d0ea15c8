use super::{Rect, Size, Type};
use crate::digest::{Digest, Digester, Once};
use std::sync::Arc;

/// A picture: three (RGB) or four (RGBA) planes of `f32`, row by row, in the picture's own encoded RGB.
///
/// Samples are 0 to 1; nodes may leave that range in between, saving clamps. Alpha is straight, never premultiplied.
/// What the file said beside its pixels travels along in [`Metadata`].
#[derive(Clone, Debug)]
pub struct Image {
    size: Size,
    channels: usize,
    /// Shared by copies until one of them is written to.
    samples: Arc<Vec<f32>>,
    /// Digest of the samples, once somebody asked.
    digest: Once,
    /// Colour profile, EXIF and the like, shared by all pictures made from one file.
    pub metadata: Arc<Metadata>,
}

/// How many bits a sample had in the file, and so gets again when it is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum SampleDepth {
    /// 8 bits per sample.
    #[default]
    Eight,
    /// 16 bits per sample.
    Sixteen,
    /// 32-bit floating point.
    Float,
}

/// What a picture file says beside its pixels. Carried from load to save, never interpreted in between.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// ICC colour profile.
    pub icc: Option<Vec<u8>>,
    /// EXIF block, with the orientation already applied to the pixels.
    pub exif: Option<Vec<u8>>,
    /// XMP packet.
    pub xmp: Option<Vec<u8>>,
    /// IPTC records.
    pub iptc: Option<Vec<u8>>,
    /// Texts with their keywords, as PNG has them.
    pub texts: Vec<(String, String)>,
    /// Dots per inch, horizontal and vertical.
    pub dpi: Option<(f64, f64)>,
    /// Bits per sample in the file.
    pub depth: SampleDepth,
    /// Whether the file held grey samples.
    pub grey: bool,
    /// JPEG quality told by the file's quantisation tables, 1 to 100; forgotten when the pixels are resampled.
    pub jpeg_quality: Option<u8>,
}

impl Image {
    /// A picture from its planes, one after the other, each `size` pixels row by row.
    ///
    /// # Panics
    /// When there are not three or four planes, or `samples` is not `channels * pixels` long: a mistake of the caller.
    pub fn new(size: Size, channels: usize, samples: Vec<f32>, metadata: Arc<Metadata>) -> Self {
        assert!(channels == 3 || channels == 4, "a picture has 3 or 4 planes, not {channels}");
        assert_eq!(samples.len(), channels * size.pixels(), "samples do not fill {channels} planes of {size}");
        Self { size, channels, samples: Arc::new(samples), digest: Once::default(), metadata }
    }

    /// A picture of one colour per plane.
    pub fn filled(size: Size, colour: &[f32]) -> Self {
        let samples = colour.iter().flat_map(|&c| std::iter::repeat_n(c, size.pixels())).collect();
        Self::new(size, colour.len(), samples, Arc::default())
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// 3 for RGB, 4 for RGBA.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether there is an alpha plane.
    pub fn has_alpha(&self) -> bool {
        self.channels == 4
    }

    /// All planes, one after the other.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// All planes, one after the other, to be written.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        self.digest = Once::default();
        Arc::make_mut(&mut self.samples).as_mut_slice()
    }

    /// The planes without their picture.
    pub fn into_samples(self) -> Vec<f32> {
        Arc::unwrap_or_clone(self.samples)
    }

    /// One plane: 0 red, 1 green, 2 blue, 3 alpha.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let n = self.size.pixels();
        &self.samples[channel * n..(channel + 1) * n]
    }

    /// One plane, to be written.
    pub fn plane_mut(&mut self, channel: usize) -> &mut [f32] {
        let n = self.size.pixels();
        &mut self.samples_mut()[channel * n..(channel + 1) * n]
    }

    /// The three colour planes, without alpha.
    pub fn rgb(&self) -> &[f32] {
        &self.samples[..3 * self.size.pixels()]
    }

    /// The alpha plane, when there is one.
    pub fn alpha(&self) -> Option<&[f32]> {
        self.has_alpha().then(|| self.plane(3))
    }

    /// This picture with other colours; size, alpha and metadata stay.
    ///
    /// # Panics
    /// When `rgb` is not three planes of this size: a mistake of the caller.
    pub fn with_rgb(&self, mut rgb: Vec<f32>) -> Self {
        assert_eq!(rgb.len(), 3 * self.size.pixels(), "three planes of {} expected", self.size);
        if let Some(alpha) = self.alpha() {
            rgb.extend_from_slice(alpha);
        }
        Self::new(self.size, self.channels, rgb, self.metadata.clone())
    }

    /// A part of the picture.
    ///
    /// # Panics
    /// When `rect` leaves the picture: a mistake of the caller.
    pub fn crop(&self, rect: Rect) -> Self {
        let samples = (0..self.channels).flat_map(|c| crop_plane(self.plane(c), self.size, rect)).collect();
        Self::new(rect.size(), self.channels, samples, self.metadata.clone())
    }

    /// Puts another picture into this one.
    ///
    /// # Panics
    /// When `rect` leaves the picture, or the other is not as large or has other planes: a mistake of the caller.
    pub(crate) fn paste(&mut self, other: &Self, rect: Rect) {
        assert!(self.size.rect().holds(rect) && other.size == rect.size() && other.channels == self.channels);
        let (width, row) = (self.size.width as usize, rect.width as usize);
        for channel in 0..self.channels {
            let target = &mut self.plane_mut(channel)[rect.y as usize * width + rect.x as usize..];
            for (target, source) in target.chunks_mut(width).zip(other.plane(channel).chunks(row.max(1))) {
                target[..row].copy_from_slice(source);
            }
        }
    }

    /// BT.601 luma of the encoded samples, 0 to 1 (full range).
    pub fn luma(&self) -> Vec<f32> {
        let (r, g, b) = (self.plane(0), self.plane(1), self.plane(2));
        r.iter().zip(g).zip(b).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b).collect()
    }

    /// Digest of the content, the same as that of the [`Value`](super::Value) that holds it.
    pub fn digest(&self) -> Digest {
        let mut d = Digester::new(Type::Image.name());
        self.digest_into(&mut d);
        d.finish()
    }

    pub(super) fn bytes(&self) -> usize {
        let Metadata { icc, exif, xmp, iptc, texts, .. } = &*self.metadata;
        let blocks = [icc, exif, xmp, iptc].into_iter().flatten().map(Vec::len);
        let texts = texts.iter().map(|(keyword, text)| keyword.len() + text.len());
        self.samples.len() * size_of::<f32>() + blocks.chain(texts).sum::<usize>()
    }

    pub(super) fn digest_into(&self, d: &mut Digester) {
        d.size(self.size);
        d.u64(self.channels as u64);
        d.digest(self.digest.get(|| Digester::of_samples(&self.samples)));
        self.metadata.digest_into(d);
    }
}

impl Metadata {
    fn digest_into(&self, d: &mut Digester) {
        for block in [&self.icc, &self.exif, &self.xmp, &self.iptc] {
            d.bytes(block.as_deref().unwrap_or_default());
        }
        d.u64(self.texts.len() as u64);
        for (keyword, text) in &self.texts {
            d.text(keyword);
            d.text(text);
        }
        let (x, y) = self.dpi.unwrap_or((0.0, 0.0));
        d.f64(x);
        d.f64(y);
        d.u64(self.depth as u64);
        d.u64(u64::from(self.grey));
        d.u64(self.jpeg_quality.map_or(0, u64::from));
    }
}

/// The samples of one plane that lie in `rect`, row by row.
pub(super) fn crop_plane(plane: &[f32], size: Size, rect: Rect) -> impl Iterator<Item = f32> + '_ {
    assert!(rect.right() <= size.width && rect.bottom() <= size.height, "{rect:?} leaves a picture of {size}");
    let width = size.width as usize;
    (rect.y..rect.bottom()).flat_map(move |y| {
        let start = y as usize * width + rect.x as usize;
        plane[start..start + rect.width as usize].iter().copied()
    })
}
