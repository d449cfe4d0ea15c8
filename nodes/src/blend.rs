use crate::pixel::{feather, zeros};
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Reach, Shape, Shapes,
    value::{Image, Rect, Tiles, Type},
};
use rayon::prelude::*;

engine::node! {
    /// Puts tiles together to one picture.
    ///
    /// With `feather` 0 every pixel comes from the tile whose cell it lies in: right for models that give the same
    /// pixels with and without tiles. Otherwise neighbouring tiles fade into each other over `feather` pixels on both
    /// sides of the cells' borders, as far as their halos reach: each tile's weight is a raised cosine of the distance
    /// to the border of its cell, and the weights at a pixel sum to one. Alpha is blended like the colours.
    pub struct Blend, version 1 {
        /// Tiles to put together.
        tiles: In<Tiles>,
        /// Pixels on both sides of a border over which tiles fade into each other.
        #[schemars(range(min = 0, max = 4096))]
        feather: u32 = 0,
    }
}

/// Puts tiles together to the part `at` of their picture.
///
/// # Errors
/// When the tiles do not belong together or there is no memory.
pub(crate) fn join(tiles: &Tiles, feather: u32, at: Rect) -> NodeResult<Image> {
    let frame = tiles.frame;
    let Some(first) = tiles.items.first() else {
        return Err(Failure::internal("there are no tiles to blend"));
    };
    let channels = first.pixels.channels();
    for tile in &tiles.items {
        let inside = tile.outer.right() <= frame.width && tile.outer.bottom() <= frame.height;
        if !inside || tile.pixels.size() != tile.outer.size() || tile.pixels.channels() != channels {
            return Err(Failure::internal(format!(
                "a tile of {} with {} planes does not fit its place {:?}",
                tile.pixels.size(),
                tile.pixels.channels(),
                tile.outer
            )));
        }
    }
    let ramps: Vec<_> = tiles
        .items
        .iter()
        .map(|tile| {
            let (core, outer) = (tile.core, tile.outer);
            let across = feather::ramp(outer.x..outer.right(), core.x..core.right(), frame.width, feather);
            let down = feather::ramp(outer.y..outer.bottom(), core.y..core.bottom(), frame.height, feather);
            (across, down)
        })
        .collect();
    let width = at.width as usize;
    let mut samples = zeros(at.size().pixels() * channels)?;
    // By rows of one plane, each fed by its tiles in their order: the sum does not depend on who computes it.
    samples.par_chunks_mut(width.max(1)).enumerate().for_each_init(
        || vec![0.0; width],
        |sums, (row, target)| {
            let (channel, y) = (row / at.height as usize, at.y + (row % at.height as usize) as u32);
            sums.fill(0.0);
            for (tile, (across, down)) in tiles.items.iter().zip(&ramps) {
                let outer = tile.outer;
                let (left, right) = (outer.x.max(at.x), outer.right().min(at.right()));
                if y < outer.y || y >= outer.bottom() || left >= right {
                    continue;
                }
                let within = (y - outer.y) as usize;
                let weight = down[within];
                if weight == 0.0 {
                    continue;
                }
                let line = &tile.pixels.plane(channel)[within * outer.width as usize..][..outer.width as usize];
                let seen = (left - outer.x) as usize..(right - outer.x) as usize;
                let place = (left - at.x) as usize..(right - at.x) as usize;
                let (sums, across) = (&mut sums[place.clone()], &across[seen.clone()]);
                for (((v, sum), &sample), &share) in target[place].iter_mut().zip(sums).zip(&line[seen]).zip(across) {
                    // Not `v + 0 * sample`: a weightless NaN must not spread.
                    if share > 0.0 {
                        *v += weight * share * sample;
                        *sum += weight * share;
                    }
                }
            }
            for (v, &sum) in target.iter_mut().zip(&*sums) {
                // Where one tile rules alone its weight is exactly 1, and so are its samples kept bit by bit.
                if sum != 1.0 && sum > 0.0 {
                    *v /= sum;
                }
            }
        },
    );
    Ok(Image::new(at.size(), channels, samples, first.pixels.metadata.clone()))
}

