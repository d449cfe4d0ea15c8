//! DnCNN (Zhang et al. 2017): 3x3 convolutions with ReLU that predict the noise, which is then taken away. For grey or coloured
//! pictures, at their own size. FDnCNN, which is told the noise in a further channel, is not read.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::files::{Tensor, Tensors};
use crate::kernels::Activation;
use crate::layers::{Band, Conv2d, Map, Pool, Precision, Region, Then, Weights, Window, along};
use crate::picture::room;

/// How files of KAIR are told, which published the networks of the paper's authors.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "DnCNN",
    signs: &["model.0.weight", "model.2.weight"],
    names: &[],
    is: |tensors| is_row(tensors, "model"),
    load: |weights| Ok(Box::new(Dncnn::load(weights, "model", 1e-4)?)),
};

/// How those of the first code for PyTorch are told.
pub(super) const FIRST: Architecture = Architecture {
    name: "DnCNN (first code)",
    signs: &["dncnn.0.weight", "dncnn.2.weight"],
    names: &[],
    is: |tensors| is_row(tensors, "dncnn"),
    load: |weights| Ok(Box::new(Dncnn::load(weights, "dncnn", 1e-5)?)),
};

/// Whether tensors are those of a row of 3x3 convolutions and normalisations.
fn is_row(tensors: &Tensors<'_>, row: &str) -> bool {
    let places = places(tensors.names(), row);
    let shape = |place: &usize| tensors.get(&format!("{row}.{place}.weight")).map_or(&[][..], Tensor::shape);
    places.len() >= 3 && places.iter().all(|place| matches!(shape(place), [_, _, 3, 3] | [_]))
}

/// Numbers of the layers with weights.
fn places<'n>(names: impl Iterator<Item = &'n str>, row: &str) -> Vec<usize> {
    let place = |name: &str| name.strip_prefix(row)?.strip_prefix('.')?.strip_suffix(".weight")?.parse().ok();
    let mut places: Vec<usize> = names.filter_map(place).collect();
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
    fn load(weights: &Weights<'_>, row: &str, epsilon: f32) -> Result<Self> {
        let places = places(weights.names(), row);
        let name = |place: usize| format!("{row}.{place}");
        let is_conv =
            |place: &&usize| weights.shape(&format!("{row}.{place}.weight")).is_ok_and(|shape| shape.len() == 4);
        let convs: Vec<usize> = places.iter().filter(is_conv).copied().collect();
        let [first, .., last] = convs[..] else {
            return Err(weights.unsupported("it is a DnCNN of fewer than two convolutions"));
        };
        let colours = weights.shape(&format!("{row}.{first}.weight"))?.get(1).copied().unwrap_or(0);
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
            let outputs = if place == last { colours } else { weights.width(&format!("{row}.{place}.weight"))? };
            let behind = name(place + 1);
            let norm = weights.has(&format!("{behind}.running_mean")).then_some((behind.as_str(), epsilon));
            let conv = Conv2d::normalised(&on, &name(place), norm, inputs, outputs, Window::same(3))?;
            body.push(conv.giving(if place == last { Precision::F32 } else { weights.precision() }));
            inputs = outputs;
        }
        Ok(Self { body, colours })
    }
}

impl Dncnn {
    /// What makes the noise.
    fn chain(&self) -> Vec<(&Conv2d, Then<'_>)> {
        let last = self.body.len() - 1;
        let then = |i| Then::activation(if i == last { Activation::Identity } else { Activation::LeakyRelu(0.0) });
        self.body.iter().enumerate().map(|(i, conv)| (conv, then(i))).collect()
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

    fn layers(&self) -> Vec<&Conv2d> {
        self.body.iter().collect()
    }

    fn in_bands(&self) -> bool {
        true
    }

    fn bytes_at_work(&self, width: usize, height: usize) -> u64 {
        // Two maps in turn, and the picture.
        Band::most_bytes((width, height), &self.layers(), 2) + 12 * (width * height) as u64
    }

    fn base(&self, planes: &[f32], _width: usize) -> Result<Vec<f32>> {
        let mut copy = room(planes.len(), "the restored picture")?;
        copy.extend_from_slice(planes);
        Ok(copy)
    }

    fn enlarged(&self, input: Map, cell: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let bands = Band::all(input.region, cell, &self.layers());
        along(&self.chain(), input, bands, pool, &mut |noise, pool| {
            // What is added to the picture to be rid of its noise.
            let mut rows = noise.here(pool)?;
            rows.write(|_, row| row.iter_mut().for_each(|value| *value = -*value))?;
            take(rows, pool)
        })
    }
}
