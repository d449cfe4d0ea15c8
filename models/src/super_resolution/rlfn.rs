//! RLFN (Kong et al. 2022): blocks of three convolutions with an attention that looks at the map made small. Some of its
//! networks take pictures from 0 to 255, some add their result to the picture; no tensor says so, but what they make of grey does.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Precision, Region, Then, Weights, Window, sigmoid};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "RLFN",
    signs: &[
        "conv_1.weight",
        "block_1.c1_r.weight",
        "block_1.c5.weight",
        "block_1.esa.conv_f.weight",
        "block_4.esa.conv4.weight",
        "conv_2.weight",
        "upsampler.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Rlfn::load(&weights.on_processor())?)),
};

/// What follows the convolutions.
const LEAKY: Activation<'_> = Activation::LeakyRelu(0.05);

/// The network.
struct Rlfn {
    first: Conv2d,
    blocks: Vec<Block>,
    second: Conv2d,
    last: Conv2d,
    scale: usize,
    features: usize,
    /// Pictures are stretched to this range.
    range: f32,
    /// Whether the picture is added to the result.
    residual: bool,
}

/// Three convolutions with a shortcut around, one of a pixel, and the attention.
struct Block {
    body: [Conv2d; 3],
    mixed: Conv2d,
    attention: Esa,
}

/// The attention (enhanced spatial attention of Liu et al. 2020): the map made small and large again weighs itself.
pub(super) struct Esa {
    narrow: Conv2d,
    around: Conv2d,
    halved: Conv2d,
    small: Conv2d,
    weighed: Conv2d,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| Conv2d::found(weights, &format!("{name}.{part}"), inputs);
        let a = conv("c1_r", features)?;
        let b = conv("c2_r", a.channels())?;
        let c = conv("c3_r", b.channels())?;
        let mixed = conv("c5", features)?;
        if [c.channels(), mixed.channels()] != [features; 2] {
            return Err(weights.unsupported("the layers of its blocks are of widths that do not fit each other"));
        }
        let attention = Esa::load(weights, &format!("{name}.esa"), features)?;
        Ok(Self { body: [a, b, c], mixed, attention })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        self.body.iter().chain([&self.mixed]).chain(self.attention.layers())
    }

    fn run(&self, input: Map, pool: &mut Pool) -> Result<Map> {
        let [a, b, c] = &self.body;
        let x = a.run(&input, Then::activation(LEAKY), pool)?;
        let y = b.run(&x, Then::activation(LEAKY), pool)?;
        pool.give(x);
        let z = c.run(&y, Then::activation(LEAKY).plus(&input, 1.0), pool)?;
        pool.give(y);
        pool.give(input);
        let mixed = self.mixed.run(&z, Then::NOTHING, pool)?;
        pool.give(z);
        let out = self.attention.run(&mixed, pool)?;
        pool.give(mixed);
        Ok(out)
    }
}

impl Esa {
    /// Reads `{name}.conv1` to `{name}.conv4` and `{name}.conv_f`.
    pub(super) fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| Conv2d::found(weights, &format!("{name}.{part}"), inputs);
        let narrow = conv("conv1", features)?;
        let width = narrow.channels();
        let window = Window { kernel: 3, stride: 2, before: 0, after: 0 };
        let halved = Conv2d::normalised(weights, &format!("{name}.conv2"), None, width, width, window)?;
        let (around, small, weighed) = (conv("conv_f", width)?, conv("conv3", width)?, conv("conv4", width)?);
        if [weighed.channels(), around.channels(), small.channels()] != [features, width, width] {
            return Err(weights.unsupported("the layers of its attention are of widths that do not fit each other"));
        }
        Ok(Self { narrow, around, halved, small, weighed })
    }

    pub(super) fn layers(&self) -> [&Conv2d; 3] {
        [&self.narrow, &self.around, &self.weighed]
    }

    pub(super) fn run(&self, x: &Map, pool: &mut Pool) -> Result<Map> {
        let narrow = self.narrow.run(x, Then::NOTHING, pool)?;
        // The attention needs a few pixels to look at.
        let (width, height) = narrow.size();
        let least = (width.max(3), height.max(3));
        let enough = if least == (width, height) { None } else { Some(narrow.mirrored(least, pool)?) };
        let halved = self.halved.run(enough.as_ref().unwrap_or(&narrow), Then::NOTHING, pool)?;
        let pooled = halved.largest_in_squares(7, 3, pool)?;
        let small = self.small.run(&pooled, Then::NOTHING, pool)?;
        let large = small.bilinear(narrow.size(), pool)?;
        let sum = self.around.run(&narrow, Then::add(&large), pool)?;
        let weights = self.weighed.run(&sum, Then::NOTHING, pool)?;
        let out = x.with(&weights, pool, |x, weight| x * sigmoid(weight))?;
        let used = [narrow, halved, pooled, small, large, sum, weights];
        used.into_iter().chain(enough).for_each(|map| pool.give(map));
        Ok(out)
    }
}

