//! Two families of small networks for faces that share their layers: Ultra-Light-Fast-Generic-Face-Detector (Linzaer 2019), and the
//! slim and RFB variants of RetinaFace (biubug6's Face-Detector-1MB), which tell five landmarks besides. Blocks of MobileNet, four maps
//! to look at, and in the RFB variants a block of receptive fields (Liu, Huang and Wang 2018) before the first of them.

use super::Found;
use super::priors::{Priors, Spread, Told};
use super::pyramid::Sight;
use super::separable::{RELU, Separable, normalised};
use crate::Result;
use crate::files::Tensors;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Then, Weights};

/// Edges of the squares that faces are compared with.
const EDGES: [&[f32]; 4] = [&[10.0, 16.0, 24.0], &[32.0, 48.0], &[64.0, 96.0], &[128.0, 192.0, 256.0]];
/// Blocks that end with a map that is looked at, and the first of each, by number.
const LEVELS: [std::ops::Range<usize>; 3] = [1..8, 8..11, 11..13];
/// Blocks that halve their map.
const HALVING: [usize; 4] = [2, 4, 8, 11];
/// Block of receptive fields in the RFB variants.
const FIELDS: usize = 7;
/// Pixels between the taps of the last convolution of each of its branches.
const APART: [usize; 3] = [2, 3, 5];
/// Landmarks of a face, two numbers each.
const POINTS: usize = 10;

/// What the two families differ in.
struct Family {
    name: &'static str,
    priors: Priors,
    edge: usize,
    pixel: fn([f32; 3]) -> [f32; 3],
}

/// Red, green and blue around zero; trained for pictures 320 pixels wide.
static ULTRA_LIGHT: Family = Family {
    name: "Ultra-Light",
    priors: Priors { edges: &EDGES, spread: Spread::Evenly },
    edge: 320,
    pixel: |rgb| rgb.map(|value| (255.0 * value - 127.0) / 128.0),
};

/// Blue, green and red, less the means of ImageNet.
static RETINA: Family = Family {
    name: "RetinaFace (slim)",
    priors: Priors { edges: &EDGES, spread: Spread::Steps },
    edge: 640,
    pixel: super::retinaface::pixel,
};

/// The network.
pub(super) struct Slim {
    family: &'static Family,
    first: Conv2d,
    levels: [Vec<Block>; 3],
    /// The last map: narrowed first, then halved.
    last: (Conv2d, Separable),
    heads: Vec<Head>,
}

enum Block {
    Separable(Separable),
    Fields(Fields),
}

impl Block {
    fn channels(&self) -> usize {
        match self {
            Self::Separable(block) => block.channels(),
            Self::Fields(block) => block.joined.channels(),
        }
    }

    fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        match self {
            Self::Separable(block) => block.run(input, pool),
            Self::Fields(block) => block.run(input, pool),
        }
    }
}

/// Three branches that look ever further, put together, beside the input.
struct Fields {
    /// The convolutions of each branch: the first and the last one have nothing behind them, the others a rectifier.
    branches: [Vec<Conv2d>; 3],
    joined: Conv2d,
    shortcut: Conv2d,
}

