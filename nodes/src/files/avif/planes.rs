//! Planes of brightness and colour differences, and what they are as red, green and blue.

use super::colour::{Colours, Matrix};
use oxideav_av1::decoder::SpecFrame;
use rayon::prelude::*;

/// What the planes of a picture are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Bits of a sample: 8, 10 or 12.
    pub depth: u8,
    pub grey: bool,
    /// How many columns and rows of luma share a sample of colour: 1 or 2.
    pub shared: (u32, u32),
}

/// One plane, row after row: a byte for each sample of 8 bits, else two, the lesser first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plane {
    width: u32,
    height: u32,
    samples: Vec<u8>,
}

/// A picture as it is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planes {
    pub width: u32,
    pub height: u32,
    pub form: Form,
    /// One for grey, else three.
    planes: Vec<Plane>,
}

/// How samples become colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub colours: Colours,
    pub matrix: Matrix,
    /// Whether samples of colour lie on the left one of their columns, and on the upper one of their rows; else between them.
    pub beside: (bool, bool),
}

/// A part of a picture: left, top, width, height.
pub(super) type Window = (u32, u32, u32, u32);

impl Form {
    fn bytes(self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    fn planes(self) -> usize {
        if self.grey { 1 } else { 3 }
    }
}

impl Planes {
    /// What the decoder gives, unless it is not of the form that the header has told.
    pub(super) fn of(frame: SpecFrame, form: Form) -> Option<Self> {
        let (width, height) = (frame.width, frame.height);
        let mut planes = Vec::new();
        for (index, (samples, (w, h))) in frame.planes.into_iter().zip(frame.plane_dims).take(form.planes()).enumerate()
        {
            let (columns, rows) = if index == 0 { (1, 1) } else { form.shared };
            let right = (w, h) == (width.div_ceil(columns), height.div_ceil(rows));
            if !right || samples.len() != w as usize * h as usize * form.bytes() {
                return None;
            }
            planes.push(Plane { width: w, height: h, samples });
        }
        let right = planes.len() == form.planes() && frame.bit_depth == form.depth;
        right.then_some(Self { width, height, form, planes })
    }

    /// A picture of nothing, to put others into.
    pub(super) fn blank(width: u32, height: u32, form: Form) -> Option<Self> {
        let plane = |index: usize| {
            let (columns, rows) = if index == 0 { (1, 1) } else { form.shared };
            let (width, height) = (width.div_ceil(columns), height.div_ceil(rows));
            let length = (width as usize).checked_mul(height as usize)?.checked_mul(form.bytes())?;
            Vec::<u8>::new().try_reserve_exact(length).ok()?;
            Some(Plane { width, height, samples: vec![0; length] })
        };
        Some(Self { width, height, form, planes: (0..form.planes()).map(plane).collect::<Option<_>>()? })
    }

    /// Puts a picture of the same form here, as far as it lies inside. It begins where no sample of colour is shared.
    pub(super) fn put(&mut self, tile: &Self, left: u32, top: u32) {
        let bytes = self.form.bytes();
        for (index, (to, from)) in self.planes.iter_mut().zip(&tile.planes).enumerate() {
            let (columns, rows) = if index == 0 { (1, 1) } else { self.form.shared };
            let (left, top) = (left / columns, top / rows);
            let width = from.width.min(to.width.saturating_sub(left)) as usize * bytes;
            for y in 0..from.height.min(to.height.saturating_sub(top)) {
                let source = y as usize * from.width as usize * bytes;
                let target = ((top + y) as usize * to.width as usize + left as usize) * bytes;
                to.samples[target..target + width].copy_from_slice(&from.samples[source..source + width]);
            }
        }
    }

    /// A sample as the number that it is.
    fn sample(&self, plane: usize, x: usize, y: usize) -> f32 {
        let plane = &self.planes[plane];
        let at = y * plane.width as usize + x;
        if self.form.depth > 8 {
            f32::from(u16::from_le_bytes([plane.samples[2 * at], plane.samples[2 * at + 1]]))
        } else {
            f32::from(plane.samples[at])
        }
    }

    /// A row of colour differences, one for each column of luma in `columns`: between samples as far as it lies from each.
    fn spread(&self, plane: usize, columns: std::ops::Range<u32>, y: u32, beside: (bool, bool), row: &mut [f32]) {
        let (width, height) = (self.planes[plane].width, self.planes[plane].height);
        let (above, below, down) = between(y, self.form.shared.1, beside.1, height);
        for (value, x) in row.iter_mut().zip(columns) {
            let (left, right, along) = between(x, self.form.shared.0, beside.0, width);
            let mix = |y: usize| {
                let (l, r) = (self.sample(plane, left, y), self.sample(plane, right, y));
                l + (r - l) * along
            };
            let upper = mix(above);
            *value = if above == below { upper } else { upper + (mix(below) - upper) * down };
        }
    }

