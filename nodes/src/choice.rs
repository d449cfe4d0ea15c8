use engine::{Blame, Cx, Failure, Forecast, Node, NodeResult, Shape, Shapes, value};

engine::node! {
    /// One of several texts, to be used in several places of a graph. Anything else is a mistake.
    pub struct Choice, version 1 {
        /// The text that is chosen.
        value: String,
        /// The texts to choose among; any text when the list is empty.
        among: Vec<String> = Vec::new(),
    }
}

impl Node for Choice {
    type Out = value::Text;

    fn check(&self) -> Vec<Failure> {
        if self.among.is_empty() || self.among.contains(&self.value) {
            return Vec::new();
        }
        let among: Vec<String> = self.among.iter().map(|text| format!("`{text}`")).collect();
        vec![
            Failure::new(Blame::Graph, format!("`{}` is not among the choices", self.value))
                .at("value")
                .hint(format!("choose {}", among.join(", "))),
        ]
    }

    fn forecast(&self, _: &Shapes) -> Forecast {
        Forecast::of(Shape::Small(value::Type::Text))
    }

    fn run(&self, _: &mut Cx<'_>) -> NodeResult<value::Text> {
        Ok(value::Text(self.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed() {
        let among = vec!["a".to_owned(), "b".to_owned()];
        assert!(Choice { value: "a".into(), among: among.clone() }.check().is_empty());
        let mistake = Choice { value: "c".into(), among }.check().remove(0);
        assert_eq!(mistake.hint.as_deref(), Some("choose `a`, `b`"));
        assert!(Choice::default().check().is_empty());
    }
}
