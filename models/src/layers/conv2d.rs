//! Convolution, and the fully connected layer as its smallest kind.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::bf16;

use super::map::{MARGIN, Values, on_device};
use super::{Compute, Map, Pool, Precision, Region, Weights, Window};
use crate::kernels::{Activation, After, Conv, Element, Film, Isa, Place, Residual, Row, Source, Tokens};
use crate::picture::zeros;
use crate::{Error, Result};

/// A convolution with a bias.
pub(crate) struct Conv2d {
    packed: Packed,
    pub(super) window: Window,
    channels_in: usize,
    channels_out: usize,
    /// The numbers of the result.
    out: Precision,
    /// The border of the result.
    margin: usize,
    /// Whether half of the rows are gates.
    gated: bool,
}

/// The weights as whatever computes wants them.
enum Packed {
    F32(Box<Conv<f32>>),
    Bf16(Box<Conv<bf16>>),
    /// (out, in, kernel, kernel) and (out).
    Tensors(Tensor, Tensor),
}

/// What follows a convolution, done while its sums are still at hand: `base + gain * activation(y * scale + shift)`, and
/// another base and gain around that.
#[derive(Clone, Copy)]
pub(crate) struct Then<'a> {
    film: Option<Film<'a>>,
    activation: Activation<'a>,
    add: [Option<(&'a Map, f32)>; 2],
}

impl<'a> Then<'a> {
    /// Nothing.
    pub(crate) const NOTHING: Self = Self { film: None, activation: Activation::Identity, add: [None; 2] };
    /// SiLU.
    pub(crate) const SILU: Self = Self { film: None, activation: Activation::Silu, add: [None; 2] };

    /// An activation.
    pub(crate) fn activation(activation: Activation<'a>) -> Self {
        Self { activation, ..Self::NOTHING }
    }

    /// `base + y`; the base may know more than the result.
    pub(crate) fn add(base: &'a Map) -> Self {
        Self::NOTHING.plus(base, 1.0)
    }

    /// The same, and `base + gain * ...` around it; twice at most.
    pub(crate) fn plus(self, base: &'a Map, gain: f32) -> Self {
        let [inner, outer] = self.add;
        assert!(outer.is_none(), "two bases are all there is room for");
        let new = Some((base, gain));
        Self { add: if inner.is_none() { [new, None] } else { [inner, new] }, ..self }
    }

    /// The same, after `y * scale + shift`, channel by channel.
    pub(crate) fn film(self, scale: &'a [f32], shift: &'a [f32]) -> Self {
        Self { film: Some(Film { scale, shift }), ..self }
    }

    /// The kernel's form of it, for an output whose first pixel is the first pixel of `region`. `place` says which pixels of
    /// the base belong to the output, given those that lie side by side.
    fn at<O: Number>(self, region: Region, place: impl Fn(Place) -> Place) -> After<'a, O> {
        let add = self.add.map(|add| {
            let (base, gain) = add?;
            // The kernel checks that the base holds the place; a base that knows too little would be our mistake.
            let from = base.region;
            assert!(from.contains(region) && from.of == region.of, "a residual must know the whole result");
            let start = base.at(region.left - from.left, region.top - from.top);
            let at = Place { start, row: base.row(), pixel: base.channels, width: 0, height: 0 };
            Some(Residual { base: O::slice(base), place: place(at), gain })
        });
        After { film: self.film, activation: self.activation, add }
    }

    /// The same with candle's operations, on a tensor (1, channels, height, width) of `region`.
    pub(super) fn on_device(self, y: Tensor, region: Region) -> Result<Tensor> {
        let dtype = y.dtype();
        let channels = y.dim(1)?;
        let vector = |values: &[f32]| Tensor::from_slice(values, (1, channels, 1, 1), y.device());
        let mut y = y.to_dtype(DType::F32)?;
        if let Some(Film { scale, shift }) = self.film {
            y = y.broadcast_mul(&vector(scale)?)?.broadcast_add(&vector(shift)?)?;
        }
        y = match self.activation {
            Activation::Identity => y,
            Activation::Silu => y.silu()?,
            Activation::Gelu => y.gelu_erf()?,
            Activation::QuickGelu => (&y * candle_nn::ops::sigmoid(&(&y * 1.702)?)?)?,
            Activation::LeakyRelu(slope) => candle_nn::ops::leaky_relu(&y, f64::from(slope))?,
            Activation::Prelu(slopes) => (y.relu()? - y.neg()?.relu()?.broadcast_mul(&vector(slopes)?)?)?,
        };
        for (base, gain) in self.add.into_iter().flatten() {
            let (from, tensor) = (base.region, base.tensor());
            let part = tensor.narrow(1, 0, channels)?.narrow(3, region.left - from.left, region.width())?;
            let part = part.narrow(2, region.top - from.top, region.height())?;
            y = (part.to_dtype(DType::F32)? + (y * f64::from(gain))?)?;
        }
        Ok(y.to_dtype(dtype)?)
    }
}

