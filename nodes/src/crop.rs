use engine::{
    Cx, Forecast, In, Node, NodeResult, Shape, Shapes,
    value::{Image, Rect, Size, Type},
};

engine::node! {
    /// Cuts a rectangle out of a picture.
    ///
    /// What of the rectangle lies beyond the picture is left out.
    pub struct Crop, version 1 {
        /// Picture to cut.
        image: In<Image>,
        /// Left edge in pixels.
        x: u32 = 0,
        /// Upper edge in pixels.
        y: u32 = 0,
        /// Width in pixels; to the right edge of the picture when left out.
        #[schemars(range(min = 1))]
        width: Option<u32>,
        /// Height in pixels; to the lower edge of the picture when left out.
        #[schemars(range(min = 1))]
        height: Option<u32>,
    }
}

impl Crop {
    /// The rectangle within a picture; `None` when nothing of it is.
    fn rect(&self, size: Size) -> Option<Rect> {
        let edge = |start: u32, length: Option<u32>, end: u32| {
            let most = end.checked_sub(start)?;
            Some(length.unwrap_or(most).min(most)).filter(|&n| n > 0)
        };
        let (width, height) = (edge(self.x, self.width, size.width)?, edge(self.y, self.height, size.height)?);
        Some(Rect { x: self.x, y: self.y, width, height })
    }
}

impl Node for Crop {
    type Out = Image;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::of(match seen.get("image") {
            Some(Shape::Image(size, channels)) => {
                self.rect(*size).map_or(Shape::Unknown(Type::Image), |r| Shape::Image(r.size(), *channels))
            }
            _ => Shape::Unknown(Type::Image),
        })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let Some(rect) = self.rect(image.size()) else {
            engine::bail!(x, "the rectangle at ({}, {}) lies outside of the picture of {}", self.x, self.y, image.size();
                hint: "`x` must be below {} and `y` below {}, and the size at least 1",
                image.size().width, image.size().height);
        };
        Ok(image.crop(rect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_stay_within() {
        let size = Size::new(10, 5);
        let crop = |x, y, width, height| Crop { x, y, width, height, ..Crop::default() }.rect(size);
        assert_eq!(crop(0, 0, None, None), Some(size.rect()));
        assert_eq!(crop(8, 1, Some(5), Some(2)), Some(Rect { x: 8, y: 1, width: 2, height: 2 }));
        assert_eq!(crop(10, 0, None, None), None);
        assert_eq!(crop(0, 0, Some(0), None), None);
        assert_eq!(crop(u32::MAX, 0, Some(u32::MAX), None), None);
    }
}
