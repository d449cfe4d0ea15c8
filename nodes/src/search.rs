//! What the nodes share that look for things with a detector.

use crate::{
    backend::{self, Precision},
    files,
};
use engine::{
    Blame, Cx, Failure, Forecast, In, NodeResult, Shape, Shapes,
    digest::Digest,
    value::{Image, Region, RegionKind, Regions, Size, Type},
};
use models::{Compute, Detector, detect::Kind};

/// A detector inside the program, and the digest of its model.
pub(crate) type Embedded = (&'static dyn Detector, [u8; 32]);

/// Looks for one kind of thing.
pub(crate) struct Search {
    pub kind: RegionKind,
    /// What the detector is to find.
    pub finds: Kind,
    /// The model of the user's folder that is taken when none is named.
    pub usual: &'static str,
    /// What is taken when there is none either: the detector inside the program and the digest of its model, or why there is none.
    pub embedded: fn() -> models::Result<Embedded>,
}

impl Search {
    /// The model that is meant: the one that `model` names, the usual one, or nothing for the detector inside the program.
    fn meant<'a>(&self, model: &'a str) -> Option<&'a str> {
        match model {
            "" => files::has_own(self.usual).then_some(self.usual),
            model => Some(model),
        }
    }

    /// Makes sure that a model finds what is looked for.
    fn check(&self, model: &str, finds: Kind) -> NodeResult<()> {
        let other = match finds {
            _ if finds == self.finds => return Ok(()),
            Kind::Faces => "faces",
            Kind::Hands => "hands",
        };
        Err(Failure::new(Blame::Model, format!("`{model}` finds {other}"))
            .at("model")
            .hint(format!("name a model that finds {}", self.usual)))
    }

    /// What the result depends on. Nothing when nobody searches, so that no model is needed then.
    pub(crate) fn outside(&self, model: &str, enabled: bool) -> NodeResult<Vec<Digest>> {
        if !enabled {
            return Ok(Vec::new());
        }
        let Some(model) = self.meant(model) else {
            return Ok(vec![backend::digest((self.embedded)().map_err(backend::failure)?.1)]);
        };
        let (finds, digest) = files::detector_digest(model)?;
        self.check(model, finds)?;
        Ok(vec![digest, Precision::F32.family()])
    }

    /// What a search costs: smaller pictures, and the maps of a square.
    pub(crate) fn forecast(&self, enabled: bool, seen: &Shapes) -> Forecast {
        let pixels = seen.picture_size().filter(|_| enabled).map_or(0, Size::area);
        let square = pixels.min(1 << 20) * 96;
        Forecast { working_bytes: 5 * pixels + square, ..Forecast::of(Shape::Small(Type::Regions)) }
    }

    /// What there is in the picture, the surest first; nothing when not `enabled`.
    pub(crate) fn run(
        &self,
        cx: &mut Cx<'_>,
        image: &In<Image>,
        model: &str,
        enabled: bool,
        least: f64,
    ) -> NodeResult<Regions> {
        let image = cx.get(image)?;
        cx.checkpoint()?;
        if !enabled {
            return Ok(Regions { frame: image.size(), items: Vec::new() });
        }
        let Some(model) = self.meant(model) else {
            return find((self.embedded)().map_err(backend::failure)?.0, &image, self.kind, least);
        };
        let detector = files::detector(model, Compute::cpu(models::Precision::F32))?;
        self.check(model, detector.kind())?;
        find(&*detector, &image, self.kind, least)
    }
}

/// What a detector finds in a picture, the surest first.
fn find(detector: &dyn Detector, image: &Image, kind: RegionKind, least: f64) -> NodeResult<Regions> {
    let size = image.size();
    let rgb = backend::colours(image);
    let mut found = detector.find(backend::picture(&rgb, size, (0, 0))?).map_err(backend::failure)?;
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
        fn kind(&self) -> Kind {
            Kind::Faces
        }
        fn find(&self, _: models::Picture<'_>) -> models::Result<Vec<models::Found>> {
            let at = |x, confidence| models::Found {
                x,
                y: 1.0,
                width: 4.0,
                height: 5.0,
                confidence,
                ..models::Found::default()
            };
            Ok(vec![at(1.0, 0.2), at(2.0, 0.6), at(3.0, 0.9)])
        }
        fn digest(&self) -> [u8; 32] {
            [0; 32]
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
