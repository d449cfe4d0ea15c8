use crate::pixel::blur;
use engine::{Cx, Forecast, In, Node, NodeResult, Reach, Shapes, value::Image};
use rayon::prelude::*;

engine::node! {
    /// Makes edges crisper: an unsharp mask on the brightness, which leaves colours alone.
    ///
    /// What a Gaussian blur takes away from the luma (BT.601) is added `amount` times to all three colours. Differences
    /// below `threshold` are left alone and larger ones lessened by it, so that noise is not sharpened and nothing jumps.
    pub struct Sharpen, version 1 {
        /// Picture to sharpen.
        image: In<Image>,
        /// How much is added: 0 changes nothing, 1 doubles the fine detail.
        #[schemars(range(min = 0.0, max = 5.0))]
        amount: f64 = 0.5,
        /// Standard deviation of the blur in pixels: about the width of the edges to sharpen.
        #[schemars(range(min = 0.2, max = 100.0))]
        radius: f64 = 1.0,
        /// Difference that is left alone, on the scale of 0 (black) to 1 (white).
        #[schemars(range(min = 0.0, max = 1.0))]
        threshold: f64 = 0.0,
    }
}

impl Sharpen {
    fn sharpen(&self, image: &Image) -> NodeResult<Image> {
        let mut mask = image.luma();
        let blurred = blur::gaussian(&mask, image.size(), self.radius.clamp(0.2, 100.0))?;
        let (amount, threshold) = (self.amount as f32, self.threshold as f32);
        mask.par_iter_mut().zip(&blurred).for_each(|(v, &soft)| {
            let difference = *v - soft;
            *v = amount * (difference.abs() - threshold).max(0.0).copysign(difference);
        });
        drop(blurred);
        let mut out = image.clone();
        for channel in 0..3 {
            out.plane_mut(channel).par_iter_mut().zip(&mask).for_each(|(v, &d)| *v = (*v + d).clamp(0.0, 1.0));
        }
        Ok(out)
    }
}

impl Node for Sharpen {
    type Out = Image;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let plane = seen.picture_size().map_or(0, |size| size.area() * 4);
        Forecast { working_bytes: 2 * plane, ..Forecast::like(seen.first_picture(), <Image as engine::Outputs>::PORTS) }
    }

    fn reach(&self, _: &Shapes) -> Option<Reach> {
        Some(Reach { fields: vec!["image"], halo: blur::reach(self.radius.clamp(0.2, 100.0)) })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        if self.amount == 0.0 { Ok((*image).clone()) } else { self.sharpen(&image) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Size;

    #[test]
    fn edges_gain_and_flats_do_not() {
        let row: Vec<f32> = (0..32).map(|x| if x < 16 { 0.4 } else { 0.6 }).collect();
        let image = Image::new(Size::new(32, 1), 3, row.repeat(3), Default::default());
        let out = Sharpen { amount: 1.0, ..Sharpen::default() }.sharpen(&image).unwrap();
        let row = out.plane(1);
        assert!(row[15] < 0.36 && row[16] > 0.64, "{row:?}");
        assert!((row[0] - 0.4).abs() < 1e-5 && (row[31] - 0.6).abs() < 1e-5);
        let kept = Sharpen { amount: 1.0, threshold: 0.2, ..Sharpen::default() }.sharpen(&image).unwrap();
        assert!(kept.samples().iter().zip(image.samples()).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