/// A number format of maps.
pub(super) trait Number: Element {
    /// The values of a map that is known to be of this format.
    fn slice(map: &Map) -> &[Self];
    /// The same, to write to.
    fn slice_mut(map: &mut Map) -> &mut [Self];
}

impl Number for f32 {
    fn slice(map: &Map) -> &[Self] {
        let Values::F32(values) = &map.values else { panic!("a map of other numbers than f32") };
        values
    }
    fn slice_mut(map: &mut Map) -> &mut [Self] {
        let Values::F32(values) = &mut map.values else { panic!("a map of other numbers than f32") };
        values
    }
}

impl Number for bf16 {
    fn slice(map: &Map) -> &[Self] {
        let Values::Bf16(values) = &map.values else { panic!("a map of other numbers than bf16") };
        values
    }
    fn slice_mut(map: &mut Map) -> &mut [Self] {
        let Values::Bf16(values) = &mut map.values else { panic!("a map of other numbers than bf16") };
        values
    }
}

impl Map {
    /// Where its pixels lie.
    pub(super) fn place(&self) -> Place {
        let (width, height) = (self.region.width(), self.region.height());
        Place { start: self.at(0, 0), row: self.row(), pixel: self.channels, width, height }
    }

    /// Its pixels as a sequence, from channel `channel` on.
    pub(super) fn tokens<E: Number>(&self, channel: usize) -> Tokens<'_, E> {
        let Place { start, row, pixel, width, height } = self.place();
        Tokens { data: E::slice(self), start: start + channel, row, pixel, width, height }
    }

    /// The tensor of a map that is known to lie on a device.
    pub(super) fn tensor(&self) -> &Tensor {
        let Values::Tensor(tensor) = &self.values else { panic!("a map that lies on no device") };
        tensor
    }

    /// The values as a tensor on a device.
    pub(super) fn upload(&self, device: &Device, dtype: DType) -> Result<Tensor> {
        match &self.values {
            Values::Tensor(tensor) => Ok(tensor.to_dtype(dtype)?),
            _ => {
                let size = (self.region.width(), self.region.height(), self.channels);
                on_device(&self.fetch()?, size, device, dtype)
            }
        }
    }

    /// The map where `compute` computes.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn on(self, compute: &Compute) -> Result<Self> {
        match compute {
            Compute::Cpu { .. } => Ok(self),
            Compute::Candle { device, dtype } => Self::on_device(self.region, self.upload(device, *dtype)?),
        }
    }

    /// The map in f32 on the processor, where its pixels can be read.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails.
    pub(crate) fn here(self, pool: &mut Pool) -> Result<Self> {
        if matches!(self.values, Values::F32(_)) {
            return Ok(self);
        }
        let values = self.fetch()?;
        let mut out = pool.map(self.region, self.channels, Precision::F32)?;
        let len = self.region.width() * self.channels;
        out.write(|y, row| row.copy_from_slice(&values[y * len..][..len]))?;
        pool.give(self);
        Ok(out)
    }

    /// A copy of a part of the map, with a border of `margin` pixels.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails.
    pub(crate) fn cut(&self, region: Region, margin: usize, pool: &mut Pool) -> Result<Self> {
        assert!(self.region.contains(region), "a part of the map");
        let precision = match &self.values {
            Values::F32(_) => Precision::F32,
            Values::Bf16(_) => Precision::Bf16,
            Values::Tensor(tensor) => {
                let part = tensor.narrow(3, region.left - self.region.left, region.width())?;
                return Self::on_device(region, part.narrow(2, region.top - self.region.top, region.height())?);
            }
        };
        let mut to = pool.padded(region, self.channels, precision, margin)?;
        self.copy_to(&mut to, region);
        Ok(to)
    }

    /// Copies the pixels of `region` to a map on the processor that holds them too.
    pub(super) fn copy_to(&self, to: &mut Self, region: Region) {
        fn copy<E: Number>(from: &Map, to: &mut Map, region: Region) {
            let len = region.width() * to.channels;
            for y in region.top..region.bottom {
                let at = |map: &Map| map.at(region.left - map.region.left, y - map.region.top);
                let (a, b) = (at(from), at(to));
                E::slice_mut(to)[b..b + len].copy_from_slice(&E::slice(from)[a..a + len]);
            }
        }
        match self.values {
            Values::F32(_) => copy::<f32>(self, to, region),
            Values::Bf16(_) => copy::<bf16>(self, to, region),
            Values::Tensor(_) => panic!("a map that lies on a device"),
        }
    }

    /// A map that lies on a device.
    pub(super) fn on_device(region: Region, tensor: Tensor) -> Result<Self> {
        Ok(Self { region, channels: tensor.dim(1)?, margin: 0, values: Values::Tensor(tensor) })
    }
}

