//! BlazeFace (Bazarevsky et al. 2019) and BlazePalm (Zhang et al. 2020): residual blocks of a depthwise and a 1x1 convolution over a
//! square of fixed size, and boxes and points told from 896 places of it.

use super::Found;
use super::pyramid::Sight;
use crate::files::Tensors;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Depthwise, Map, Pool, Then, Weights, Window, sigmoid};
use crate::{Error, Result};

/// Boxes that are less sure than this are not told of.
const LEAST: f32 = 0.3;
/// Scores are bounded before they become a probability.
const BOUND: f32 = 100.0;
/// Boxes told from each place of the finer and of the coarser map.
const BOXES: [usize; 2] = [2, 6];

/// What the kinds of this family differ in.
struct Kind {
    /// Edge of the square.
    edge: usize,
    /// The first convolution.
    first: &'static str,
    /// The blocks up to the finer map, and from there to the coarser one.
    blocks: [Blocks; 2],
    /// Points of each box.
    points: usize,
    /// Edge of the depthwise convolutions.
    kernel: usize,
    closest: f32,
}

/// Blocks that are named by number.
#[derive(Clone, Copy)]
struct Blocks {
    name: &'static str,
    numbers: (usize, usize),
    /// Those that halve the map.
    halving: &'static [usize],
}

/// For faces that fill much of the picture, as those of front cameras.
const FRONT: Kind = Kind {
    edge: 128,
    first: "backbone1.0",
    blocks: [
        Blocks { name: "backbone1", numbers: (2, 13), halving: &[4, 7] },
        Blocks { name: "backbone2", numbers: (0, 5), halving: &[0] },
    ],
    points: 6,
    kernel: 3,
    closest: 0.5,
};

/// For smaller faces, as those of back cameras.
const BACK: Kind = Kind {
    edge: 256,
    first: "backbone.0",
    blocks: [
        Blocks { name: "backbone", numbers: (2, 33), halving: &[9, 17, 25] },
        Blocks { name: "final", numbers: (0, 1), halving: &[0] },
    ],
    points: 6,
    kernel: 3,
    closest: 0.5,
};

/// A network for faces.
pub(super) struct BlazeFace {
    kind: &'static Kind,
    first: Conv2d,
    blocks: [Vec<Block>; 2],
    heads: [Head; 2],
}

/// `act(x + mixed(each(x)))`, where a map is halved on the way by its largest values, and gets channels of zeros when it is to be wider.
struct Block {
    each: Depthwise,
    mixed: Conv2d,
    halving: bool,
    /// Whether the input is added.
    residual: bool,
    /// Slopes where values are negative; none are 0.
    slopes: Option<Vec<f32>>,
}

/// Scores, and boxes with points.
struct Head {
    scores: Conv2d,
    boxes: Conv2d,
}

impl Block {
    fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let mut each = self.each.run(input, pool)?;
        if self.halving {
            let second = each.every_second(1, pool)?;
            pool.give(std::mem::replace(&mut each, second));
        }
        let mut out = self.mixed.run(&each, Then::NOTHING, pool)?;
        pool.give(each);
        if self.residual {
            let halved = if self.halving { Some(input.largest_in_squares(2, 2, pool)?) } else { None };
            let sum = added(halved.as_ref().unwrap_or(input), &out, pool)?;
            halved.into_iter().chain([std::mem::replace(&mut out, sum)]).for_each(|map| pool.give(map));
        }
        match &self.slopes {
            Some(slopes) => out.change(|c, value| if value < 0.0 { value * slopes[c] } else { value })?,
            None => out.activate(RELU)?,
        }
        Ok(out)
    }
}

const RELU: Activation<'static> = Activation::LeakyRelu(0.0);

/// The sum of two maps of one size; channels that the first one lacks are 0.
fn added(narrow: &Map, wide: &Map, pool: &mut Pool) -> Result<Map> {
    Map::of_rows([narrow, wide], wide.channels, pool, |[narrow_row, wide_row], out| {
        out.copy_from_slice(wide_row);
        for (out, narrow) in out.chunks_exact_mut(wide.channels).zip(narrow_row.chunks_exact(narrow.channels)) {
            out.iter_mut().zip(narrow).for_each(|(out, value)| *out += value);
        }
    })
}

