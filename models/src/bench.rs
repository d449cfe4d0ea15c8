//! Works whose speed is measured: kernel shapes and whole networks, by the names that `bench/peers` uses for them too.
//! Weights that do not ship with the program are drawn at random, which takes the same time as any others.

use crate::layers::{Attention, Conv2d, Map, Pool, Region, Then, Weights};
use crate::noise::gaussian;
use crate::stable_diffusion::{
    Added, Clip, ClipConfig, Condition, ControlNet, ControlNetConfig, Scratch, Unet, UnetConfig, VaeConfig, VaeDecoder,
};
use crate::super_resolution::{Network, Rrdb, Srvgg, enlarge, rrdb, srvgg};
use crate::{
    Compute, DamageCondition, Detail, Error, Factor, Faithful, Picture, Precision, Result, Sampling, Unwatched,
};

/// A work that can be measured.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Whether it takes more memory than many machines have: 10 GiB in f32.
    pub large: bool,
    kind: Kind,
}

/// What a work consists of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A 3x3 convolution with bias and SiLU: channels, edge of the map.
    Conv(usize, usize),
    /// A fully connected layer with bias: pixels, channels before and behind.
    Linear(usize, usize, usize),
    /// Attention of pixels to each other: heads, pixels, channels of a head.
    Attention(usize, usize, usize),
    /// The parts of Stable Diffusion: tokens, edge of the latent.
    Clip(usize),
    Unet(usize),
    UnetXl(usize),
    ControlNet(usize),
    VaeDecoder(usize),
    /// The upscalers: edge of the picture.
    Srvgg(u32),
    Rrdb(u32),
    /// The networks that ship with the program: edge of the picture.
    Faithful(u32, Factor),
    Detail(u32),
}

/// All works.
pub static WORKS: [Work; 17] = [
    work("conv3x3-320-64", "3x3 convolution, 320 channels at 64x64, bias and SiLU", Kind::Conv(320, 64)),
    work("conv3x3-640-32", "3x3 convolution, 640 channels at 32x32, bias and SiLU", Kind::Conv(640, 32)),
    work("conv3x3-64-256", "3x3 convolution, 64 channels at 256x256, bias and SiLU", Kind::Conv(64, 256)),
    work("conv3x3-1280-16", "3x3 convolution, 1280 channels at 16x16, bias and SiLU", Kind::Conv(1280, 16)),
    work("linear-4096x320x2560", "linear layer, 320 to 2560 channels of 4096 tokens", Kind::Linear(4096, 320, 2560)),
    work("linear-4096x1280x320", "linear layer, 1280 to 320 channels of 4096 tokens", Kind::Linear(4096, 1280, 320)),
    work("attention-8x4096x40", "attention, 8 heads of 40 channels, 4096 tokens", Kind::Attention(8, 4096, 40)),
    work("srvgg-x4-256", "SRVGGNetCompact x4, 64 features, 32 convolutions, on 256x256", Kind::Srvgg(256)),
    work("rrdb-x4-128", "RRDBNet x4, 64 features, 23 blocks, on 128x128", Kind::Rrdb(128)),
    work("clip-l-77", "the text encoder of Stable Diffusion 1, 77 tokens", Kind::Clip(77)),
    work("unet15-64", "the U-Net of Stable Diffusion 1, latent of 64x64, 77 tokens", Kind::Unet(64)),
    work("unet-xl-64", "the U-Net of SDXL, latent of 64x64, 77 tokens", Kind::UnetXl(64)).large(),
    work("controlnet15-64", "a ControlNet of Stable Diffusion 1, latent of 64x64, 77 tokens", Kind::ControlNet(64)),
    work("vae15-decode-512", "the decoder of Stable Diffusion 1, to 512x512", Kind::VaeDecoder(64)),
    work("faithful-x2", "the embedded faithful network x2 on 1024x1024", Kind::Faithful(1024, Factor::X2)),
    work("faithful-x4", "the embedded faithful network x4 on 512x512", Kind::Faithful(512, Factor::X4)),
    work("detail", "the embedded detail network, 4 steps on 2048x2048", Kind::Detail(2048)),
];

const fn work(name: &'static str, about: &'static str, kind: Kind) -> Work {
    Work { name, about, large: false, kind }
}