impl Conv2d {
    /// Reads `{name}.weight` (out, in, kernel, kernel) and `{name}.bias` (out): a stride of 1 and a padding that keeps the
    /// size for odd kernels, or 2x2 with a stride of 2.
    ///
    /// # Errors
    /// When a tensor is missing or does not have `channels_in` and `channels_out`.
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        kernel: usize,
    ) -> Result<Self> {
        let window = match kernel {
            2 => Window { kernel, stride: 2, before: 0, after: 0 },
            _ => Window::same(kernel),
        };
        Self::windowed(weights, name, channels_in, channels_out, window)
    }

    /// The same with any window.
    ///
    /// # Errors
    /// As [`Conv2d::load`].
    pub(crate) fn windowed(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        window: Window,
    ) -> Result<Self> {
        let bias = weights.tensor(&format!("{name}.bias"), &[channels_out])?;
        let shape = [channels_out, channels_in, window.kernel, window.kernel];
        weights.by_rows(&format!("{name}.weight"), &shape, |rows| {
            Self::by_rows(weights.compute(), &|o, row| rows.fill(o, row), &bias, channels_in, window)
        })
    }

    /// The same where the bias may be missing, with a batch normalisation (Ioffe and Szegedy 2015) by the numbers that training has
    /// fixed behind it, if `norm` names one and its epsilon: `{norm}.weight`, `.bias`, `.running_mean` and `.running_var`.
    ///
    /// # Errors
    /// As [`Conv2d::load`].
    pub(crate) fn normalised(
        weights: &Weights<'_>,
        name: &str,
        norm: Option<(&str, f32)>,
        channels_in: usize,
        channels_out: usize,
        window: Window,
    ) -> Result<Self> {
        let mut bias = weights.tensor_or_zeros(&format!("{name}.bias"), &[channels_out])?;
        let shape = [channels_out, channels_in, window.kernel, window.kernel];
        let mut values = weights.tensor(&format!("{name}.weight"), &shape)?;
        if let Some((norm, epsilon)) = norm {
            weights.normalise(norm, epsilon, &mut values, &mut bias)?;
        }
        Self::new(weights.compute(), &values, &bias, channels_in, window)
    }

    /// A convolution of odd kernels that keeps the size, whose sizes all come from the file: `{name}.weight` (out, in, kernel, kernel)
    /// and, where there is one, `{name}.bias`.
    ///
    /// # Errors
    /// When the weights are missing or misshaped, or take other channels than `channels_in`.
    pub(crate) fn found(weights: &Weights<'_>, name: &str, channels_in: usize) -> Result<Self> {
        let weight = format!("{name}.weight");
        let (outputs, kernel) = (weights.width(&weight)?, weights.side(&weight, 2)?);
        if kernel.is_multiple_of(2) {
            return Err(weights.misshaped(&weight, weights.shape(&weight)?, "an odd kernel".into()));
        }
        Self::normalised(weights, name, None, channels_in, outputs, Window::same(kernel))
    }

    /// Of weights (out, in, kernel, kernel) and a bias (out) that were put together from those of a file.
    ///
    /// # Errors
    /// When a device fails, or the channels cannot be computed in the numbers of `weights`.
    pub(crate) fn of(
        weights: &Weights<'_>,
        values: &[f32],
        bias: &[f32],
        channels_in: usize,
        window: Window,
    ) -> Result<Self> {
        Self::new(weights.compute(), values, bias, channels_in, window)
    }

    /// How far it looks.
    pub(crate) fn radius(&self) -> usize {
        self.window.kernel / 2
    }

    /// Reads a fully connected layer, `{name}.weight` (out, in): the same for every pixel. `{name}.bias` (out) when it has one.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn linear(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        bias: bool,
    ) -> Result<Self> {
        let bias = match bias {
            true => weights.tensor(&format!("{name}.bias"), &[channels_out])?,
            false => vec![0.0; channels_out],
        };
        let layer = weights.by_rows(&format!("{name}.weight"), &[channels_out, channels_in], |rows| {
            Self::by_rows(weights.compute(), &|o, row| rows.fill(o, row), &bias, channels_in, Window::same(1))
        });
        Ok(layer?.with_margin(0))
    }

    /// Reads fully connected layers of the same input as one, `{name}.weight` (out, in) of each: their results lie one behind
    /// the other in the channels. `{name}.bias` (out) when they have one.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn joined(
        weights: &Weights<'_>,
        names: &[String],
        channels_in: usize,
        channels_out: usize,
        bias: bool,
    ) -> Result<Self> {
        let mut biases = vec![];
        for name in names {
            match bias {
                true => biases.extend(weights.tensor(&format!("{name}.bias"), &[channels_out])?),
                false => biases.resize(biases.len() + channels_out, 0.0),
            }
        }
        let names: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        let layer = weights.all_by_rows(&names, &[channels_out, channels_in], |rows| {
            let row = |o: usize, values: &mut [f32]| rows[o / channels_out].fill(o % channels_out, values);
            Self::by_rows(weights.compute(), &row, &biases, channels_in, Window::same(1))
        });
        Ok(layer?.with_margin(0))
    }

    /// Reads a fully connected layer with a bias and the gate of a GEGLU (Shazeer 2020) behind it: `{name}.weight`
    /// (2 * out, in), whose first half makes values, and the second half gates.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn gated(weights: &Weights<'_>, name: &str, channels_in: usize, channels_out: usize) -> Result<Self> {
        let bias = weights.tensor(&format!("{name}.bias"), &[2 * channels_out])?;
        let shape = [2 * channels_out, channels_in];
        let packed = weights.by_rows(&format!("{name}.weight"), &shape, |rows| {
            let row: Row<'_> = &|o, row| rows.fill(o, row);
            Ok(match weights.compute() {
                Compute::Cpu { isa, precision: Precision::F32 } => {
                    Packed::F32(Box::new(Conv::gated_by_rows(*isa, row, &bias, channels_in)))
                }
                Compute::Cpu { isa, precision: Precision::Bf16 } => {
                    even(channels_in)?;
                    Packed::Bf16(Box::new(Conv::gated_by_rows(*isa, row, &bias, channels_in)))
                }
                compute @ Compute::Candle { .. } => {
                    Self::by_rows(compute, row, &bias, channels_in, Window::same(1))?.packed
                }
            })
        })?;
        let (out, window) = (weights.precision(), Window::same(1));
        Ok(Self { packed, window, channels_in, channels_out, out, margin: 0, gated: true })
    }

    /// From values that have the shape.
    pub(super) fn new(
        compute: &Compute,
        weights: &[f32],
        bias: &[f32],
        channels_in: usize,
        window: Window,
    ) -> Result<Self> {
        let len = channels_in * window.kernel * window.kernel;
        let row = |o: usize, row: &mut [f32]| row.copy_from_slice(&weights[o * len..][..len]);
        Self::by_rows(compute, &row, bias, channels_in, window)
    }

    /// From rows (in, kernel, kernel) of each output channel, which are asked for in parallel and few at a time.
    pub(super) fn by_rows(
        compute: &Compute,
        row: Row<'_>,
        bias: &[f32],
        channels_in: usize,
        window: Window,
    ) -> Result<Self> {
        let kernel = window.kernel;
        let (form, out) = match compute {
            Compute::Cpu { isa, precision: Precision::F32 } => {
                (Packed::F32(Box::new(packed(*isa, row, bias, channels_in, window))), Precision::F32)
            }
            Compute::Cpu { isa, precision: Precision::Bf16 } => {
                even(channels_in)?;
                (Packed::Bf16(Box::new(packed(*isa, row, bias, channels_in, window))), Precision::Bf16)
            }
            Compute::Candle { device, dtype } => {
                let len = channels_in * kernel * kernel;
                let mut weights = zeros(len * bias.len(), "the weights of a layer")?;
                weights.chunks_exact_mut(len.max(1)).enumerate().for_each(|(o, values)| row(o, values));
                let weights = Tensor::from_slice(&weights, (bias.len(), channels_in, kernel, kernel), device)?;
                let bias = Tensor::from_slice(bias, (1, bias.len(), 1, 1), device)?.to_dtype(*dtype)?;
                (Packed::Tensors(weights.to_dtype(*dtype)?, bias), Precision::F32)
            }
        };
        Ok(Self { packed: form, window, channels_in, channels_out: bias.len(), out, margin: MARGIN, gated: false })
    }

    /// The same, with results in other numbers than its inputs: into and out of the precise part of a network.
    pub(crate) fn giving(self, out: Precision) -> Self {
        Self { out, ..self }
    }

    /// The same, with a border of so many zeros around its results: none where no window will look at it.
    pub(crate) fn with_margin(self, margin: usize) -> Self {
        Self { margin, ..self }
    }

    /// Channels of the result.
    pub(crate) fn channels(&self) -> usize {
        self.channels_out
    }

    /// Floating-point operations per output pixel.
    pub(crate) fn flops(&self) -> f64 {
        let rows = if self.gated { 2 * self.channels_out } else { self.channels_out };
        2.0 * (self.window.kernel * self.window.kernel * self.channels_in * rows) as f64
    }

    /// Bytes of the packed weights.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.packed {
            Packed::F32(conv) => conv.bytes(),
            Packed::Bf16(conv) => conv.bytes(),
            Packed::Tensors(weights, _) => (weights.elem_count() * weights.dtype().size_in_bytes()) as u64,
        }
    }

    /// Whether the weights are tensors on a device.
    pub(crate) fn on_candle(&self) -> bool {
        matches!(self.packed, Packed::Tensors(..))
    }

    /// The numbers of the result.
    pub(crate) fn out(&self) -> Precision {
        self.out
    }

    /// Convolves all that can be known.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, then: Then<'_>, pool: &mut Pool) -> Result<Map> {
        self.run_with_room(input, input.region, then, 0, pool)
    }

    /// The same when no more than `known` of the input is known. `spare` more channels per pixel are left for the caller to
    /// fill. Of an input with more channels than the layer reads, the first ones are read.
    ///
    /// # Errors
    /// As [`Conv2d::run`].
    pub(crate) fn run_with_room(
        &self,
        input: &Map,
        known: Region,
        then: Then<'_>,
        spare: usize,
        pool: &mut Pool,
    ) -> Result<Map> {
        self.run_for(input, known.convolved(self.window), then, spare, pool)
    }

    /// The same for a part of the result, of which the input knows all that it takes.
    ///
    /// # Errors
    /// As [`Conv2d::run`].
    pub(crate) fn run_for(
        &self,
        input: &Map,
        region: Region,
        then: Then<'_>,
        spare: usize,
        pool: &mut Pool,
    ) -> Result<Map> {
        assert!(input.region.convolved(self.window).contains(region), "a part of what can be known");
        if self.on_candle() {
            let tensor = then.on_device(self.convolve(input, region)?, region)?;
            return Map::on_device(region, tensor.pad_with_zeros(1, 0, spare)?);
        }
        let mut out = self.room(region, spare, pool)?;
        self.run_part(input, &mut out, region, then, pool)?;
        Ok(out)
    }

    /// A map for a part of the result on the processor, with `spare` more channels per pixel.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn room(&self, region: Region, spare: usize, pool: &mut Pool) -> Result<Map> {
        pool.padded(region, self.channels_out + spare, self.out, self.margin)
    }

    /// Convolves the pixels of `part` into a map from [`Conv2d::room`] that holds them.
    ///
    /// # Errors
    /// As [`Conv2d::run`].
    pub(crate) fn run_part(
        &self,
        input: &Map,
        out: &mut Map,
        part: Region,
        then: Then<'_>,
        pool: &mut Pool,
    ) -> Result<()> {
        self.run_into(input, out, part, part, then, |place| place, pool)
    }

    /// Convolves the first channels of a map into its channels from `first` on, in place, for some of the map's rows: on a device
    /// for all of them. Cuts count as sides of the picture here: close to them, as far as the window reaches, the result is of no use.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn run_beside(
        &self,
        map: &mut Map,
        first: usize,
        rows: Range<usize>,
        activation: Activation<'_>,
    ) -> Result<()> {
        let Window { kernel, before, .. } = self.window;
        assert_eq!(self.window, Window::same(kernel), "the size stays");
        let region = Region { top: rows.start, bottom: rows.end, ..map.region };
        assert!(map.region.contains(region), "rows of the map");
        let above = rows.start - map.region.top;
        let place = Place { start: map.at(0, above) + first, height: region.height(), ..map.place() };
        let patch = |map: &Map| {
            assert!(map.margin >= before, "the border is too thin");
            map.at(0, above) - before * (map.row() + map.channels)
        };
        match &self.packed {
            Packed::F32(conv) => {
                let start = patch(map);
                conv.run_beside(f32::slice_mut(map), start, region.odd(), place, After::only(activation));
            }
            Packed::Bf16(conv) => {
                let start = patch(map);
                conv.run_beside(bf16::slice_mut(map), start, region.odd(), place, After::only(activation));
            }
            Packed::Tensors(..) => {
                assert_eq!(region, map.region, "all rows");
                let whole = Region::whole(region.width(), region.height());
                let input = Map::on_device(whole, map.tensor().narrow(1, 0, self.channels_in)?)?;
                let new = Then::activation(activation).on_device(self.convolve(&input, whole)?, whole)?;
                let (tensor, behind) = (map.tensor(), first + self.channels_out);
                let rest = tensor.narrow(1, behind, map.channels - behind)?;
                map.values = Values::Tensor(Tensor::cat(&[&tensor.narrow(1, 0, first)?, &new, &rest], 1)?);
            }
        }
        Ok(())
    }

    /// Convolves the pixels of `region` (on the output's level, within what is known) into those pixels of `whole`, a part of a map,
    /// that `place` makes of pixels that lie side by side.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_into(
        &self,
        input: &Map,
        out: &mut Map,
        region: Region,
        whole: Region,
        then: Then<'_>,
        place: impl Fn(Place) -> Place,
        pool: &mut Pool,
    ) -> Result<()> {
        assert!(input.channels >= self.channels_in, "a convolution of another width");
        let most = self.window.before.max(self.window.after);
        let padded = if input.margin < most { Some(input.cut(input.region, most, pool)?) } else { None };
        let from = padded.as_ref().unwrap_or(input);
        let size = Place { start: 0, row: 0, pixel: 0, width: region.width(), height: region.height() };
        let start = out.at(whole.left - out.region.left, whole.top - out.region.top);
        let to = place(Place { start, row: out.row(), pixel: out.channels, ..size });
        match (&self.packed, self.out) {
            (Packed::F32(conv), Precision::F32) => {
                conv.run(self.source(from, region), f32::slice_mut(out), to, then.at(whole, place));
            }
            (Packed::F32(conv), Precision::Bf16) => {
                conv.run(self.source(from, region), bf16::slice_mut(out), to, then.at(whole, place));
            }
            (Packed::Bf16(conv), Precision::F32) => {
                conv.run(self.source(from, region), f32::slice_mut(out), to, then.at(whole, place));
            }
            (Packed::Bf16(conv), Precision::Bf16) => {
                conv.run(self.source(from, region), bf16::slice_mut(out), to, then.at(whole, place));
            }
            (Packed::Tensors(..), _) => unreachable!("devices do not come this way"),
        }
        padded.into_iter().for_each(|map| pool.give(map));
        Ok(())
    }

    /// Where the patch of the first pixel of `region` starts.
    fn source<'m, E: Number>(&self, input: &'m Map, region: Region) -> Source<'m, E> {
        let Window { stride, before, .. } = self.window;
        let (x, y) = (region.left * stride - input.region.left, region.top * stride - input.region.top);
        let start = input.at(x, y) - before * (input.row() + input.channels);
        Source { data: E::slice(input), start, row: input.row(), pixel: input.channels, odd: region.odd() }
    }

    /// The sums of `region` with candle's operations.
    pub(super) fn convolve(&self, input: &Map, region: Region) -> Result<Tensor> {
        let Packed::Tensors(weights, bias) = &self.packed else { unreachable!("the kernels do not come this way") };
        let Window { kernel, stride, before, .. } = self.window;
        let mut x = input.upload(weights.device(), weights.dtype())?.narrow(1, 0, self.channels_in)?;
        // What the patches need of each axis: beyond the sides of the picture, zeros; beyond what is known, nothing.
        for (dim, first, count, from, known) in [
            (3, region.left, region.width(), input.region.left, input.region.width()),
            (2, region.top, region.height(), input.region.top, input.region.height()),
        ] {
            let (start, end) = (first * stride, (first + count - 1) * stride + kernel);
            let (zeros, start) = ((before + from).saturating_sub(start), start.saturating_sub(before + from));
            let end = end - before - from;
            x = x.narrow(dim, start, end.min(known) - start)?;
            x = x.pad_with_zeros(dim, zeros, end.saturating_sub(known))?;
        }
        let y = x.contiguous()?.conv2d(weights, 0, stride, 1, 1)?.broadcast_add(bias)?;
        if !self.gated {
            return Ok(y);
        }
        let gates = y.narrow(1, self.channels_out, self.channels_out)?.contiguous()?.gelu_erf()?;
        Ok((y.narrow(1, 0, self.channels_out)? * gates)?)
    }
}

/// The kernel for a window: the fast one where there is one.
fn packed<E: Element>(isa: Isa, row: Row<'_>, bias: &[f32], channels_in: usize, window: Window) -> Conv<E> {
    if window == Window::same(3) && Conv::<E>::pays(channels_in) {
        Conv::fast_by_rows(isa, row, bias, channels_in)
    } else {
        Conv::by_rows(isa, row, bias, channels_in, window.kernel, window.stride)
    }
}

/// Products of bf16 take two channels at a time.
fn even(channels: usize) -> Result<()> {
    if channels.is_multiple_of(2) {
        return Ok(());
    }
    let hint = "a layer of this network has an odd number of channels: use `f32`";
    Err(Error::Setting { name: "precision", value: "bf16".into(), hint })
}