/// A map after blocks, one behind the other.
fn through(blocks: &[Block], map: Map, pool: &mut Pool) -> Result<Map> {
    blocks.iter().try_fold(map, |map, block| {
        let next = block.run(&map, pool)?;
        pool.give(map);
        Ok(next)
    })
}

impl Head {
    /// # Errors
    /// When a tensor is missing or misshaped.
    fn load(
        weights: &Weights<'_>,
        [scores, boxes]: [String; 2],
        inputs: usize,
        count: usize,
        values: usize,
    ) -> Result<Self> {
        let load = |name: &str, outputs: usize| Conv2d::load(weights, name, inputs, outputs, 1);
        Ok(Self { scores: load(&scores, count)?, boxes: load(&boxes, count * values)? })
    }

    /// The boxes of a map that shows a square of `edge` pixels.
    fn found(&self, map: &Map, edge: usize, pool: &mut Pool) -> Result<Vec<Found>> {
        let (scores, boxes) = (self.scores.run(map, Then::NOTHING, pool)?, self.boxes.run(map, Then::NOTHING, pool)?);
        let (width, height) = (map.region.width(), map.region.height());
        let values = boxes.channels / scores.channels;
        let mut found = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (scores, boxes) = (scores.pixels(x, y, 1), boxes.pixels(x, y, 1));
                for (score, values) in scores.iter().zip(boxes.chunks_exact(values)) {
                    let confidence = sigmoid(score.clamp(-BOUND, BOUND));
                    if confidence.is_nan() || confidence < LEAST {
                        continue;
                    }
                    // Everything is told in pixels from the middle of the place.
                    let middle = |at: usize, of: usize| (at as f32 + 0.5) * edge as f32 / of as f32;
                    let (pairs, _) = values.as_chunks();
                    let mut points = pairs.iter().map(|[dx, dy]| (middle(x, width) + dx, middle(y, height) + dy));
                    let Some((cx, cy)) = points.next() else { continue };
                    let size = points.next().map(|(w, h)| (w - middle(x, width), h - middle(y, height)));
                    let Some((width, height)) = size else { continue };
                    let points = points.collect();
                    found.push(Found { x: cx - width / 2.0, y: cy - height / 2.0, width, height, confidence, points });
                }
            }
        }
        [scores, boxes].into_iter().for_each(|map| pool.give(map));
        Ok(found)
    }
}

/// The window of the first convolution, which pads as TensorFlow does.
const FIRST: Window = Window { kernel: 5, stride: 2, before: 1, after: 2 };

impl BlazeFace {
    /// Whether these are tensors of one of the networks for faces.
    pub(super) fn fits(tensors: &Tensors<'_>) -> bool {
        tensors.get("classifier_8.weight").is_some() && Self::kind(tensors).is_some()
    }

    fn kind(tensors: &Tensors<'_>) -> Option<&'static Kind> {
        [&FRONT, &BACK].into_iter().find(|kind| tensors.get(&format!("{}.weight", kind.first)).is_some())
    }

    /// Reads the tensors of the PyTorch files.
    ///
    /// # Errors
    /// When a tensor is missing, misshaped or not finite.
    pub(super) fn load(weights: &Weights<'_>, tensors: &Tensors<'_>) -> Result<Self> {
        let Some(kind) = Self::kind(tensors) else {
            return Err(weights.unsupported("it is no BlazeFace for squares of 128 or 256 pixels"));
        };
        let mut channels = weights.width(&format!("{}.weight", kind.first))?;
        let first = Conv2d::windowed(weights, kind.first, 3, channels, FIRST)?;
        let mut heads = Vec::new();
        let mut blocks = Vec::new();
        for (part, count, size) in [(kind.blocks[0], BOXES[0], 8), (kind.blocks[1], BOXES[1], 16)] {
            let mut loaded = Vec::new();
            for number in part.numbers.0..part.numbers.1 {
                let name = match part.name {
                    "final" => "final.convs".to_owned(),
                    name => format!("{name}.{number}.convs"),
                };
                let each = Depthwise::load(weights, &format!("{name}.0"), channels, kind.kernel)?;
                let mixed = Conv2d::found(weights, &format!("{name}.1"), channels)?;
                if mixed.channels() < channels {
                    return Err(weights.unsupported("a block of BlazeFace never makes its map narrower"));
                }
                channels = mixed.channels();
                let (halving, residual) = (part.halving.contains(&number), part.name != "final");
                loaded.push(Block { each, mixed, halving, residual, slopes: None });
            }
            blocks.push(loaded);
            let names = [format!("classifier_{size}"), format!("regressor_{size}")];
            heads.push(Head::load(weights, names, channels, count, 4 + 2 * kind.points)?);
        }
        match (<[_; 2]>::try_from(blocks), <[_; 2]>::try_from(heads)) {
            (Ok(blocks), Ok(heads)) => Ok(Self { kind, first, blocks, heads }),
            _ => Err(Error::Weights { file: "BlazeFace".into(), message: "two parts were asked for".into() }),
        }
    }
}

impl Sight for BlazeFace {
    fn edge(&self) -> usize {
        self.kind.edge
    }

