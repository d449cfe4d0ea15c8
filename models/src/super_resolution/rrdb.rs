//! RRDBNet (Wang et al., ESRGAN 2018): residual blocks of dense blocks at the size of the input, then enlargements by 2.
//! Real-ESRGAN (Wang et al. 2021) puts the pixels of 2x2 or 4x4 into the channels of one first, and so enlarges by less.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::files::Tensors;
use crate::kernels::Activation;
use crate::layers::{Band, Conv2d, Map, Pool, Precision, Region, Then, Upsample, Weights, Window};

/// What follows the convolutions.
const LEAKY: Activation<'_> = Activation::LeakyRelu(0.2);

/// How much of a block is added to what it was made of.
const GAIN: f32 = 0.2;

/// Pixels of the input that are enlarged at a time: at four times the size maps get large.
const CELL: usize = 128;

/// How far the enlarging part looks, in pixels of the input: two pixels at the full size are one at half of it; one more there,
/// which makes two again, and so on down to the size of the input.
const TAIL: usize = 2;

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "RRDBNet (ESRGAN)",
    signs: &[
        "conv_first.weight",
        "body.0.rdb1.conv1.weight",
        "body.0.rdb3.conv5.weight",
        "conv_body.weight",
        "conv_last.weight",
    ],
    names: &[named_by_parts, named_by_numbers],
    is: |_| true,
    load: |weights| Ok(Box::new(Rrdb::load(weights, Shape::of(weights)?)?)),
};

