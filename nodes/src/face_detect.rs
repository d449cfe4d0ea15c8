use crate::backend;
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Shape, Shapes, bail,
    digest::Digest,
    value::{Image, Region, RegionKind, Regions, Type},
};
use models::{Detector, Grey8};

engine::node! {
    /// Finds faces, offline.
    ///
    /// The embedded detector (SeetaFace's funnel cascade) finds frontal faces from about 20 pixels on and works on the
    /// brightness alone. Boxes reach from the eyebrows to the chin; `Guide` turns them into gentler settings.
    pub struct FaceDetect, version 1 {
        /// Picture to search.
        image: In<Image>,
        /// Least confidence of a face, 0 to 1. Lower finds more faces, and more that are none.
        #[schemars(range(min = 0.0, max = 1.0))]
        confidence: f64 = 0.3,
        /// Whether to search at all; when not, nothing is found and no time is spent.
        enabled: bool = true,
    }
}

impl Node for FaceDetect {
    type Out = Regions;
    const HEAVY: bool = true;

    fn check(&self) -> Vec<Failure> {
        check_confidence(self.confidence).err().into_iter().collect()
    }

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        if !self.enabled {
            return Ok(Vec::new());
        }
        Ok(vec![backend::digest(models::faces().map_err(backend::failure)?.digest())])
    }

    fn forecast(&self, _: &Shapes) -> Forecast {
        Forecast::of(Shape::Small(Type::Regions))
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Regions> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        if !self.enabled {
            return Ok(Regions { frame: image.size(), items: Vec::new() });
        }
        let detector = models::faces().map_err(backend::failure)?;
        find(&*detector, &image, RegionKind::Face, self.confidence)
    }
}

pub(crate) fn check_confidence(confidence: f64) -> NodeResult<()> {
    if !(0.0..=1.0).contains(&confidence) {
        bail!(confidence, "`confidence` cannot be {}", confidence; hint: "use 0 (take anything) to 1 (only the surest)");
    }
    Ok(())
}

/// What a detector finds in a picture, the surest first.
pub(crate) fn find(detector: &dyn Detector, image: &Image, kind: RegionKind, least: f64) -> NodeResult<Regions> {
    let size = image.size();
    // Casting turns what is no number into black.
    let pixels: Vec<u8> = image.luma().into_iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    let grey = Grey8 { width: size.width, height: size.height, pixels: &pixels };
    let mut found = detector.find(&grey).map_err(backend::failure)?;
    found.retain(|f| f64::from(f.confidence) >= least && f.width > 0.0 && f.height > 0.0);
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let items = found
        .into_iter()
        .map(|f| Region { kind, x: f.x, y: f.y, width: f.width, height: f.height, confidence: f.confidence })
        .collect();
    Ok(Regions { frame: size, items })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Size;

    struct Fake;

    impl Detector for Fake {
        fn find(&self, _: &Grey8<'_>) -> models::Result<Vec<models::Found>> {
            let at = |x, confidence| models::Found { x, y: 1.0, width: 4.0, height: 5.0, confidence };
            Ok(vec![at(1.0, 0.2), at(2.0, 0.6), at(3.0, 0.9)])
        }
        fn digest(&self) -> [u8; 32] {
            [0; 32]
        }
        fn card(&self) -> &models::Card {
            unreachable!("not asked for here")
        }
    }

    #[test]
    fn keeps_the_sure_ones_in_order() {
        let image = Image::filled(Size::new(9, 9), &[f32::NAN; 3]);
        let found = find(&Fake, &image, RegionKind::Face, 0.5).expect("finds");
        assert_eq!(found.items.iter().map(|r| r.x).collect::<Vec<_>>(), [3.0, 2.0]);
        assert_eq!(found.frame, image.size());
    }

    #[test]
    fn confidence_has_a_range() {
        assert!(FaceDetect { confidence: f64::NAN, ..FaceDetect::default() }.check().len() == 1);
        assert!(FaceDetect::default().check().is_empty());
    }
}
