//! RetinaFace (Deng et al. 2019) with the backbone MobileNet 0.25, as biubug6 publishes it: three maps that tell each other what they see,
//! a block that looks further (SSH, Najibi et al. 2017) over each, and faces with five landmarks.

use super::Found;
use super::priors::{Priors, Spread, Told};
use super::pyramid::Sight;
use super::separable::{RELU, Separable, normalised};
use crate::Result;
use crate::files::Tensors;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Then, Weights};

/// Tensors that tell its files.
const SIGNS: [&str; 5] = [
    "body.stage1.0.0.weight",
    "body.stage3.1.3.weight",
    "fpn.merge1.0.weight",
    "ssh1.conv7x7_3.0.weight",
    "LandmarkHead.0.conv1x1.weight",
];
/// Blocks of each part of the backbone; the very first one is an ordinary convolution.
const BLOCKS: [std::ops::Range<usize>; 3] = [1..6, 0..6, 0..2];
/// Blocks that halve their map: part and number.
const HALVING: [(usize, usize); 4] = [(0, 2), (0, 4), (1, 0), (2, 0)];

/// What two trainings of the same tensors differ in.
struct Training {
    priors: Priors,
    activation: Activation<'static>,
}

/// Of Pytorch_Retinaface.
static LARGE: Training = Training {
    priors: Priors { edges: &[&[16.0, 32.0], &[64.0, 128.0], &[256.0, 512.0]], spread: Spread::Steps },
    activation: Activation::LeakyRelu(0.1),
};

/// Of Face-Detector-1MB: smaller faces, and rectifiers that let nothing through.
static SMALL: Training = Training {
    priors: Priors { edges: &[&[10.0, 20.0], &[32.0, 64.0], &[128.0, 256.0]], spread: Spread::Steps },
    activation: RELU,
};

/// The network.
pub(super) struct RetinaFace {
    training: &'static Training,
    first: Conv2d,
    parts: Vec<Vec<Separable>>,
    laterals: Vec<Conv2d>,
    /// Behind the sums of the finer two maps.
    merges: Vec<Conv2d>,
    further: Vec<Further>,
    heads: Vec<[Conv2d; 3]>,
}

/// A block that looks one, two and three pixels far.
struct Further {
    near: Conv2d,
    shared: Conv2d,
    middle: Conv2d,
    far: [Conv2d; 2],
}

impl Further {
    fn load(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| {
            normalised(weights, &format!("{name}.{part}.0"), &format!("{name}.{part}.1"), inputs, 1)
        };
        let shared = conv("conv5X5_1", inputs)?;
        let first = conv("conv7X7_2", shared.channels())?;
        let (middle, second) = (conv("conv5X5_2", shared.channels())?, conv("conv7x7_3", first.channels())?);
        Ok(Self { near: conv("conv3X3", inputs)?, shared, middle, far: [first, second] })
    }

    fn channels(&self) -> usize {
        self.near.channels() + self.middle.channels() + self.far[1].channels()
    }

    fn run(&self, input: &Map, activation: Activation<'_>, pool: &mut Pool) -> Result<Map> {
        let near = self.near.run(input, Then::NOTHING, pool)?;
        let shared = self.shared.run(input, Then::activation(activation), pool)?;
        let middle = self.middle.run(&shared, Then::NOTHING, pool)?;
        let on = self.far[0].run(&shared, Then::activation(activation), pool)?;
        let far = self.far[1].run(&on, Then::NOTHING, pool)?;
        let mut all = Map::beside([&near, &middle, &far], pool)?;
        all.activate(RELU)?;
        [near, shared, middle, on, far].into_iter().for_each(|map| pool.give(map));
        Ok(all)
    }
}

/// A pixel as networks of this family want it: blue, green and red, less the means of ImageNet.
pub(super) fn pixel([r, g, b]: [f32; 3]) -> [f32; 3] {
    [255.0 * b - 104.0, 255.0 * g - 117.0, 255.0 * r - 123.0]
}

impl RetinaFace {
    /// Whether these are tensors of this network.
    pub(super) fn fits(tensors: &Tensors<'_>) -> bool {
        SIGNS.iter().all(|name| tensors.get(name).is_some())
    }

