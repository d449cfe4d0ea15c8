//! The laws of redrawing, with networks that can be reckoned by hand.

use super::super::course::Course;
use super::super::denoise::{Steps, Turn, Wishes};
use super::super::job::Job;
use super::super::networks::{Half, Networks, Seen};
use super::super::one_step::OneStep;
use super::super::*;
use crate::Unwatched;
use crate::noise::gaussian;
use crate::stable_diffusion::OneStepKind;
use crate::stable_diffusion::samplers::{Prediction, SamplerKind, Schedule, Step};

/// A latent is the mean of 8 x 8 pixels, and the network sees as noise what is not near the hint, and some of its neighbours.
struct Plain;

impl Networks for Plain {
    type Text = f32;
    type Hint = Vec<f32>;

    fn encode(&self, rgb: &[f32], (width, height): (usize, usize)) -> Result<Vec<f32>> {
        let mut latent = vec![];
        for plane in rgb.chunks_exact(width * height) {
            let patch = Patch { x: 0, y: 0, width: width / 8, height: height / 8 };
            latent.extend(Amount::Map(plane).latents(patch, (width, height))?);
        }
        Ok(latent)
    }

    fn decode(&self, latent: &[f32], (width, height): (usize, usize)) -> Result<Vec<f32>> {
        let mut rgb = vec![];
        for plane in latent.chunks_exact(width * height) {
            for y in 0..8 * height {
                rgb.extend((0..8 * width).map(|x| plane[y / 8 * width + x / 8]));
            }
        }
        Ok(rgb)
    }

    fn hint(&self, rgb: &[f32], size: (usize, usize)) -> Result<Self::Hint> {
        self.encode(rgb, size)
    }

    fn predict(
        &self,
        latent: &[f32],
        (time, half): (f32, Half),
        text: &f32,
        seen: &Seen<'_, Self>,
    ) -> Result<Vec<f32>> {
        let row = seen.at.width;
        let at = |i: usize| {
            let neighbours = latent[i.saturating_sub(1)] + latent[(i + row).min(latent.len() - 1)];
            let resemblance = seen.resemblance[i % seen.at.area()];
            let meaning = if half == Half::Both { 0.1 } else { 0.0 };
            meaning + latent[i] - 0.3 * neighbours - text * time * 1e-4 - resemblance * 0.2 * seen.hint[i]
        };
        Ok((0..latent.len()).map(at).collect())
    }
}

const SIZE: (usize, usize) = (400, 328);

fn picture() -> Vec<f32> {
    (0..3 * SIZE.0 * SIZE.1).map(|i| ((i % 97) as f32 / 97.0 + (i / SIZE.0) as f32 * 0.01) % 1.0).collect()
}

fn steps(count: u32) -> Steps {
    let left = |i: u32| f64::from(count - i) / f64::from(count);
    let time = |i: u32| 500.0 * left(i) as f32;
    let step = |i| Step { index: i, time: time(i), next_time: time(i + 1), from: 2.0 * left(i), to: 2.0 * left(i + 1) };
    let sampler = SamplerKind::EulerAncestral.sampler(&Schedule::default(), None).unwrap();
    Steps { steps: (0..count).map(step).collect(), sampler, prediction: Prediction::Epsilon, seed: 7, inverts: false }
}

fn job<'a>(rgb: &'a [f32], creativity: Amount<'a>, tiling: Tiling, wanted: &'a [(Place, f32)]) -> Job<'a, f32> {
    Job {
        rgb,
        size: SIZE,
        creativity,
        resemblance: Amount::Uniform(0.5),
        detail: Amount::Uniform(0.5),
        guidance: 3.0,
        renoise: None,
        tiling,
        tile: (16, 16),
        overlap: (2, 2),
        wanted,
        unwanted: &0.2,
    }
}

const TEXT: [(Place, f32); 1] = [(Place::WHOLE, 1.0)];

fn run(job: &Job<'_, f32>, easel: &mut dyn Easel) -> Vec<f32> {
    tiles::redraw(&Plain, job, &Course::Steps(steps(5)), easel).unwrap()
}

fn places(a: &[f32], b: &[f32]) -> Vec<(usize, usize)> {
    let differ = (0..SIZE.0 * SIZE.1).filter(|i| a[*i] != b[*i]);
    differ.map(|i| (i % SIZE.0, i / SIZE.0)).collect()
}