/// Names as in the first code of the paper's authors.
fn named_by_parts(tensors: Tensors<'_>) -> Tensors<'_> {
    tensors.renamed(|name| {
        let name = name.replace("RRDB_trunk.", "body.").replace(".RDB", ".rdb").replace("trunk_conv.", "conv_body.");
        Some(name.replace("upconv", "conv_up").replace("HRconv.", "conv_hr."))
    })
}

/// Names as in the code before that, which numbers its layers: the input's is 0, the blocks are the parts of 1, and every third
/// one behind them enlarges. The last one and the one two numbers before it work at the full size.
fn named_by_numbers(tensors: Tensors<'_>) -> Tensors<'_> {
    let number = |name: &str| name.strip_prefix("model.")?.strip_suffix(".weight")?.parse::<usize>().ok();
    let last = tensors.names().filter_map(number).max().unwrap_or(0);
    tensors.renamed(move |name| {
        let parts: Vec<&str> = name.split('.').collect();
        Some(match parts[..] {
            ["model", "0", what] => format!("conv_first.{what}"),
            ["model", "1", "sub", block, dense, conv, "0", what] => {
                format!("body.{block}.{}.{conv}.{what}", dense.replace("RDB", "rdb"))
            }
            ["model", "1", "sub", _, what] => format!("conv_body.{what}"),
            ["model", number, what] => match number.parse::<usize>() {
                Ok(number) if number == last => format!("conv_last.{what}"),
                Ok(number) if number + 2 == last => format!("conv_hr.{what}"),
                Ok(number) if number % 3 == 0 => format!("conv_up{}.{what}", number / 3),
                _ => name.to_owned(),
            },
            _ => name.to_owned(),
        })
    })
}

/// The sizes of a network.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Channels between the blocks.
    pub(crate) features: usize,
    /// Blocks of three dense blocks.
    pub(crate) blocks: usize,
    /// Channels that each convolution of a dense block adds.
    pub(crate) grow: usize,
    /// Enlargements by 2 behind the blocks.
    pub(crate) ups: usize,
    /// Edge of the squares of pixels whose channels come in as those of one.
    pub(crate) unshuffle: usize,
}

impl Shape {
    /// Finds the sizes in a file.
    pub(super) fn of(weights: &Weights<'_>) -> Result<Self> {
        if weights.has("body.0.rdb1.conv1x1.weight") {
            return Err(weights.unsupported("it is an ESRGAN+, whose blocks have a shortcut that is not known here"));
        }
        let first = weights.shape("conv_first.weight")?;
        let unshuffle = first.get(1).map_or(0, |inputs| inputs / 3);
        if ![1, 4, 16].contains(&unshuffle) || first.get(1) != Some(&(3 * unshuffle)) {
            let wanted = "3 channels, or those of 2x2 or 4x4 pixels,".into();
            return Err(weights.misshaped("conv_first.weight", first, wanted));
        }
        Ok(Self {
            features: weights.width("conv_first.weight")?,
            blocks: weights.count("body.", ".rdb1.conv1.weight"),
            grow: weights.width("body.0.rdb1.conv1.weight")?,
            ups: (1..).take_while(|i| weights.has(&format!("conv_up{i}.weight"))).count(),
            unshuffle: unshuffle.isqrt(),
        })
    }
}

/// The network.
pub(crate) struct Rrdb {
    first: Conv2d,
    body: Vec<[Dense; 3]>,
    end: Conv2d,
    ups: Vec<Upsample>,
    unshuffle: usize,
    /// Bytes of a number of the maps.
    size: usize,
    hr: Conv2d,
    last: Conv2d,
}

/// A dense block: four convolutions that each see all that came before them, and a fifth back to the usual width. All their
/// channels lie in one wide map, behind those of the input, so that nothing is ever copied together.
struct Dense {
    grow: [Conv2d; 4],
    last: Conv2d,
    /// Channels of the input.
    features: usize,
    /// Channels of each convolution.
    each: usize,
}

impl Dense {
    fn load(weights: &Weights<'_>, name: &str, Shape { features, grow: each, .. }: Shape) -> Result<Self> {
        let conv =
            |i: usize, to: usize| Conv2d::load(weights, &format!("{name}.conv{}", i + 1), features + i * each, to, 3);
        let grow = [conv(0, each)?, conv(1, each)?, conv(2, each)?, conv(3, each)?];
        Ok(Self { grow, last: conv(4, features)?, features, each })
    }

    /// Channels that the convolutions need behind the input's.
    fn spare(&self) -> usize {
        self.grow.len() * self.each
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        self.grow.iter().chain([&self.last])
    }

    /// `x + 0.2 * last(...)`, and around that `outer + 0.2 * ...`, as the first channels of the next wide map. The channels
    /// of `x` behind the first ones are written.
    ///
    /// All five go down the map together, so that what one has written the next one finds in the cache.
    fn run(&self, x: &mut Map, outer: Option<&Map>, pool: &mut Pool) -> Result<Map> {
        fn plus<'m>(x: &'m Map, outer: Option<&'m Map>) -> Then<'m> {
            let then = Then::NOTHING.plus(x, GAIN);
            outer.map_or(then, |outer| then.plus(outer, GAIN))
        }
        let layers = self.grow.len() + 1;
        let region = (0..layers).fold(x.region, |known, _| known.convolved(Window::same(3)));
        if self.last.on_candle() {
            for (i, conv) in self.grow.iter().enumerate() {
                conv.run_beside(x, self.features + i * self.each, x.region.top..x.region.bottom, LEAKY)?;
            }
            return self.last.run_for(x, region, plus(x, outer), self.spare(), pool);
        }
        let mut out = self.last.room(region, self.spare(), pool)?;
        let (all, wide) = (x.region, x.channels * self.last.out().bytes());
        let mut done = vec![all.top; layers];
        for band in Band::of(all, region, layers, wide) {
            for (i, conv) in self.grow.iter().enumerate() {
                let bottom = band.behind(i + 1, all.bottom);
                conv.run_beside(x, self.features + i * self.each, done[i]..bottom, LEAKY)?;
                done[i] = bottom;
            }
            let bottom = band.behind(layers, region.bottom);
            let part = Region { top: done[layers - 1].max(region.top), bottom, ..region };
            self.last.run_part(x, &mut out, part, plus(x, outer), pool)?;
            done[layers - 1] = bottom;
        }
        Ok(out)
    }
}

impl Rrdb {
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, shape: Shape) -> Result<Self> {
        let Shape { features, blocks, ups, unshuffle, .. } = shape;
        let conv = |name: &str, to: usize| Conv2d::load(weights, name, features, to, 3);
        let up = |i: usize| Upsample::nearest(weights, &format!("conv_up{}", i + 1), features, features);
        let block = |i: usize| -> Result<[Dense; 3]> {
            let dense = |n: usize| Dense::load(weights, &format!("body.{i}.rdb{n}"), shape);
            Ok([dense(1)?, dense(2)?, dense(3)?])
        };
        Ok(Self {
            // The picture itself comes in as f32, and the result goes out as f32.
            first: Conv2d::load(&weights.precise(), "conv_first", 3 * unshuffle * unshuffle, features, 3)?
                .giving(weights.precision()),
            body: (0..blocks).map(block).collect::<Result<_>>()?,
            end: conv("conv_body", features)?,
            ups: (0..ups).map(up).collect::<Result<_>>()?,
            unshuffle,
            size: if weights.precision() == Precision::F32 { 4 } else { 2 },
            hr: conv("conv_hr", features)?,
            last: conv("conv_last", 3)?.giving(Precision::F32),
        })
    }

    /// The part at the size of the input.
    fn trunk(&self, input: Map, pool: &mut Pool) -> Result<Map> {
        let spare = self.body.first().map_or(0, |[dense, ..]| dense.spare());
        let head = self.first.run(&input, Then::NOTHING, pool)?;
        // The same once more, with room for the first block: cheaper than to keep all that room to the end.
        let mut x = self.first.run_with_room(&input, input.region, Then::NOTHING, spare, pool)?;
        pool.give(input);
        for [a, b, c] in &self.body {
            let mut y = a.run(&mut x, None, pool)?;
            let mut z = b.run(&mut y, None, pool)?;
            pool.give(y);
            let out = c.run(&mut z, Some(&x), pool)?;
            pool.give(z);
            pool.give(std::mem::replace(&mut x, out));
        }
        let sum = self.end.run(&x, Then::add(&head), pool)?;
        pool.give(x);
        pool.give(head);
        Ok(sum)
    }

    /// The part that enlarges.
    fn tail(&self, input: Map, pool: &mut Pool) -> Result<Map> {
        let mut x = input;
        for up in &self.ups {
            let y = up.run(&x, Then::activation(LEAKY), 0, pool)?;
            pool.give(std::mem::replace(&mut x, y));
        }
        let y = self.hr.run(&x, Then::activation(LEAKY), pool)?;
        pool.give(x);
        let out = self.last.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        out.here(pool)
    }
}

