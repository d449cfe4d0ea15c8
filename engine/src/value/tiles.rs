use super::{Image, Rect, Size};
use crate::digest::Digester;
use std::sync::Arc;

/// One tile of a picture: the cell that it answers for, and the pixels around it that it may look at.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The cell. The cells of all tiles cover the picture without overlap.
    pub core: Rect,
    /// The cell and its halo, cut at the edges of the picture: what `pixels` shows.
    pub outer: Rect,
    /// The pixels of `outer`.
    pub pixels: Arc<Image>,
}

/// A picture cut into overlapping tiles.
#[derive(Clone, Debug)]
pub struct Tiles {
    /// Size of the whole picture.
    pub frame: Size,
    /// The tiles, row by row.
    pub items: Vec<Tile>,
}

impl Tiles {
    pub(super) fn bytes(&self) -> usize {
        self.items.iter().map(|tile| tile.pixels.bytes()).sum()
    }

    pub(super) fn digest_into(&self, d: &mut Digester) {
        d.size(self.frame);
        for tile in &self.items {
            d.rect(tile.core);
            d.rect(tile.outer);
            d.digest(tile.pixels.digest());
        }
    }
}