#[test]
fn a_change_reaches_the_next_tile_and_no_further() {
    let rgb = picture();
    let layout = layout::Layout::new(SIZE, (16, 16), (2, 2));
    let before = run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT), &mut Unwatched);
    assert_ne!(before, rgb);
    for (column, row) in [(1, 1), (2, 1), (0, 0)] {
        // A spot that no other tile covers.
        let at = layout.patch(column, row).pixels();
        let mut map = vec![0.6; SIZE.0 * SIZE.1];
        for y in at.y + 40..at.y + 88 {
            map[y * SIZE.0 + at.x + 40..][..48].fill(0.2);
        }
        let after = run(&job(&rgb, Amount::Map(&map), Tiling::Independent, &TEXT), &mut Unwatched);
        let changed = places(&before, &after);
        assert!(!changed.is_empty());
        let near: Vec<_> = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]
            .into_iter()
            .filter_map(|(dx, dy)| Some((column.checked_add_signed(dx)?, row.checked_add_signed(dy)?)))
            .filter(|(column, row)| *column < layout.grid().0 && *row < layout.grid().1)
            .map(|(column, row)| layout.patch(column, row).pixels())
            .collect();
        for (x, y) in changed {
            let inside = |p: &Patch| (p.x..p.x + p.width).contains(&x) && (p.y..p.y + p.height).contains(&y);
            assert!(near.iter().any(inside), "{x},{y} changed by a spot in tile {column},{row}");
        }
    }
}

#[test]
fn one_tile_for_all_is_no_tile_at_all() {
    let rgb = picture();
    let whole = |tiling| Job { tile: (64, 64), ..job(&rgb, Amount::Uniform(0.6), tiling, &TEXT) };
    let alone = run(&whole(Tiling::Independent), &mut Unwatched);
    for tiling in [Tiling::Mixture, Tiling::MultiDiffusion] {
        let joint = run(&whole(tiling), &mut Unwatched);
        let worst = alone.iter().zip(&joint).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{tiling:?}: {worst}");
    }
    let tiled = run(&job(&rgb, Amount::Uniform(0.6), Tiling::Mixture, &TEXT), &mut Unwatched);
    assert_ne!(tiled, run(&job(&rgb, Amount::Uniform(0.6), Tiling::MultiDiffusion, &TEXT), &mut Unwatched));
}

#[test]
fn nothing_is_reinvented_where_nothing_may_be() {
    let rgb = picture();
    let map: Vec<f32> = (0..SIZE.0 * SIZE.1).map(|i| if i % SIZE.0 < 200 { 0.0 } else { 0.5 }).collect();
    let trip = Plain.decode(&Plain.encode(&rgb, SIZE).unwrap(), (50, 41)).unwrap();
    for tiling in [Tiling::Independent, Tiling::Mixture] {
        let out = run(&job(&rgb, Amount::Map(&map), tiling, &TEXT), &mut Unwatched);
        let mut changed = 0;
        for (i, ((out, rgb), trip)) in out.iter().zip(&rgb).zip(&trip).enumerate() {
            if i % SIZE.0 < 200 {
                // Tiles of which nothing is free are not even decoded.
                let near = (out - trip).abs().min((out - rgb).abs());
                assert!(near < 1.0 / 255.0 || between(*out, *rgb, *trip), "{tiling:?} {i}: {out} {rgb} {trip}");
            } else {
                changed += usize::from((out - trip).abs() > 1.0 / 255.0);
            }
        }
        assert!(changed > 10_000, "{tiling:?}: {changed}");
    }
}

/// Where a tile that is redrawn fades into one that is not.
fn between(value: f32, a: f32, b: f32) -> bool {
    (a.min(b) - 1e-5..=a.max(b) + 1e-5).contains(&value)
}

#[test]
fn noise_belongs_to_its_place() {
    let steps = steps(3);
    let (large, small) = (Patch { x: 0, y: 0, width: 16, height: 16 }, Patch { x: 8, y: 4, width: 8, height: 8 });
    let (mut a, mut b) = (vec![0.0; 2 * 256], vec![0.0; 2 * 64]);
    steps.noise(large, 3, &mut a);
    steps.noise(small, 3, &mut b);
    assert_eq!(a[256 + 5 * 16 + 9], b[64 + 8 + 1]);
    assert_eq!(a[256 + 5 * 16 + 9], gaussian(7, 9, 5, 1, 3));
}

#[test]
fn texts_count_for_the_tiles_whose_middle_they_hold() {
    let rgb = picture();
    let right = Place { left: 0.5, ..Place::WHOLE };
    let both = [(Place::WHOLE, 1.0), (right, 5.0)];
    let one = run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT), &mut Unwatched);
    let two = run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &both), &mut Unwatched);
    let changed = places(&one, &two);
    assert!(!changed.is_empty() && changed.iter().all(|(x, _)| *x > 100), "{:?}", changed.iter().min());
}

/// Knows all tiles that it has seen.
#[derive(Default)]
struct Memory {
    known: Vec<(Vec<f32>, Vec<f32>)>,
    drawn: usize,
}

impl Easel for Memory {
    fn tile(
        &mut self,
        sight: &Sight<'_>,
        redraw: &mut dyn FnMut(&mut dyn Watch) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let key = [&[sight.pixels().x as f32, sight.pixels().y as f32], &sight.values().concat()[..]].concat();
        if let Some((_, tile)) = self.known.iter().find(|(known, _)| *known == key) {
            return Ok(tile.clone());
        }
        let tile = redraw(&mut Unwatched)?;
        self.drawn += 1;
        self.known.push((key, tile.clone()));
        Ok(tile)
    }
}

