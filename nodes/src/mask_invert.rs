use engine::{
    Cx, Forecast, In, Node, NodeResult, Shape, Shapes,
    value::{Mask, Type},
};
use rayon::prelude::*;

engine::node! {
    /// Turns a mask around: white becomes black.
    pub struct MaskInvert, version 1 {
        /// Mask to turn around.
        mask: In<Mask>,
    }
}

impl Node for MaskInvert {
    type Out = Mask;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::of(seen.get("mask").cloned().unwrap_or(Shape::Unknown(Type::Mask)))
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Mask> {
        let mut mask = (*cx.get(&self.mask)?).clone();
        mask.samples_mut().par_iter_mut().for_each(|v| *v = 1.0 - *v);
        Ok(mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use engine::value::{Size, Value};
    use std::sync::Arc;

    #[test]
    fn white_becomes_black() {
        let mask = Value::Mask(Arc::new(Mask::new(Size::new(3, 1), vec![0.0, 0.25, 1.0])));
        let Value::Mask(out) = run(&MaskInvert { mask: In::from("m") }, &[("m", mask)]).unwrap().remove(0) else {
            panic!("no mask")
        };
        assert_eq!(out.samples(), [1.0, 0.75, 0.0]);
    }
}
