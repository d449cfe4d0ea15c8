use crate::search::Search;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shapes,
    digest::Digest,
    value::{Image, RegionKind, Regions},
};

engine::node! {
    /// Finds hands.
    ///
    /// The model does not ship with the program; without it the run ends with the command that gets it.
    pub struct HandDetect, version 1 {
        /// Picture to search.
        image: In<Image>,
        /// Least confidence of a hand, 0 to 1. Lower finds more hands, and more that are none.
        #[schemars(range(min = 0.0, max = 1.0))]
        confidence: f64 = 0.5,
        /// Whether to search at all; when not, nothing is found and no model is needed.
        enabled: bool = true,
    }
}

const HANDS: Search =
    Search { kind: RegionKind::Hand, detector: models::hands, digest: || Ok(models::hands()?.digest()) };

impl Node for HandDetect {
    type Out = Regions;
    const HEAVY: bool = true;

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        HANDS.outside(self.enabled)
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        HANDS.forecast(self.enabled, seen)
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Regions> {
        HANDS.run(cx, &self.image, self.enabled, self.confidence)
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
