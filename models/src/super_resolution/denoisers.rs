//! U-shaped denoisers: DRUNet (Zhang et al. 2021), whose blocks are two convolutions and which is told how strong the noise is, and
//! SCUNet (Zhang et al. 2022), whose blocks are convolutions beside attention inside windows.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, LayerNorm, Map, Pool, Region, Then, Weights, Window, Windows};

/// How the files of DRUNet are told.
pub(super) const DRUNET: Architecture = Architecture {
    name: "DRUNet",
    signs: &[
        "m_head.weight",
        "m_down1.0.res.0.weight",
        "m_body.0.res.0.weight",
        "m_up3.0.weight",
        "m_up1.1.res.2.weight",
        "m_tail.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Ushape::load(&weights.on_processor(), "m_head", "m_tail")?)),
};

/// How those of SCUNet are told.
pub(super) const SCUNET: Architecture = Architecture {
    name: "SCUNet",
    signs: &[
        "m_head.0.weight",
        "m_down1.0.conv1_1.weight",
        "m_down1.0.trans_block.msa.relative_position_params",
        "m_body.0.conv1_2.weight",
        "m_up3.0.weight",
        "m_tail.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Ushape::load(&weights.on_processor(), "m_head.0", "m_tail.0")?)),
};

/// The noise that a DRUNet is told of, where nobody measured it: what its code takes.
const NOISE: f32 = 15.0 / 255.0;

/// The network: blocks at four sizes on the way down and back up, and sums across.
struct Ushape {
    head: Conv2d,
    down: Vec<(Vec<Block>, Conv2d)>,
    body: Vec<Block>,
    /// Each step enlarges by a convolution with a pixel shuffle.
    up: Vec<(Conv2d, Vec<Block>)>,
    tail: Conv2d,
    colours: usize,
    /// Whether the noise is told in a further channel.
    told: bool,
    /// The picture is continued to whole squares of so many pixels.
    square: usize,
    features: usize,
}

/// A block, with a shortcut around it.
enum Block {
    Convolutions(Box<[Conv2d; 2]>),
    Both(Box<Both>),
}

/// Convolutions for one half of the channels beside attention for the other.
struct Both {
    before: Conv2d,
    convs: [Conv2d; 2],
    norms: [LayerNorm; 2],
    qkv: Conv2d,
    windows: Windows,
    out: Conv2d,
    wide: Conv2d,
    narrow: Conv2d,
    behind: Conv2d,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, width: usize, moved: bool) -> Result<Self> {
        let conv = |part: &str, width: usize| -> Result<Conv2d> {
            let conv = Conv2d::found(weights, &format!("{name}.{part}"), width)?;
            if conv.channels() == width {
                Ok(conv)
            } else {
                Err(weights.unsupported("its blocks are not of one width"))
            }
        };
        if weights.has(&format!("{name}.res.0.weight")) {
            return Ok(Self::Convolutions(Box::new([conv("res.0", width)?, conv("res.2", width)?])));
        }
        let half = width / 2;
        let inside = format!("{name}.trans_block");
        let linear = |part: &str, inputs: usize, outputs: usize| {
            Conv2d::linear(weights, &format!("{inside}.{part}"), inputs, outputs, true)
        };
        let norm = |part: &str| LayerNorm::load(weights, &format!("{inside}.{part}"), half, 1e-5);
        let table = format!("{inside}.msa.relative_position_params");
        let (heads, distances) = (weights.width(&table)?, weights.side(&table, 1)?);
        if distances % 2 == 0 || !half.is_multiple_of(heads) || width % 2 == 1 {
            return Err(weights.unsupported("its channels cannot be shared out to its heads and windows"));
        }
        let window = distances.div_ceil(2);
        let values = weights.tensor(&table, &[heads, distances, distances])?;
        // Here the heads come first.
        let count = distances * distances;
        let rows: Vec<f32> = (0..count * heads).map(|i| values[i % heads * count + i / heads]).collect();
        let shift = if moved { window / 2 } else { 0 };
        let hidden = weights.width(&format!("{inside}.mlp.0.weight"))?;
        Ok(Self::Both(Box::new(Both {
            before: conv("conv1_1", width)?,
            convs: [conv("conv_block.0", half)?, conv("conv_block.2", half)?],
            norms: [norm("ln1")?, norm("ln2")?],
            qkv: linear("msa.embedding_layer", half, 3 * half)?,
            windows: Windows {
                size: (window, window),
                shift: (shift, shift),
                around: 0,
                masked: moved,
                heads,
                bias: Windows::spread(&rows, (window, window), heads),
                scale: 1.0 / ((half / heads) as f32).sqrt(),
            },
            out: linear("msa.linear", half, half)?,
            wide: linear("mlp.0", half, hidden)?,
            narrow: linear("mlp.2", hidden, half)?,
            behind: conv("conv1_2", width)?,
        })))
    }

    fn layers(&self) -> Vec<&Conv2d> {
        match self {
            Self::Convolutions(both) => both.iter().collect(),
            Self::Both(both) => {
                let Both { before, convs: [a, b], qkv, out, wide, narrow, behind, .. } = &**both;
                vec![before, a, b, qkv, out, wide, narrow, behind]
            }
        }
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let relu = Then::activation(Activation::LeakyRelu(0.0));
        let out = match self {
            Self::Convolutions(both) => {
                let [a, b] = &**both;
                let y = a.run(&x, relu, pool)?;
                let out = b.run(&y, Then::add(&x), pool)?;
                pool.give(y);
                out
            }
            Self::Both(both) => {
                let Both { before, convs: [a, b], norms: [first, second], qkv, windows, out, wide, narrow, behind } =
                    &**both;
                let half = x.channels / 2;
                let y = before.run(&x, Then::NOTHING, pool)?;
                let (front, back) = (y.part(0, half, pool)?, y.part(half, half, pool)?);
                pool.give(y);
                let inner = a.run(&front, relu, pool)?;
                let local = b.run(&inner, Then::add(&front), pool)?;
                let normed = first.run(&back, pool)?;
                let all = qkv.run(&normed, Then::NOTHING, pool)?;
                let seen = windows.run([(&all, 0), (&all, half), (&all, 2 * half)], half, pool)?;
                let y = out.run(&seen, Then::add(&back), pool)?;
                [front, back, inner, normed, all, seen].into_iter().for_each(|map| pool.give(map));
                let normed = second.run(&y, pool)?;
                let inner = wide.run(&normed, Then::activation(Activation::Gelu), pool)?;
                let far = narrow.run(&inner, Then::add(&y), pool)?;
                let joined = Map::beside([&local, &far], pool)?;
                let out = behind.run(&joined, Then::add(&x), pool)?;
                [y, normed, inner, far, local, joined].into_iter().for_each(|map| pool.give(map));
                out
            }
        };
        pool.give(x);
        Ok(out)
    }
}

/// A transposed convolution of 2x2 with a step of 2, `{name}.weight` (in, out, 2, 2): each pixel becomes four, by a convolution of one
/// pixel and a pixel shuffle.
fn enlarging(weights: &Weights<'_>, name: &str, inputs: usize) -> Result<Conv2d> {
    let weight = format!("{name}.weight");
    let outputs = weights.side(&weight, 1)?;
    let values = weights.tensor(&weight, &[inputs, outputs, 2, 2])?;
    let bias = weights.tensor_or_zeros(&format!("{name}.bias"), &[outputs])?;
    let turned: Vec<f32> = (0..4 * outputs)
        .flat_map(|row| (0..inputs).map(move |input| (row, input)))
        .map(|(row, input)| values[(input * outputs + row / 4) * 4 + row % 4])
        .collect();
    let biases: Vec<f32> = (0..4 * outputs).map(|row| bias[row / 4]).collect();
    Conv2d::of(weights, &turned, &biases, inputs, Window::same(1))
}

impl Ushape {
    fn load(weights: &Weights<'_>, head: &str, tail: &str) -> Result<Self> {
        let inputs = weights.side(&format!("{head}.weight"), 1)?;
        let colours = weights.width(&format!("{tail}.weight"))?;
        let told = inputs == colours + 1;
        if ![1, 3].contains(&colours) || !(told || inputs == colours) {
            return Err(weights.unsupported("it takes pictures of other channels than grey or red, green and blue"));
        }
        let head = Conv2d::found(weights, head, inputs)?;
        let features = head.channels();
        let blocks = |name: &str, first: usize, width: usize| -> Result<Vec<Block>> {
            let names = (first..).map(|i| format!("{name}.{i}")).take_while(|name| weights.any(&format!("{name}.")));
            let names = names.filter(|name| !weights.has(&format!("{name}.weight")));
            names.enumerate().map(|(i, name)| Block::load(weights, &name, width, i % 2 == 1)).collect()
        };
        let (mut width, mut down) = (features, Vec::new());
        for name in ["m_down1", "m_down2", "m_down3"] {
            let inside = blocks(name, 0, width)?;
            let step = format!("{name}.{}", inside.len());
            if !weights.has(&format!("{step}.weight")) {
                return Err(weights.unsupported("it makes its maps smaller by averages, which is not known here"));
            }
            let outputs = weights.width(&format!("{step}.weight"))?;
            let window = Window { kernel: 2, stride: 2, before: 0, after: 0 };
            down.push((inside, Conv2d::normalised(weights, &step, None, width, outputs, window)?));
            width = outputs;
        }
        let body = blocks("m_body", 0, width)?;
        let mut up = Vec::new();
        for (name, (_, step)) in ["m_up3", "m_up2", "m_up1"].into_iter().zip(down.iter().rev()) {
            if step.channels() != width {
                return Err(weights.unsupported("its way up is not as wide as its way down"));
            }
            let larger = enlarging(weights, &format!("{name}.0"), width)?;
            width = larger.channels() / 4;
            let inside = blocks(name, 1, width)?;
            up.push((larger, inside));
        }
        if width != features {
            return Err(weights.unsupported("its way up is not as wide as its way down"));
        }
        let windows = body.iter().any(|block| matches!(block, Block::Both(_)));
        let tail = Conv2d::found(weights, tail, features)?;
        Ok(Self { head, down, body, up, tail, colours, told, square: if windows { 64 } else { 8 }, features })
    }

    fn blocks(&self) -> impl Iterator<Item = (f64, &Block)> {
        // The share of the pixels that they work on.
        let area = |level: usize| 0.25f64.powi(level as i32);
        let down =
            self.down.iter().enumerate().flat_map(move |(i, (blocks, _))| blocks.iter().map(move |b| (area(i), b)));
        let body = self.body.iter().map(move |block| (area(3), block));
        let up =
            self.up.iter().enumerate().flat_map(move |(i, (_, blocks))| blocks.iter().map(move |b| (area(2 - i), b)));
        down.chain(body).chain(up)
    }
}

impl Network for Ushape {
    fn scale(&self) -> usize {
        1
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        // The smaller sizes are laid out from the first pixel on.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let steps = self.down.iter().map(|(_, step)| step).chain(self.up.iter().map(|(step, _)| step));
        let blocks = self.blocks().flat_map(|(_, block)| block.layers());
        [&self.head, &self.tail].into_iter().chain(steps).chain(blocks).collect()
    }

    fn flops(&self) -> f64 {
        let blocks =
            self.blocks().map(|(area, block)| area * block.layers().iter().map(|layer| layer.flops()).sum::<f64>());
        self.head.flops() + self.tail.flops() + blocks.sum::<f64>()
    }

    fn alive(&self) -> u64 {
        (4 * 12 * self.features) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let size = input.size();
        let whole = |of: usize| of.next_multiple_of(self.square);
        let mut x = input.mirrored((whole(size.0), whole(size.1)), pool)?;
        pool.give(input);
        if self.told {
            let mut noise = x.part(0, 1, pool)?;
            noise.change(|_, _| NOISE)?;
            let both = Map::beside([&x, &noise], pool)?;
            pool.give(noise);
            pool.give(std::mem::replace(&mut x, both));
        }
        let mut kept = vec![self.head.run(&x, Then::NOTHING, pool)?];
        pool.give(x);
        for (blocks, step) in &self.down {
            // There is always the one before.
            let Some(last) = kept.last() else { break };
            let mut y = last.part(0, last.channels, pool)?;
            for block in blocks {
                y = block.run(y, pool)?;
            }
            kept.push(step.run(&y, Then::NOTHING, pool)?);
            pool.give(y);
        }
        let Some(smallest) = kept.last() else { unreachable!("the head gives one") };
        let mut y = smallest.part(0, smallest.channels, pool)?;
        for block in &self.body {
            y = block.run(y, pool)?;
        }
        for (step, blocks) in &self.up {
            let Some(across) = kept.pop() else { unreachable!("as many steps up as down") };
            let sum = y.with(&across, pool, |new, old| new + old)?;
            pool.give(across);
            let wide = step.run(&sum, Then::NOTHING, pool)?;
            pool.give(sum);
            let large = wide.shuffled(2, pool)?;
            pool.give(wide);
            pool.give(std::mem::replace(&mut y, large));
            for block in blocks {
                y = block.run(y, pool)?;
            }
        }
        let Some(first) = kept.pop() else { unreachable!("as many steps up as down") };
        let sum = y.with(&first, pool, |new, old| new + old)?;
        pool.give(first);
        pool.give(y);
        let out = self.tail.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        take(out.cropped(size, pool)?, pool)
    }
}
