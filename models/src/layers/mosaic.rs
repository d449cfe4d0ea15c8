//! Maps that are put together from parts.

use candle_core::Tensor;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Region};
use crate::Result;

/// A map that is put together from the cells of a region, in their order.
pub(crate) struct Mosaic {
    whole: Region,
    /// What is there already, on the processor; or what was there before, on a device.
    map: Option<Map>,
    /// The cells, on a device.
    cells: Vec<Map>,
}

impl Mosaic {
    /// An empty one.
    pub(crate) fn new(whole: Region) -> Self {
        Self { whole, map: None, cells: vec![] }
    }

    /// One that takes the place of a map: what is not yet replaced can be read.
    pub(crate) fn over(map: Map) -> Self {
        Self { whole: map.region, map: Some(map), cells: vec![] }
    }

    /// The map that this one takes the place of.
    pub(crate) fn before(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    /// Puts in the next cell.
    ///
    /// # Errors
    /// When there is no memory for the whole.
    pub(crate) fn put(&mut self, cell: Map, pool: &mut Pool) -> Result<()> {
        fn paste<E: Number>(cell: &Map, whole: &mut Map) {
            let (left, top) = (cell.region.left - whole.region.left, cell.region.top - whole.region.top);
            let len = cell.region.width() * cell.channels;
            for y in 0..cell.region.height() {
                let (from, to) = (cell.at(0, y), whole.at(left, top + y));
                E::slice_mut(whole)[to..to + len].copy_from_slice(&E::slice(cell)[from..from + len]);
            }
        }
        if cell.region == self.whole {
            self.map.replace(cell).into_iter().for_each(|map| pool.give(map));
            return Ok(());
        }
        let precision = match &cell.values {
            Values::F32(_) => Precision::F32,
            Values::Bf16(_) => Precision::Bf16,
            Values::Tensor(_) => {
                self.cells.push(cell);
                return Ok(());
            }
        };
        let whole = match &mut self.map {
            Some(map) => map,
            none => none.insert(pool.map(self.whole, cell.channels, precision)?),
        };
        match precision {
            Precision::F32 => paste::<f32>(&cell, whole),
            Precision::Bf16 => paste::<half::bf16>(&cell, whole),
        }
        pool.give(cell);
        Ok(())
    }

    /// The whole, once all cells are there; nothing when there was none.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn finish(self) -> Result<Option<Map>> {
        if self.cells.is_empty() {
            return Ok(self.map);
        }
        let lines: Vec<Tensor> = self
            .cells
            .chunk_by(|a, b| a.region.top == b.region.top)
            .map(|line| Tensor::cat(&line.iter().map(Map::tensor).collect::<Vec<_>>(), 3))
            .collect::<candle_core::Result<_>>()?;
        Map::on_device(self.whole, Tensor::cat(&lines, 2)?).map(Some)
    }
}
