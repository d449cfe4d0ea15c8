//! TAESD (madebyollin/taesd): tiny stand-ins for the autoencoder, to look at latents while they are made.

use super::{Scratch, bytes_of, from_planes, to_planes};
use crate::kernels::Activation;
use crate::layers::{Conv2d, GroupNorm, Map, Pool, Precision, Then, Upsample, Weights, Window};
use crate::{Compute, Result};

/// `max(x, 0)`.
const RELU: Activation<'static> = Activation::LeakyRelu(0.0);

/// Channels of pictures.
const COLOURS: usize = 3;

/// A step of such a network.
enum Step {
    /// A convolution, with a ReLU behind it or not.
    Conv(Conv2d, bool),
    Block(Block),
    Double(Upsample),
    Halve(Conv2d),
}

/// `relu(x + conv(relu(conv(relu(conv(x))))))`.
struct Block {
    pool: Option<Branch>,
    convs: [Conv2d; 3],
}

/// What is added in front of a block in later members of the family: a look at the whole map.
struct Branch {
    widen: Conv2d,
    norm: GroupNorm,
    narrow: Conv2d,
}

/// The steps of one half, and what it takes and gives.
struct Half {
    steps: Vec<Step>,
    channels: (usize, usize),
    precision: Precision,
}

/// From latents, as the U-Net sees them, to pictures.
pub struct TaesdDecoder(Half);

/// From pictures to latents, as the U-Net sees them.
pub struct TaesdEncoder(Half);

impl TaesdDecoder {
    /// Reads the bytes of a safetensors file with the tensor names of madebyollin's decoder (`1.weight`), or of diffusers'
    /// `AutoencoderTiny` (`decoder.layers.0.weight`). All sizes come from the file.
    ///
    /// # Errors
    /// When the file is no safetensors file, or holds no such network.
    pub fn from_safetensors(file: &[u8], compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "taesd", "")?.on(compute))
    }

    pub(crate) fn load(weights: &Weights<'_>) -> Result<Self> {
        Half::load(weights, "decoder.layers.", true).map(Self)
    }

    /// Channels of the latent.
    pub fn latent(&self) -> usize {
        self.0.channels.0
    }

    /// Pixels of the picture to one of the latent, each way.
    pub fn stride(&self) -> usize {
        self.0.stride()
    }

    /// Floating-point operations for a latent of this size, as textbooks count them.
    pub fn flops(&self, size: (usize, usize)) -> f64 {
        self.0.flops(size)
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Bytes of the maps of a run over a latent of this size, on the processor.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        self.0.working_bytes(size)
    }

    /// The picture of a latent of width x height, plane by plane, as the U-Net sees it: three planes about -1 to 1, eight times
    /// as large.
    ///
    /// # Errors
    /// When the latent does not fit its size, or there is too little memory.
    pub fn run(&self, latent: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        let bend = |value: f32| (value / 3.0).tanh() * 3.0;
        let mut picture = self.0.run(latent, size, bend, scratch)?.0;
        picture.iter_mut().for_each(|value| *value = *value * 2.0 - 1.0);
        Ok(picture)
    }
}

impl TaesdEncoder {
    /// Reads the bytes of a safetensors file with the tensor names of madebyollin's encoder (`0.weight`), or of diffusers'
    /// `AutoencoderTiny` (`encoder.layers.0.weight`). All sizes come from the file.
    ///
    /// # Errors
    /// When the file is no safetensors file, or holds no such network.
    pub fn from_safetensors(file: &[u8], compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "taesd", "")?.on(compute))
    }

    pub(crate) fn load(weights: &Weights<'_>) -> Result<Self> {
        Half::load(weights, "encoder.layers.", false).map(Self)
    }

    /// Channels of the latent.
    pub fn latent(&self) -> usize {
        self.0.channels.1
    }

    /// Pixels of the picture to one of the latent, each way.
    pub fn stride(&self) -> usize {
        self.0.stride()
    }

    /// Floating-point operations for a picture of this size, as textbooks count them.
    pub fn flops(&self, size: (usize, usize)) -> f64 {
        self.0.flops(size)
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Bytes of the maps of a run over a picture of this size, on the processor.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        self.0.working_bytes(size)
    }

    /// The latent of a picture of width x height, whose planes run from -1 to 1, and its size: an eighth, rounded up.
    ///
    /// # Errors
    /// When the picture does not fit its size, or there is too little memory.
    pub fn run(
        &self,
        picture: &[f32],
        size: (usize, usize),
        scratch: &mut Scratch,
    ) -> Result<(Vec<f32>, (usize, usize))> {
        self.0.run(picture, size, |value| (value + 1.0) / 2.0, scratch)
    }
}

