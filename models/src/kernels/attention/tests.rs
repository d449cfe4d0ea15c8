use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::kernels::isa::available;
use crate::noise::gaussian;

/// Reproducible values of order one that both formats can hold.
fn values(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u32).map(|i| bf16::from_f32(gaussian(seed, i, 0, 0, 0)).to_f32()).collect()
}

/// Queries, keys and values in maps with gaps.
#[derive(Clone, Debug)]
struct Case {
    heads: usize,
    head_size: usize,
    /// Width and height.
    queries: (usize, usize),
    keys: (usize, usize),
    /// Values between pixels, and between rows, that do not belong to them.
    gap: usize,
    causal: bool,
    scale: f32,
    /// Added to all scores, nearly: to the first channel of every query and key.
    shift: f32,
}

impl Case {
    fn new(heads: usize, head_size: usize, queries: usize, keys: usize) -> Self {
        let scale = 1.0 / (head_size as f32).sqrt();
        Self { heads, head_size, queries: (queries, 1), keys: (keys, 1), gap: 0, causal: false, scale, shift: 0.0 }
    }

    fn channels(&self) -> usize {
        self.heads * self.head_size
    }

    fn place(&self, size: (usize, usize)) -> Place {
        let pixel = self.channels() + self.gap;
        Place { start: self.gap, row: pixel * size.0 + 3 * self.gap, pixel, width: size.0, height: size.1 }
    }

    fn map(&self, size: (usize, usize), seed: u64) -> Vec<f32> {
        let place = self.place(size);
        let mut map = values(place.start + place.row * size.1, seed);
        if seed < 3 {
            for token in 0..size.0 * size.1 {
                for head in 0..self.heads {
                    map[at(place, token) + head * self.head_size] = self.shift;
                }
            }
        }
        map
    }

    fn run<E: Element>(&self, isa: Isa) -> Vec<E> {
        let to = |values: Vec<f32>| -> Vec<E> { values.into_iter().map(E::from_f32).collect() };
        let (q, k, v) = (to(self.map(self.queries, 1)), to(self.map(self.keys, 2)), to(self.map(self.keys, 3)));
        let mut out = vec![E::from_f32(77.0); q.len()];
        let place = self.place(self.queries);
        let tokens = |map, size| tokens(map, self.place(size));
        let (q, k, v) = (tokens(&q, self.queries), tokens(&k, self.keys), tokens(&v, self.keys));
        attention(isa, q, k, v, self.heads, self.head_size, self.scale, self.causal, &mut out, place);
        out
    }

    /// The definition, in f64, and the largest score.
    fn reference(&self) -> (Vec<f64>, f64) {
        let (q, k, v) = (self.map(self.queries, 1), self.map(self.keys, 2), self.map(self.keys, 3));
        let (from, to) = (self.place(self.keys), self.place(self.queries));
        let (mut out, mut most) = (vec![77.0; q.len()], 0.0f64);
        for head in 0..self.heads {
            let part = |map: &[f32], place, token| -> Vec<f64> {
                let part = &map[at(place, token) + head * self.head_size..][..self.head_size];
                part.iter().map(|value| f64::from(*value)).collect()
            };
            for query in 0..self.queries.0 * self.queries.1 {
                let all = self.keys.0 * self.keys.1;
                let keys = if self.causal { all.min(query + 1) } else { all };
                let one = part(&q, to, query);
                let score = |key| -> f64 {
                    one.iter().zip(part(&k, from, key)).map(|(a, b)| a * b).sum::<f64>() * f64::from(self.scale)
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                most = scores.iter().fold(most, |most, score| most.max(score.abs()));
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let whole: f64 = weights.iter().sum();
                let mut sums = vec![0.0; self.head_size];
                for (key, weight) in weights.iter().enumerate() {
                    for (sum, value) in sums.iter_mut().zip(part(&v, from, key)) {
                        *sum += weight / whole * value;
                    }
                }
                out[at(to, query) + head * self.head_size..][..self.head_size].copy_from_slice(&sums);
            }
        }
        (out, most)
    }

    fn check<E: Element>(&self, isa: Isa, reference: &[f64], tolerance: f64) {
        for (found, exact) in self.run::<E>(isa).into_iter().zip(reference) {
            let found = f64::from(found.to_f32());
            assert!((found - exact).abs() <= tolerance * exact.abs().max(1.0), "{self:?} {isa:?}: {found} for {exact}");
        }
    }

    /// f32 within 1e-5, bf16 within 1e-2. What an f32 score is off by, its probability is off by, too: that is more where scores
    /// are in the hundreds.
    fn check_all(&self) {
        let (reference, score) = self.reference();
        for isa in available() {
            self.check::<f32>(isa, &reference, f64::max(1e-5, score * f64::from(f32::EPSILON) * 2.0));
            self.check::<bf16>(isa, &reference, 1e-2);
        }
    }
}

fn at(place: Place, token: usize) -> usize {
    place.start + token / place.width * place.row + token % place.width * place.pixel
}

fn tokens<E>(data: &[E], place: Place) -> Tokens<'_, E> {
    Tokens { data, start: place.start, row: place.row, pixel: place.pixel, width: place.width, height: place.height }
}

