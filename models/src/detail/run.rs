//! Sampling over a whole picture.

use rayon::prelude::*;

use super::net::Net;
use super::{Sampling, residual_scale};
use crate::kernels::gaussian_row;
use crate::layers::{Map, Pool, Region};
use crate::picture::{room, zeros};
use crate::planes;
use crate::{Error, Picture, Result, Watch};

/// Bytes of maps that wait for the next tile: those of all levels together.
const SPARE: u64 = 96 << 20;

/// See [`super::Detail::sample`].
pub(super) fn sample(
    net: &Net,
    condition: Picture<'_>,
    sampling: &Sampling,
    watch: &mut dyn Watch,
) -> Result<Vec<f32>> {
    let frame = Frame::new(condition)?;
    let (steps, coarse) = check(sampling)?;
    let align = Net::ALIGN;
    // Regions and cells count in blocks of 8 pixels here, so that cuts fall between them.
    let origin = (frame.origin.0 as usize / align, frame.origin.1 as usize / align);
    let blocks = Region::whole(frame.width / align, frame.height / align).at(origin);
    let edge = (sampling.tile as usize).div_ceil(align);
    let margin = net.radius().div_ceil(align);
    let total = blocks.count(edge) * u64::from(steps);

    watch.step(0, total)?;
    let mut z = frame.noise(sampling.seed)?;
    let mut next = zeros(z.len(), "the second copy of the noise")?;
    let mut pool = Pool::keeping(SPARE);
    let mut done = 0;
    let dt = 1.0 / steps as f32;
    for step in 0..steps {
        let e = net.embed(step as f32 / steps as f32, coarse, sampling.style);
        for cell in blocks.cells(edge) {
            let pixels = cell.times(align);
            let part = pixels.part(step);
            if let Some(values) = watch.recall(part).filter(|values| values.len() == part.len()) {
                planes::paste(&values, pixels, &mut next);
                done += 1;
                watch.step(done, total)?;
                continue;
            }
            let mut halves = pool.map(cell.grown(margin).times(align / 2), 24, net.precision)?;
            frame.fill_halves(&z, &mut halves)?;
            let velocity = net.velocity(&halves, |map, first| frame.fill_full(&z, map, first), &e, &mut pool)?;
            pool.give(halves);
            frame.advance(&z, &velocity, pixels, dt, &mut next);
            pool.give(velocity);
            // The only tile of the last step is the result, which whoever called will keep.
            if step + 1 < steps || blocks.count(edge) > 1 {
                watch.keep(part, &|| planes::cut(&next, pixels));
            }
            done += 1;
            watch.step(done, total)?;
        }
        std::mem::swap(&mut z, &mut next);
    }
    drop(next);
    frame.crop(&z, residual_scale(coarse))
}

/// Steps and coarseness, once the settings are known to make sense.
fn check(sampling: &Sampling) -> Result<(u32, f32)> {
    let wrong = |name, value: String, hint| Err(Error::Setting { name, value, hint });
    if !(1..=1000).contains(&sampling.steps) {
        return wrong("steps", sampling.steps.to_string(), "1 to 1000 are possible, 2 are usual");
    }
    if sampling.tile == 0 {
        return wrong("tile", "0".into(), "a tile has at least one pixel");
    }
    if sampling.coarse.is_nan() {
        return wrong("coarse", "NaN".into(), "it lies between 1 and 2");
    }
    Ok((sampling.steps, sampling.coarse.clamp(1.0, 2.0)))
}

/// The condition, extended in coordinates of the whole picture: back to a multiple of 16, so that even columns and rows of every
/// level are the same as in the whole, and on to a multiple of 8.
struct Frame<'a> {
    condition: Picture<'a>,
    /// Place of the frame in the whole picture.
    origin: (u32, u32),
    /// Pixels of the frame in front of the condition.
    before: (usize, usize),
    width: usize,
    height: usize,
}

impl<'a> Frame<'a> {
    fn new(condition: Picture<'a>) -> Result<Self> {
        condition.size()?;
        let (x, y) = condition.origin;
        let align = Net::ALIGN as u32;
        let axis = |name, start: u32, len: u32| -> Result<(u32, usize, usize)> {
            let first = start - start % (2 * align);
            let end = start.checked_add(len).and_then(|end| end.checked_next_multiple_of(align));
            let end = end.ok_or_else(|| Error::Setting {
                name,
                value: start.to_string(),
                hint: "the picture must end before pixel 4294967288",
            })?;
            Ok((first, (start - first) as usize, (end - first) as usize))
        };
        let (left, before_x, width) = axis("origin x", x, condition.width)?;
        let (top, before_y, height) = axis("origin y", y, condition.height)?;
        Ok(Self { condition, origin: (left, top), before: (before_x, before_y), width, height })
    }

