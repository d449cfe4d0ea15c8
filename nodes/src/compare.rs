use crate::pixel::unit;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Outputs, Shapes, outputs,
    value::{Image, Number, Text},
};
use rayon::prelude::*;

engine::node! {
    /// Measures how near a picture is to another: PSNR and SSIM of the luma, as in papers on super-resolution.
    ///
    /// Samples are rounded to 8 bits and turned to BT.601 luma from 16 to 235. PSNR is in decibels, infinite for equal
    /// pictures. SSIM (Wang et al. 2004) uses a Gaussian window of 11 pixels with a deviation of 1.5, where it lies
    /// within the picture; pictures below 11 pixels are one window. Of pictures of different size the common left upper
    /// part is compared.
    pub struct Compare, version 1 {
        /// Picture to judge.
        image: In<Image>,
        /// Picture that it should equal.
        reference: In<Image>,
        /// Pixels at every edge that are left out; papers leave out as many as the scale.
        #[schemars(range(min = 0, max = 4096))]
        crop: u32 = 0,
    }
}

outputs! {
    /// What `Compare` measures.
    pub struct Measures {
        /// Peak signal-to-noise ratio of the luma, in decibels.
        psnr: Number,
        /// Structural similarity of the luma, 1 for equal pictures.
        ssim: Number,
        /// Both, as a text.
        report: Text,
    }
}

/// Luma, 16 to 235, of the part that is compared.
struct Luma {
    width: usize,
    samples: Vec<f64>,
}

impl Luma {
    fn new(image: &Image, left: usize, width: usize, height: usize) -> Self {
        let row = image.size().width as usize;
        let step = |plane: usize, i: usize| f64::from((unit(image.plane(plane)[i]) * 255.0).round());
        let samples = (0..width * height)
            .into_par_iter()
            .map(|i| {
                let at = (left + i / width) * row + left + i % width;
                (65.481 * step(0, at) + 128.553 * step(1, at) + 24.966 * step(2, at)) / 255.0 + 16.0
            })
            .collect();
        Self { width, samples }
    }

    fn row(&self, y: usize) -> &[f64] {
        &self.samples[y * self.width..(y + 1) * self.width]
    }

    fn height(&self) -> usize {
        self.samples.len() / self.width.max(1)
    }
}

fn psnr(a: &Luma, b: &Luma) -> f64 {
    // By rows, so that the thread count does not change the rounding.
    let rows: Vec<f64> = (0..a.height())
        .into_par_iter()
        .map(|y| a.row(y).iter().zip(b.row(y)).map(|(a, b)| (a - b).powi(2)).sum())
        .collect();
    let mean = rows.iter().sum::<f64>() / a.samples.len() as f64;
    if mean == 0.0 { f64::INFINITY } else { 10.0 * (255.0_f64.powi(2) / mean).log10() }
}

/// Similarity by the means of a, b, a², b² and ab over a window.
fn similarity([a, b, aa, bb, ab]: [f64; 5]) -> f64 {
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    let (va, vb, cov) = (aa - a * a, bb - b * b, ab - a * b);
    (2.0 * a * b + c1) * (2.0 * cov + c2) / ((a * a + b * b + c1) * (va + vb + c2))
}

fn products(a: f64, b: f64) -> [f64; 5] {
    [a, b, a * a, b * b, a * b]
}

