use crate::pixel::zeros;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shape, Shapes,
    value::{Image, Mask, Region, Regions, Size, Type},
};

engine::node! {
    /// Makes a mask of found regions: white inside of the boxes, black elsewhere.
    ///
    /// Boxes may come from a picture of another size; they are scaled to this one. The borders are hard: `MaskFeather`
    /// softens them.
    pub struct MaskRegions, version 1 {
        /// Picture that the mask is for. Only its size matters.
        image: In<Image>,
        /// Boxes to fill.
        regions: In<Regions>,
        /// Share of its size by which a box grows on every side; negative shrinks it.
        #[schemars(range(min = -0.5, max = 10.0))]
        grow: f64 = 0.15,
    }
}

/// The rows or columns whose centres lie in a grown box.
fn span(start: f32, length: f32, factor: f64, grow: f64, end: u32) -> std::ops::Range<usize> {
    let (start, length) = (f64::from(start) * factor, f64::from(length) * factor);
    let edge = |v: f64| (v - 0.5).ceil().clamp(0.0, f64::from(end)) as usize;
    edge(start - grow * length)..edge(start + (1.0 + grow) * length)
}

fn fill(samples: &mut [f32], size: Size, frame: Size, region: &Region, grow: f64) {
    let factor = |to: u32, from: u32| f64::from(to) / f64::from(from.max(1));
    let columns = span(region.x, region.width, factor(size.width, frame.width), grow, size.width);
    let rows = span(region.y, region.height, factor(size.height, frame.height), grow, size.height);
    if columns.is_empty() {
        return;
    }
    for row in rows {
        let start = row * size.width as usize;
        samples[start + columns.start..start + columns.end].fill(1.0);
    }
}

impl Node for MaskRegions {
    type Out = Mask;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::of(seen.get("image").and_then(Shape::size).map_or(Shape::Unknown(Type::Mask), Shape::Mask))
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Mask> {
        let size = cx.get(&self.image)?.size();
        let regions = cx.get(&self.regions)?;
        let mut samples = zeros(size.pixels())?;
        for region in &regions.items {
            cx.checkpoint()?;
            fill(&mut samples, size, regions.frame, region, self.grow);
        }
        Ok(Mask::new(size, samples))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::RegionKind;

    #[test]
    fn boxes_are_scaled_grown_and_cut_at_the_edges() {
        let size = Size::new(20, 10);
        let white = |x, y, width, height, grow| {
            let mut samples = vec![0.0; size.pixels()];
            let region = Region { kind: RegionKind::Face, x, y, width, height, confidence: 1.0 };
            fill(&mut samples, size, Size::new(10, 5), &region, grow);
            samples.iter().filter(|&&v| v == 1.0).count()
        };
        assert_eq!(white(2.0, 1.0, 3.0, 2.0, 0.0), 6 * 4);
        assert_eq!(white(2.0, 1.0, 2.0, 2.0, 0.5), 8 * 8);
        assert_eq!(white(-5.0, -5.0, 50.0, 50.0, 0.0), 200);
        assert_eq!(white(30.0, 30.0, 5.0, 5.0, 0.0), 0);
        assert_eq!(white(f32::NAN, 1.0, 3.0, 2.0, 0.0), 0);
    }
}
