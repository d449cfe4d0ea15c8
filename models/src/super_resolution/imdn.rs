//! IMDN (Hui et al. 2019): blocks that keep a quarter of the channels after each convolution, weigh all of them by their contrast, and
//! put them together.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Dense, Map, Pool, Region, Then, Weights, sigmoid};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "IMDN",
    signs: &[
        "fea_conv.weight",
        "IMDB1.c1.weight",
        "IMDB1.c4.weight",
        "IMDB1.cca.conv_du.0.weight",
        "LR_conv.weight",
        "upsampler.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Imdn::load(&weights.on_processor())?)),
};

/// What follows the convolutions.
const LEAKY: Activation<'_> = Activation::LeakyRelu(0.05);

/// The network.
struct Imdn {
    first: Conv2d,
    blocks: Vec<Block>,
    joined: Conv2d,
    end: Conv2d,
    last: Conv2d,
    scale: usize,
    features: usize,
}

/// Four convolutions; the first channels of each are kept, the others go on.
struct Block {
    convs: [Conv2d; 4],
    kept: usize,
    squeeze: Dense,
    widen: Dense,
    mixed: Conv2d,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let kept = weights.width(&format!("{name}.c4.weight"))?;
        let rest = features.checked_sub(kept).filter(|rest| *rest > 0 && 4 * kept == features);
        let rest = rest.ok_or_else(|| weights.unsupported("its blocks do not keep a quarter of their channels"))?;
        let conv = |part: &str, inputs: usize| Conv2d::found(weights, &format!("{name}.{part}"), inputs);
        let convs = [conv("c1", features)?, conv("c2", rest)?, conv("c3", rest)?, conv("c4", rest)?];
        let mixed = conv("c5", features)?;
        if convs[..3].iter().chain([&mixed]).any(|conv| conv.channels() != features) {
            return Err(weights.unsupported("its blocks are not of one width"));
        }
        let hidden = weights.width(&format!("{name}.cca.conv_du.0.weight"))?;
        Ok(Self {
            convs,
            kept,
            squeeze: Dense::of_pixels(weights, &format!("{name}.cca.conv_du.0"), features, hidden)?,
            widen: Dense::of_pixels(weights, &format!("{name}.cca.conv_du.2"), hidden, features)?,
            mixed,
        })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        self.convs.iter().chain([&self.mixed])
    }

    fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let [a, b, c, d] = &self.convs;
        let step = |conv: &Conv2d, from: &Map, pool: &mut Pool| -> Result<(Map, Map)> {
            let y = conv.run(from, Then::activation(LEAKY), pool)?;
            let parts = (y.part(0, self.kept, pool)?, y.part(self.kept, y.channels - self.kept, pool)?);
            pool.give(y);
            Ok(parts)
        };
        let (first, rest) = step(a, input, pool)?;
        let (second, next) = step(b, &rest, pool)?;
        pool.give(rest);
        let (third, rest) = step(c, &next, pool)?;
        pool.give(next);
        let fourth = d.run(&rest, Then::NOTHING, pool)?;
        pool.give(rest);
        let mut all = Map::beside([&first, &second, &third, &fourth], pool)?;
        [first, second, third, fourth].into_iter().for_each(|map| pool.give(map));
        // The contrast of a channel is its spread; its mean is added.
        let (means, variances) = all.moments();
        let contrast: Vec<f32> = means.iter().zip(&variances).map(|(mean, variance)| mean + variance.sqrt()).collect();
        let hidden: Vec<f32> = self.squeeze.run(&contrast).iter().map(|value| value.max(0.0)).collect();
        let shares: Vec<f32> = self.widen.run(&hidden).iter().map(|value| sigmoid(*value)).collect();
        all.change(|c, value| value * shares[c])?;
        let out = self.mixed.run(&all, Then::add(input), pool)?;
        pool.give(all);
        Ok(out)
    }
}

impl Imdn {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = Conv2d::found(weights, "fea_conv", 3)?;
        let features = first.channels();
        let count = (1..).take_while(|i| weights.has(&format!("IMDB{i}.c1.weight"))).count();
        let block = |i: usize| Block::load(weights, &format!("IMDB{i}"), features);
        let (joined, end) =
            (Conv2d::found(weights, "c.0", count * features)?, Conv2d::found(weights, "LR_conv", features)?);
        if joined.channels() != features || end.channels() != features {
            return Err(weights.unsupported("its last layers are not as wide as its blocks"));
        }
        Ok(Self {
            blocks: (1..=count).map(block).collect::<Result<_>>()?,
            joined,
            end,
            last: Conv2d::found(weights, "upsampler.0", features)?,
            scale: weights.enlargement("upsampler.0.weight", 3)?,
            first,
            features,
        })
    }
}

impl Network for Imdn {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        // The contrast is that of the whole picture.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let ends = [&self.first, &self.joined, &self.end, &self.last];
        ends.into_iter().chain(self.blocks.iter().flat_map(Block::layers)).collect()
    }

    fn alive(&self) -> u64 {
        (4 * (self.features * (2 * self.blocks.len() + 5) + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let first = self.first.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        let mut results: Vec<Map> = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            results.push(block.run(results.last().unwrap_or(&first), pool)?);
        }
        let mut all = None;
        for result in results {
            all = Some(match all {
                None => result,
                Some(before) => {
                    let both = Map::beside([&before, &result], pool)?;
                    pool.give(before);
                    pool.give(result);
                    both
                }
            });
        }
        let all = all.unwrap_or(first.part(0, first.channels, pool)?);
        let joined = self.joined.run(&all, Then::activation(LEAKY), pool)?;
        pool.give(all);
        let sum = self.end.run(&joined, Then::add(&first), pool)?;
        pool.give(joined);
        pool.give(first);
        let out = self.last.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        take(out, pool)
    }
}
