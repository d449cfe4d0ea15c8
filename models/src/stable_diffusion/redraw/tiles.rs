//! A picture redrawn tile by tile, or by all tiles at once.

use super::canvas::{Canvas, add_share};
use super::course::Course;
use super::job::{Job, Tiling};
use super::layout::{LATENT, Layout, Patch};
use super::networks::{Networks, Seen};
use super::{Easel, Sight};
use crate::Result;
use crate::picture::{room, zeros};

/// Redraws a picture.
///
/// # Errors
/// What the networks fail with, or what `easel` stopped with.
pub(super) fn redraw<N: Networks>(
    networks: &N,
    job: &Job<'_, N::Text>,
    course: &Course,
    easel: &mut dyn Easel,
) -> Result<Vec<f32>> {
    let (width, height) = job.size;
    let layout = Layout::new(job.size, job.tile, job.overlap);
    let picture = Canvas { rgb: job.rgb, width, height };
    let work = Work { networks, job, course, picture };
    match job.tiling {
        Tiling::Independent => work.one_by_one(&layout, easel),
        Tiling::Mixture | Tiling::MultiDiffusion => work.together(&layout, easel),
    }
}

struct Work<'a, N: Networks> {
    networks: &'a N,
    job: &'a Job<'a, N::Text>,
    course: &'a Course,
    picture: Canvas<'a>,
}

