//! SRVGGNetCompact (Wang et al., Real-ESRGAN 2021, its small models): 3x3 convolutions at the size of the input, and a pixel
//! shuffle.

use super::{Architecture, Network, Take};
use crate::files::Tensor;
use crate::kernels::Activation;
use crate::layers::{Band, Conv2d, Map, Pool, Precision, Region, Then, Weights, along};
use crate::{Error, Result, planes};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "SRVGGNetCompact",
    signs: &["body.0.weight", "body.0.bias", "body.1.weight", "body.2.weight", "body.2.bias"],
    names: &[],
    is: |tensors| matches!(tensors.get("body.1.weight").map(Tensor::shape), Some([_])),
    load: |weights| Ok(Box::new(Srvgg::load(weights, Shape::of(weights)?)?)),
};

/// The sizes of a network.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Channels between the layers.
    pub(crate) features: usize,
    /// Convolutions between the first one and the last one.
    pub(crate) convs: usize,
    /// How much larger the result is.
    pub(crate) scale: usize,
}

impl Shape {
    /// Finds the sizes in a file.
    pub(super) fn of(weights: &Weights<'_>) -> Result<Self> {
        // Convolutions and slopes in turn; the last convolution has none.
        let layers = weights.count("body.", ".weight");
        let last = format!("body.{}.weight", layers - 1);
        let outputs = weights.width(&last)?;
        let scale = (outputs / 3).isqrt();
        if layers < 3 || layers.is_multiple_of(2) || 3 * scale * scale != outputs {
            let (file, found) = ("upscaler".into(), weights.shape(&last)?);
            let wanted = "a convolution to 3 channels for each pixel of a square".into();
            return Err(Error::TensorShape { file, tensor: last, found, wanted });
        }
        Ok(Self { features: weights.width("body.0.weight")?, convs: (layers - 3) / 2, scale })
    }
}

/// The network.
pub(crate) struct Srvgg {
    body: Vec<Layer>,
    last: Conv2d,
    scale: usize,
}

/// A convolution and the slopes of its PReLU.
struct Layer {
    conv: Conv2d,
    slopes: Vec<f32>,
}

impl Srvgg {
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, shape: Shape) -> Result<Self> {
        let Shape { features, convs, scale } = shape;
        let layer = |i: usize| -> Result<Layer> {
            let name = format!("body.{}", 2 * i);
            let conv = match i {
                // The picture itself comes in as f32, and the result goes out as f32.
                0 => Conv2d::load(&weights.precise(), &name, 3, features, 3)?.giving(weights.precision()),
                _ => Conv2d::load(weights, &name, features, features, 3)?,
            };
            Ok(Layer { conv, slopes: weights.tensor(&format!("body.{}.weight", 2 * i + 1), &[features])? })
        };
        let last = format!("body.{}", 2 * convs + 2);
        Ok(Self {
            body: (0..=convs).map(layer).collect::<Result<_>>()?,
            last: Conv2d::load(weights, &last, features, 3 * scale * scale, 3)?.giving(Precision::F32),
            scale,
        })
    }
}

impl Srvgg {
    /// What makes the residual that is added to the nearest pixels, before the pixel shuffle.
    fn chain(&self) -> Vec<(&Conv2d, Then<'_>)> {
        let body = self.body.iter().map(|Layer { conv, slopes }| (conv, Then::activation(Activation::Prelu(slopes))));
        body.chain([(&self.last, Then::NOTHING)]).collect()
    }
}

impl Network for Srvgg {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        Some(self.body.len() + 1)
    }

    fn layers(&self) -> Vec<&Conv2d> {
        self.body.iter().map(|layer| &layer.conv).chain([&self.last]).collect()
    }

    fn in_bands(&self) -> bool {
        true
    }

    fn bytes_at_work(&self, width: usize, height: usize) -> u64 {
        // Two maps in turn, and the picture.
        Band::most_bytes((width, height), &self.layers(), 2) + 12 * (width * height) as u64
    }

    fn base(&self, planes: &[f32], width: usize) -> Result<Vec<f32>> {
        planes::nearest(planes, width, self.scale)
    }

    fn enlarged(&self, input: Map, cell: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let bands = Band::all(input.region, cell, &self.layers());
        along(&self.chain(), input, bands, pool, take)
    }
}