    /// Reads the tensors of the PyTorch files.
    ///
    /// # Errors
    /// When a tensor is missing, misshaped or not finite.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = normalised(weights, "body.stage1.0.0", "body.stage1.0.1", 3, 2)?;
        let training = if lets_negatives_through(weights, first.channels())? { &LARGE } else { &SMALL };
        let mut channels = first.channels();
        let (mut parts, mut laterals) = (Vec::new(), Vec::new());
        for (part, numbers) in BLOCKS.into_iter().enumerate() {
            let mut blocks = Vec::new();
            for number in numbers {
                let (name, halving) = (format!("body.stage{}.{number}", part + 1), HALVING.contains(&(part, number)));
                blocks.push(Separable::normalised(weights, &name, channels, halving, training.activation)?);
                channels = blocks[blocks.len() - 1].channels();
            }
            parts.push(blocks);
            let name = format!("fpn.output{}", part + 1);
            laterals.push(normalised(weights, &format!("{name}.0"), &format!("{name}.1"), channels, 1)?);
        }
        let width = laterals[0].channels();
        let merge = |number: usize| {
            normalised(weights, &format!("fpn.merge{number}.0"), &format!("fpn.merge{number}.1"), width, 1)
        };
        let merges = vec![merge(1)?, merge(2)?];
        if laterals.iter().chain(&merges).any(|conv| conv.channels() != width) {
            return Err(weights.unsupported("its three maps are equally wide"));
        }
        let further = (1..=3).map(|i| Further::load(weights, &format!("ssh{i}"), width)).collect::<Result<Vec<_>>>()?;
        let head = |(level, further): (usize, &Further)| -> Result<[Conv2d; 3]> {
            let one = |name: &str, values: usize| -> Result<Conv2d> {
                let name = format!("{name}.{level}.conv1x1");
                training.priors.check(weights, &format!("{name}.weight"), level, values)?;
                Conv2d::found(weights, &name, further.channels())
            };
            Ok([one("ClassHead", 2)?, one("BboxHead", 4)?, one("LandmarkHead", 10)?])
        };
        let heads = further.iter().enumerate().map(head).collect::<Result<_>>()?;
        Ok(Self { training, first, parts, laterals, merges, further, heads })
    }
}

/// Whether the rectifiers that the network was trained with let a part of what is negative through. No tensor says so, but the batch
/// normalisations remember the means of what came in: a depthwise convolution of values that are never negative has a mean of the sign
/// of its weights' sum.
fn lets_negatives_through(weights: &Weights<'_>, first: usize) -> Result<bool> {
    let (mut seen, mut negative) = (0usize, 0usize);
    let mut channels = first;
    for (part, numbers) in BLOCKS.into_iter().enumerate() {
        for number in numbers {
            let name = format!("body.stage{}.{number}", part + 1);
            let filters = weights.tensor(&format!("{name}.0.weight"), &[channels, 1, 3, 3])?;
            let means = weights.tensor(&format!("{name}.1.running_mean"), &[channels])?;
            let spreads = weights.tensor(&format!("{name}.1.running_var"), &[channels])?;
            for ((filter, mean), variance) in filters.as_chunks::<9>().0.iter().zip(means).zip(spreads) {
                let (sum, size) = (filter.iter().sum::<f32>(), filter.iter().map(|tap| tap.abs()).sum::<f32>());
                // Filters that look for differences say nothing, and borders of zeros blur small means.
                if sum.abs() > 0.5 * size {
                    seen += 1;
                    negative += usize::from(mean / sum < -0.05 * variance.max(0.0).sqrt() / size);
                }
            }
            channels = weights.width(&format!("{name}.3.weight"))?;
        }
    }
    Ok(negative * 100 > seen)
}

impl Sight for RetinaFace {
    fn edge(&self) -> usize {
        640
    }

    fn align(&self) -> usize {
        1
    }

    fn closest(&self) -> f32 {
        1.0
    }

    fn pixel(&self, rgb: [f32; 3]) -> [f32; 3] {
        pixel(rgb)
    }

    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>> {
        let (size, activation) = (square.size(), self.training.activation);
        let mut map = self.first.run(&square, Then::activation(activation), pool)?;
        pool.give(square);
        let mut levels = Vec::new();
        for (blocks, lateral) in self.parts.iter().zip(&self.laterals) {
            for block in blocks {
                let next = block.run(&map, pool)?;
                pool.give(std::mem::replace(&mut map, next));
            }
            levels.push(lateral.run(&map, Then::activation(activation), pool)?);
        }
        pool.give(map);
        // From the coarsest on, each map is told what the next coarser one sees.
        for (level, merge) in self.merges.iter().enumerate().rev() {
            let seen = levels[level + 1].nearest(levels[level].size(), pool)?;
            levels[level].add(&seen)?;
            let merged = merge.run(&levels[level], Then::activation(activation), pool)?;
            [std::mem::replace(&mut levels[level], merged), seen].into_iter().for_each(|map| pool.give(map));
        }
        let mut told = Vec::new();
        for ((level, further), [classes, boxes, points]) in levels.iter().zip(&self.further).zip(&self.heads) {
            let far = further.run(level, activation, pool)?;
            let mut tell = |conv: &Conv2d| conv.run(&far, Then::NOTHING, pool);
            told.push(Told { classes: tell(classes)?, boxes: tell(boxes)?, points: Some(tell(points)?) });
            pool.give(far);
        }
        levels.into_iter().for_each(|map| pool.give(map));
        Ok(self.training.priors.found(told, size, pool))
    }
}