impl<N: Networks> Work<'_, N> {
    /// The white fields of a chequerboard, and then the black ones, which see what has become of the white ones where they
    /// overlap, and keep it the more the further they reach into them. So a change reaches a neighbour and no further.
    fn one_by_one(&self, layout: &Layout, easel: &mut dyn Easel) -> Result<Vec<f32>> {
        let total = layout.count();
        let mut out = copy(self.picture.rgb, "the picture")?;
        let mut done = 0;
        for (phase, fields) in layout.phases().into_iter().enumerate() {
            let finished = copy(&out, "the picture")?;
            for (column, row) in fields {
                let patch = layout.patch(column, row);
                let shares = layout.shares(column, row);
                // In the first phase there is nothing yet to fit to.
                let fits = phase > 0 && !self.course.alone();
                let rgb = if fits { &finished[..] } else { self.picture.rgb };
                let context = Canvas { rgb, ..self.picture }.cut(patch.pixels())?;
                let free = fits.then_some((&shares.0[..], &shares.1[..]));
                let tile = self.tile(patch, &context, free, (done, total), easel)?;
                add_share(&mut out, self.job.size, patch.pixels(), (&tile, self.picture.rgb), (&shares.0, &shares.1));
                done += 1;
            }
        }
        Ok(out)
    }

    /// One tile, of which so much is free to change.
    fn tile(
        &self,
        patch: Patch,
        context: &[f32],
        free: Option<(&[f32], &[f32])>,
        (done, total): (usize, usize),
        easel: &mut dyn Easel,
    ) -> Result<Vec<f32>> {
        let Self { networks, job, course, .. } = *self;
        let mut wishes = job.wishes(patch)?;
        if let Some((across, down)) = free {
            let mean = |shares: &[f32], i: usize| shares[i * LATENT..][..LATENT].iter().sum::<f32>() / LATENT as f32;
            for (i, kept) in wishes.kept.iter_mut().enumerate() {
                let free = mean(across, i % patch.width) * mean(down, i / patch.width);
                *kept = 1.0 - (1.0 - *kept) * free;
            }
        }
        let Some(first) = course.first(&wishes.kept) else { return copy(context, "a tile") };
        let original = self.picture.cut(patch.pixels())?;
        let text = job.text(patch);
        let sight = Sight { at: patch, part: (done, total), context, original: &original, wishes: &wishes, text };
        easel.tile(&sight, &mut |watch| {
            let size = patch.pixels().size();
            let origin = networks.encode(context, size)?;
            let hint = networks.hint(&original, size)?;
            let (wanted, unwanted) = (&job.wanted[text].1, job.unwanted);
            let seen = Seen { at: patch, texts: (wanted, unwanted), hint: &hint, resemblance: &wishes.resemblance };
            let latent = course.run(first, &origin, (patch, &wishes), watch, &mut |turn, x| {
                course.predict(networks, turn, x, &seen, &wishes)
            })?;
            networks.decode(&latent, patch.size())
        })
    }

    /// All tiles at every step: what they predict is averaged, and one sampler steps for the whole (MultiDiffusion, Bar-Tal et al.
    /// 2023; with Gaussian weights Mixture of Diffusers, Jiménez 2023).
    fn together(&self, layout: &Layout, easel: &mut dyn Easel) -> Result<Vec<f32>> {
        let Self { networks, job, course, .. } = *self;
        let whole = Patch { x: 0, y: 0, width: layout.whole.0, height: layout.whole.1 };
        let wishes = job.wishes(whole)?;
        let Some(first) = course.first(&wishes.kept) else { return copy(self.picture.rgb, "the picture") };
        let padded = self.picture.cut(whole.pixels())?;
        let sight = Sight { at: whole, part: (0, 1), context: &padded, original: &padded, wishes: &wishes, text: 0 };
        let tile = easel.tile(&sight, &mut |watch| {
            let origin = networks.encode(&padded, whole.pixels().size())?;
            let channels = origin.len() / whole.area();
            let mut parts = vec![];
            for patch in layout.patches() {
                let original = self.picture.cut(patch.pixels())?;
                parts.push((patch, networks.hint(&original, patch.pixels().size())?, job.wishes(patch)?));
            }
            let weights = self.weights(layout.tile);
            let latent = course.run(first, &origin, (whole, &wishes), watch, &mut |turn, x| {
                let mut sum = zeros(x.len(), "the prediction")?;
                let mut weight = zeros(whole.area(), "the weights of the tiles")?;
                for (patch, hint, wishes) in &parts {
                    let texts = (&job.wanted[job.text(*patch)].1, job.unwanted);
                    let seen = Seen { at: *patch, texts, hint, resemblance: &wishes.resemblance };
                    let part = cut(x, whole, *patch, channels)?;
                    let predicted = course.predict(networks, turn, &part, &seen, wishes)?;
                    for (i, share) in weights.iter().enumerate() {
                        let place = (patch.y + i / patch.width) * whole.width + patch.x + i % patch.width;
                        weight[place] += share;
                        for c in 0..channels {
                            sum[c * whole.area() + place] += share * predicted[c * patch.area() + i];
                        }
                    }
                }
                for plane in sum.chunks_exact_mut(whole.area()) {
                    plane.iter_mut().zip(&weight).for_each(|(value, weight)| *value /= weight);
                }
                Ok(sum)
            })?;
            networks.decode(&latent, whole.size())
        })?;
        let (width, height) = job.size;
        let mut out = room(3 * width * height, "the picture")?;
        for plane in tile.chunks_exact(whole.pixels().area()) {
            for row in plane.chunks_exact(whole.pixels().width).take(height) {
                out.extend_from_slice(&row[..width]);
            }
        }
        Ok(out)
    }

    /// The weight of each latent of a tile among others.
    fn weights(&self, (width, height): (usize, usize)) -> Vec<f32> {
        match self.job.tiling {
            Tiling::MultiDiffusion => vec![1.0; width * height],
            _ => {
                // A hundredth of the tile's side squared, as the paper has it.
                let bell = |i: usize, length: usize| {
                    let t = (i as f64 - (length as f64 - 1.0) / 2.0) / length as f64;
                    (-t * t / (2.0 * 0.01)).exp()
                };
                let at = |i: usize| (bell(i % width, width) * bell(i / width, height)) as f32;
                (0..width * height).map(at).collect()
            }
        }
    }
}

/// The planes of a part of a latent.
fn cut(x: &[f32], whole: Patch, at: Patch, channels: usize) -> Result<Vec<f32>> {
    let mut out = room(channels * at.area(), "the latent of a tile")?;
    for plane in x.chunks_exact(whole.area()) {
        for y in at.y..at.y + at.height {
            out.extend_from_slice(&plane[y * whole.width + at.x..][..at.width]);
        }
    }
    Ok(out)
}

fn copy(values: &[f32], what: &'static str) -> Result<Vec<f32>> {
    let mut out = room(values.len(), what)?;
    out.extend_from_slice(values);
    Ok(out)
}