proptest! {
    #![proptest_config(crate::testing::random_cases(96))]

    #[test]
    fn attention_matches_its_definition(
        heads in 1usize..4, head_size in 1usize..50, queries in (1usize..30, 1usize..5), keys in (1usize..80, 1usize..5),
        gap in 0usize..4, causal: bool, shift in -9.0f32..9.0, scale in 0.05f32..0.5,
    ) {
        let shift = bf16::from_f32(shift).to_f32();
        Case { heads, head_size, queries, keys, gap, causal, scale, shift }.check_all();
    }
}

#[test]
fn the_sizes_of_real_networks() {
    for (heads, head_size, queries, keys) in [(2, 40, 64, 77), (2, 80, 33, 200), (1, 160, 16, 77), (1, 512, 100, 100)] {
        Case::new(heads, head_size, queries, keys).check_all();
    }
    Case { causal: true, ..Case::new(3, 64, 77, 77) }.check_all();
    Case { causal: true, ..Case::new(1, 16, 300, 300) }.check_all();
    Case::new(1, 1, 1, 1).check_all();
}

/// Scores that are far from zero, rise from block to block and differ by more than an f32 can hold as a power.
#[test]
fn large_scores() {
    let size = 600;
    for sign in [1.0, -1.0] {
        let q = vec![1.0f32; 2];
        let k: Vec<f32> = (0..size).map(|i| sign * i as f32).collect();
        let v: Vec<f32> = (0..size).map(|i| i as f32).collect();
        for isa in available() {
            for (scale, spread) in [(100.0, 0.0), (1.0, 0.581_976_7)] {
                let mut out = [0.0; 2];
                let place = Place { start: 0, row: 2, pixel: 1, width: 2, height: 1 };
                let [q, k, v] = [&q, &k, &v].map(|data| Tokens::line(data, 1));
                attention(isa, q, k, v, 1, 1, scale, false, &mut out, place);
                let exact = if sign > 0.0 { 599.0 - spread } else { spread };
                assert!(out.iter().all(|found| (found - exact).abs() < 1e-4), "{isa:?} {scale}: {out:?} for {exact}");
            }
        }
    }
}

#[test]
fn nan_comes_through() {
    for isa in available() {
        for place in 0..3 {
            let mut maps = [vec![1.0f32; 12], vec![1.0; 12], vec![1.0; 12]];
            maps[place][5] = f32::NAN;
            let [q, k, v] = maps.each_ref().map(|map| Tokens::line(map, 4));
            let mut out = [0.0f32; 12];
            let to = Place { start: 0, row: 12, pixel: 4, width: 3, height: 1 };
            attention(isa, q, k, v, 1, 4, 0.5, false, &mut out, to);
            assert!(out[5].is_nan(), "{isa:?}: {out:?}");
            assert_eq!(out[0].is_nan(), place == 1, "{isa:?}: {out:?}");
        }
    }
}

fn bits<E: Element>(values: &[E]) -> Vec<u32> {
    values.iter().map(|value| value.to_f32().to_bits()).collect()
}

/// f32 on sets that fuse multiplication and addition gives the same bits, whatever the width of their vectors.
#[test]
fn vector_width_does_not_change_a_bit() {
    let fused: Vec<Isa> = available().filter(|isa| *isa != Isa::Plain).collect();
    for case in [Case::new(2, 40, 90, 300), Case { causal: true, ..Case::new(3, 7, 133, 133) }] {
        for pair in fused.windows(2) {
            assert_eq!(bits(&case.run::<f32>(pair[0])), bits(&case.run::<f32>(pair[1])));
        }
    }
}

#[test]
fn a_query_does_not_know_its_neighbours_or_the_threads() {
    neighbours::<f32>();
    neighbours::<bf16>();
}

fn neighbours<E: Element>() {
    let case = Case { causal: true, gap: 1, ..Case::new(3, 20, 333, 250) };
    for isa in available() {
        let whole = case.run::<E>(isa);
        for threads in [1, 3, 16] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(bits(&whole), bits(&pool.install(|| case.run::<E>(isa))));
        }
        let case = Case { queries: (47, 1), ..case.clone() };
        let few = case.run::<E>(isa);
        let behind = at(case.place(case.queries), 46) + case.channels();
        assert_eq!(bits(&whole[..behind]), bits(&few[..behind]));
    }
}
