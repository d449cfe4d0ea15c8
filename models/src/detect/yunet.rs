//! YuNet (Wu, Peng and Yu 2023): faces with five landmarks, out of 1x1 and depthwise 3x3 convolutions at three sizes.

use super::Found;
use super::pyramid::Sight;
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Depthwise, Map, Pool, Then, Weights, Window, sigmoid};

/// Tensors that tell its files.
pub(super) const SIGNS: [&str; 3] =
    ["backbone.model0.conv1.weight", "neck.lateral_convs.0.conv1.weight", "bbox_head.multi_level_cls.0.conv1.weight"];

/// Pixels between the places that the three sizes look at.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Stages of convolutions.
const STAGES: usize = 6;
/// Stages whose result is halved: their maps are twice as large as those of the next one.
const HALVED: [usize; 4] = [0, 2, 3, 4];
/// Faces that are less sure than this are not told of.
const LEAST: f32 = 0.5;
/// Added to the variance in batch normalisations.
const EPSILON: f32 = 1e-5;

const RELU: Activation<'static> = Activation::LeakyRelu(0.0);

/// The network.
pub(super) struct Yunet {
    first: Conv2d,
    /// The units of each stage.
    stages: Vec<Vec<Unit>>,
    laterals: Vec<Unit>,
    heads: Vec<Head>,
}

/// A 1x1 convolution, and one for each channel.
struct Unit {
    mixed: Conv2d,
    each: Depthwise,
    rectified: bool,
}

/// What is told of each place of one size.
struct Head {
    /// What comes before all of it; nothing in the narrow network.
    shared: Vec<Unit>,
    class: Unit,
    object: Unit,
    boxes: Unit,
    points: Unit,
}

impl Unit {
    /// With a rectifier behind it, and a batch normalisation where the file has one: ONNX files have it in the weights.
    fn load(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Self> {
        Ok(Self { rectified: true, ..Self::plain(weights, name, inputs)? })
    }

    /// The same without the rectifier.
    fn plain(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Self> {
        let mixed = Conv2d::found(weights, &format!("{name}.conv1"), inputs)?;
        let norm = format!("{name}.bn");
        let norm = weights.has(&format!("{norm}.weight")).then_some((norm.as_str(), EPSILON));
        let each = Depthwise::normalised(weights, &format!("{name}.conv2"), norm, mixed.channels(), 3)?;
        Ok(Self { mixed, each, rectified: false })
    }

    fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let mixed = self.mixed.run(input, Then::NOTHING, pool)?;
        let mut out = self.each.run(&mixed, pool)?;
        pool.give(mixed);
        if self.rectified {
            out.activate(RELU)?;
        }
        Ok(out)
    }
}

impl Head {
    fn load(weights: &Weights<'_>, level: usize, inputs: usize) -> Result<Self> {
        let name = format!("bbox_head.multi_level_share_convs.{level}.");
        let (mut shared, mut inputs) = (Vec::new(), inputs);
        for number in 0..weights.count(&name, ".conv1.weight") {
            shared.push(Unit::load(weights, &format!("{name}{number}"), inputs)?);
            inputs = shared[number].mixed.channels();
        }
        let unit = |what: &str, outputs: usize| {
            let name = format!("bbox_head.multi_level_{what}.{level}");
            let weight = format!("{name}.conv1.weight");
            let found = weights.shape(&weight)?;
            if found.first() != Some(&outputs) {
                return Err(weights.misshaped(&weight, found, format!("{outputs} output channels")));
            }
            Unit::plain(weights, &name, inputs)
        };
        let (class, object, boxes, points) = (unit("cls", 1)?, unit("obj", 1)?, unit("bbox", 4)?, unit("kps", 10)?);
        Ok(Self { shared, class, object, boxes, points })
    }

