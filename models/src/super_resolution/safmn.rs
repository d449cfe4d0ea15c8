//! SAFMN (Sun et al. 2023): each group of channels is looked at in a size of its own, and what is seen weighs the map. Its
//! successor SAFMN++ (NTIRE 2024) looks at a third of the channels in an eighth of the size.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Depthwise, LayerNorm, Map, Pool, Region, Then, Weights};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "SAFMN",
    signs: &[
        "to_feat.weight",
        "feats.0.norm1.weight",
        "feats.0.safm.aggr.weight",
        "feats.0.safm.mfr.0.weight",
        "feats.0.ccm.ccm.0.weight",
        "to_img.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Safmn::load(&weights.on_processor())?)),
};

/// How the files of its successor are told.
pub(super) const PLUS: Architecture = Architecture {
    name: "SAFMN++",
    signs: &[
        "to_feat.weight",
        "feats.0.conv1.proj.weight",
        "feats.0.conv1.dwconv.weight",
        "feats.0.conv1.out.weight",
        "feats.0.conv2.conv1.weight",
        "to_img.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Safmn::load(&weights.on_processor())?)),
};

/// The network.
struct Safmn {
    first: Conv2d,
    blocks: Vec<Block>,
    last: Conv2d,
    scale: usize,
    features: usize,
}

/// A block of either.
enum Block {
    Levels { norms: [LayerNorm; 2], levels: Vec<Depthwise>, joined: Conv2d, mixer: [Conv2d; 2] },
    Plus { before: Conv2d, small: Depthwise, behind: Conv2d, mixer: [Conv2d; 2], part: usize },
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| Conv2d::found(weights, &format!("{name}.{part}"), inputs);
        let mixer = |first: &str, second: &str| -> Result<[Conv2d; 2]> {
            let first = conv(first, features)?;
            let second = conv(second, first.channels())?;
            Ok([first, second])
        };
        let (this, wide) = if weights.has(&format!("{name}.conv1.proj.weight")) {
            let part = weights.width(&format!("{name}.conv1.dwconv.weight"))?;
            let before = conv("conv1.proj", features)?;
            let behind = conv("conv1.out", features)?;
            let mixer = mixer("conv2.conv1", "conv2.conv2")?;
            let fits = part < features && before.channels() == features;
            let wide = fits && behind.channels() == features && mixer[1].channels() == features;
            let small = Depthwise::load(weights, &format!("{name}.conv1.dwconv"), part, 3)?;
            (Self::Plus { before, small, behind, mixer, part }, wide)
        } else {
            let count = weights.count(&format!("{name}.safm.mfr."), ".weight");
            let each = features / count.max(1);
            let level = |i: usize| Depthwise::load(weights, &format!("{name}.safm.mfr.{i}"), each, 3);
            let norm = |part: &str| LayerNorm::load(weights, &format!("{name}.{part}"), features, 1e-6);
            let joined = conv("safm.aggr", features)?;
            let mixer = mixer("ccm.ccm.0", "ccm.ccm.2")?;
            let wide = each * count == features && joined.channels() == features && mixer[1].channels() == features;
            let levels = (0..count).map(level).collect::<Result<_>>()?;
            (Self::Levels { norms: [norm("norm1")?, norm("norm2")?], levels, joined, mixer }, wide)
        };
        if wide { Ok(this) } else { Err(weights.unsupported("its blocks are not of one width")) }
    }

    fn layers(&self) -> Vec<&Conv2d> {
        match self {
            Self::Levels { joined, mixer: [a, b], .. } => vec![joined, a, b],
            Self::Plus { before, behind, mixer: [a, b], .. } => vec![before, behind, a, b],
        }
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let gelu = Then::activation(Activation::Gelu);
        match self {
            Self::Levels { norms: [first, second], levels, joined, mixer: [wide, narrow] } => {
                let normed = first.run(&x, pool)?;
                let size = normed.size();
                let each = normed.channels / levels.len();
                let mut all: Option<Map> = None;
                for (i, level) in levels.iter().enumerate() {
                    let part = normed.part(i * each, each, pool)?;
                    let seen = if i == 0 {
                        level.run(&part, pool)?
                    } else {
                        // A map of less than a pixel would be none.
                        let small = part.largest(((size.0 >> i).max(1), (size.1 >> i).max(1)), pool)?;
                        let seen = level.run(&small, pool)?;
                        pool.give(small);
                        let large = seen.nearest(size, pool)?;
                        pool.give(seen);
                        large
                    };
                    pool.give(part);
                    all = Some(match all {
                        None => seen,
                        Some(before) => {
                            let both = Map::beside([&before, &seen], pool)?;
                            pool.give(before);
                            pool.give(seen);
                            both
                        }
                    });
                }
                let Some(all) = all else { return Ok(x) };
                let weighed = joined.run(&all, gelu, pool)?;
                pool.give(all);
                let product = weighed.with(&normed, pool, |weight, value| weight * value)?;
                let y = product.with(&x, pool, |new, old| new + old)?;
                [x, normed, weighed, product].into_iter().for_each(|map| pool.give(map));
                let normed = second.run(&y, pool)?;
                let inner = wide.run(&normed, gelu, pool)?;
                pool.give(normed);
                let out = narrow.run(&inner, Then::add(&y), pool)?;
                pool.give(inner);
                pool.give(y);
                Ok(out)
            }
            Self::Plus { before, small, behind, mixer: [wide, narrow], part } => {
                let y = before.run(&x, Then::NOTHING, pool)?;
                let size = y.size();
                let own = y.part(0, *part, pool)?;
                let rest = y.part(*part, y.channels - part, pool)?;
                pool.give(y);
                let eighth = own.largest(((size.0 / 8).max(1), (size.1 / 8).max(1)), pool)?;
                let seen = small.run(&eighth, pool)?;
                let mut large = seen.bilinear(size, pool)?;
                large.activate(Activation::Gelu)?;
                let weighed = large.with(&own, pool, |weight, value| weight * value)?;
                let mut all = Map::beside([&rest, &weighed], pool)?;
                all.activate(Activation::Gelu)?;
                [own, rest, eighth, seen, large, weighed].into_iter().for_each(|map| pool.give(map));
                let y = behind.run(&all, Then::NOTHING, pool)?;
                pool.give(all);
                let inner = wide.run(&y, gelu, pool)?;
                pool.give(y);
                let out = narrow.run(&inner, Then::add(&x), pool)?;
                pool.give(inner);
                pool.give(x);
                Ok(out)
            }
        }
    }
}

