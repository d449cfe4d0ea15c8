use crate::pixel::blur;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shape, Shapes,
    value::{Mask, Type},
};

engine::node! {
    /// Softens the borders of a mask.
    ///
    /// A hard border fades over `radius` pixels on both of its sides: what is farther away stays as it is. Made of three
    /// box blurs after each other, which come close to a Gaussian of standard deviation `radius / 3` (Wells 1986).
    pub struct MaskFeather, version 1 {
        /// Mask to soften.
        mask: In<Mask>,
        /// Pixels over which a border fades on each side.
        #[schemars(range(min = 0, max = 4096))]
        radius: u32 = 16,
    }
}

impl Node for MaskFeather {
    type Out = Mask;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let shape = seen.get("mask").cloned().unwrap_or(Shape::Unknown(Type::Mask));
        Forecast { working_bytes: shape.bytes(), ..Forecast::of(shape) }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Mask> {
        let mask = cx.get(&self.mask)?;
        cx.checkpoint()?;
        Ok(Mask::new(mask.size(), blur::boxes(mask.samples().to_vec(), mask.size(), self.radius)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use engine::value::{Size, Value};
    use std::sync::Arc;

    #[test]
    fn a_border_fades_over_the_radius_and_no_further() {
        let samples = (0..64).map(|x| if x < 32 { 0.0 } else { 1.0 }).collect();
        let mask = Value::Mask(Arc::new(Mask::new(Size::new(64, 1), samples)));
        let node = MaskFeather { mask: In::from("m"), radius: 10 };
        let Value::Mask(out) = run(&node, &[("m", mask)]).unwrap().remove(0) else { panic!("no mask") };
        let row = out.samples();
        assert!(row[..22].iter().all(|&v| v == 0.0) && row[42..].iter().all(|&v| (v - 1.0).abs() < 1e-6), "{row:?}");
        assert!(row[22..42].windows(2).all(|p| p[0] < p[1]), "{row:?}");
    }
}