impl Rlfn {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = Conv2d::found(weights, "conv_1", 3)?;
        let features = first.channels();
        let count = (1..).take_while(|i| weights.has(&format!("block_{i}.c1_r.weight"))).count();
        let block = |i: usize| Block::load(weights, &format!("block_{i}"), features);
        let second = Conv2d::found(weights, "conv_2", features)?;
        if second.channels() != features {
            return Err(weights.unsupported("its last layers are not as wide as its blocks"));
        }
        let mut this = Self {
            blocks: (1..=count).map(block).collect::<Result<_>>()?,
            second,
            last: Conv2d::found(weights, "upsampler.0", features)?,
            scale: weights.enlargement("upsampler.0.weight", 3)?,
            first,
            features,
            range: 1.0,
            residual: false,
        };
        (this.range, this.residual) = this.found_way()?;
        Ok(this)
    }

    /// How the network takes and gives pictures, by what it makes of two kinds of grey: the usual way, unless another is plainly the
    /// right one.
    fn found_way(&self) -> Result<(f32, bool)> {
        let mut pool = Pool::default();
        let mut off = |range: f32, residual: bool| -> Result<f32> {
            let mut most = 0.0f32;
            for grey in [0.3, 0.7] {
                let mut flat = pool.map(Region::whole(32, 32), 3, Precision::F32)?;
                flat.change(|_, _| grey * range)?;
                let (means, _) = self.result(flat, &mut pool)?.moments();
                let wanted = if residual { 0.0 } else { grey };
                most = means.iter().fold(most, |most, mean| most.max((mean / range - wanted).abs()));
            }
            Ok(most)
        };
        let usual = off(1.0, false)?;
        for way in [(1.0, true), (255.0, false)] {
            let other = off(way.0, way.1)?;
            if other < 0.06 && other < usual / 2.0 {
                return Ok(way);
            }
        }
        Ok((1.0, false))
    }

    /// What the network gives for what it is given.
    fn result(&self, input: Map, pool: &mut Pool) -> Result<Map> {
        let first = self.first.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        let mut x = first.part(0, first.channels, pool)?;
        for block in &self.blocks {
            x = block.run(x, pool)?;
        }
        let sum = self.second.run(&x, Then::add(&first), pool)?;
        pool.give(x);
        pool.give(first);
        let out = self.last.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        out.shuffled(self.scale, pool)
    }
}

impl Network for Rlfn {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        // The attention is laid out from the first pixel on, in steps that a cut would move.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        [&self.first, &self.second, &self.last].into_iter().chain(self.blocks.iter().flat_map(Block::layers)).collect()
    }

    fn alive(&self) -> u64 {
        (4 * (8 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, mut input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let (width, height) = input.size();
        let around = match self.residual {
            true => Some(input.bilinear((width * self.scale, height * self.scale), pool)?),
            false => None,
        };
        input.change(|_, value| value * self.range)?;
        let mut out = self.result(input, pool)?;
        out.change(|_, value| value / self.range)?;
        match around {
            Some(around) => take(around.with(&out, pool, |picture, more| picture + more)?, pool),
            None => take(out, pool),
        }
    }
}