    fn align(&self) -> usize {
        self.kind.edge
    }

    fn closest(&self) -> f32 {
        self.kind.closest
    }

    fn pixel(&self, rgb: [f32; 3]) -> [f32; 3] {
        rgb.map(|value| 2.0 * value - 1.0)
    }

    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>> {
        let mut map = self.first.run(&square, Then::activation(RELU), pool)?;
        pool.give(square);
        let mut found = Vec::new();
        for (blocks, head) in self.blocks.iter().zip(&self.heads) {
            map = through(blocks, map, pool)?;
            found.extend(head.found(&map, self.kind.edge, pool)?);
        }
        pool.give(map);
        Ok(found)
    }
}

/// A convolution with the slopes behind it, and the blocks that follow.
type Rise = ((Conv2d, Vec<f32>), Vec<Block>);

/// A network for palms, by the names of its ONNX file.
pub(super) struct BlazePalm {
    first: (Conv2d, Vec<f32>),
    /// The blocks on the way down, each level up to its result.
    down: Vec<Vec<Block>>,
    /// On the way up again: what brings the coarser map to the width of the finer one, and the blocks behind their sum.
    up: Vec<Rise>,
    /// Of the finer map, and of the coarser one.
    heads: [Head; 2],
}

impl BlazePalm {
    const EDGE: usize = 128;
    /// Points of a palm.
    const POINTS: usize = 7;
    /// Halving blocks on the way down, by the numbers of their depthwise convolutions.
    const HALVING: [usize; 4] = [3, 7, 11, 15];
    /// Blocks on the way down.
    const DOWN: usize = 19;

    /// Whether these are tensors of the network for palms.
    pub(super) fn fits(tensors: &Tensors<'_>) -> bool {
        ["conv2d/Kernel", "depthwise_conv2d/Kernel", "classificator_8/Kernel", "p_re_lu/Alpha"]
            .into_iter()
            .all(|name| tensors.get(name).is_some())
    }

    /// Its tensors by the names that layers look for.
    pub(super) fn renamed(tensors: Tensors<'_>) -> Tensors<'_> {
        tensors.renamed(|name| {
            Some(match name.rsplit_once('/') {
                Some((layer, "Kernel")) => format!("{layer}.weight"),
                Some((layer, "Bias")) => format!("{layer}.bias"),
                _ => name.to_owned(),
            })
        })
    }

    /// Reads the tensors, [`BlazePalm::renamed`].
    ///
    /// # Errors
    /// When a tensor is missing, misshaped or not finite.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        let numbered = |what: &str, number: usize| match number {
            0 => what.to_owned(),
            _ => format!("{what}_{number}"),
        };
        let slopes = |number: usize, channels: usize| {
            weights.tensor(&format!("{}/Alpha", numbered("p_re_lu", number)), &[1, channels, 1, 1])
        };
        let width = weights.width("conv2d.weight")?;
        let first = (Conv2d::windowed(weights, "conv2d", 3, width, FIRST)?, slopes(0, width)?);
        // Numbers of the depthwise, the 1x1 convolution and the slopes.
        let block = |(each, mixed, sloped): (usize, usize, usize), channels: usize, halving: bool| -> Result<Block> {
            let each = Depthwise::load(weights, &numbered("depthwise_conv2d", each), channels, 5)?;
            let mixed = Conv2d::found(weights, &numbered("conv2d", mixed), channels)?;
            if mixed.channels() < channels {
                return Err(weights.unsupported("a block of BlazePalm never makes its map narrower"));
            }
            let slopes = Some(slopes(sloped, mixed.channels())?);
            Ok(Block { each, mixed, halving, residual: true, slopes })
        };
        let mut channels = width;
        let (mut down, mut level, mut widths) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..Self::DOWN {
            let halving = Self::HALVING.contains(&number);
            if halving {
                down.push(std::mem::take(&mut level));
                widths.push(channels);
            }
            let block = block((number, number + 1, number + 1), channels, halving)?;
            channels = block.mixed.channels();
            level.push(block);
        }
        down.push(level);
        let mut up = Vec::new();
        // Up again: the number of the first convolution, and of the blocks behind it.
        for (number, blocks) in [(20, [(19, 21, 21), (20, 22, 22)]), (23, [(21, 24, 24), (22, 25, 25)])] {
            let Some(finer) = widths.pop() else { break };
            let lateral = Conv2d::load(weights, &numbered("conv2d", number), channels, finer, 1)?;
            let lateral = (lateral, slopes(number, finer)?);
            let blocks = blocks.map(|numbers| block(numbers, finer, false)).into_iter().collect::<Result<Vec<_>>>()?;
            if blocks.iter().any(|block| block.mixed.channels() != finer) {
                return Err(weights.unsupported("blocks on the way up keep the width of their map"));
            }
            channels = finer;
            up.push((lateral, blocks));
        }
        let head = |size: usize, inputs: usize, count: usize| {
            let names = [format!("classificator_{size}"), format!("regressor_{size}")];
            Head::load(weights, names, inputs, count, 4 + 2 * Self::POINTS)
        };
        let coarser = up.first().map_or(channels, |((lateral, _), _)| lateral.channels());
        Ok(Self { first, down, up, heads: [head(8, channels, BOXES[0])?, head(16, coarser, BOXES[1])?] })
    }
}

