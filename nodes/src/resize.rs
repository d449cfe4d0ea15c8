use crate::pixel::{
    resample::{self, Filter},
    stretch::Window,
};
use engine::{
    Blame, Cx, Failure, Forecast, In, Node, NodeResult, Reach, Scalar, Shape, Shapes,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, Size, Type},
};

/// The light in which samples are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Light {
    /// The samples as they are encoded: what most programs do; hard edges ring evenly.
    #[default]
    Gamma,
    /// Linear light by the sRGB curve: small bright things keep their brightness when a picture is made smaller.
    Linear,
}

engine::node! {
    /// Makes a picture larger or smaller.
    ///
    /// The size is set by `width` and `height` (one of them alone keeps the shape), by `scale`, or by `longest`. Alpha
    /// is resampled on its own and weighs the colours, so that the colours of invisible pixels do not bleed into visible
    /// ones. Samples lie at the centres of pixels, as in Pillow and OpenCV.
    pub struct Resize, version 2 {
        /// Picture to resize.
        image: In<Image>,
        /// New width in pixels.
        #[schemars(range(min = 1, max = 1_000_000))]
        width: Option<u32>,
        /// New height in pixels.
        #[schemars(range(min = 1, max = 1_000_000))]
        height: Option<u32>,
        /// Factor for both edges.
        #[schemars(range(min = 0.001, max = 64.0))]
        scale: Option<Scalar>,
        /// New length of the longer edge in pixels.
        #[schemars(range(min = 1, max = 1_000_000))]
        longest: Option<u32>,
        /// How samples are weighed together.
        filter: Filter = Filter::Lanczos3,
        /// The light in which samples are weighed.
        light: Light = Light::Gamma,
    }
}

impl Resize {
    fn target(&self, from: Size, scale: Option<f64>) -> Size {
        let (width, height) = (f64::from(from.width), f64::from(from.height));
        let edge = |n: f64| n.round().clamp(1.0, 1e6) as u32;
        match (self.width, self.height, self.longest, scale) {
            (Some(w), Some(h), ..) => Size::new(w.max(1), h.max(1)),
            (Some(w), None, ..) => Size::new(w.max(1), edge(height * f64::from(w) / width)),
            (None, Some(h), ..) => Size::new(edge(width * f64::from(h) / height), h.max(1)),
            (None, None, Some(longest), _) => {
                let factor = f64::from(longest) / width.max(height);
                Size::new(edge(width * factor), edge(height * factor))
            }
            (None, None, None, scale) => {
                let factor = scale.unwrap_or(1.0);
                Size::new(edge(width * factor), edge(height * factor))
            }
        }
    }
}

impl Node for Resize {
    type Out = Image;
    const HEAVY: bool = true;

    fn check(&self) -> Vec<Failure> {
        let ways = [self.width.or(self.height).is_some(), self.scale.is_some(), self.longest.is_some()];
        match ways.into_iter().filter(|&given| given).count() {
            1 => Vec::new(),
            0 => vec![
                Failure::new(Blame::Graph, "no new size is given")
                    .hint("set `scale: 2`, `width: 1024`, `height: 768` or `longest: 2048`"),
            ],
            _ => vec![
                Failure::new(Blame::Graph, "the new size is given in more than one way")
                    .hint("keep one of `scale`, `longest`, and `width` with `height`"),
            ],
        }
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let scale = match &self.scale {
            Some(Scalar::Given(scale)) => Some(*scale),
            Some(Scalar::Wire(_)) => return Forecast::of(Shape::Unknown(Type::Image)),
            None => None,
        };
        let Some(Shape::Image(from, channels)) = seen.get("image") else {
            return Forecast::of(Shape::Unknown(Type::Image));
        };
        let to = self.target(*from, scale);
        let plane = 4 * u64::from(to.width) * u64::from(from.height);
        Forecast { working_bytes: plane + 4 * from.area(), ..Forecast::of(Shape::Image(to, *channels)) }
    }

    fn reach(&self, seen: &Shapes) -> Option<Reach> {
        let Shape::Image(from, _) = seen.get("image")? else { return None };
        let to = self.forecast(seen).outputs.first()?.size()?;
        let reach = |from, to| Window::reach(self.filter, from, to);
        let halo = reach(from.width, to.width).max(reach(from.height, to.height));
        Some(Reach { fields: vec!["image"], halo })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let scale = match &self.scale {
            Some(scale) => {
                let scale = cx.number(scale)?;
                if !(0.001..=64.0).contains(&scale) {
                    engine::bail!(scale, "a scale of {scale} is out of range"; hint: "use 0.001 to 64");
                }
                Some(scale)
            }
            None => None,
        };
        let (frame, seen) = (cx.frame(image.size()), cx.place(image.size()));
        let to = self.target(frame, scale);
        cx.checkpoint()?;
        let window = Window { frame, seen, to, part: seen.stretched(frame, to) };
        resample::image(&image, &window, self.filter, self.light == Light::Linear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_size() {
        let from = Size::new(300, 200);
        let target = |node: Resize, scale| node.target(from, scale);
        let plain = Resize::default;
        assert_eq!(target(Resize { width: Some(600), ..plain() }, None), Size::new(600, 400));
        assert_eq!(target(Resize { height: Some(50), ..plain() }, None), Size::new(75, 50));
        assert_eq!(target(Resize { width: Some(7), height: Some(9), ..plain() }, None), Size::new(7, 9));
        assert_eq!(target(Resize { longest: Some(30), ..plain() }, None), Size::new(30, 20));
        assert_eq!(target(plain(), Some(1.5)), Size::new(450, 300));
        assert_eq!(Resize { width: Some(1), ..plain() }.target(Size::new(20_000, 1), None), Size::new(1, 1));
        assert_eq!(plain().check().len(), 1);
        assert_eq!(Resize { scale: Some(2.0.into()), longest: Some(3), ..plain() }.check().len(), 1);
        assert!(Resize { scale: Some(2.0.into()), ..plain() }.check().is_empty());
    }
}
