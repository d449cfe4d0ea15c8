use crate::pixel::room;
use engine::{
    Blame, Cx, Failure, Forecast, In, Node, NodeResult, Shape, Shapes,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, Size, Type},
};
use rayon::prelude::*;

/// What the new pixels show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Fill {
    /// The pixel at the edge, again and again.
    #[default]
    Edge,
    /// The picture, mirrored at its edge pixels.
    Mirror,
    /// One colour.
    Colour,
}

engine::node! {
    /// Puts a border around a picture.
    pub struct Pad, version 1 {
        /// Picture to enlarge.
        image: In<Image>,
        /// Pixels to add on the left.
        #[schemars(range(min = 0, max = 65_536))]
        left: u32 = 0,
        /// Pixels to add above.
        #[schemars(range(min = 0, max = 65_536))]
        top: u32 = 0,
        /// Pixels to add on the right.
        #[schemars(range(min = 0, max = 65_536))]
        right: u32 = 0,
        /// Pixels to add below.
        #[schemars(range(min = 0, max = 65_536))]
        bottom: u32 = 0,
        /// What the new pixels show.
        fill: Fill = Fill::Edge,
        /// Colour for `fill: Colour`: red, green, blue and alpha, each 0 to 1; alpha is 1 when left out.
        colour: Vec<f64> = vec![0.0, 0.0, 0.0],
    }
}

impl Pad {
    fn size(&self, from: Size) -> Option<Size> {
        Some(Size::new(
            from.width.checked_add(self.left)?.checked_add(self.right)?,
            from.height.checked_add(self.top)?.checked_add(self.bottom)?,
        ))
    }

    fn pad(&self, image: &Image) -> NodeResult<Image> {
        let (from, Some(to)) = (image.size(), self.size(image.size())) else {
            engine::bail!(left, "the border is too wide"; hint: "use at most 65536 pixels");
        };
        // Where a column or row of the result lies in the picture; `None` in the border of one colour.
        let place = |at: u32, before: u32, length: u32| {
            let (at, length) = (i64::from(at) - i64::from(before), i64::from(length));
            match self.fill {
                Fill::Colour => (0..length).contains(&at).then_some(at as usize),
                Fill::Edge => Some(at.clamp(0, length - 1) as usize),
                Fill::Mirror => {
                    let period = (2 * (length - 1)).max(1);
                    let at = at.rem_euclid(period);
                    Some(at.min(period - at).min(length - 1) as usize)
                }
            }
        };
        let columns: Vec<_> = (0..to.width).map(|x| place(x, self.left, from.width)).collect();
        let rows: Vec<_> = (0..to.height).map(|y| place(y, self.top, from.height)).collect();
        let width = to.width as usize;
        let mut samples = room(to.pixels() * image.channels())?;
        for channel in 0..image.channels() {
            let plane = image.plane(channel);
            let colour = self.colour.get(channel).map_or(1.0, |&v| v as f32);
            samples.par_extend((0..to.pixels()).into_par_iter().map(|i| match (columns[i % width], rows[i / width]) {
                (Some(x), Some(y)) => plane[y * from.width as usize + x],
                _ => colour,
            }));
        }
        Ok(Image::new(to, image.channels(), samples, image.metadata.clone()))
    }
}

impl Node for Pad {
    type Out = Image;

    fn check(&self) -> Vec<Failure> {
        let right = matches!(self.colour.len(), 3 | 4) && self.colour.iter().all(|v| (0.0..=1.0).contains(v));
        if right {
            return Vec::new();
        }
        vec![
            Failure::new(Blame::Graph, "`colour` is not a colour")
                .at("colour")
                .hint("give red, green and blue from 0 to 1: `[1, 1, 1]` is white"),
        ]
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::of(match seen.get("image") {
            Some(Shape::Image(size, channels)) => {
                self.size(*size).map_or(Shape::Unknown(Type::Image), |to| Shape::Image(to, *channels))
            }
            _ => Shape::Unknown(Type::Image),
        })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        self.pad(&image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fill() {
        let image = Image::new(Size::new(3, 1), 3, [0.1, 0.2, 0.3].repeat(3), Default::default());
        let row = |fill| {
            let node = Pad { left: 4, right: 3, fill, colour: vec![0.9, 0.9, 0.9], ..Pad::default() };
            node.pad(&image).unwrap().plane(0).to_vec()
        };
        assert_eq!(row(Fill::Edge), [0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.3, 0.3]);
        assert_eq!(row(Fill::Mirror), [0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3, 0.2, 0.1, 0.2]);
        assert_eq!(row(Fill::Colour), [0.9, 0.9, 0.9, 0.9, 0.1, 0.2, 0.3, 0.9, 0.9, 0.9]);
        let dot = Image::filled(Size::new(1, 1), &[0.5; 4]);
        let node = Pad { top: 7, left: 7, fill: Fill::Mirror, ..Pad::default() };
        assert!(node.pad(&dot).unwrap().samples().iter().all(|&v| v == 0.5));
        assert_eq!(Pad { colour: vec![2.0], ..Pad::default() }.check().len(), 1);
    }
}
