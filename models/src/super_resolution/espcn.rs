//! ESPCN (Shi et al. 2016): a few convolutions with tanh at the size of the input, and a pixel shuffle. Its networks are for
//! grey pictures, or the brightness of coloured ones; here they run on each colour.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::files::Tensor;
use crate::layers::{Conv2d, Map, Pool, Region, Then, Weights};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "ESPCN",
    signs: &[
        "first_part.0.weight",
        "first_part.0.bias",
        "first_part.2.weight",
        "last_part.0.weight",
        "last_part.0.bias",
    ],
    names: &[],
    is: |tensors| {
        let first = tensors.get("first_part.0.weight").map_or(&[][..], Tensor::shape);
        matches!(first, [_, 1 | 3, ..])
    },
    load: |weights| Ok(Box::new(Espcn::load(&weights.on_processor())?)),
};

/// The network.
struct Espcn {
    body: Vec<Conv2d>,
    last: Conv2d,
    scale: usize,
    colours: usize,
}

impl Espcn {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let colours = weights.side("first_part.0.weight", 1)?;
        let names = (0..).map(|i| format!("first_part.{}", 2 * i));
        let (mut body, mut inputs) = (Vec::new(), colours);
        for name in names.take_while(|name| weights.has(&format!("{name}.weight"))) {
            let conv = Conv2d::found(weights, &name, inputs)?;
            inputs = conv.channels();
            body.push(conv);
        }
        let last = Conv2d::found(weights, "last_part.0", inputs)?;
        let scale = weights.enlargement("last_part.0.weight", colours)?;
        Ok(Self { body, last, scale, colours })
    }
}

impl Network for Espcn {
    fn scale(&self) -> usize {
        self.scale
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        Some(self.layers().iter().map(|layer| layer.radius()).sum())
    }

    fn layers(&self) -> Vec<&Conv2d> {
        self.body.iter().chain([&self.last]).collect()
    }

    fn alive(&self) -> u64 {
        let widest = self.layers().iter().map(|layer| layer.channels()).max().unwrap_or(0);
        4 * (2 * widest + self.colours * self.scale * self.scale) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let mut x = input;
        for conv in &self.body {
            let mut y = conv.run(&x, Then::NOTHING, pool)?;
            y.change(|_, value| value.tanh())?;
            pool.give(std::mem::replace(&mut x, y));
        }
        let out = self.last.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        take(out, pool)
    }
}