impl Node for Blend {
    type Out = Image;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        match seen.get("tiles") {
            Some(Shape::Tiles(frame, channels, _)) => Forecast::of(Shape::Image(*frame, *channels)),
            _ => Forecast::of(Shape::Unknown(Type::Image)),
        }
    }

    fn reach(&self, _: &Shapes) -> Option<Reach> {
        // A tile has weight so far beyond its cell.
        Some(Reach { fields: vec!["tiles"], halo: self.feather })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let tiles = cx.get(&self.tiles)?;
        cx.checkpoint()?;
        join(&tiles, self.feather, cx.place(tiles.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use engine::value::Size;

    fn cut(picture: &Image, size: u32, halo: u32) -> Tiles {
        crate::tile::cut(picture, picture.size().rect(), picture.size(), size, halo)
    }

    fn join(tiles: &Tiles, feather: u32) -> NodeResult<Image> {
        super::join(tiles, feather, tiles.frame.rect())
    }

    #[test]
    fn cutting_and_joining_changes_nothing() {
        let edges = [1, 2, 15, 16, 17, 31, 33, 64, 65];
        for (i, width) in edges.into_iter().enumerate() {
            for height in edges {
                for (size, halo, feather) in [(16, 0, 0), (16, 8, 0), (16, 8, 4), (16, 8, 8), (16, 40, 40), (32, 3, 9)]
                {
                    let picture = testing::noise(Size::new(width, height), 3 + i % 2);
                    let joined = join(&cut(&picture, size, halo), feather).unwrap();
                    assert_eq!(joined.size(), picture.size());
                    assert_eq!(joined.channels(), picture.channels());
                    for (a, b) in joined.samples().iter().zip(picture.samples()) {
                        let same = if feather == 0 { a.to_bits() == b.to_bits() } else { (a - b).abs() < 1e-6 };
                        assert!(same, "{width}x{height} tiles of {size}, halo {halo}, feather {feather}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let picture = testing::noise(Size::new(90, 70), 4);
        for (size, halo, feather) in [(16, 0, 0), (16, 8, 4), (32, 10, 10)] {
            let tiles = cut(&picture, size, halo);
            let whole = join(&tiles, feather).unwrap();
            let at = Rect { x: 11, y: 23, width: 50, height: 20 };
            let needed = at.grown(feather, picture.size());
            let some = Tiles {
                items: tiles.items.iter().filter(|tile| tile.core.meets(needed)).cloned().collect(),
                ..tiles.clone()
            };
            assert!(some.items.len() < tiles.items.len());
            assert_eq!(super::join(&some, feather, at).unwrap().samples(), whole.crop(at).samples());
        }
    }

    #[test]
    fn borders_fade_and_threads_change_nothing() {
        let size = Size::new(64, 8);
        let mut tiles = cut(&Image::filled(size, &[0.0, 0.0, 0.0]), 32, 8);
        let white = Image::filled(tiles.items[1].pixels.size(), &[1.0, 1.0, 1.0]);
        tiles.items[1].pixels = white.into();
        let joined = join(&tiles, 8).unwrap();
        let row = &joined.plane(0)[..64];
        assert!(row[..24].iter().all(|&v| v == 0.0) && row[40..].iter().all(|&v| v == 1.0));
        assert!(row[24..40].windows(2).all(|pair| pair[0] < pair[1]), "{row:?}");
        assert!((row[31] + row[32] - 1.0).abs() < 1e-6);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| join(&tiles, 8).unwrap()).samples(), joined.samples());
        }
    }

    #[test]
    fn tiles_that_do_not_fit_are_refused() {
        let mut tiles = cut(&Image::filled(Size::new(40, 40), &[0.0; 3]), 32, 0);
        tiles.items[0].pixels = Image::filled(Size::new(3, 3), &[0.0; 3]).into();
        assert!(join(&tiles, 0).is_err());
        assert!(join(&Tiles { frame: Size::new(0, 0), items: Vec::new() }, 0).is_err());
    }
}
