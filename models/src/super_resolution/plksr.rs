//! PLKSR (Lee et al. 2024): a quarter of the channels sees a large square of pixels at once. RealPLKSR is the same with
//! Mish and a normalisation over groups or pixels.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, GroupNorm, LayerNorm, Map, Pool, Region, Then, Weights, sigmoid};

/// How the files of PLKSR are told; the misspelt name is its own.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "PLKSR",
    signs: &["feats.0.weight", "feats.1.channe_mixer.0.weight", "feats.1.lk.conv.weight", "feats.1.refine.weight"],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Plksr::load(&weights.on_processor(), "channe_mixer")?)),
};

/// How those of RealPLKSR are told.
pub(super) const REAL: Architecture = Architecture {
    name: "RealPLKSR",
    signs: &["feats.0.weight", "feats.1.channel_mixer.0.weight", "feats.1.lk.conv.weight", "feats.1.refine.weight"],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Plksr::load(&weights.on_processor(), "channel_mixer")?)),
};

/// Groups of RealPLKSR's normalisation, which no tensor tells.
const GROUPS: usize = 4;

/// The network.
struct Plksr {
    first: Conv2d,
    blocks: Vec<Block>,
    last: Conv2d,
    scale: usize,
    features: usize,
}

/// Two convolutions that mix channels, the large one over some of them, and what weighs the result.
struct Block {
    before: Option<LayerNorm>,
    mixer: [Conv2d; 2],
    /// Whether Mish stands between them instead of GELU.
    mish: bool,
    large: Conv2d,
    attention: Option<Conv2d>,
    refine: Conv2d,
    behind: Option<GroupNorm>,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, mixer: &str, features: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| Conv2d::found(weights, &format!("{name}.{part}"), inputs);
        let has = |part: &str| weights.has(&format!("{name}.{part}"));
        let wide = conv(&format!("{mixer}.0"), features)?;
        let narrow = conv(&format!("{mixer}.2"), wide.channels())?;
        let part = weights.width(&format!("{name}.lk.conv.weight"))?;
        let large = conv("lk.conv", part)?;
        let attention = if has("attn.f.0.weight") { Some(conv("attn.f.0", features)?) } else { None };
        let refine = conv("refine", features)?;
        if part > features || [&narrow, &refine].into_iter().chain(&attention).any(|conv| conv.channels() != features) {
            return Err(weights.unsupported("its blocks are not of one width"));
        }
        let before = match has("layer_norm.weight") {
            true => Some(LayerNorm::load(weights, &format!("{name}.layer_norm"), features, 1e-6)?),
            false => None,
        };
        let behind = match has("norm.weight") {
            true => Some(GroupNorm::load(weights, &format!("{name}.norm"), features, GROUPS, 1e-5)?),
            false => None,
        };
        Ok(Self { before, mixer: [wide, narrow], mish: mixer == "channel_mixer", large, attention, refine, behind })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        self.mixer.iter().chain([&self.large, &self.refine]).chain(&self.attention)
    }

    fn radius(&self) -> usize {
        self.layers().map(Conv2d::radius).sum()
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let normed = self.before.as_ref().map(|norm| norm.run(&x, pool)).transpose()?;
        let [wide, narrow] = &self.mixer;
        let between = if self.mish { Activation::Identity } else { Activation::Gelu };
        let mut y = wide.run(normed.as_ref().unwrap_or(&x), Then::activation(between), pool)?;
        if self.mish {
            y.change(|_, value| value * softplus(value).tanh())?;
        }
        let z = narrow.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let part = z.part(0, self.large.channels(), pool)?;
        let seen = self.large.run(&part, Then::NOTHING, pool)?;
        pool.give(part);
        let rest = z.part(seen.channels, z.channels - seen.channels, pool)?;
        pool.give(z);
        let mut all = Map::beside([&seen, &rest], pool)?;
        pool.give(seen);
        pool.give(rest);
        if let Some(attention) = &self.attention {
            let weights = attention.run(&all, Then::NOTHING, pool)?;
            let weighed = all.with(&weights, pool, |value, weight| value * sigmoid(weight))?;
            pool.give(weights);
            pool.give(std::mem::replace(&mut all, weighed));
        }
        let out = match &self.behind {
            None => self.refine.run(&all, Then::add(&x), pool)?,
            Some(norm) => {
                let y = self.refine.run(&all, Then::NOTHING, pool)?;
                let normed = norm.run(&y, Activation::Identity, pool)?;
                pool.give(y);
                let out = normed.with(&x, pool, |new, old| new + old)?;
                pool.give(normed);
                out
            }
        };
        [all, x].into_iter().chain(normed).for_each(|map| pool.give(map));
        Ok(out)
    }
}

/// `ln(1 + e^x)`, which for large values is the value.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

impl Plksr {
    fn load(weights: &Weights<'_>, mixer: &str) -> Result<Self> {
        if weights.any("to_img.") {
            return Err(weights.unsupported("it enlarges by DySample, which is not known here"));
        }
        let first = Conv2d::found(weights, "feats.0", 3)?;
        let features = first.channels();
        let count = (1..).take_while(|i| weights.has(&format!("feats.{i}.refine.weight"))).count();
        let block = |i: usize| Block::load(weights, &format!("feats.{i}"), mixer, features);
        // RealPLKSR has a layer without tensors in front of the last one.
        let last =
            (count + 1..count + 3).map(|i| format!("feats.{i}")).find(|name| weights.has(&format!("{name}.weight")));
        let last = last.ok_or_else(|| weights.unsupported("its last convolution is missing"))?;
        Ok(Self {
            blocks: (1..=count).map(block).collect::<Result<_>>()?,
            last: Conv2d::found(weights, &last, features)?,
            scale: weights.enlargement(&format!("{last}.weight"), 3)?,
            first,
            features,
        })
    }
}

impl Network for Plksr {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        if self.blocks.iter().any(|block| block.behind.is_some()) {
            // A normalisation over groups looks at all of the picture.
            return None;
        }
        Some(self.first.radius() + self.last.radius() + self.blocks.iter().map(Block::radius).sum::<usize>())
    }

    fn layers(&self) -> Vec<&Conv2d> {
        [&self.first, &self.last].into_iter().chain(self.blocks.iter().flat_map(Block::layers)).collect()
    }

    fn alive(&self) -> u64 {
        (4 * (8 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let mut x = self.first.run(&input, Then::NOTHING, pool)?;
        for block in &self.blocks {
            x = block.run(x, pool)?;
        }
        let mut out = self.last.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        // The picture, each value as often as it becomes a pixel.
        let (each, channels) = (self.scale * self.scale, out.channels);
        out = Map::of_rows([&out, &input], channels, pool, |[new, old], row| {
            for ((row, new), old) in
                row.chunks_exact_mut(channels).zip(new.chunks_exact(channels)).zip(old.chunks_exact(3))
            {
                row.iter_mut().zip(new).enumerate().for_each(|(c, (value, new))| *value = new + old[c / each]);
            }
        })?;
        pool.give(input);
        take(out, pool)
    }
}
