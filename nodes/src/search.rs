//! What the nodes share that look for things with a detector.

use crate::backend;
use engine::{
    Cx, Forecast, In, NodeResult, Shape, Shapes,
    digest::Digest,
    value::{Image, Region, RegionKind, Regions, Size, Type},
};
use models::{Detector, Grey8};

/// Looks for one kind of thing.
pub(crate) struct Search {
    pub kind: RegionKind,
    /// Where the detector comes from; an error when its model is not there.
    pub detector: fn() -> models::Result<Box<dyn Detector>>,
    /// The digest of its model.
    pub digest: fn() -> models::Result<[u8; 32]>,
}

impl Search {
    /// The model that the result depends on. Nothing when nobody searches, so that no model is needed then.
    pub(crate) fn outside(&self, enabled: bool) -> NodeResult<Vec<Digest>> {
        if !enabled {
            return Ok(Vec::new());
        }
        Ok(vec![backend::digest((self.digest)().map_err(backend::failure)?)])
    }

    /// What a search costs: the picture in grey, as samples and as bytes.
    pub(crate) fn forecast(&self, enabled: bool, seen: &Shapes) -> Forecast {
        let pixels = seen.picture_size().filter(|_| enabled).map_or(0, Size::area);
        Forecast { working_bytes: 5 * pixels, ..Forecast::of(Shape::Small(Type::Regions)) }
    }

    /// What there is in the picture, the surest first; nothing when not `enabled`.
    pub(crate) fn run(&self, cx: &mut Cx<'_>, image: &In<Image>, enabled: bool, least: f64) -> NodeResult<Regions> {
        let image = cx.get(image)?;
        cx.checkpoint()?;
        if !enabled {
            return Ok(Regions { frame: image.size(), items: Vec::new() });
        }
        let detector = (self.detector)().map_err(backend::failure)?;
        find(&*detector, &image, self.kind, least)
    }
}

/// What a detector finds in a picture, the surest first.
fn find(detector: &dyn Detector, image: &Image, kind: RegionKind, least: f64) -> NodeResult<Regions> {
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
}