impl Half {
    /// The layers are numbered; activations and enlargements have numbers too, but no tensors. `up` tells the halves apart:
    /// convolutions without a bias stand behind an enlargement, or halve.
    fn load(weights: &Weights<'_>, prefix: &str, up: bool) -> Result<Self> {
        let prefix = if weights.any(prefix) { prefix } else { "" };
        let number = |name: &str| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
        let mut numbers: Vec<usize> = weights.names().filter_map(number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let precise = weights.precise();
        let (mut steps, mut channels, mut first) = (vec![], 0, None);
        for (place, i) in numbers.iter().enumerate() {
            let name = format!("{prefix}{i}");
            if weights.has(&format!("{name}.conv.0.weight")) {
                steps.push(Step::Block(Block::load(weights, &name, channels)?));
                continue;
            }
            let (to, from) = (weights.width(&format!("{name}.weight"))?, weights.side(&format!("{name}.weight"), 1)?);
            let step = match (weights.has(&format!("{name}.bias")), up) {
                // Pictures and latents come in as f32, and go out as f32.
                (true, _) if place == 0 => {
                    let conv = Conv2d::load(&precise, &name, from, to, 3)?.giving(weights.precision());
                    first = Some(from);
                    Step::Conv(conv, up)
                }
                (true, _) => Step::Conv(Conv2d::load(weights, &name, channels, to, 3)?.giving(Precision::F32), false),
                (false, true) => Step::Double(Upsample::unbiased(weights, &name, channels, to)?),
                (false, false) => {
                    let window = Window { kernel: 3, stride: 2, before: 1, after: 1 };
                    Step::Halve(Conv2d::normalised(weights, &name, None, channels, to, window)?)
                }
            };
            channels = to;
            steps.push(step);
        }
        match (first, steps.last()) {
            (Some(first), Some(Step::Conv(_, false)))
                if steps.len() > 1 && COLOURS == if up { channels } else { first } =>
            {
                Ok(Self { steps, channels: (first, channels), precision: weights.precision() })
            }
            _ => Err(weights.unsupported("it holds no such half of a tiny autoencoder, from or to three colours")),
        }
    }

    /// How many times larger the picture is.
    fn stride(&self) -> usize {
        let scales = self.steps.iter().filter(|step| matches!(step, Step::Double(_) | Step::Halve(_)));
        1 << scales.count().min(16)
    }

    /// Each step and the pixels behind it.
    fn walk(&self, (mut width, mut height): (usize, usize)) -> impl Iterator<Item = (&Step, f64)> {
        self.steps.iter().map(move |step| {
            match step {
                Step::Double(_) => (width, height) = (2 * width, 2 * height),
                Step::Halve(_) => (width, height) = (width.div_ceil(2), height.div_ceil(2)),
                _ => {}
            }
            (step, width as f64 * height as f64)
        })
    }

    fn flops(&self, size: (usize, usize)) -> f64 {
        let of = |(step, pixels): (&Step, f64)| match step {
            Step::Conv(conv, _) | Step::Halve(conv) => conv.flops() * pixels,
            Step::Block(block) => block.layers().map(Conv2d::flops).sum::<f64>() * pixels,
            // Per pixel of its input.
            Step::Double(double) => double.flops() * pixels / 4.0,
        };
        self.walk(size).map(of).sum()
    }

    fn bytes(&self) -> u64 {
        let of = |step: &Step| match step {
            Step::Conv(conv, _) | Step::Halve(conv) => conv.bytes(),
            Step::Block(block) => block.layers().map(Conv2d::bytes).sum(),
            Step::Double(double) => double.bytes(),
        };
        self.steps.iter().map(of).sum()
    }

    /// A block holds its input and two maps; a branch holds two of four times the width.
    fn working_bytes(&self, size: (usize, usize)) -> u64 {
        let of = |(step, pixels): (&Step, f64)| match step {
            Step::Block(Block { pool: Some(branch), convs: [conv, ..] }) => {
                (conv.channels() + 2 * branch.widen.channels()) as f64 * pixels
            }
            Step::Block(Block { convs: [conv, ..], .. }) => 3.0 * conv.channels() as f64 * pixels,
            _ => 0.0,
        };
        let values = self.walk(size).map(of).fold(0.0, f64::max);
        bytes_of(values as u64, self.precision)
    }

    /// The planes of the result and their size; what comes in goes through `bend`.
    fn run(
        &self,
        planes: &[f32],
        size: (usize, usize),
        bend: impl Fn(f32) -> f32 + Sync,
        scratch: &mut Scratch,
    ) -> Result<(Vec<f32>, (usize, usize))> {
        let Scratch(pool) = scratch;
        let mut x = from_planes(planes, self.channels.0, size, pool)?;
        x.change(|_, value| bend(value))?;
        for step in &self.steps {
            let y = match step {
                Step::Conv(conv, bent) => {
                    let then = if *bent { Then::activation(RELU) } else { Then::NOTHING };
                    conv.run(&x, then, pool)?
                }
                Step::Halve(conv) => conv.run(&x, Then::NOTHING, pool)?,
                Step::Double(double) => double.run(&x, Then::NOTHING, 0, pool)?,
                Step::Block(block) => block.run(&x, pool)?,
            };
            pool.give(std::mem::replace(&mut x, y));
        }
        let out = (to_planes(&x)?, x.size());
        pool.give(x);
        Ok(out)
    }
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, channels: usize) -> Result<Self> {
        if weights.has(&format!("{name}.skip.weight")) {
            return Err(weights.unsupported("its blocks change the number of channels, which no known one does"));
        }
        let conv = |i: usize| Conv2d::load(weights, &format!("{name}.conv.{i}"), channels, channels, 3);
        let branch = || -> Result<Branch> {
            let wide = weights.width(&format!("{name}.pool.0.weight"))?;
            let layer = |i: usize, from: usize, to: usize| {
                Conv2d::normalised(weights, &format!("{name}.pool.{i}"), None, from, to, Window::same(1))
            };
            Ok(Branch {
                widen: layer(0, channels, wide)?,
                norm: GroupNorm::load(weights, &format!("{name}.pool.1"), wide, 4, 1e-5)?,
                narrow: layer(3, wide, channels)?,
            })
        };
        let pool = if weights.any(&format!("{name}.pool.")) { Some(branch()?) } else { None };
        Ok(Self { pool, convs: [conv(0)?, conv(2)?, conv(4)?] })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        let branch = self.pool.iter().flat_map(|branch| [&branch.widen, &branch.narrow]);
        self.convs.iter().chain(branch)
    }

    fn run(&self, x: &Map, pool: &mut Pool) -> Result<Map> {
        let looked = self.pool.as_ref().map(|branch| branch.run(x, pool)).transpose()?;
        let x = looked.as_ref().unwrap_or(x);
        let [first, second, third] = &self.convs;
        let a = first.run(x, Then::activation(RELU), pool)?;
        let b = second.run(&a, Then::activation(RELU), pool)?;
        pool.give(a);
        let mut out = third.run(&b, Then::add(x), pool)?;
        pool.give(b);
        looked.into_iter().for_each(|map| pool.give(map));
        out.activate(RELU)?;
        Ok(out)
    }
}

impl Branch {
    fn run(&self, x: &Map, pool: &mut Pool) -> Result<Map> {
        let wide = self.widen.run(x, Then::NOTHING, pool)?;
        let y = self.norm.run(&wide, RELU, pool)?;
        pool.give(wide);
        let out = self.narrow.run(&y, Then::add(x), pool)?;
        pool.give(y);
        Ok(out)
    }
}