impl Network for Rrdb {
    fn scale(&self) -> usize {
        1 << self.ups.len()
    }

    fn unshuffle(&self) -> usize {
        self.unshuffle
    }

    fn radius(&self) -> Option<usize> {
        // The first and the last convolution, and five in each dense block.
        Some(2 + 15 * self.body.len() + TAIL)
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let body = self.body.iter().flatten().flat_map(Dense::layers);
        [&self.first, &self.end].into_iter().chain(body).collect()
    }

    fn flops(&self) -> f64 {
        let area = |level: usize| 4f64.powi(level as i32);
        let ups = self.ups.iter().enumerate().map(|(level, up)| area(level) * up.flops()).sum::<f64>();
        let full = self.hr.flops() + self.last.flops();
        self.layers().iter().map(|layer| layer.flops()).sum::<f64>() + ups + area(self.ups.len()) * full
    }

    fn bytes(&self) -> u64 {
        let ups = self.ups.iter().map(Upsample::bytes);
        let layers = self.layers();
        layers.into_iter().chain([&self.hr, &self.last]).map(Conv2d::bytes).chain(ups).sum()
    }

    fn alive(&self) -> u64 {
        // Three wide maps of a block, and what goes around it. The enlarging part works on a few pixels at a time.
        let wide = self.body.first().map_or(0, |[dense, ..]| dense.features + dense.spare());
        (self.size * (3 * wide + self.first.channels())) as u64
    }

    fn enlarged(&self, input: Map, cell: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let trunk = self.trunk(input, pool)?;
        for cell in cell.cells(CELL) {
            let part = trunk.cut(cell.grown(TAIL), 1, pool)?;
            let with_margin = self.tail(part, pool)?;
            let enlarged = with_margin.cut(cell.times(self.scale()), 0, pool)?;
            pool.give(with_margin);
            take(enlarged, pool)?;
        }
        pool.give(trunk);
        Ok(())
    }
}
