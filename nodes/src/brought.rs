//! Pictures through networks that people bring along: any factor out of any network, in passes and by resampling.

use crate::{
    backend::{self, Precision, Watched},
    pixel::spread,
    walk::{self, Walk},
};
use engine::{
    Blame, Cx, Failure, NodeResult,
    value::{Image, Size},
};
use models::SuperResolution;
use std::{borrow::Cow, sync::Arc};

/// Most passes of a network over its own result.
const MOST_PASSES: u32 = 4;

/// Edges of tiles in radii, at least: where memory does not grow with their height, margins cost a twentieth at most.
const WIDE: u32 = 80;
const DEEP: u32 = 3;

/// A network of a file, and how often it runs for a factor.
pub(crate) struct Brought {
    network: Arc<SuperResolution>,
}

impl Brought {
    /// The network that a `model` names.
    pub(crate) fn new(model: &str, precision: Precision) -> NodeResult<Self> {
        Ok(Self { network: precision.brought(model)? })
    }

    /// How much larger one pass makes a picture.
    pub(crate) fn scale(&self) -> u32 {
        self.network.scale()
    }

    /// The passes that a factor takes: the next larger power of the network's own. Networks that do not enlarge run once.
    pub(crate) fn passes(&self, factor: f64) -> NodeResult<u32> {
        let own = f64::from(self.scale());
        if own <= 1.0 {
            return Ok(1);
        }
        (1..=MOST_PASSES).find(|&passes| own.powi(passes as i32) >= factor).ok_or_else(|| {
            Failure::new(Blame::Graph, format!("a model that enlarges by {own} cannot reach {factor} in one node"))
                .at("scale")
                .hint(format!("use at most {}", own.powi(MOST_PASSES as i32)))
        })
    }

    /// How far an output pixel looks after so many passes, in pixels of what comes in; nothing when that is all of the picture.
    pub(crate) fn radius(&self, passes: u32) -> Option<u32> {
        let own = self.scale();
        let pass = |pass: u32| self.network.radius().map(|radius| radius.div_ceil(own.saturating_pow(pass)));
        (0..passes).try_fold(0u32, |sum, number| Some(sum.saturating_add(pass(number)?)))
    }

    /// The edge of the tiles for a picture of a size: with narrow tiles deep networks would compute their margins over and over.
    fn edge(&self, tile: u32, size: Size) -> u32 {
        let Some(radius) = self.network.radius() else { return tile.max(SuperResolution::LEAST_TILE) };
        let least = if self.network.in_bands() { WIDE } else { DEEP };
        walk::edge(tile.max(radius.saturating_mul(least)), size)
    }

    /// Floating-point operations and bytes at work for a picture of a size; `halved` makes tiles as small as memory asks for.
    pub(crate) fn cost(&self, size: Size, passes: u32, tile: u32, halved: impl Fn(u32) -> u32) -> (f64, u64, u64) {
        let mut size = size;
        let (mut flops, mut bytes, mut count) = (0.0, 0u64, 0);
        for _ in 0..passes {
            // Where tiles decide about pixels they keep their size.
            let edge = self.edge(tile, size);
            let (edge, margin) = match self.network.radius() {
                Some(radius) => (halved(edge), radius),
                None => (edge, SuperResolution::OVERLAP),
            };
            let walk = Walk { edge, margin };
            let (width, height) = walk.widest(size);
            flops += self.network.flops_per_pixel() * walk.pixels(size);
            bytes = bytes.max(self.network.bytes_at_work(width, height));
            count += walk.tiles(size);
            size = size.scaled(f64::from(self.scale()));
            // The planes of this pass and of the one before.
            bytes = bytes.saturating_add(size.area().saturating_mul(12));
        }
        (flops, bytes.saturating_add(self.network.bytes()), count)
    }

    /// The colours of a picture after so many passes.
    pub(crate) fn run(&self, cx: &Cx<'_>, image: &Image, passes: u32, tile: u32) -> NodeResult<Vec<f32>> {
        let rgb = backend::colours(image);
        let mut rgb = spread::colours(image, &rgb).map_or(rgb, Cow::Owned);
        let (mut size, place, own) = (image.size(), cx.place(image.size()), self.scale());
        let mut origin = (place.x, place.y);
        for pass in 0..passes {
            let edge = self.edge(tile, size);
            let tile = if self.network.radius().is_some() { cx.edge(edge) } else { edge };
            let picture = backend::picture(&rgb, size, origin)?;
            let mut watch = Watched { cx, part: pass.into(), parts: passes.into() };
            // What is kept of a tile is told by its place alone: passes of one size after the other do not mix.
            let mut quiet = |done: u64, total: u64| models::Watch::step(&mut watch, done, total);
            let out = match passes {
                1 => {
                    let mut watch = Watched { cx, part: 0, parts: 1 };
                    self.network.run(picture, tile, &mut watch)
                }
                _ => self.network.run(picture, tile, &mut quiet),
            };
            rgb = Cow::Owned(out.map_err(backend::failure)?);
            size = Size::new(size.width.saturating_mul(own), size.height.saturating_mul(own));
            origin = (origin.0.saturating_mul(own), origin.1.saturating_mul(own));
        }
        Ok(rgb.into_owned())
    }
}
