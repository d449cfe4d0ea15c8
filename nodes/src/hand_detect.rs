use crate::search::Search;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shapes,
    digest::Digest,
    value::{Image, RegionKind, Regions},
};

engine::node! {
    /// Finds hands.
    ///
    /// No detector of hands ships with the program. `upweave models pull hands` fetches BlazePalm once; its ONNX file can be imported or
    /// named, too. It finds palms; boxes reach around the whole hand. Hands that
    /// fill an eighth of the picture or more are found best.
    pub struct HandDetect, version 2 {
        /// Picture to search.
        image: In<Image>,
        /// The detector: the name of a model that is kept, or a file. Empty is the model `hands`; without it the run ends with the
        /// command that gets it.
        #[schemars(extend("x-outside" = true))]
        model: String,
        /// Least confidence of a hand, 0 to 1. Lower finds more hands, and more that are none.
        #[schemars(range(min = 0.0, max = 1.0))]
        confidence: f64 = 0.5,
        /// Whether to search at all; when not, nothing is found and no model is needed.
        enabled: bool = true,
    }
}

const HANDS: Search = Search {
    kind: RegionKind::Hand,
    finds: models::detect::Kind::Hands,
    usual: "hands",
    embedded: || Err(models::hands()),
};

impl Node for HandDetect {
    type Out = Regions;
    const HEAVY: bool = true;

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        HANDS.outside(&self.model, self.enabled)
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        HANDS.forecast(self.enabled, seen)
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Regions> {
        HANDS.run(cx, &self.image, &self.model, self.enabled, self.confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Blame;

    #[test]
    fn names_the_command_that_gets_the_model() {
        let failure = HandDetect::default().outside().expect_err("no model ships");
        assert!(HandDetect { enabled: false, ..HandDetect::default() }.outside().is_ok());
        assert_eq!(failure.blame, Blame::Model);
        assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains("upweave models pull hands")));
    }
}