    /// The faces of a map whose pixels lie `stride` pixels from one to the next.
    fn faces(&self, map: &Map, stride: usize, pool: &mut Pool) -> Result<Vec<Found>> {
        let mut shared: Option<Map> = None;
        for unit in &self.shared {
            let next = unit.run(shared.as_ref().unwrap_or(map), pool)?;
            shared.replace(next).into_iter().for_each(|map| pool.give(map));
        }
        let [class, object, boxes, points] = [&self.class, &self.object, &self.boxes, &self.points]
            .map(|unit| unit.run(shared.as_ref().unwrap_or(map), pool));
        let (class, object, boxes, points) = (class?, object?, boxes?, points?);
        let (width, height, stride) = (map.region.width(), map.region.height(), stride as f32);
        let mut found = Vec::new();
        for y in 0..height {
            let [class, object] = [&class, &object].map(|map| map.pixels(0, y, width));
            for x in 0..width {
                let confidence = (sigmoid(class[x]) * sigmoid(object[x])).sqrt();
                if confidence.is_nan() || confidence < LEAST {
                    continue;
                }
                let at = |x: usize, shift: f32| x as f32 * stride + shift * stride;
                let [dx, dy, w, h] = *boxes.pixels(x, y, 1) else { continue };
                let (width, height) = (w.exp() * stride, h.exp() * stride);
                let points = points.pixels(x, y, 1);
                let (pairs, _) = points.as_chunks();
                found.push(Found {
                    x: at(x, dx) - width / 2.0,
                    y: at(y, dy) - height / 2.0,
                    width,
                    height,
                    confidence,
                    points: pairs.iter().map(|[dx, dy]| (at(x, *dx), at(y, *dy))).collect(),
                });
            }
        }
        [class, object, boxes, points].into_iter().chain(shared).for_each(|map| pool.give(map));
        Ok(found)
    }
}

impl Yunet {
    /// Reads the tensors of the files that its authors publish.
    ///
    /// # Errors
    /// When a tensor is missing, misshaped or not finite.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        let weights = weights.on_processor();
        let name = "backbone.model0";
        let stride = Window { kernel: 3, stride: 2, before: 1, after: 1 };
        let width = weights.width(&format!("{name}.conv1.weight"))?;
        let norm = format!("{name}.bn1");
        let norm = weights.has(&format!("{norm}.weight")).then_some((norm.as_str(), EPSILON));
        let first = Conv2d::normalised(&weights, &format!("{name}.conv1"), norm, 3, width, stride)?;
        let mut stages = vec![vec![Unit::load(&weights, &format!("{name}.conv2"), width)?]];
        let mut channels = stages[0][0].mixed.channels();
        for stage in 1..weights.count("backbone.model", ".conv2.conv1.weight") {
            let mut units = Vec::new();
            for part in ["conv1", "conv2"] {
                units.push(Unit::load(&weights, &format!("backbone.model{stage}.{part}"), channels)?);
                channels = units[units.len() - 1].mixed.channels();
            }
            stages.push(units);
        }
        if stages.len() != STAGES {
            return Err(weights.unsupported(&format!("YuNet has {STAGES} stages, not {}", stages.len())));
        }
        let seen = stages.iter().skip(STAGES - STRIDES.len()).flat_map(|units| units.last());
        if seen.clone().any(|unit| unit.mixed.channels() != channels) {
            return Err(weights.unsupported("the last stages of YuNet are equally wide"));
        }
        let levels = 0..STRIDES.len();
        let lateral = |level: usize| Unit::load(&weights, &format!("neck.lateral_convs.{level}"), channels);
        let laterals: Vec<Unit> = levels.clone().map(lateral).collect::<Result<_>>()?;
        if laterals.iter().any(|unit| unit.mixed.channels() != channels) {
            return Err(weights.unsupported("the neck of YuNet is as wide as its last stages"));
        }
        Ok(Self {
            first,
            laterals,
            heads: levels.map(|level| Head::load(&weights, level, channels)).collect::<Result<_>>()?,
            stages,
        })
    }
}

impl Sight for Yunet {
    fn edge(&self) -> usize {
        1024
    }

    fn align(&self) -> usize {
        32
    }

    fn closest(&self) -> f32 {
        1.0
    }

    fn pixel(&self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        [b, g, r].map(|value| 255.0 * value)
    }

    fn look(&self, square: Map, pool: &mut Pool) -> Result<Vec<Found>> {
        let mut map = self.first.run(&square, Then::activation(RELU), pool)?;
        pool.give(square);
        let mut levels = Vec::new();
        for (stage, units) in self.stages.iter().enumerate() {
            for unit in units {
                let next = unit.run(&map, pool)?;
                pool.give(std::mem::replace(&mut map, next));
            }
            // The last three stages are looked at.
            let seen = stage + STRIDES.len() >= self.stages.len();
            if HALVED.contains(&stage) {
                let next = map.largest_in_squares(2, 2, pool)?;
                let whole = std::mem::replace(&mut map, next);
                if seen { levels.push(whole) } else { pool.give(whole) }
            }
        }
        levels.push(map);
        // From the coarsest on, each size is told what the next coarser one sees.
        for level in (0..levels.len()).rev() {
            levels[level] = self.laterals[level].run(&levels[level], pool)?;
            if level > 0 {
                let finer = &levels[level - 1];
                let seen = levels[level].nearest(finer.size(), pool)?;
                levels[level - 1] = finer.with(&seen, pool, |a, b| a + b)?;
                pool.give(seen);
            }
        }
        let mut found = Vec::new();
        for ((level, head), stride) in levels.iter().zip(&self.heads).zip(STRIDES) {
            found.extend(head.faces(level, stride, pool)?);
        }
        levels.into_iter().for_each(|map| pool.give(map));
        Ok(found)
    }
}
