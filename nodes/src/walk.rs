//! How a network walks over a picture: tiles with margins, what it sees with them, and what that costs.

use engine::value::Size;

/// Tiles of a picture, each of which the network sees with a margin that ends at the sides of the picture.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) edge: u32,
    pub(crate) margin: u32,
}

impl Walk {
    /// How many tiles there are.
    pub(crate) fn tiles(self, size: Size) -> u64 {
        let count = |length: u32| u64::from(length.div_ceil(self.edge.max(1)));
        count(size.width) * count(size.height)
    }

    /// Width and height of the largest part that is seen at once.
    pub(crate) fn widest(self, size: Size) -> (u32, u32) {
        let wide = |length: u32| self.edge.saturating_add(self.margin.saturating_mul(2)).min(length);
        (wide(size.width), wide(size.height))
    }

    /// Pixels that are seen of all tiles together.
    pub(crate) fn pixels(self, size: Size) -> f64 {
        let along = |length: u32| -> f64 {
            let starts = (0..length).step_by(self.edge.max(1) as usize);
            let seen = starts.map(|start| {
                let end = start.saturating_add(self.edge).saturating_add(self.margin).min(length);
                f64::from(end - start.saturating_sub(self.margin))
            });
            seen.sum()
        };
        along(size.width) * along(size.height)
    }
}

/// The edge of the tiles for a picture where any does: one that is hardly larger than `edge` is one tile, as the rest would be
/// mostly margin.
pub(crate) fn edge(edge: u32, size: Size) -> u32 {
    let longest = size.width.max(size.height);
    if longest <= edge.saturating_add(edge / 2) { edge.max(longest) } else { edge }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_end_at_the_sides() {
        let walk = Walk { edge: 100, margin: 10 };
        assert_eq!((walk.tiles(Size::new(250, 100)), walk.widest(Size::new(250, 100))), (3, (120, 100)));
        // 110 + 120 + 60 across.
        assert_eq!(walk.pixels(Size::new(250, 100)), 290.0 * 100.0);
    }

    #[test]
    fn a_picture_that_is_hardly_larger_is_one_tile() {
        assert_eq!(edge(100, Size::new(150, 20)), 150);
        assert_eq!(edge(100, Size::new(151, 20)), 100);
        assert_eq!(edge(100, Size::new(7, 20)), 100);
    }
}
