//! DnCNN (Zhang et al. 2017): 3x3 convolutions with ReLU that predict the noise, which is then taken away. For grey or coloured
//! pictures, at their own size. FDnCNN, which is told the noise in a further channel, is not read.

use super::{Architecture, Network};
use crate::files::{Tensor, Tensors};
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Precision, Then, Weights, Window};
use crate::{Result, picture::room};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "DnCNN",
    signs: &["model.0.weight", "model.2.weight"],
    names: &[named_by_dncnn],
    is: |tensors| {
        let places = places(tensors.names());
        let shape = |place: &usize| tensors.get(&format!("model.{place}.weight")).map_or(&[][..], Tensor::shape);
        places.len() >= 3 && places.iter().all(|place| matches!(shape(place), [_, _, 3, 3] | [_]))
    },
    load: |weights| Ok(Box::new(Dncnn::load(weights)?)),
};

/// Names as in the code of the paper's authors for PyTorch.
fn named_by_dncnn(tensors: Tensors<'_>) -> Tensors<'_> {
    tensors.renamed(|name| Some(name.strip_prefix("dncnn.").map_or(name.to_owned(), |name| format!("model.{name}"))))
}

/// Numbers of the layers with weights.
fn places<'n>(names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let mut places: Vec<usize> =
        names.filter_map(|name| name.strip_prefix("model.")?.strip_suffix(".weight")?.parse().ok()).collect();
    places.sort_unstable();
    places
}

/// The network.
struct Dncnn {
    body: Vec<Conv2d>,
    colours: usize,
}

impl Dncnn {
    /// Convolutions with ReLU behind all but the last. Normalisations by numbers that training has fixed are part of the convolution
    /// before them.
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let places = places(weights.names());
        let name = |place: usize| format!("model.{place}");
        let is_conv =
            |place: &&usize| weights.shape(&format!("model.{place}.weight")).is_ok_and(|shape| shape.len() == 4);
        let convs: Vec<usize> = places.iter().filter(is_conv).copied().collect();
        let [first, .., last] = convs[..] else {
            return Err(weights.unsupported("it is a DnCNN of fewer than two convolutions"));
        };
        let colours = weights.shape(&format!("model.{first}.weight"))?.get(1).copied().unwrap_or(0);
        if ![1, 3].contains(&colours) {
            return Err(weights.unsupported(
                "it is an FDnCNN, which has to be told how strong the noise is in a further channel: take a DnCNN",
            ));
        }
        let mut body = Vec::new();
        let mut inputs = colours;
        for &place in &convs {
            // The picture itself comes in as f32, and the result goes out as f32.
            let on = if place == first { weights.precise() } else { weights.clone() };
            let outputs = if place == last { colours } else { weights.width(&format!("model.{place}.weight"))? };
            let behind = name(place + 1);
            let norm = weights.has(&format!("{behind}.running_mean")).then_some(behind.as_str());
            let conv = Conv2d::normalised(&on, &name(place), norm, inputs, outputs, Window::same(3))?;
            body.push(conv.giving(if place == last { Precision::F32 } else { weights.precision() }));
            inputs = outputs;
        }
        Ok(Self { body, colours })
    }
}

impl Network for Dncnn {
    fn scale(&self) -> usize {
        1
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        Some(self.body.len())
    }

    fn flops(&self) -> f64 {
        self.body.iter().map(Conv2d::flops).sum()
    }

    fn alive(&self) -> u64 {
        // Two maps in turn.
        8 * self.body.iter().map(Conv2d::channels).max().unwrap_or(0) as u64
    }

    fn bytes(&self) -> u64 {
        self.body.iter().map(Conv2d::bytes).sum()
    }

    fn base(&self, planes: &[f32], _width: usize) -> Result<Vec<f32>> {
        let mut copy = room(planes.len(), "the restored picture")?;
        copy.extend_from_slice(planes);
        Ok(copy)
    }

    fn enlarged(&self, input: Map, pool: &mut Pool) -> Result<Map> {
        let mut x = input;
        for (conv, left) in self.body.iter().zip((0..self.body.len()).rev()) {
            let then = Then::activation(if left == 0 { Activation::Identity } else { Activation::LeakyRelu(0.0) });
            let y = conv.run(&x, then, pool)?;
            pool.give(std::mem::replace(&mut x, y));
        }
        // The network gives the noise.
        let mut noise = x.here(pool)?;
        noise.write(|_, row| row.iter_mut().for_each(|value| *value = -*value))?;
        Ok(noise)
    }
}
