//! Convolutions that enlarge.

use super::{Conv2d, Map, Pool, Region, Then, Weights, Window};
use crate::Result;
use crate::kernels::Place;

/// A convolution that makes four pixels of each, as four convolutions, one for each of them, which write to where their pixels
/// belong.
pub(crate) struct Upsample {
    /// Row by row.
    corners: [Corner; 4],
    channels: usize,
    /// Share of the textbook's operations that is done.
    share: f64,
}

/// One pixel of zeros on both sides; which two of the three patches in a row are meant, the shift of a corner says.
const PATCH: Window = Window { kernel: 2, stride: 1, before: 1, after: 1 };

/// What computes one of the four pixels.
struct Corner {
    conv: Conv2d,
    /// Pixels (columns, rows) that the patch lies further to the right and down than its window says.
    shift: (usize, usize),
}

impl Upsample {
    /// A 1x1 or 3x3 convolution to 4 * channels and PyTorch's `pixel_shuffle(2)`. Reads `{name}.weight` (4 * channels_out, in,
    /// kernel, kernel) and `{name}.bias`.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn shuffle(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        kernel: usize,
    ) -> Result<Self> {
        let all = 4 * channels_out;
        let bias = weights.tensor(&format!("{name}.bias"), &[all])?;
        let values = weights.tensor(&format!("{name}.weight"), &[all, channels_in, kernel, kernel])?;
        let filter = channels_in * kernel * kernel;
        let corner = |corner: usize| -> Result<Corner> {
            let channels = || (0..channels_out).map(|channel| channel * 4 + corner);
            let values: Vec<f32> = channels().flat_map(|c| &values[c * filter..][..filter]).copied().collect();
            let bias: Vec<f32> = channels().map(|c| bias[c]).collect();
            let conv = Conv2d::new(weights.compute(), &values, &bias, channels_in, Window::same(kernel))?;
            Ok(Corner { conv, shift: (0, 0) })
        };
        Ok(Self { corners: [corner(0)?, corner(1)?, corner(2)?, corner(3)?], channels: channels_out, share: 1.0 })
    }

    /// Enlargement to the nearest pixel, then a 3x3 convolution with a padding of 1. Of the nine pixels that such a patch
    /// sees only four differ, so the weights of equal ones are added up: 2x2 patches of the small map, 16 products where there
    /// were 36. Reads `{name}.weight` (out, in, 3, 3) and `{name}.bias`.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn nearest(weights: &Weights<'_>, name: &str, channels_in: usize, channels_out: usize) -> Result<Self> {
        let bias = weights.tensor(&format!("{name}.bias"), &[channels_out])?;
        Self::with_bias(weights, name, channels_in, &bias)
    }

    /// The same where the convolution has no bias.
    ///
    /// # Errors
    /// As [`Upsample::nearest`].
    pub(crate) fn unbiased(weights: &Weights<'_>, name: &str, channels_in: usize, channels_out: usize) -> Result<Self> {
        Self::with_bias(weights, name, channels_in, &vec![0.0; channels_out])
    }

    fn with_bias(weights: &Weights<'_>, name: &str, channels_in: usize, bias: &[f32]) -> Result<Self> {
        let channels_out = bias.len();
        // The first of two pixels sees its left neighbour once and its own source twice, the second one the other way round.
        let taps = |second: bool| if second { [0..2, 2..3] } else { [0..1, 1..3] };
        weights.by_rows(&format!("{name}.weight"), &[channels_out, channels_in, 3, 3], |rows| {
            let corner = |corner: usize| -> Result<Corner> {
                let (dx, dy) = (corner % 2, corner / 2);
                let row = |o: usize, summed: &mut [f32]| {
                    let mut filters = vec![0.0; rows.len()];
                    rows.fill(o, &mut filters);
                    for (filter, summed) in filters.chunks_exact(9).zip(summed.chunks_exact_mut(4)) {
                        let patches = taps(dy == 1)
                            .into_iter()
                            .flat_map(|rows| taps(dx == 1).into_iter().map(move |columns| (rows.clone(), columns)));
                        for ((rows, columns), summed) in patches.zip(summed) {
                            let line = |y: usize| columns.clone().map(|x| filter[y * 3 + x]).sum::<f32>();
                            *summed = rows.map(line).sum();
                        }
                    }
                };
                let conv = Conv2d::by_rows(weights.compute(), &row, bias, channels_in, PATCH)?;
                Ok(Corner { conv, shift: (dx, dy) })
            };
            let corners = [corner(0)?, corner(1)?, corner(2)?, corner(3)?];
            Ok(Self { corners, channels: channels_out, share: 4.0 / 9.0 })
        })
    }

    /// A transposed convolution of 4x4 with a stride of 2 that gives twice the size (PyTorch's padding of 1): each pixel of the result
    /// takes every second tap of rows and columns, over a 2x2 patch. Reads `{name}.weight` (in, out, 4, 4) and `{name}.bias`.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn transposed(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
    ) -> Result<Self> {
        let bias = weights.tensor(&format!("{name}.bias"), &[channels_out])?;
        let values = weights.tensor(&format!("{name}.weight"), &[channels_in, channels_out, 4, 4])?;
        // The first of two pixels is made of its left neighbour's source by the last tap and its own by the second one.
        let taps = |second: bool| if second { [2, 0] } else { [3, 1] };
        let corner = |corner: usize| -> Result<Corner> {
            let (dx, dy) = (corner % 2, corner / 2);
            let row = |o: usize, row: &mut [f32]| {
                for (i, patch) in row.chunks_exact_mut(4).enumerate() {
                    let filter = &values[(i * channels_out + o) * 16..][..16];
                    let places = taps(dy == 1).into_iter().flat_map(|y| taps(dx == 1).map(|x| y * 4 + x));
                    patch.iter_mut().zip(places).for_each(|(value, place)| *value = filter[place]);
                }
            };
            let conv = Conv2d::by_rows(weights.compute(), &row, &bias, channels_in, PATCH)?;
            Ok(Corner { conv, shift: (dx, dy) })
        };
        Ok(Self { corners: [corner(0)?, corner(1)?, corner(2)?, corner(3)?], channels: channels_out, share: 1.0 })
    }

    /// Floating-point operations per input pixel, as textbooks count them: those of a convolution at the full size. The
    /// enlargement to the nearest pixel takes four ninths of that.
    pub(crate) fn flops(&self) -> f64 {
        self.corners.iter().map(|corner| corner.conv.flops()).sum::<f64>() / self.share
    }

    /// Whether its corners see 2x2 pixels each.
    fn in_patches(&self) -> bool {
        let [Corner { conv, .. }, ..] = &self.corners;
        conv.window.kernel == 2
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> u64 {
        self.corners.iter().map(|corner| corner.conv.bytes()).sum()
    }

    /// What can be known, in pixels of the input: those whose four patches are all known.
    fn known(&self, input: Region) -> Region {
        let [Corner { conv, .. }, ..] = &self.corners;
        input.convolved(if self.in_patches() { Window::same(3) } else { conv.window })
    }

    /// What has to be known of the input for a part of the result.
    pub(crate) fn needs(&self, part: Region, input: Region) -> Region {
        let within = Region {
            left: part.left / 2,
            top: part.top / 2,
            right: part.right.div_ceil(2),
            bottom: part.bottom.div_ceil(2),
            ..input
        };
        within.grown(1)
    }

    /// Enlarges. `spare` more channels per pixel are left for the caller to fill.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, then: Then<'_>, spare: usize, pool: &mut Pool) -> Result<Map> {
        let [Corner { conv: first, .. }, ..] = &self.corners;
        let known = self.known(input.region);
        let whole = known.times(2);
        if first.on_candle() {
            return self.on_device(input, known, whole, then, spare);
        }
        let mut out = pool.map(whole, self.channels + spare, first.out())?;
        for (corner, Corner { conv, shift }) in self.corners.iter().enumerate() {
            let (dx, dy) = (corner % 2, corner / 2);
            let place = |at: Place| Place {
                start: at.start + dy * at.row + dx * at.pixel,
                row: 2 * at.row,
                pixel: 2 * at.pixel,
                ..at
            };
            conv.run_into(input, &mut out, known.moved(*shift), whole, then, place, pool)?;
        }
        Ok(out)
    }

    /// The same with candle's operations: four pictures, woven into one.
    fn on_device(&self, input: &Map, known: Region, whole: Region, then: Then<'_>, spare: usize) -> Result<Map> {
        use candle_core::Tensor;
        let part = |corner: &Corner| corner.conv.convolve(input, known.moved(corner.shift));
        let [a, b, c, d] = &self.corners;
        let line = |left: Tensor, right: Tensor| -> Result<Tensor> {
            let pair = Tensor::stack(&[left, right], 4)?;
            Ok(pair.reshape((1, self.channels, known.height(), 2 * known.width()))?)
        };
        let rows = Tensor::stack(&[line(part(a)?, part(b)?)?, line(part(c)?, part(d)?)?], 3)?;
        let tensor = rows.reshape((1, self.channels, 2 * known.height(), 2 * known.width()))?;
        Map::on_device(whole, then.on_device(tensor, whole)?.pad_with_zeros(1, 0, spare)?)
    }
}