impl Fields {
    fn load(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Self> {
        let conv = |part: &str, inputs: usize| {
            normalised(weights, &format!("{name}.{part}.conv"), &format!("{name}.{part}.bn"), inputs, 1)
        };
        let branch = |number: usize| -> Result<Vec<Conv2d>> {
            let mut convs: Vec<Conv2d> = Vec::new();
            let count = weights.count(&format!("{name}.branch{number}."), ".conv.weight");
            for i in 0..count {
                let (part, inputs) = (format!("branch{number}.{i}"), convs.last().map_or(inputs, Conv2d::channels));
                convs.push(if i + 1 == count {
                    let norm = format!("{name}.{part}.bn");
                    let norm = (norm.as_str(), super::separable::EPSILON);
                    Conv2d::dilated(weights, &format!("{name}.{part}.conv"), norm, inputs, APART[number])?
                } else {
                    conv(&part, inputs)?
                });
            }
            Ok(convs)
        };
        let branches = [branch(0)?, branch(1)?, branch(2)?];
        let width = branches.iter().map(|convs| convs.last().map_or(0, Conv2d::channels)).sum();
        let (joined, shortcut) = (conv("ConvLinear", width)?, conv("shortcut", inputs)?);
        if branches.iter().any(Vec::is_empty) || joined.channels() != shortcut.channels() {
            return Err(weights.unsupported("its block of receptive fields is of another kind"));
        }
        Ok(Self { branches, joined, shortcut })
    }

    fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let through = |convs: &[Conv2d], pool: &mut Pool| -> Result<Map> {
            let mut map: Option<Map> = None;
            for (i, conv) in convs.iter().enumerate() {
                let then = if i == 0 || i + 1 == convs.len() { Then::NOTHING } else { Then::activation(RELU) };
                let next = conv.run(map.as_ref().unwrap_or(input), then, pool)?;
                map.replace(next).into_iter().for_each(|map| pool.give(map));
            }
            map.map_or_else(|| input.part(0, input.channels, pool), Ok)
        };
        let [a, b, c] = &self.branches;
        let parts = [through(a, pool)?, through(b, pool)?, through(c, pool)?];
        let all = Map::beside([&parts[0], &parts[1], &parts[2]], pool)?;
        let shortcut = self.shortcut.run(input, Then::NOTHING, pool)?;
        let mut out = self.joined.run(&all, Then::add(&shortcut), pool)?;
        out.activate(RELU)?;
        parts.into_iter().chain([all, shortcut]).for_each(|map| pool.give(map));
        Ok(out)
    }
}

/// What is told of a map.
struct Head {
    classes: Teller,
    boxes: Teller,
    points: Option<Teller>,
}

/// What tells one kind of thing: the last map has ordinary convolutions.
enum Teller {
    Separable(Separable),
    Ordinary(Conv2d),
}

impl Teller {
    fn load(
        weights: &Weights<'_>,
        name: &str,
        priors: &Priors,
        level: usize,
        inputs: usize,
        values: usize,
    ) -> Result<Self> {
        let name = format!("{name}.{level}");
        let ordinary = weights.has(&format!("{name}.weight"));
        let last = if ordinary { format!("{name}.weight") } else { format!("{name}.2.weight") };
        priors.check(weights, &last, level, values)?;
        Ok(if ordinary {
            Self::Ordinary(Conv2d::found(weights, &name, inputs)?)
        } else {
            Self::Separable(Separable::plain(weights, &name, inputs, false, Activation::Identity)?)
        })
    }

    fn run(&self, map: &Map, pool: &mut Pool) -> Result<Map> {
        match self {
            Self::Separable(block) => block.run(map, pool),
            Self::Ordinary(conv) => conv.run(map, Then::NOTHING, pool),
        }
    }
}

/// Names of the second family, and those of the first one for the same layers.
const NAMES: [(&str, &str); 4] = [
    ("conv14.", "extras.0."),
    ("loc.", "regression_headers."),
    ("conf.", "classification_headers."),
    ("landm.", "landmark_headers."),
];

impl Slim {
    /// The name of the network that the tensors are for, if they are for one of these.
    pub(super) fn fits(tensors: &Tensors<'_>) -> Option<&'static str> {
        Self::family(tensors).map(|family| family.name)
    }

    fn family(tensors: &Tensors<'_>) -> Option<&'static Family> {
        let has = |names: [&str; 3]| names.iter().all(|name| tensors.get(name).is_some());
        if has(["base_net.0.0.weight", "extras.0.2.2.weight", "regression_headers.3.weight"]) {
            Some(&ULTRA_LIGHT)
        } else if has(["conv1.0.weight", "conv14.2.2.weight", "landm.3.weight"]) {
            Some(&RETINA)
        } else {
            None
        }
    }

    /// The tensors by the names of the first family.
    pub(super) fn renamed(tensors: Tensors<'_>) -> Tensors<'_> {
        tensors.renamed(|name| {
            let other = NAMES.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)));
            let numbered = || {
                let (number, rest) = name.strip_prefix("conv")?.split_once('.')?;
                Some(format!("base_net.{}.{rest}", number.parse::<usize>().ok()?.checked_sub(1)?))
            };
            Some(other.or_else(numbered).unwrap_or_else(|| name.to_owned()))
        })
    }