impl Work {
    const fn large(self) -> Self {
        Self { large: true, ..self }
    }
}

/// A work that is ready to run, as often as one likes.
pub struct Prepared {
    /// Floating-point operations of one run, as textbooks count them: multiplications and additions, the margins of tiles
    /// left out, and an enlargement to the nearest pixel with a 3x3 convolution as that convolution at the full size, although
    /// less than half of it is done.
    pub flops: f64,
    run: Box<dyn FnMut() -> Result<()> + Send>,
}

impl Prepared {
    fn new(flops: f64, run: impl FnMut() -> Result<()> + Send + 'static) -> Self {
        Self { flops, run: Box::new(run) }
    }

    /// Runs it once, on a thread of the pool, as the nodes of a graph do.
    ///
    /// # Errors
    /// When there is no memory for the maps.
    pub fn run(&mut self) -> Result<()> {
        rayon::scope(|_| (self.run)())
    }
}

/// Makes weights and inputs of the work `name`, on the processor.
///
/// # Errors
/// When there is no such work.
pub fn prepare(name: &str, precision: Precision) -> Result<Prepared> {
    let hint = "see the list of works";
    let Some(work) = WORKS.iter().find(|work| work.name == name) else {
        return Err(Error::Setting { name: "work", value: name.into(), hint });
    };
    let compute = Compute::cpu(precision);
    let weights = Weights::random().on(compute.clone());
    match work.kind {
        Kind::Conv(channels, edge) => {
            let layer = Conv2d::load(&weights, "conv", channels, channels, 3)?;
            convolution(layer, Region::whole(edge, edge), channels, Then::SILU, precision)
        }
        Kind::Linear(tokens, before, behind) => {
            let layer = Conv2d::linear(&weights, "linear", before, behind, true)?;
            convolution(layer, Region::whole(tokens, 1), before, Then::NOTHING, precision)
        }
        Kind::Attention(heads, tokens, size) => {
            let (layer, channels) = (Attention::new(&weights, heads * size, heads, false), heads * size);
            let mut pool = Pool::default();
            let input = map(Region::whole(tokens, 1), 3 * channels, precision, &mut pool)?;
            Ok(Prepared::new(layer.flops(tokens, tokens), move || {
                let out = layer.run((&input, 0), (&input, channels), (&input, 2 * channels), &mut pool)?;
                pool.give(out);
                Ok(())
            }))
        }
        Kind::Clip(tokens) => {
            let (net, mut scratch) = (Clip::load(&weights, ClipConfig::default())?, Scratch::default());
            let text: Vec<u32> = (0..tokens as u32).map(|i| i * 600).collect();
            Ok(Prepared::new(net.flops(tokens), move || net.run(&text, &mut scratch).map(drop)))
        }
        Kind::Unet(edge) => unet(Unet::load(&weights, UnetConfig::default())?, edge),
        Kind::UnetXl(edge) => unet(Unet::load(&weights, UnetConfig::sdxl())?, edge),
        Kind::ControlNet(edge) => {
            let (net, mut scratch) = (ControlNet::load(&weights, ControlNetConfig::default())?, Scratch::default());
            let (latent, text) = (numbers((4 * edge * edge) as u32), numbers(77 * 768));
            let (wide, picture) = (8 * edge, numbers((3 * 64 * edge * edge) as u32));
            let hint = net.hint(&picture, (wide, wide), &mut scratch)?;
            Ok(Prepared::new(net.flops((edge, edge), 77), move || {
                let condition = Condition { time: 500.0, text: &text, added: None };
                let residuals = net.run(&latent, (edge, edge), condition, &hint, &mut scratch)?;
                scratch.recycle(residuals);
                Ok(())
            }))
        }
        Kind::VaeDecoder(edge) => {
            let (net, mut scratch) = (VaeDecoder::load(&weights, &VaeConfig::default())?, Scratch::default());
            let latent = numbers((4 * edge * edge) as u32);
            Ok(Prepared::new(net.flops((edge, edge)), move || net.run(&latent, (edge, edge), &mut scratch).map(drop)))
        }
        Kind::Srvgg(edge) => {
            let shape = srvgg::Shape { features: 64, convs: 32, scale: 4 };
            Ok(upscaler(Srvgg::load(&weights, shape)?, edge))
        }
        Kind::Rrdb(edge) => {
            let shape = rrdb::Shape { features: 64, blocks: 23, grow: 32, ups: 2, unshuffle: 1 };
            Ok(upscaler(Rrdb::load(&weights, shape)?, edge))
        }
        Kind::Faithful(edge, factor) => {
            let (net, rgb) = (Faithful::embedded(precision)?, numbers(3 * edge * edge));
            let flops = net.flops_per_pixel(factor) * f64::from(edge * edge);
            Ok(Prepared::new(flops, move || {
                let (picture, damage) = (Picture::new(edge, edge, &rgb)?, DamageCondition::default());
                net.enlarge(picture, damage, factor, Faithful::TILE, &mut Unwatched).map(drop)
            }))
        }
        Kind::Detail(edge) => {
            let (net, rgb) = (Detail::embedded(precision)?, numbers(3 * edge * edge));
            let sampling = Sampling { steps: 4, ..Sampling::default() };
            let flops = net.flops_per_pixel() * f64::from(sampling.steps) * f64::from(edge * edge);
            Ok(Prepared::new(flops, move || {
                net.sample(Picture::new(edge, edge, &rgb)?, &sampling, &mut Unwatched).map(drop)
            }))
        }
    }
}

