//! Convolutions whose taps lie several pixels apart.

use super::{Conv2d, Weights, Window};
use crate::Result;
use crate::picture::zeros;

impl Conv2d {
    /// A 3x3 convolution without a bias whose taps lie `apart` pixels from each other, and that keeps the size, with a batch
    /// normalisation behind it. Reads `{name}.weight` (out, in, 3, 3) and what [`Conv2d::normalised`] reads of `norm`.
    ///
    /// It is computed as an ordinary one of `2 * apart + 1` pixels with zeros between the taps, so it is meant for few channels.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn dilated(
        weights: &Weights<'_>,
        name: &str,
        norm: (&str, f32),
        channels_in: usize,
        apart: usize,
    ) -> Result<Self> {
        let weight = format!("{name}.weight");
        let channels_out = weights.width(&weight)?;
        let mut taps = weights.tensor(&weight, &[channels_out, channels_in, 3, 3])?;
        let mut bias = vec![0.0; channels_out];
        weights.normalise(norm.0, norm.1, &mut taps, &mut bias)?;
        let edge = 2 * apart + 1;
        let mut values = zeros(channels_out * channels_in * edge * edge, "the weights of a layer")?;
        for (taps, filter) in taps.chunks_exact(9).zip(values.chunks_exact_mut(edge * edge)) {
            for (i, tap) in taps.iter().enumerate() {
                filter[(i / 3 * edge + i % 3) * apart] = *tap;
            }
        }
        Self::of(weights, &values, &bias, channels_in, Window::same(edge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Format, Tensor, Tensors};
    use crate::layers::{Map, Pool, Precision, Region, Then};
    use safetensors::Dtype;

    #[test]
    fn taps_lie_apart() {
        let tensor = |shape: &[usize], values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor::new(Dtype::F32, shape.to_vec(), bytes).unwrap()
        };
        let taps: Vec<f32> = (1..10).map(|tap| tap as f32).collect();
        let named = [
            ("a.weight", tensor(&[1, 1, 3, 3], &taps)),
            ("b.weight", tensor(&[1], &[2.0])),
            ("b.bias", tensor(&[1], &[0.5])),
            ("b.running_mean", tensor(&[1], &[1.0])),
            ("b.running_var", tensor(&[1], &[4.0])),
        ];
        let named = named.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        let weights = Weights::of("test", Tensors::of(Format::TorchZip, named));
        let mut pool = Pool::default();
        for apart in [1, 2, 3, 5] {
            let conv = Conv2d::dilated(&weights, "a", ("b", 0.0), 1, apart).unwrap();
            // One bright pixel in the middle shows all taps, turned round.
            let mut map = pool.map(Region::whole(13, 13), 1, Precision::F32).unwrap();
            map.write(|y, row| {
                row.fill(0.0);
                row[6] = if y == 6 { 1.0 } else { 0.0 };
            })
            .unwrap();
            let out: Map = conv.run(&map, Then::NOTHING, &mut pool).unwrap();
            for (i, tap) in taps.iter().enumerate() {
                let (x, y) = (6 + apart - i % 3 * apart, 6 + apart - i / 3 * apart);
                assert!((out.pixels(x, y, 1)[0] - (tap - 1.0 + 0.5)).abs() < 1e-5, "{apart}: tap {tap}");
            }
            let seen = out.fetch().unwrap().iter().filter(|value| (**value + 0.5).abs() > 1e-5).count();
            assert_eq!(seen, 9, "{apart}");
        }
    }
}