    /// Reads the tensors, [`Slim::renamed`]; `tensors` are those of the file, which tell the family.
    ///
    /// # Errors
    /// When a tensor is missing, misshaped or not finite.
    pub(super) fn load(weights: &Weights<'_>, tensors: &Tensors<'_>) -> Result<Self> {
        let family = Self::family(tensors).ok_or_else(|| weights.unsupported("it is none of the slim detectors"))?;
        let first = normalised(weights, "base_net.0.0", "base_net.0.1", 3, 2)?;
        let mut channels = first.channels();
        let mut widths = Vec::new();
        let mut level = |numbers: std::ops::Range<usize>| -> Result<Vec<Block>> {
            let mut blocks = Vec::new();
            for number in numbers {
                let name = format!("base_net.{number}");
                blocks.push(if number == FIELDS && weights.any(&format!("{name}.branch0.")) {
                    Block::Fields(Fields::load(weights, &name, channels)?)
                } else {
                    let halving = HALVING.contains(&number);
                    Block::Separable(Separable::normalised(weights, &name, channels, halving, RELU)?)
                });
                channels = blocks[blocks.len() - 1].channels();
            }
            widths.push(channels);
            Ok(blocks)
        };
        let [a, b, c] = LEVELS;
        let levels = [level(a)?, level(b)?, level(c)?];
        let narrow = Conv2d::found(weights, "extras.0.0", channels)?;
        let last = Separable::plain(weights, "extras.0.2", narrow.channels(), true, RELU)?;
        widths.push(last.channels());
        let head = |(level, &width): (usize, &usize)| -> Result<Head> {
            let teller = |name: &str, values: usize| Teller::load(weights, name, &family.priors, level, width, values);
            let points = weights.any("landmark_headers.").then(|| teller("landmark_headers", POINTS)).transpose()?;
            Ok(Head { classes: teller("classification_headers", 2)?, boxes: teller("regression_headers", 4)?, points })
        };
        let heads = widths.iter().enumerate().map(head).collect::<Result<_>>()?;
        Ok(Self { family, first, levels, last: (narrow, last), heads })
    }
}

impl Sight for Slim {
    fn edge(&self) -> usize {
        self.family.edge
    }

    fn align(&self) -> usize {
        1
    }

    fn closest(&self) -> f32 {
        1.0
    }

    fn pixel(&self, rgb: [f32; 3]) -> [f32; 3] {
        (self.family.pixel)(rgb)
    }

    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>> {
        let size = square.size();
        let mut map = self.first.run(&square, Then::activation(RELU), pool)?;
        pool.give(square);
        let mut told = Vec::new();
        for (level, head) in self.heads.iter().enumerate() {
            match self.levels.get(level) {
                Some(blocks) => {
                    for block in blocks {
                        let next = block.run(&map, pool)?;
                        pool.give(std::mem::replace(&mut map, next));
                    }
                }
                None => {
                    let narrow = self.last.0.run(&map, Then::activation(RELU), pool)?;
                    let next = self.last.1.run(&narrow, pool)?;
                    [std::mem::replace(&mut map, next), narrow].into_iter().for_each(|map| pool.give(map));
                }
            }
            let points = head.points.as_ref().map(|points| points.run(&map, pool)).transpose()?;
            let (classes, boxes) = (head.classes.run(&map, pool)?, head.boxes.run(&map, pool)?);
            told.push(Told { classes, boxes, points });
        }
        pool.give(map);
        Ok(self.family.priors.found(told, size, pool))
    }
}