impl Sight for BlazePalm {
    fn edge(&self) -> usize {
        Self::EDGE
    }

    fn align(&self) -> usize {
        Self::EDGE
    }

    fn closest(&self) -> f32 {
        0.5
    }

    fn pixel(&self, rgb: [f32; 3]) -> [f32; 3] {
        rgb.map(|value| 2.0 * value - 1.0)
    }

    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>> {
        let mut map = self.first.0.run(&square, Then::activation(Activation::Prelu(&self.first.1)), pool)?;
        pool.give(square);
        let mut levels = Vec::new();
        for (number, blocks) in self.down.iter().enumerate() {
            for block in blocks {
                let next = block.run(&map, pool)?;
                let before = std::mem::replace(&mut map, next);
                // What a level ends with is looked at on the way up.
                if number > 0 && block.halving { levels.push(before) } else { pool.give(before) }
            }
        }
        let mut found = Vec::new();
        for (((lateral, slopes), blocks), head) in self.up.iter().zip(self.heads.iter().rev()) {
            let Some(finer) = levels.pop() else { break };
            let large = map.bilinear(finer.size(), pool)?;
            let told = lateral.run(&large, Then::activation(Activation::Prelu(slopes)), pool)?;
            let sum = finer.with(&told, pool, |a, b| a + b)?;
            [std::mem::replace(&mut map, sum), large, told, finer].into_iter().for_each(|map| pool.give(map));
            map = through(blocks, map, pool)?;
            found.extend(head.found(&map, Self::EDGE, pool)?);
        }
        levels.into_iter().chain([map]).for_each(|map| pool.give(map));
        Ok(found)
    }

    /// Parts of scenes look like palms more often than whole ones: on photographs without hands scores reach 0.77.
    fn closer(&self, confidence: f32) -> f32 {
        ((confidence - 0.6) / 0.4).max(0.0)
    }

    /// The hand of a palm: from the wrist to behind the middle finger's root the hand lies ahead, as MediaPipe cuts it out, with a box
    /// that is 2.6 times as wide and moved on by a half.
    fn whole(&self, palm: Found) -> Found {
        let (Some(wrist), Some(middle)) = (palm.points.first(), palm.points.get(2)) else { return palm };
        let (dx, dy) = (middle.0 - wrist.0, middle.1 - wrist.1);
        let length = dx.hypot(dy).max(f32::MIN_POSITIVE);
        let edge = palm.width.max(palm.height);
        let (cx, cy) = (palm.x + palm.width / 2.0, palm.y + palm.height / 2.0);
        let (cx, cy) = (cx + 0.5 * edge * dx / length, cy + 0.5 * edge * dy / length);
        let edge = 2.6 * edge;
        Found { x: cx - edge / 2.0, y: cy - edge / 2.0, width: edge, height: edge, ..palm }
    }
}
