use engine::{Blame, Cx, Failure, Forecast, Node, NodeResult, Shape, Shapes, value};

engine::node! {
    /// A number, to be used in several places of a graph.
    pub struct Number, version 1 {
        /// The number.
        value: f64 = 0.0,
    }
}

impl Node for Number {
    type Out = value::Number;

    fn check(&self) -> Vec<Failure> {
        if self.value.is_finite() {
            return Vec::new();
        }
        vec![
            Failure::new(Blame::Graph, format!("{} is not a number", self.value))
                .at("value")
                .hint("write a number, such as 2.5"),
        ]
    }

    fn forecast(&self, _: &Shapes) -> Forecast {
        Forecast::of(Shape::Small(value::Type::Number))
    }

    fn run(&self, _: &mut Cx<'_>) -> NodeResult<value::Number> {
        Ok(value::Number(self.value))
    }
}
