//! FSRCNN (Dong et al. 2016): convolutions at the size of the input, shrunk in between, and a transposed convolution of 9x9 that
//! enlarges. Its networks are for the brightness of pictures; here they run on each colour. No tensor tells by how much they
//! enlarge, but what they make of grey does: with the wrong step the 9x9 squares overlap too much or too little.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::files::Tensor;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Precision, Region, Then, Weights, Window};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "FSRCNN",
    signs: &[
        "first_part.0.weight",
        "first_part.1.weight",
        "mid_part.0.weight",
        "mid_part.1.weight",
        "last_part.weight",
    ],
    names: &[],
    is: |tensors| {
        let last = tensors.get("last_part.weight").map_or(&[][..], Tensor::shape);
        matches!(last, [_, 1 | 3, KERNEL, KERNEL])
    },
    load: |weights| Ok(Box::new(Fsrcnn::load(&weights.on_processor())?)),
};

/// Edge of the transposed convolution's squares.
const KERNEL: usize = 9;
/// What is cut off on each side.
const PADDING: usize = 4;
/// Factors that its networks were trained for.
const FACTORS: [usize; 3] = [2, 3, 4];

/// The network.
struct Fsrcnn {
    body: Vec<Layer>,
    last: Conv2d,
    scale: usize,
    colours: usize,
}

/// A convolution and the slopes of its PReLU.
struct Layer {
    conv: Conv2d,
    slopes: Vec<f32>,
}

impl Layer {
    fn load(weights: &Weights<'_>, part: &str, i: usize, inputs: usize) -> Result<Self> {
        let conv = Conv2d::found(weights, &format!("{part}.{}", 2 * i), inputs)?;
        let slopes = weights.tensor(&format!("{part}.{}.weight", 2 * i + 1), &[conv.channels()])?;
        Ok(Self { conv, slopes })
    }
}

impl Fsrcnn {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let colours = weights.side("last_part.weight", 1)?;
        let mut body = vec![Layer::load(weights, "first_part", 0, colours)?];
        let mut inputs = body[0].conv.channels();
        for i in (0..).take_while(|i| weights.has(&format!("mid_part.{}.weight", 2 * i))) {
            let layer = Layer::load(weights, "mid_part", i, inputs)?;
            inputs = layer.conv.channels();
            body.push(layer);
        }
        let filters = weights.tensor("last_part.weight", &[inputs, colours, KERNEL, KERNEL])?;
        let bias = weights.tensor("last_part.bias", &[colours])?;
        let enlarging = |scale| transposed(weights, &filters, &bias, (inputs, colours, scale));
        let [first, ..] = FACTORS;
        let mut this = Self { body, last: enlarging(first)?, scale: first, colours };
        let mut least = this.off_grey()?;
        for scale in FACTORS.into_iter().skip(1) {
            let other = Self { last: enlarging(scale)?, scale, ..this };
            let off = other.off_grey()?;
            this = if off < least { other } else { Self { last: this.last, scale: this.scale, ..other } };
            least = off.min(least);
        }
        Ok(this)
    }

    /// How far from grey the network makes grey, at the worst pixel.
    fn off_grey(&self) -> Result<f32> {
        let mut pool = Pool::default();
        let mut most = 0.0f32;
        for grey in [0.3, 0.7] {
            // Wide enough for a middle that sees no border.
            let edge = 2 * self.layers().iter().map(|layer| layer.radius()).sum::<usize>() + 3;
            let mut flat = pool.map(Region::whole(edge, edge), self.colours, Precision::F32)?;
            flat.change(|_, _| grey)?;
            let level = flat.region;
            self.enlarged(flat, level, &mut pool, &mut |out, _| {
                let middle = out.pixels(edge / 2, edge / 2, 1);
                most = middle.iter().fold(most, |most, value| most.max((value - grey).abs()));
                Ok(())
            })?;
        }
        Ok(most)
    }
}

/// The transposed convolution as a convolution that makes the pixels of a square, which a pixel shuffle lays out: of the 9x9
/// weights each of those pixels meets every `scale`th.
fn transposed(
    weights: &Weights<'_>,
    filters: &[f32],
    bias: &[f32],
    (inputs, colours, scale): (usize, usize, usize),
) -> Result<Conv2d> {
    let reach = PADDING.div_ceil(scale);
    let kernel = 2 * reach + 1;
    // Which of the 9 weights an output pixel of a square meets at an input pixel beside it.
    let tap = |phase: usize, offset: usize| {
        let tap = (phase + PADDING + reach * scale).checked_sub(offset * scale)?;
        (tap < KERNEL).then_some(tap)
    };
    let mut values = Vec::with_capacity(colours * scale * scale * inputs * kernel * kernel);
    let mut shift = Vec::with_capacity(colours * scale * scale);
    for colour in 0..colours {
        for phase in 0..scale * scale {
            shift.push(bias[colour]);
            for input in 0..inputs {
                let square = &filters[(input * colours + colour) * KERNEL * KERNEL..][..KERNEL * KERNEL];
                for offset in 0..kernel * kernel {
                    let taps = (tap(phase / scale, offset / kernel), tap(phase % scale, offset % kernel));
                    values.push(if let (Some(y), Some(x)) = taps { square[y * KERNEL + x] } else { 0.0 });
                }
            }
        }
    }
    Conv2d::of(weights, &values, &shift, inputs, Window::same(kernel))
}

impl Network for Fsrcnn {
    fn scale(&self) -> usize {
        self.scale
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        Some(self.layers().iter().map(|layer| layer.radius()).sum())
    }

    fn layers(&self) -> Vec<&Conv2d> {
        self.body.iter().map(|layer| &layer.conv).chain([&self.last]).collect()
    }

    fn alive(&self) -> u64 {
        let widest = self.layers().iter().map(|layer| layer.channels()).max().unwrap_or(0);
        4 * (2 * widest + self.colours * self.scale * self.scale) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let mut x = input;
        for Layer { conv, slopes } in &self.body {
            let y = conv.run(&x, Then::activation(Activation::Prelu(slopes)), pool)?;
            pool.give(std::mem::replace(&mut x, y));
        }
        let out = self.last.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        take(out, pool)
    }
}
