use engine::{Cx, Forecast, Node, NodeResult, Shape, Shapes, value};

engine::node! {
    /// A text, to be used in several places of a graph.
    pub struct Text, version 1 {
        /// The text.
        value: String,
    }
}

impl Node for Text {
    type Out = value::Text;

    fn forecast(&self, _: &Shapes) -> Forecast {
        Forecast::of(Shape::Small(value::Type::Text))
    }

    fn run(&self, _: &mut Cx<'_>) -> NodeResult<value::Text> {
        Ok(value::Text(self.value.clone()))
    }
}