fn ssim(a: &Luma, b: &Luma) -> f64 {
    const REACH: usize = 5;
    let (width, height) = (a.width, a.height());
    if width <= 2 * REACH || height <= 2 * REACH {
        let mut sums = [0.0; 5];
        for (&a, &b) in a.samples.iter().zip(&b.samples) {
            sums.iter_mut().zip(products(a, b)).for_each(|(sum, v)| *sum += v);
        }
        return similarity(sums.map(|sum| sum / a.samples.len() as f64));
    }
    let mut bell: Vec<f64> =
        (0..=2 * REACH).map(|i| (-0.5 * ((i as f64 - REACH as f64) / 1.5).powi(2)).exp()).collect();
    let sum: f64 = bell.iter().sum();
    bell.iter_mut().for_each(|w| *w /= sum);
    let rows: Vec<f64> = (0..height - 2 * REACH)
        .into_par_iter()
        .map(|y| {
            let mut down = vec![[0.0; 5]; width];
            for (i, &w) in bell.iter().enumerate() {
                for (sums, (&a, &b)) in down.iter_mut().zip(a.row(y + i).iter().zip(b.row(y + i))) {
                    sums.iter_mut().zip(products(a, b)).for_each(|(sum, v)| *sum += w * v);
                }
            }
            down.windows(2 * REACH + 1)
                .map(|window| {
                    let mut means = [0.0; 5];
                    for (sums, &w) in window.iter().zip(&bell) {
                        means.iter_mut().zip(sums).for_each(|(mean, v)| *mean += w * v);
                    }
                    similarity(means)
                })
                .sum()
        })
        .collect();
    rows.iter().sum::<f64>() / ((width - 2 * REACH) * (height - 2 * REACH)) as f64
}

/// PSNR and SSIM, or `None` when nothing is left to compare.
fn measure(image: &Image, reference: &Image, crop: u32) -> Option<(f64, f64)> {
    let crop = crop as usize;
    let edge = |a: u32, b: u32| (a.min(b) as usize).checked_sub(2 * crop).filter(|&n| n > 0);
    let (a, b) = (image.size(), reference.size());
    let (width, height) = (edge(a.width, b.width)?, edge(a.height, b.height)?);
    let (a, b) = (Luma::new(image, crop, width, height), Luma::new(reference, crop, width, height));
    Some((psnr(&a, &b), ssim(&a, &b)))
}

impl Node for Compare {
    type Out = Measures;
    const HEAVY: bool = true;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let area = seen.picture_size().map_or(0, |size| size.area());
        Forecast { working_bytes: 16 * area, ..Forecast::like(None, Measures::PORTS) }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Measures> {
        let (image, reference) = (cx.get(&self.image)?, cx.get(&self.reference)?);
        cx.checkpoint()?;
        let Some((psnr, ssim)) = measure(&image, &reference, self.crop) else {
            engine::bail!(crop, "nothing is left of a picture of {} when {} pixels are cut from every edge",
                image.size(), self.crop; hint: "use a smaller `crop`");
        };
        let report = format!("PSNR-Y {psnr:.2} dB, SSIM-Y {ssim:.4}");
        Ok(Measures { psnr: Number(psnr), ssim: Number(ssim), report: Text(report) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Size;

    fn pattern(width: u32, height: u32, shift: u32) -> Image {
        let mut samples = Vec::new();
        for c in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let v = (x * 7 + y * 3 + c * 29 + (x * y) % 17 * 3 + ((x ^ y) & 7) * shift) % 256;
                    samples.push(v as f32 / 255.0);
                }
            }
        }
        Image::new(Size::new(width, height), 3, samples, Default::default())
    }

    /// Numbers of a NumPy and SciPy implementation of the same measures on the same pictures.
    #[test]
    fn numbers_agree_with_the_reference_implementation() {
        let wanted = [
            (40, 31, 0, 21.706_512_487_239_58, 0.766_111_321_451_875_9),
            (40, 31, 4, 20.459_797_821_885_18, 0.701_284_134_716_677_8),
            (64, 48, 2, 20.768_242_611_873_365, 0.793_868_443_762_186_7),
        ];
        for (width, height, crop, psnr, ssim) in wanted {
            let (p, s) = measure(&pattern(width, height, 2), &pattern(width, height, 0), crop).unwrap();
            assert!((p - psnr).abs() < 1e-9, "PSNR {p}, not {psnr}");
            assert!((s - ssim).abs() < 1e-9, "SSIM {s}, not {ssim}");
        }
    }

    #[test]
    fn equal_small_and_too_small() {
        for (w, h) in [(1, 1), (10, 40), (40, 40)] {
            let (p, s) = measure(&pattern(w, h, 1), &pattern(w, h, 1), 0).unwrap();
            assert!(p.is_infinite() && (s - 1.0).abs() < 1e-9);
        }
        assert_eq!(measure(&pattern(4, 4, 0), &pattern(4, 4, 0), 2), None);
    }
}