/// A step of a U-Net over a square latent.
fn unet(net: Unet, edge: usize) -> Result<Prepared> {
    let (mut scratch, config) = (Scratch::default(), net.config());
    let (latent, text) = (numbers((4 * edge * edge) as u32), numbers((77 * config.text) as u32));
    let added = config.added.map(|added| (numbers(added.pooled as u32), vec![8.0 * edge as f32; added.ids]));
    Ok(Prepared::new(net.flops((edge, edge), 77), move || {
        let added = added.as_ref().map(|(pooled, ids)| Added { pooled, ids });
        let condition = Condition { time: 500.0, text: &text, added };
        net.run(&latent, (edge, edge), condition, None, &mut scratch).map(drop)
    }))
}

/// One convolution over a map.
fn convolution(
    layer: Conv2d,
    region: Region,
    channels: usize,
    then: Then<'static>,
    precision: Precision,
) -> Result<Prepared> {
    let mut pool = Pool::default();
    let input = map(region, channels, precision, &mut pool)?;
    let flops = layer.flops() * (region.width() * region.height()) as f64;
    Ok(Prepared::new(flops, move || {
        let out = layer.run(&input, then, &mut pool)?;
        pool.give(out);
        Ok(())
    }))
}

/// An upscaler over a whole picture.
fn upscaler(net: impl Network + 'static, edge: u32) -> Prepared {
    let rgb = numbers(3 * edge * edge);
    Prepared::new(net.flops() * f64::from(edge * edge), move || {
        enlarge(&net, Picture::new(edge, edge, &rgb)?, edge, &mut Unwatched).map(drop)
    })
}

/// Random numbers of order one.
fn numbers(len: u32) -> Vec<f32> {
    (0..len).map(|i| gaussian(1, i, 0, 0, 0)).collect()
}

/// A map of random numbers.
fn map(region: Region, channels: usize, precision: Precision, pool: &mut Pool) -> Result<Map> {
    let mut map = pool.map(region, channels, precision)?;
    map.write(|y, row| {
        for (value, i) in row.iter_mut().zip(0..) {
            *value = gaussian(1, i, y as u32, 0, 0);
        }
    })?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_are_found_by_name() {
        let error = prepare("conv3x3-1-1", Precision::F32).err();
        assert!(matches!(error, Some(Error::Setting { name: "work", .. })));
        for precision in [Precision::F32, Precision::Bf16] {
            let mut work = prepare("conv3x3-1280-16", precision).unwrap();
            assert_eq!(work.flops, 2.0 * 9.0 * 1280.0 * 1280.0 * 256.0);
            work.run().unwrap();
        }
    }

    #[test]
    fn names_are_unique() {
        for (i, work) in WORKS.iter().enumerate() {
            assert!(WORKS[..i].iter().all(|other| other.name != work.name));
        }
    }
}