impl Safmn {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = Conv2d::found(weights, "to_feat", 3)?;
        let features = first.channels();
        let count = (0..).take_while(|i| weights.any(&format!("feats.{i}."))).count();
        let block = |i: usize| Block::load(weights, &format!("feats.{i}"), features);
        Ok(Self {
            blocks: (0..count).map(block).collect::<Result<_>>()?,
            last: Conv2d::found(weights, "to_img.0", features)?,
            scale: weights.enlargement("to_img.0.weight", 3)?,
            first,
            features,
        })
    }
}

impl Network for Safmn {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        // Smaller sizes are parts of the whole picture.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        [&self.first, &self.last].into_iter().chain(self.blocks.iter().flat_map(Block::layers)).collect()
    }

    fn alive(&self) -> u64 {
        (4 * (8 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let plus = self.blocks.iter().any(|block| matches!(block, Block::Plus { .. }));
        let size = input.size();
        let first = self.first.run(&input, Then::NOTHING, pool)?;
        // The first adds what came into its blocks, the second the picture.
        let around = match plus {
            true => Some(input.bilinear((size.0 * self.scale, size.1 * self.scale), pool)?),
            false => None,
        };
        pool.give(input);
        let mut x = first.part(0, first.channels, pool)?;
        for block in &self.blocks {
            x = block.run(x, pool)?;
        }
        let sum = if plus { x } else { x.with(&first, pool, |new, old| new + old)? };
        let out = self.last.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        pool.give(first);
        let out = out.shuffled(self.scale, pool)?;
        match around {
            Some(around) => take(around.with(&out, pool, |picture, more| picture + more)?, pool),
            None => take(out, pool),
        }
    }
}
