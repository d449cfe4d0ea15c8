use crate::search::Search;
use engine::{
    Cx, Forecast, In, Node, NodeResult, Shapes,
    digest::Digest,
    value::{Image, RegionKind, Regions},
};

engine::node! {
    /// Finds faces, offline.
    ///
    /// The embedded detector (the narrow YuNet) finds faces from about 16 pixels on, turned ones too. Boxes reach from the forehead to
    /// the chin; `Guide` turns them into gentler settings. Large pictures are looked at in several sizes and part by part.
    ///
    /// With `model` another detector does the work: the wide YuNet, BlazeFace, RetinaFace or Ultra-Light, out of a file or imported.
    pub struct FaceDetect, version 3 {
        /// Picture to search.
        image: In<Image>,
        /// Another detector: the name of a model that is kept, or a file. Empty is the model `faces` where there is one, else the
        /// embedded detector.
        #[schemars(extend("x-outside" = true))]
        model: String,
        /// Least confidence of a face, 0 to 1. Lower finds more faces, and more that are none.
        #[schemars(range(min = 0.0, max = 1.0))]
        confidence: f64 = 0.5,
        /// Whether to search at all; when not, nothing is found and no time is spent.
        enabled: bool = true,
    }
}

const FACES: Search = Search {
    kind: RegionKind::Face,
    finds: models::detect::Kind::Faces,
    usual: "faces",
    embedded: || Ok((models::faces()?, models::faces_digest())),
};

impl Node for FaceDetect {
    type Out = Regions;
    const HEAVY: bool = true;

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        FACES.outside(&self.model, self.enabled)
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        FACES.forecast(self.enabled, seen)
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Regions> {
        FACES.run(cx, &self.image, &self.model, self.enabled, self.confidence)
    }
}