#[test]
fn only_tiles_that_see_a_change_are_drawn_again() {
    let rgb = picture();
    let mut memory = Memory::default();
    let first = run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT), &mut memory);
    let all = std::mem::take(&mut memory.drawn);
    assert_eq!(run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT), &mut memory), first);
    assert_eq!(memory.drawn, 0);
    let mut map = vec![0.6; SIZE.0 * SIZE.1];
    map[20 * SIZE.0 + 20..][..24].fill(0.1);
    let changed = run(&job(&rgb, Amount::Map(&map), Tiling::Independent, &TEXT), &mut memory);
    assert!(memory.drawn <= 3 && all > 9, "{} of {all}", memory.drawn);
    let fresh = run(&job(&rgb, Amount::Map(&map), Tiling::Independent, &TEXT), &mut Unwatched);
    assert_eq!(changed, fresh, "what is known must be what would be drawn");
}

#[test]
fn in_one_step_a_change_stays_in_its_tile() {
    let rgb = picture();
    let layout = layout::Layout::new(SIZE, (16, 16), (2, 2));
    let (at, whole) = (layout.patch(1, 1).pixels(), SIZE.0 * SIZE.1);
    let draw = |creativity: &[f32]| {
        let course = Course::OneStep(OneStep::new(OneStepKind::Residual, Prediction::Epsilon, &Schedule::default()));
        let job = job(&rgb, Amount::Map(creativity), Tiling::Independent, &TEXT);
        tiles::redraw(&Plain, &job, &course, &mut Unwatched).unwrap()
    };
    let mut map = vec![0.6; whole];
    let before = draw(&map);
    assert_ne!(before, rgb);
    for y in at.y + 40..at.y + 88 {
        map[y * SIZE.0 + at.x + 40..][..48].fill(0.2);
    }
    let changed = places(&before, &draw(&map));
    assert!(!changed.is_empty());
    for (x, y) in changed {
        assert!((at.x..at.x + at.width).contains(&x) && (at.y..at.y + at.height).contains(&y), "{x},{y}");
    }
}

/// A latent through inversion and back, with a network that sees as noise `slope` times what it is shown and something of the time.
fn there_and_back(count: u32, slope: f32, renoise: f32) -> (Vec<f32>, Vec<f32>) {
    let at = Patch { x: 3, y: 5, width: 8, height: 8 };
    let origin: Vec<f32> = (0..256).map(|i| gaussian(1, i, 0, 0, 0)).collect();
    let euler = SamplerKind::Euler.sampler(&Schedule::default(), None).unwrap();
    let steps = Steps { inverts: renoise < 1.0, sampler: euler, ..steps(count) };
    let wishes = Wishes { kept: vec![0.0; 64], resemblance: vec![], guidance: vec![], renoise: vec![renoise; 64] };
    let mut answer = |turn: Turn, x: &[f32]| {
        let (Turn::Down(step) | Turn::Up(step)) = turn;
        let time = steps.steps[step].time;
        Ok(x.iter().zip(0..).map(|(x, i)| slope * x + (i as f32 + time * 0.01).sin()).collect())
    };
    let found = steps.run(0, &origin, (at, &wishes), &mut Unwatched, &mut answer).unwrap();
    (origin, found)
}

#[test]
fn inversion_leads_back_to_the_picture() {
    let error = |count, slope| {
        let (origin, found) = there_and_back(count, slope, 0.0);
        origin.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Exactly, where the noise is the same before a step and behind it ...
    assert!(error(10, 0.0) < 1e-5, "{}", error(10, 0.0));
    // ... and else the nearer the shorter the steps are: it is a method of first order.
    let (coarse, fine) = (error(20, 0.4), error(80, 0.4));
    assert!(coarse < 0.5 && fine < coarse / 3.0, "{coarse} {fine}");
    // All noise replaced is no inversion.
    let part = there_and_back(10, 0.4, 0.999_999).1;
    let none = there_and_back(10, 0.4, 1.0).1;
    assert!(part.iter().zip(&none).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn inversion_belongs_to_its_tile() {
    let rgb = picture();
    let draw = |rgb: &[f32]| {
        let job =
            Job { renoise: Some(Amount::Uniform(0.3)), ..job(rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT) };
        let course = Course::Steps(Steps { inverts: true, ..steps(5) });
        tiles::redraw(&Plain, &job, &course, &mut Unwatched).unwrap()
    };
    let before = draw(&rgb);
    assert_ne!(before, run(&job(&rgb, Amount::Uniform(0.6), Tiling::Independent, &TEXT), &mut Unwatched));
    let mut other = rgb.clone();
    other[0] = 1.0 - other[0];
    let (reach, _) = layout::Layout::new(SIZE, (16, 16), (2, 2)).tile;
    assert!(places(&before, &draw(&other)).iter().all(|(x, y)| *x < 2 * 8 * reach && *y < 2 * 8 * reach));
}
