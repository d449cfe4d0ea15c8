//! Activations: the part of a feature map that is known, with a border of zeros for the padding of convolutions.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::{Precision, Region};
use crate::kernels::{Aligned, convert};
use crate::{Error, Result};

/// The values of a map.
pub(crate) enum Values {
    /// On the processor.
    F32(Aligned<f32>),
    /// On the processor.
    Bf16(Aligned<bf16>),
    /// On a device of candle's: (1, channels, height, width), without the border.
    Tensor(Tensor),
}

/// A feature map of one region: rows of pixels, the channels of a pixel side by side, and zeros around, as many pixels wide as
/// the margin says.
pub(crate) struct Map {
    pub(crate) region: Region,
    pub(crate) channels: usize,
    pub(crate) margin: usize,
    pub(crate) values: Values,
}

/// The zeros around a map that are enough for 3x3 convolutions.
pub(super) const MARGIN: usize = 1;

impl Map {
    /// Values from one row to the next.
    pub(crate) fn row(&self) -> usize {
        (self.region.width() + 2 * self.margin) * self.channels
    }

    /// Index of the first channel of the pixel that lies at column `x` and row `y` of the region.
    pub(crate) fn at(&self, x: usize, y: usize) -> usize {
        (y + self.margin) * self.row() + (x + self.margin) * self.channels
    }

    /// The values of `width` pixels of row `y`, from column `x` on.
    ///
    /// # Panics
    /// When they are not there, or lie on a device.
    pub(crate) fn pixels(&self, x: usize, y: usize, width: usize) -> Cow<'_, [f32]> {
        let part = self.at(x, y)..self.at(x + width, y);
        match &self.values {
            Values::F32(values) => Cow::Borrowed(&values[part]),
            Values::Bf16(values) => {
                let mut wide = vec![0.0; part.len()];
                convert(&values[part], &mut wide);
                Cow::Owned(wide)
            }
            Values::Tensor(_) => panic!("a map on a device has no rows; `fetch` brings it here"),
        }
    }

    /// Bytes in memory; on a device, without the border.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = match &self.values {
            Values::F32(values) => size_of_val(&values[..]),
            Values::Bf16(values) => size_of_val(&values[..]),
            Values::Tensor(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        };
        bytes as u64
    }

    /// Lets `write` change the pixels of each row, in parallel: row number and values, the border left out.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn write(&mut self, write: impl Fn(usize, &mut [f32]) + Sync) -> Result<()> {
        let (width, height, channels) = (self.region.width(), self.region.height(), self.channels);
        let (first, row, len) = (self.at(0, 0), self.row(), width * channels);
        if len == 0 {
            return Ok(());
        }
        match &mut self.values {
            Values::F32(values) => {
                let rows = values[first..].par_chunks_mut(row).take(height).enumerate().with_min_len(8);
                rows.for_each(|(y, row)| write(y, &mut row[..len]));
            }
            Values::Bf16(values) => {
                let rows = values[first..].par_chunks_mut(row).take(height).enumerate().with_min_len(8);
                rows.for_each_init(
                    || vec![0.0; len],
                    |wide, (y, row)| {
                        convert(&row[..len], wide);
                        write(y, wide);
                        convert(wide, &mut row[..len]);
                    },
                );
            }
            Values::Tensor(tensor) => {
                let mut all = pixel_by_pixel(tensor)?;
                all.chunks_exact_mut(len.max(1)).enumerate().for_each(|(y, row)| write(y, row));
                *tensor = on_device(&all, (width, height, channels), tensor.device(), tensor.dtype())?;
            }
        }
        Ok(())
    }

    /// All values, pixel by pixel, without the border.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn fetch(&self) -> Result<Vec<f32>> {
        if let Values::Tensor(tensor) = &self.values {
            return pixel_by_pixel(tensor);
        }
        let mut all = Vec::with_capacity(self.region.width() * self.region.height() * self.channels);
        (0..self.region.height()).for_each(|y| all.extend_from_slice(&self.pixels(0, y, self.region.width())));
        Ok(all)
    }
}

