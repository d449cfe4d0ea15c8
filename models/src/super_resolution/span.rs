//! SPAN (Wan et al. 2024): blocks of three convolutions whose result weighs itself, without parameters for that.

use super::network::MEAN;
use super::{Architecture, Network, Take};
use crate::Result;
use crate::layers::{Conv2d, Map, Pool, Region, Then, Weights, Window, sigmoid};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "SPAN",
    signs: &[
        "block_1.c1_r.eval_conv.weight",
        "block_6.c3_r.eval_conv.weight",
        "conv_1.eval_conv.weight",
        "conv_cat.weight",
        "upsampler.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Span::load(&weights.on_processor())?)),
};

/// Pictures are stretched to this range, once they are moved by the mean. Every published network has both.
const RANGE: f32 = 255.0;

/// Blocks.
const BLOCKS: usize = 6;

/// The network.
struct Span {
    /// Whether the mean is taken away.
    moved: bool,
    first: Conv2d,
    blocks: Vec<[Conv2d; 3]>,
    second: Conv2d,
    joined: Conv2d,
    last: Conv2d,
    scale: usize,
    features: usize,
}

/// A convolution that training takes apart: 1x1, 3x3 and 1x1 one behind the other, and 1x1 beside them. Put together they are one of
/// 3x3. Where the parts are not in the file, `eval_conv` is.
fn convolution(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Conv2d> {
    if !weights.has(&format!("{name}.sk.weight")) {
        return Conv2d::found(weights, &format!("{name}.eval_conv"), inputs);
    }
    let outputs = weights.width(&format!("{name}.sk.weight"))?;
    let wide = weights.width(&format!("{name}.conv.0.weight"))?;
    let inner = weights.width(&format!("{name}.conv.1.weight"))?;
    let read = |part: &str, shape: [usize; 4]| -> Result<(Vec<f32>, Vec<f32>)> {
        let bias = weights.tensor_or_zeros(&format!("{name}.{part}.bias"), &shape[..1])?;
        Ok((weights.tensor(&format!("{name}.{part}.weight"), &shape)?, bias))
    };
    let (before, before_bias) = read("conv.0", [wide, inputs, 1, 1])?;
    let (middle, middle_bias) = read("conv.1", [inner, wide, 3, 3])?;
    let (behind, behind_bias) = read("conv.2", [outputs, inner, 1, 1])?;
    let (beside, beside_bias) = read("sk", [outputs, inputs, 1, 1])?;
    // The middle one after the first: for each of its outputs and places, over the inputs.
    let mut both = vec![0.0f64; inner * inputs * 9];
    let mut both_bias: Vec<f64> = middle_bias.iter().map(|bias| f64::from(*bias)).collect();
    for m in 0..inner {
        for w in 0..wide {
            for place in 0..9 {
                let weight = f64::from(middle[(m * wide + w) * 9 + place]);
                both_bias[m] += weight * f64::from(before_bias[w]);
                for i in 0..inputs {
                    both[(m * inputs + i) * 9 + place] += weight * f64::from(before[w * inputs + i]);
                }
            }
        }
    }
    let mut values = vec![0.0f32; outputs * inputs * 9];
    let mut bias = vec![0.0f32; outputs];
    for o in 0..outputs {
        let row = &behind[o * inner..][..inner];
        let share = |of: &dyn Fn(usize) -> f64| row.iter().enumerate().map(|(m, w)| f64::from(*w) * of(m)).sum::<f64>();
        bias[o] = (share(&|m| both_bias[m]) + f64::from(behind_bias[o]) + f64::from(beside_bias[o])) as f32;
        for at in 0..inputs * 9 {
            let middle = if at % 9 == 4 { f64::from(beside[o * inputs + at / 9]) } else { 0.0 };
            values[o * inputs * 9 + at] = (share(&|m| both[m * inputs * 9 + at]) + middle) as f32;
        }
    }
    Conv2d::of(weights, &values, &bias, inputs, Window::same(3))
}

impl Span {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = convolution(weights, "conv_1", 3)?;
        let features = first.channels();
        let block = |i: usize| -> Result<[Conv2d; 3]> {
            let conv = |part: usize, inputs: usize| convolution(weights, &format!("block_{}.c{part}_r", i + 1), inputs);
            let a = conv(1, features)?;
            let b = conv(2, a.channels())?;
            let c = conv(3, b.channels())?;
            if [&a, &b, &c].iter().any(|conv| conv.channels() != features) {
                return Err(weights.unsupported("its blocks are not of one width"));
            }
            Ok([a, b, c])
        };
        let last = Conv2d::found(weights, "upsampler.0", features)?;
        let scale = weights.enlargement("upsampler.0.weight", 3)?;
        let this = Self {
            moved: !weights.has("no_norm"),
            blocks: (0..BLOCKS).map(block).collect::<Result<_>>()?,
            second: convolution(weights, "conv_2", features)?,
            joined: Conv2d::found(weights, "conv_cat", 4 * features)?,
            first,
            last,
            scale,
            features,
        };
        if this.second.channels() != features || this.joined.channels() != features {
            return Err(weights.unsupported("its last layers are not as wide as its blocks"));
        }
        Ok(this)
    }
}

impl Network for Span {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        Some(1 + 3 * BLOCKS + 2)
    }

    fn layers(&self) -> Vec<&Conv2d> {
        [&self.first, &self.second, &self.joined, &self.last].into_iter().chain(self.blocks.iter().flatten()).collect()
    }

    fn alive(&self) -> u64 {
        (4 * (12 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, mut input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        if self.moved {
            input.change(|c, value| (value - MEAN[c]) * RANGE)?;
        }
        let first = self.first.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        let mut x = None;
        let (mut after_first, mut inside_last) = (None, None);
        for (i, [a, b, c]) in self.blocks.iter().enumerate() {
            let from = x.as_ref().unwrap_or(&first);
            let inside = a.run(from, Then::SILU, pool)?;
            let y = b.run(&inside, Then::SILU, pool)?;
            let z = c.run(&y, Then::NOTHING, pool)?;
            pool.give(y);
            let out = z.with(from, pool, |z, x| (z + x) * (sigmoid(z) - 0.5))?;
            pool.give(z);
            if i + 1 == BLOCKS {
                inside_last = Some(inside);
            } else {
                pool.give(inside);
            }
            if i == 1 {
                after_first = x.take();
            } else if let Some(old) = x.take() {
                pool.give(old);
            }
            x = Some(out);
        }
        let (Some(after_first), Some(inside_last), Some(x)) = (after_first, inside_last, x) else {
            unreachable!("there are six blocks")
        };
        let second = self.second.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        let all = Map::beside([&first, &second, &after_first, &inside_last], pool)?;
        [first, second, after_first, inside_last].into_iter().for_each(|map| pool.give(map));
        let joined = self.joined.run(&all, Then::NOTHING, pool)?;
        pool.give(all);
        let out = self.last.run(&joined, Then::NOTHING, pool)?;
        pool.give(joined);
        take(out, pool)
    }
}
