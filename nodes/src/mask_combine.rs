use crate::pixel::resample::{self, Filter};
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shape, Shapes,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Mask, Type},
};
use rayon::prelude::*;

/// How two masks become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum How {
    /// `a * b`: where both are white.
    #[default]
    Multiply,
    /// The lighter of the two: where either is white.
    Max,
    /// The darker of the two.
    Min,
    /// `a + b`, at most 1.
    Add,
    /// `a - b`, at least 0: `a` without `b`.
    Subtract,
}

engine::node! {
    /// Makes one mask of two.
    ///
    /// The result is as large as `a`; `b` is resized to it (bilinear) when its size differs.
    pub struct MaskCombine, version 2 {
        /// First mask, which sets the size.
        a: In<Mask>,
        /// Second mask.
        b: In<Mask>,
        /// How they become one.
        how: How = How::Multiply,
    }
}

impl Node for MaskCombine {
    type Out = Mask;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let shape = seen.get("a").cloned().unwrap_or(Shape::Unknown(Type::Mask));
        Forecast { working_bytes: shape.bytes(), ..Forecast::of(shape) }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Mask> {
        let (a, b) = (cx.get(&self.a)?, cx.get(&self.b)?);
        cx.checkpoint()?;
        let mut out = resample::mask(&b, a.size(), Filter::Bilinear)?;
        out.samples_mut().par_iter_mut().zip(a.samples()).for_each(|(v, &a)| {
            let b = *v;
            *v = match self.how {
                How::Multiply => a * b,
                How::Max => a.max(b),
                How::Min => a.min(b),
                How::Add => (a + b).min(1.0),
                How::Subtract => (a - b).max(0.0),
            };
        });
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use engine::value::{Size, Value};
    use std::sync::Arc;

    #[test]
    fn every_way_and_any_size() {
        let a = Value::Mask(Arc::new(Mask::new(Size::new(2, 1), vec![0.75, 0.5])));
        let b = Value::Mask(Arc::new(Mask::filled(Size::new(5, 3), 0.5)));
        let wanted = [
            (How::Multiply, [0.375, 0.25]),
            (How::Max, [0.75, 0.5]),
            (How::Min, [0.5, 0.5]),
            (How::Add, [1.0, 1.0]),
            (How::Subtract, [0.25, 0.0]),
        ];
        for (how, wanted) in wanted {
            let node = MaskCombine { a: In::from("a"), b: In::from("b"), how };
            let Value::Mask(out) = run(&node, &[("a", a.clone()), ("b", b.clone())]).unwrap().remove(0) else {
                panic!("no mask")
            };
            assert!(out.samples().iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{how:?}");
        }
    }
}