    /// The noise that sampling starts from: three planes.
    fn noise(&self, seed: u64) -> Result<Vec<f32>> {
        let len = self.width.checked_mul(self.height).and_then(|plane| plane.checked_mul(3)).unwrap_or(usize::MAX);
        let mut z = zeros(len, "the noise")?;
        z.par_chunks_exact_mut(self.width).enumerate().for_each(|(index, row)| {
            let (channel, y) = ((index / self.height) as u32, (index % self.height) as u32);
            gaussian_row(seed, (self.origin.0, self.origin.1 + y), channel, 0, row);
        });
        Ok(z)
    }

    /// Reads a row of the frame: columns `from..to` of row `y` of z's and the condition's planes.
    fn row<'z>(&'z self, z: &'z [f32], y: usize) -> [Row<'z>; 6] {
        let (w, h) = (self.condition.width as usize, self.condition.height as usize);
        let inner = y.saturating_sub(self.before.1).min(h - 1);
        std::array::from_fn(|c| {
            if c < 3 {
                Row { values: &z[(c * self.height + y) * self.width..][..self.width], before: 0 }
            } else {
                let values = &self.condition.rgb[((c - 3) * h + inner) * w..][..w];
                Row { values, before: self.before.0 }
            }
        })
    }

    /// Fills a map at half the resolution with z and the condition, `pixel_unshuffle(2)`d: channel c * 4 + i * 2 + j is
    /// row i, column j of plane c.
    fn fill_halves(&self, z: &[f32], map: &mut Map) -> Result<()> {
        let (Region { left, top, .. }, width) = (map.region, map.region.width());
        map.write(|y, line| {
            let mut room = Vec::new();
            for i in 0..2 {
                for (c, row) in self.row(z, 2 * (top + y) + i).into_iter().enumerate() {
                    let (pairs, _) = row.part(2 * left, 2 * width, &mut room).as_chunks::<2>();
                    for (pixel, pair) in line.chunks_exact_mut(24).zip(pairs) {
                        pixel[c * 4 + i * 2..][..2].copy_from_slice(pair);
                    }
                }
            }
        })
    }

    /// Fills the channels from `first` on of a map at the full resolution with z and the condition.
    fn fill_full(&self, z: &[f32], map: &mut Map, first: usize) -> Result<()> {
        let (Region { left, top, .. }, width, channels) = (map.region, map.region.width(), map.channels);
        map.write(|y, line| {
            let mut room = Vec::new();
            for (c, row) in self.row(z, top + y).into_iter().enumerate() {
                let values = row.part(left, width, &mut room);
                line.chunks_exact_mut(channels).zip(values).for_each(|(pixel, value)| pixel[first + c] = *value);
            }
        })
    }

    /// One Euler step on a cell: `next = z + velocity * dt`.
    fn advance(&self, z: &[f32], velocity: &Map, cell: Region, dt: f32, next: &mut [f32]) {
        let known = velocity.region;
        debug_assert!(known.contains(cell) && known.of == (self.width, self.height));
        for (c, (next, z)) in next.chunks_exact_mut(z.len() / 3).zip(z.chunks_exact(z.len() / 3)).enumerate() {
            let part = cell.top * self.width..cell.bottom * self.width;
            let rows = next[part.clone()].par_chunks_exact_mut(self.width).zip(z[part].par_chunks_exact(self.width));
            rows.enumerate().with_min_len(8).for_each(|(y, (next, z))| {
                let line = velocity.pixels(cell.left - known.left, cell.top + y - known.top, cell.width());
                let velocity = line.chunks_exact(velocity.channels);
                let (next, z) = (&mut next[cell.left..cell.right], &z[cell.left..cell.right]);
                for ((next, z), v) in next.iter_mut().zip(z).zip(velocity) {
                    *next = z + v[c] * dt;
                }
            });
        }
    }

    /// The condition's part of z, in the unit of pictures.
    fn crop(&self, z: &[f32], scale: f32) -> Result<Vec<f32>> {
        let (w, h) = (self.condition.width as usize, self.condition.height as usize);
        let mut out = room(3 * w * h, "the residual")?;
        for c in 0..3 {
            for y in 0..h {
                let row = &z[(c * self.height + y + self.before.1) * self.width + self.before.0..][..w];
                out.extend(row.iter().map(|value| value * scale));
            }
        }
        Ok(out)
    }
}

/// A row of the frame; beyond the ends its outer values are repeated.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a [f32],
    before: usize,
}

impl Row<'_> {
    /// So many values from column `left` on; `room` takes them where some lie beyond the ends.
    fn part<'v>(&'v self, left: usize, width: usize, room: &'v mut Vec<f32>) -> &'v [f32] {
        if left >= self.before && left - self.before + width <= self.values.len() {
            return &self.values[left - self.before..][..width];
        }
        let last = self.values.len() - 1;
        room.clear();
        room.extend((left..left + width).map(|x| self.values[x.saturating_sub(self.before).min(last)]));
        room
    }
}
