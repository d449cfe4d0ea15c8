use engine::{
    Cell, Cx, Forecast, In, Node, NodeResult, Reach, Shape, Shapes,
    value::{Image, Rect, Size, Tile as Piece, Tiles, Type},
};
use std::sync::Arc;

engine::node! {
    /// Cuts a picture into overlapping tiles, so that a model with a fixed window can work on any size.
    ///
    /// The tiles lie on a fixed grid that starts at the left upper corner, so that a tile shows the same part of the
    /// picture whatever the picture's size. Each shows its cell and a halo of neighbouring pixels around it, cut at the
    /// edges of the picture. A node that takes one picture and gets tiles is run tile by tile. `Blend` puts them
    /// together again.
    ///
    /// A model that looks `n` pixels far gives exactly the pixels of an uncut run when `halo` is at least `n`.
    pub struct Tile, version 1 {
        /// Picture to cut.
        image: In<Image>,
        /// Edge of a cell in pixels. Smaller tiles need less memory and more time.
        #[schemars(range(min = 16, max = 16_384))]
        size: u32 = 512,
        /// Pixels around the cell that a tile also shows.
        #[schemars(range(min = 0, max = 4096))]
        halo: u32 = 32,
    }
}

/// The cells of a picture.
fn layout(frame: Size, size: u32, halo: u32) -> impl Iterator<Item = Cell> {
    Rect::grid(frame, size.max(1)).into_iter().map(move |core| Cell { core, outer: core.grown(halo, frame) })
}

/// Cuts a picture of `frame` pixels, of which the part `at` is there, into the tiles that lie in it.
pub(crate) fn cut(image: &Image, at: Rect, frame: Size, size: u32, halo: u32) -> Tiles {
    let items = layout(frame, size, halo)
        .filter(|cell| at.holds(cell.outer))
        .map(|Cell { core, outer }| Piece { core, outer, pixels: Arc::new(image.crop(outer.relative_to(at))) })
        .collect();
    Tiles { frame, items }
}

impl Node for Tile {
    type Out = Tiles;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let Some(Shape::Image(frame, channels)) = seen.get("image") else {
            return Forecast::of(Shape::Unknown(Type::Tiles));
        };
        let cells: Vec<Cell> = layout(*frame, self.size, self.halo).collect();
        Forecast { tiles: cells.len() as u64, ..Forecast::of(Shape::Tiles(*frame, *channels, cells)) }
    }

    fn reach(&self, _: &Shapes) -> Option<Reach> {
        Some(Reach { fields: vec!["image"], halo: self.halo })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Tiles> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        let size = image.size();
        Ok(cut(&image, cx.place(size), cx.frame(size), self.size, self.halo))
    }
}