    /// Fills the pixels of a window: 1 or 3 samples for each, and one of alpha last where there is some; bytes, or pairs of
    /// bytes in the order of this machine where there are more than 8 bits.
    pub(super) fn fill(&self, window: Window, reading: Reading, alpha: Option<(&Self, Colours)>, target: &mut [u8]) {
        let (left, top, width, _) = window;
        let channels = self.form.planes() + usize::from(alpha.is_some());
        let bytes = self.form.bytes();
        let columns = left..left + width;
        let (black, luma, half, chroma) = scale(self.form.depth, reading.colours.full);
        target.par_chunks_exact_mut(width as usize * channels * bytes).enumerate().for_each_init(
            || [vec![0f32; width as usize], vec![0f32; width as usize]],
            |[first, second], (row, target)| {
                let y = top + row as u32;
                if !self.form.grey {
                    self.spread(1, columns.clone(), y, reading.beside, first);
                    self.spread(2, columns.clone(), y, reading.beside, second);
                }
                for (i, pixel) in target.chunks_exact_mut(channels * bytes).enumerate() {
                    let bright = |v: f32| (v - black) * luma;
                    let x = left as usize + i;
                    let v = self.sample(0, x, y as usize);
                    let (b, r) = (first[i], second[i]);
                    let colours = match reading.matrix {
                        _ if self.form.grey => [bright(v); 3],
                        Matrix::Identity => [bright(r), bright(v), bright(b)],
                        Matrix::Luma { red, blue } => {
                            let (v, b, r) = (bright(v), (b - half) * chroma, (r - half) * chroma);
                            let (with_red, with_blue) = (v + 2.0 * (1.0 - red) * r, v + 2.0 * (1.0 - blue) * b);
                            let green = (v - red * with_red - blue * with_blue) / (1.0 - red - blue);
                            [with_red, green, with_blue]
                        }
                        Matrix::GreenOrange => {
                            let (v, green, orange) = (bright(v), (b - half) * chroma, (r - half) * chroma);
                            [v - green + orange, v + green, v - green - orange]
                        }
                    };
                    let seen = alpha.map(|(plane, colours)| {
                        let (black, scale, ..) = scale(plane.form.depth, colours.full);
                        (plane.sample(0, x, y as usize) - black) * scale
                    });
                    let all = colours.into_iter().take(self.form.planes()).chain(seen);
                    for (sample, value) in pixel.chunks_exact_mut(bytes).zip(all) {
                        let value = value.clamp(0.0, 1.0);
                        match sample {
                            [byte] => *byte = (value * 255.0).round() as u8,
                            pair => pair.copy_from_slice(&((value * 65_535.0).round() as u16).to_ne_bytes()),
                        }
                    }
                }
            },
        );
    }
}

/// Which two samples of colour lie around a place of luma, and how far from the first to the second it lies.
fn between(place: u32, shared: u32, beside: bool, count: u32) -> (usize, usize, f32) {
    let last = count.saturating_sub(1);
    if shared == 1 {
        return (place.min(last) as usize, place.min(last) as usize, 0.0);
    }
    let (first, along) = match (place % 2, beside) {
        (0, true) => (i64::from(place / 2), 0.0),
        (_, true) => (i64::from(place / 2), 0.5),
        (0, false) => (i64::from(place / 2) - 1, 0.75),
        (_, false) => (i64::from(place / 2), 0.25),
    };
    let inside = |at: i64| at.clamp(0, i64::from(last)) as usize;
    (inside(first), inside(first + 1), along)
}

/// Black and the scale of luma to 0..1; the middle and the scale of colour differences to -0.5..0.5 (H.273, equations 23
/// to 31).
fn scale(depth: u8, full: bool) -> (f32, f32, f32, f32) {
    let step = f32::from(1u16 << (depth - 8));
    let half = 128.0 * step;
    if full {
        let most = 256.0 * step - 1.0;
        (0.0, 1.0 / most, half, 1.0 / most)
    } else {
        (16.0 * step, 1.0 / (219.0 * step), half, 1.0 / (224.0 * step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_lies_between_its_samples() {
        // Four columns share two samples: a quarter off each, and no further than the edge.
        let spread = |beside| (0..4).map(|x| between(x, 2, beside, 2)).collect::<Vec<_>>();
        assert_eq!(spread(false), [(0, 0, 0.75), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.25)]);
        assert_eq!(spread(true), [(0, 1, 0.0), (0, 1, 0.5), (1, 1, 0.0), (1, 1, 0.5)]);
        assert_eq!(between(7, 1, false, 9), (7, 7, 0.0));
    }

    #[test]
    fn ranges_end_where_they_should() {
        for depth in [8, 10, 12] {
            let step = f32::from(1u16 << (depth - 8));
            let (black, luma, half, chroma) = scale(depth, false);
            assert!(((235.0 * step - black) * luma - 1.0).abs() < 1e-6);
            assert!(((240.0 * step - half) * chroma - 0.5).abs() < 1e-6);
            let (black, luma, ..) = scale(depth, true);
            assert!(((256.0 * step - 1.0 - black) * luma - 1.0).abs() < 1e-6);
        }
    }
}