/// The values of a tensor (1, channels, height, width), pixel by pixel.
fn pixel_by_pixel(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.permute((0, 2, 3, 1))?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Takes [`pixel_by_pixel`] back.
pub(super) fn on_device(
    values: &[f32],
    (width, height, channels): (usize, usize, usize),
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    let tensor = Tensor::from_slice(values, (1, height, width, channels), &Device::Cpu)?;
    Ok(tensor.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(dtype)?.to_device(device)?)
}

/// Where maps come from: fresh memory costs as much time as the arithmetic, so the buffers of maps that are done serve the
/// maps to come.
#[derive(Default)]
pub(crate) struct Pool {
    wide: Buffers<f32>,
    narrow: Buffers<bf16>,
    /// Bytes of all buffers, in use or not, and the most that they ever were.
    bytes: Bytes,
}

#[derive(Default)]
struct Bytes {
    now: u64,
    most: u64,
}

impl Bytes {
    fn change(&mut self, freed: u64, new: u64) {
        self.now = self.now.saturating_sub(freed) + new;
        self.most = self.most.max(self.now);
    }
}

impl Pool {
    /// A pool that keeps so many bytes of buffers of each kind for later, also when none of them fits what is needed now: for
    /// networks that go through maps of many sizes again and again.
    pub(crate) fn keeping(spare: u64) -> Self {
        let (wide, narrow) = (Buffers { free: vec![], spare }, Buffers { free: vec![], spare });
        Self { wide, narrow, ..Self::default() }
    }

    /// A map with zeros around it; what is in it is left over from other maps.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the memory cannot be had.
    pub(crate) fn map(&mut self, region: Region, channels: usize, precision: Precision) -> Result<Map> {
        self.padded(region, channels, precision, MARGIN)
    }

    /// The same, with a border of `margin` pixels.
    ///
    /// # Errors
    /// As [`Pool::map`].
    pub(crate) fn padded(
        &mut self,
        region: Region,
        channels: usize,
        precision: Precision,
        margin: usize,
    ) -> Result<Map> {
        let (wide, high) = (region.width() + 2 * margin, region.height() + 2 * margin);
        let len = wide.checked_mul(high).and_then(|pixels| pixels.checked_mul(channels));
        let len = len.ok_or(Error::TooLarge { what: "a feature map", bytes: u64::MAX })?;
        let (row, edge) = (wide * channels, margin * channels);
        let values = match precision {
            Precision::F32 => Values::F32(self.wide.take(len, row, edge, margin, &mut self.bytes)?),
            Precision::Bf16 => Values::Bf16(self.narrow.take(len, row, edge, margin, &mut self.bytes)?),
        };
        Ok(Map { region, channels, margin, values })
    }

    /// The most bytes that all buffers ever were.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.bytes.most
    }

    /// Takes back the buffer of a map.
    pub(crate) fn give(&mut self, map: Map) {
        match map.values {
            Values::F32(values) => self.wide.free.push(values),
            Values::Bf16(values) => self.narrow.free.push(values),
            Values::Tensor(_) => {}
        }
    }
}

/// Buffers of one kind that nobody uses.
#[derive(Default)]
struct Buffers<T> {
    free: Vec<Aligned<T>>,
    /// Bytes of them that may lie here when none fits.
    spare: u64,
}

impl<T: Default + bytemuck::Pod> Buffers<T> {
    /// A buffer of `len` values or more: rows of `row` values, whose outer `edge` values are zero, as are the `margin` first
    /// and last rows.
    fn take(&mut self, len: usize, row: usize, edge: usize, margin: usize, all: &mut Bytes) -> Result<Aligned<T>> {
        let bytes = |len: usize| (len as u64).saturating_mul(size_of::<T>() as u64);
        let fits = |values: &Aligned<T>| values.len() >= len && values.len() / 4 <= len;
        let best = (0..self.free.len()).filter(|&i| fits(&self.free[i])).min_by_key(|&i| self.free[i].len());
        let mut values = match best {
            Some(index) => self.free.swap_remove(index),
            None => {
                // Where none fits, what lies here is of other sizes than what is needed now: the largest makes room, unless
                // that is far more than is needed, or little lies here.
                let lies: u64 = self.free.iter().map(|values| bytes(values.len())).sum();
                let largest = (0..self.free.len()).max_by_key(|&i| self.free[i].len()).filter(|_| lies > self.spare);
                if let Some(largest) = largest.filter(|&i| self.free[i].len() / 8 <= len) {
                    all.change(bytes(self.free.swap_remove(largest).len()), 0);
                }
                let too_large = || Error::TooLarge { what: "a feature map", bytes: bytes(len) };
                let values = Aligned::try_lasting(len).ok_or_else(too_large)?;
                all.change(0, bytes(len));
                values
            }
        };
        values[..margin * row].fill(T::default());
        values[len - margin * row..len].fill(T::default());
        if edge > 0 {
            for line in values[..len].chunks_exact_mut(row) {
                line[..edge].fill(T::default());
                line[row - edge..].fill(T::default());
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_buffer_gets_a_clean_border() {
        let mut pool = Pool::default();
        for (precision, margin) in [(Precision::F32, 1), (Precision::Bf16, 1), (Precision::F32, 2)] {
            let mut map = pool.padded(Region::whole(4, 3), 2, precision, margin).unwrap();
            match &mut map.values {
                Values::F32(values) => values.fill(9.0),
                Values::Bf16(values) => values.fill(bf16::from_f32(9.0)),
                Values::Tensor(_) => unreachable!("the pool makes maps for the processor"),
            }
            pool.give(map);
            let map = pool.padded(Region::whole(2, 3), 2, precision, margin).unwrap();
            let (wide, high) = (2 + 2 * margin, 3 + 2 * margin);
            let zeros = match &map.values {
                Values::F32(values) => values[..high * map.row()].iter().filter(|value| **value == 0.0).count(),
                Values::Bf16(values) => values[..high * map.row()].iter().filter(|value| value.to_f32() == 0.0).count(),
                Values::Tensor(_) => unreachable!("the pool makes maps for the processor"),
            };
            assert_eq!(zeros, (wide * high - 2 * 3) * 2);
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut pool = Pool::default();
        let device = on_device(&[0.0; 24], (4, 3, 2), &Device::Cpu, DType::F32).unwrap();
        for map in [
            pool.map(Region::whole(4, 3), 2, Precision::F32).unwrap(),
            pool.map(Region::whole(4, 3), 2, Precision::Bf16).unwrap(),
            Map { region: Region::whole(4, 3), channels: 2, margin: 0, values: Values::Tensor(device) },
        ] {
            let mut map = map;
            map.write(|y, row| row.iter_mut().enumerate().for_each(|(i, value)| *value = (y * 8 + i) as f32)).unwrap();
            assert_eq!(map.fetch().unwrap(), (0..24).map(|i| i as f32).collect::<Vec<_>>());
        }
    }
}
