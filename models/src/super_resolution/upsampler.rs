//! The ways in which transformers enlarge what they made.

use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Then, Weights};

/// How a map of features becomes a picture.
pub(super) enum Upsampler {
    /// A convolution, then for each step a convolution with a pixel shuffle, then a convolution.
    Shuffles { before: Conv2d, steps: Vec<(Conv2d, usize)>, last: Conv2d },
    /// One convolution with a pixel shuffle.
    Direct { last: Conv2d, scale: usize },
    /// A convolution, then for each step an enlargement to the nearest pixel with a convolution, then two convolutions.
    Nearest { before: Conv2d, steps: Vec<Conv2d>, hr: Conv2d, last: Conv2d },
    /// Not at all: what a convolution gives is added to the picture.
    Restore { last: Conv2d },
}

impl Upsampler {
    /// Finds out which by the names `conv_before_upsample`, `upsample`, `conv_up1`, `conv_hr` and `conv_last`.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(weights: &Weights<'_>, features: usize, colours: usize) -> Result<Self> {
        let conv = |name: &str, inputs: usize| Conv2d::found(weights, name, inputs);
        let to_picture = |name: &str, inputs: usize| -> Result<Conv2d> {
            let last = conv(name, inputs)?;
            if last.channels() != colours {
                let name = format!("{name}.weight");
                return Err(weights.misshaped(&name, weights.shape(&name)?, format!("{colours} output channels")));
            }
            Ok(last)
        };
        if !weights.has("conv_before_upsample.0.weight") {
            return Ok(match weights.has("upsample.0.weight") {
                true => {
                    let scale = weights.enlargement("upsample.0.weight", colours)?;
                    Self::Direct { last: conv("upsample.0", features)?, scale }
                }
                false => Self::Restore { last: to_picture("conv_last", features)? },
            });
        }
        let before = conv("conv_before_upsample.0", features)?;
        let width = before.channels();
        if weights.has("conv_up1.weight") {
            let names = (1..).map(|i| format!("conv_up{i}")).take_while(|name| weights.has(&format!("{name}.weight")));
            let steps = names.map(|name| conv(&name, width)).collect::<Result<Vec<_>>>()?;
            let hr = conv("conv_hr", width)?;
            if steps.iter().chain([&hr]).any(|step| step.channels() != width) {
                return Err(weights.unsupported("the convolutions that enlarge are not of one width"));
            }
            return Ok(Self::Nearest { before, steps, hr, last: to_picture("conv_last", width)? });
        }
        let names =
            (0..).map(|i| format!("upsample.{}", 2 * i)).take_while(|name| weights.has(&format!("{name}.weight")));
        let step = |name: String| -> Result<(Conv2d, usize)> {
            Ok((conv(&name, width)?, weights.enlargement(&format!("{name}.weight"), width)?))
        };
        Ok(Self::Shuffles {
            before,
            steps: names.map(step).collect::<Result<_>>()?,
            last: to_picture("conv_last", width)?,
        })
    }

    /// How much larger the picture is.
    pub(super) fn scale(&self) -> usize {
        match self {
            Self::Shuffles { steps, .. } => steps.iter().map(|(_, scale)| scale).product(),
            Self::Direct { scale, .. } => *scale,
            Self::Nearest { steps, .. } => 1 << steps.len(),
            Self::Restore { .. } => 1,
        }
    }

    /// The layers that work at the size of what comes in.
    pub(super) fn layers(&self) -> Vec<&Conv2d> {
        match self {
            Self::Shuffles { before, .. } | Self::Nearest { before, .. } => vec![before],
            Self::Direct { last, .. } | Self::Restore { last } => vec![last],
        }
    }

    /// Floating-point operations per pixel of what comes in of the others.
    pub(super) fn more_flops(&self) -> f64 {
        let full = (self.scale() * self.scale()) as f64;
        match self {
            Self::Shuffles { steps, last, .. } => {
                let mut area = 1.0;
                let each = steps.iter().map(|(conv, scale)| {
                    let flops = conv.flops() * area;
                    area *= (scale * scale) as f64;
                    flops
                });
                each.sum::<f64>() + full * last.flops()
            }
            Self::Nearest { steps, hr, last, .. } => {
                let each = steps.iter().enumerate().map(|(i, conv)| 4f64.powi(i as i32 + 1) * conv.flops());
                each.sum::<f64>() + full * (hr.flops() + last.flops())
            }
            Self::Direct { .. } | Self::Restore { .. } => 0.0,
        }
    }

    /// Bytes of the maps that live at once, for each pixel of what comes in.
    pub(super) fn alive(&self) -> u64 {
        let full = self.scale() * self.scale();
        let channels = match self {
            Self::Shuffles { before, .. } => 2 * before.channels(),
            Self::Nearest { before, .. } => 3 * before.channels(),
            Self::Direct { .. } | Self::Restore { .. } => 6,
        };
        (4 * full * channels) as u64
    }

    /// Makes the picture; `picture` is what came into the network.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails.
    pub(super) fn run(&self, x: Map, picture: &Map, pool: &mut Pool) -> Result<Map> {
        // The one in front has PyTorch's usual slope.
        let then = Then::activation(Activation::LeakyRelu(0.01));
        let leaky = Then::activation(Activation::LeakyRelu(0.2));
        let out = match self {
            Self::Restore { last } => last.run(&x, Then::add(picture), pool)?,
            Self::Direct { last, scale } => {
                let y = last.run(&x, Then::NOTHING, pool)?;
                let out = y.shuffled(*scale, pool)?;
                pool.give(y);
                out
            }
            Self::Shuffles { before, steps, last } => {
                let mut y = before.run(&x, then, pool)?;
                for (conv, scale) in steps {
                    let wide = conv.run(&y, Then::NOTHING, pool)?;
                    let large = wide.shuffled(*scale, pool)?;
                    pool.give(wide);
                    pool.give(std::mem::replace(&mut y, large));
                }
                let out = last.run(&y, Then::NOTHING, pool)?;
                pool.give(y);
                out
            }
            Self::Nearest { before, steps, hr, last } => {
                let mut y = before.run(&x, then, pool)?;
                for conv in steps {
                    let (width, height) = y.size();
                    let large = y.nearest((2 * width, 2 * height), pool)?;
                    let next = conv.run(&large, leaky, pool)?;
                    pool.give(large);
                    pool.give(std::mem::replace(&mut y, next));
                }
                let z = hr.run(&y, leaky, pool)?;
                pool.give(y);
                let out = last.run(&z, Then::NOTHING, pool)?;
                pool.give(z);
                out
            }
        };
        pool.give(x);
        Ok(out)
    }
}
