use super::{Rect, Size};
use crate::digest::Digester;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum RegionKind {
    /// A face.
    Face,
    /// A hand.
    Hand,
}

/// A box around something that was found, in pixels of the picture; it may reach over the edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// What it is.
    pub kind: RegionKind,
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// How sure the detector is, 0 to 1.
    pub confidence: f32,
}

/// The regions found in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// Size of the picture that they were found in.
    pub frame: Size,
    /// The regions, the surest first.
    pub items: Vec<Region>,
}

impl Regions {
    /// The regions that touch `rect`, as seen from its corner.
    pub fn crop(&self, rect: Rect) -> Self {
        let (left, top) = (rect.x as f32, rect.y as f32);
        let touches = |r: &&Region| {
            r.x < rect.right() as f32 && r.x + r.width > left && r.y < rect.bottom() as f32 && r.y + r.height > top
        };
        let items = self.items.iter().filter(touches).map(|r| Region { x: r.x - left, y: r.y - top, ..*r }).collect();
        Self { frame: rect.size(), items }
    }

    pub(super) fn digest_into(&self, d: &mut Digester) {
        d.size(self.frame);
        for r in &self.items {
            d.u64(r.kind as u64);
            for v in [r.x, r.y, r.width, r.height, r.confidence] {
                d.f64(f64::from(v));
            }
        }
    }
}
