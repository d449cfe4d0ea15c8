//! A network over a whole picture, cell by cell.

use crate::layers::Region;
use crate::{Error, Result, Watch, planes};

/// Runs a network that makes of a picture of the size `whole` one that is `scale` times as large: `start` gives the three planes of the result
/// before the first cell, and `run` computes the pixels of one cell of `tile` x `tile` pixels of the picture in them.
///
/// # Errors
/// A `tile` of 0, what `start` and `run` failed with, or what `watch` stopped with; it
/// is asked before each tile.
pub(crate) fn tile_by_tile(
    whole: Region,
    tile: u32,
    scale: usize,
    watch: &mut dyn Watch,
    start: impl FnOnce() -> Result<Vec<f32>>,
    mut run: impl FnMut(Region, &mut [f32]) -> Result<()>,
) -> Result<Vec<f32>> {
    if tile == 0 {
        return Err(Error::Setting { name: "tile", value: "0".into(), hint: "a tile has at least one pixel" });
    }
    let tile = tile as usize;
    let total = whole.count(tile);

    watch.step(0, total)?;
    let mut out = start()?;
    for (cell, done) in whole.cells(tile).zip(1..) {
        let pixels = cell.times(scale);
        let part = pixels.part(0);
        if let Some(values) = watch.recall(part).filter(|values| values.len() == part.len()) {
            planes::paste(&values, pixels, &mut out);
        } else {
            run(cell, &mut out)?;
            // The only tile is the result, which whoever called will keep.
            if total > 1 {
                watch.keep(part, &|| planes::cut(&out, pixels));
            }
        }
        watch.step(done, total)?;
    }
    Ok(out)
}
