//! Group normalisation.

use rayon::prelude::*;

use super::{load_some, store_some};
use crate::kernels::isa::Kernel;
use crate::kernels::shared::Shared;
use crate::kernels::simd::Simd;
use crate::kernels::tokens::check_output;
use crate::kernels::{Activation, Element, Isa, Place, Tokens};

/// Pixels of a row that one job takes. Fixed, so that sums are cut at the same places for every number of threads.
const PIECE: usize = 256;

/// Pixels whose sums stay in f32.
const STRAND: usize = 64;

/// What a group of channels is like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Values.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Their mean squared distance from the mean.
    pub variance: f64,
}

impl Moments {
    /// The moments of both sets of values together (Chan, Golub and LeVeque 1979): what tiles of a map know of themselves
    /// makes what is true of the whole map.
    #[must_use]
    pub fn pool(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let (part, apart) = (other.count / count, other.mean - self.mean);
        let inner = self.variance * (self.count / count) + other.variance * part;
        Self { count, mean: self.mean + apart * part, variance: inner + apart * apart * part * (self.count / count) }
    }
}

/// The moments of each of `groups` groups of neighbouring channels over all pixels of `from`. In parallel over pixels; exact
/// also where the mean is much larger than the deviation. One pass over the map.
///
/// # Panics
/// When the map does not lie within its slice, the channels do not make equal groups, or the processor lacks the set.
pub fn group_statistics<E: Element>(isa: Isa, from: Tokens<'_, E>, channels: usize, groups: usize) -> Vec<Moments> {
    assert!(groups > 0 && channels.is_multiple_of(groups), "{channels} channels do not make {groups} groups");
    if from.count() == 0 || channels == 0 {
        return vec![Moments::default(); groups];
    }
    from.check(channels, "pixels");
    let across = from.width.div_ceil(PIECE);
    let mut parts = vec![Moments::default(); across * from.height * groups];
    parts.par_chunks_mut(groups).enumerate().for_each(|(job, moments)| {
        let (y, x) = (job / across, job % across * PIECE);
        let pixels = (from.width - x).min(PIECE);
        let start = from.start + y * from.row + x * from.pixel;
        isa.run(Sums { from: &from, start, pixels, channels, moments });
    });
    (0..groups)
        .map(|group| parts[group..].iter().step_by(groups).fold(Moments::default(), |all, part| all.pool(*part)))
        .collect()
}

/// `activation((x - mean) / sqrt(variance + epsilon) * weight + bias)` with the moments of each group of channels, from the
/// pixels of `from` to as many pixels of `place`; one weight and one bias per channel. In parallel over pixels. One pass over
/// the map.
///
/// # Panics
/// When a map does not lie within its slice, output pixels would overlap, the numbers of pixels, or of weights and biases,
/// differ, the channels do not make equal groups, slopes are not one per channel, or the processor lacks the set.
#[allow(clippy::too_many_arguments)]
pub fn group_apply<I: Element, O: Element>(
    isa: Isa,
    from: Tokens<'_, I>,
    moments: &[Moments],
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    activation: Activation<'_>,
    out: &mut [O],
    place: Place,
) {
    let (pixels, channels, groups) = (from.count(), weight.len(), moments.len());
    assert!(groups > 0 && channels.is_multiple_of(groups), "{channels} channels do not make {groups} groups");
    assert_eq!(bias.len(), channels, "a bias for each weight");
    assert_eq!(pixels, place.width * place.height, "an output pixel for each pixel");
    if let Activation::Prelu(slopes) = activation {
        assert_eq!(slopes.len(), channels, "slopes of another width");
    }
    if pixels == 0 || channels == 0 {
        return;
    }
    from.check(channels, "pixels");
    check_output(place, channels, out.len());

    // (x - mean) * factor + bias, with the mean in two parts: the first an f32, the second taken from the bias.
    let of = |c: usize| {
        let Moments { mean, variance, .. } = moments[c / (channels / groups)];
        let factor = f64::from(weight[c]) / (variance.max(0.0) + f64::from(epsilon)).sqrt();
        let first = mean as f32;
        [first, factor as f32, (f64::from(bias[c]) - (mean - f64::from(first)) * factor) as f32]
    };
    let [mut mean, mut factor, mut addend] = [const { Vec::new() }; 3];
    for [a, b, c] in (0..channels).map(of) {
        mean.push(a);
        factor.push(b);
        addend.push(c);
    }
    let line = Line { mean: &mean, factor: &factor, addend: &addend };
    let out = Shared::new(out);
    // Small enough to share out evenly, large enough to be worth a job.
    let many = (16_384 / channels).clamp(1, PIECE);
    (0..pixels.div_ceil(many)).into_par_iter().for_each(|job| {
        let (first, end) = (job * many, ((job + 1) * many).min(pixels));
        isa.run(Apply { from: &from, line, activation, out, place, first, end });
    });
}

/// Group normalisation (Wu and He 2018): [`group_statistics`] and [`group_apply`].
///
/// # Panics
/// As these.
#[allow(clippy::too_many_arguments)]
pub fn group_norm<I: Element, O: Element>(
    isa: Isa,
    from: Tokens<'_, I>,
    groups: usize,
    weight: &[f32],
    bias: &[f32],
    epsilon: f32,
    activation: Activation<'_>,
    out: &mut [O],
    place: Place,
) {
    let moments = group_statistics(isa, from, weight.len(), groups);
    group_apply(isa, from, &moments, weight, bias, epsilon, activation, out, place);
}

/// Some pixels of a row.
struct Sums<'a, E> {
    from: &'a Tokens<'a, E>,
    /// Index of the first value.
    start: usize,
    pixels: usize,
    channels: usize,
    /// The result, one per group.
    moments: &'a mut [Moments],
}

impl<E: Element> Kernel for Sums<'_, E> {
    type Out = ();

    /// Relies on what `group_statistics` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let mut groups = vec![Group::default(); self.moments.len()];
        let size = self.channels / groups.len();
        for first in (0..self.pixels).step_by(STRAND) {
            let pixels = (self.pixels - first).min(STRAND);
            let from = &self.from.data[self.start + first * self.from.pixel..];
            let mut c = 0;
            while c < self.channels {
                let mut strand = Strand { shift: [0.0; 64], sums: [0.0; 64], squares: [0.0; 64] };
                // SAFETY: the caller vouches for the set, and that all channels of the pixels lie within the map; `many`
                // channels of the first vector are there, and four vectors only where they are whole.
                let many = unsafe {
                    let from = from.as_ptr().add(c);
                    if c + 4 * V::LANES <= self.channels {
                        strand.fill::<V, E, 4>(from, self.from.pixel, pixels, V::LANES);
                        4 * V::LANES
                    } else {
                        let many = (self.channels - c).min(V::LANES);
                        strand.fill::<V, E, 1>(from, self.from.pixel, pixels, many);
                        many
                    }
                };
                for i in 0..many {
                    groups[(c + i) / size].add(&strand, i, pixels as f64);
                }
                c += many;
            }
        }
        for (moments, group) in self.moments.iter_mut().zip(groups) {
            *moments = group.moments((size * self.pixels) as f64);
        }
    }
}

/// Sums over some pixels of a few channels.
struct Strand {
    /// The values of the first pixel.
    shift: [f32; 64],
    /// Sums of the distances from it.
    sums: [f32; 64],
    /// Sums of their squares.
    squares: [f32; 64],
}

impl Strand {
    /// # Safety
    /// The processor must have the set of `V`; at `from` must lie `pixels` pixels, and at each of them `many` channels for each
    /// of `NV` vectors, 4 at most.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn fill<V: Simd, E: Element, const NV: usize>(
        &mut self,
        from: *const E,
        pixel: usize,
        pixels: usize,
        many: usize,
    ) {
        // SAFETY: passed on from the caller; four vectors have 64 lanes at most.
        unsafe {
            let mut shift = [V::splat(0.0); NV];
            for v in 0..NV {
                shift[v] = load_some::<V, E>(from.add(v * V::LANES), many);
            }
            let (mut sums, mut squares) = ([V::splat(0.0); NV], [V::splat(0.0); NV]);
            for p in 0..pixels {
                for v in 0..NV {
                    let value = load_some::<V, E>(from.add(p * pixel + v * V::LANES), many);
                    let apart = value.sub(shift[v]);
                    sums[v] = sums[v].add(apart);
                    squares[v] = apart.fma(apart, squares[v]);
                }
            }
            for v in 0..NV {
                shift[v].store(self.shift.as_mut_ptr().add(v * V::LANES));
                sums[v].store(self.sums.as_mut_ptr().add(v * V::LANES));
                squares[v].store(self.squares.as_mut_ptr().add(v * V::LANES));
            }
        }
    }
}

/// Sums of a group of channels.
#[derive(Clone, Copy, Default)]
struct Group {
    /// The group's first value.
    shift: Option<f64>,
    /// The sum of the distances from it.
    sum: f64,
    /// The sum of their squares.
    squares: f64,
}

impl Group {
    /// Takes in one channel of a strand of `count` pixels.
    #[inline(always)]
    fn add(&mut self, strand: &Strand, channel: usize, count: f64) {
        let from = f64::from(strand.shift[channel]);
        let apart = from - *self.shift.get_or_insert(from);
        let sum = f64::from(strand.sums[channel]);
        self.sum += sum + count * apart;
        self.squares += f64::from(strand.squares[channel]) + (sum + sum + count * apart) * apart;
    }

    #[inline(always)]
    fn moments(self, count: f64) -> Moments {
        let left = self.sum / count;
        let variance = (self.squares / count - left * left).max(0.0);
        Moments { count, mean: self.shift.unwrap_or_default() + left, variance }
    }
}

/// What `group_apply` does to a channel: `(x - mean) * factor + addend`.
#[derive(Clone, Copy)]
struct Line<'a> {
    mean: &'a [f32],
    factor: &'a [f32],
    addend: &'a [f32],
}

struct Apply<'a, I, O> {
    from: &'a Tokens<'a, I>,
    line: Line<'a>,
    activation: Activation<'a>,
    out: Shared<'a, O>,
    place: Place,
    first: usize,
    end: usize,
}

impl<I: Element, O: Element> Kernel for Apply<'_, I, O> {
    type Out = ();

    /// Relies on what `group_apply` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Place { start, row, pixel, width, .. } = self.place;
        let Line { mean, factor, addend } = self.line;
        let channels = mean.len();
        for index in self.first..self.end {
            let to = start + index / width * row + index % width * pixel;
            // SAFETY: the caller vouches for the set, and that all channels of both pixels lie within their maps; no other
            // thread writes to this pixel.
            unsafe {
                let (from, to) = (self.from.data.as_ptr().add(self.from.at(index)), self.out.at(to));
                for c in (0..channels).step_by(V::LANES) {
                    let many = V::LANES.min(channels - c);
                    let of = |values: &[f32]| load_some::<V, f32>(values.as_ptr().add(c), many);
                    let apart = load_some::<V, I>(from.add(c), many).sub(of(mean));
                    let slopes = match self.activation {
                        Activation::Prelu(slopes) => of(slopes),
                        _ => V::splat(0.0),
                    };
                    let value = self.activation.apply::<V, O>(apart.fma(of(factor), of(addend)), slopes);
                    store_some(value, to.add(c), many);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::isa::available;
    use crate::noise::gaussian;

    fn values(len: usize, seed: u64, mean: f32) -> Vec<f32> {
        (0..len as u32).map(|i| bf16::from_f32(gaussian(seed, i, 0, 0, 0)).to_f32() + mean).collect()
    }

    #[derive(Clone, Debug)]
    struct Case {
        groups: usize,
        channels: usize,
        /// Width and height.
        size: (usize, usize),
        /// Values between pixels, and between rows, that do not belong to them.
        gap: usize,
        mean: f32,
        silu: bool,
    }

    impl Case {
        fn place(&self) -> Place {
            let (width, height) = self.size;
            let pixel = self.channels + self.gap;
            Place { start: self.gap, row: pixel * width + self.gap, pixel, width, height }
        }

        fn data<E: Element>(&self) -> Vec<E> {
            let place = self.place();
            values(place.start + place.row * place.height, 1, self.mean).into_iter().map(E::from_f32).collect()
        }

        fn run<I: Element, O: Element>(&self, isa: Isa) -> Vec<O> {
            let (place, data) = (self.place(), self.data::<I>());
            let mut out = vec![O::from_f32(77.0); data.len()];
            let (weight, bias) = (values(self.channels, 2, 0.0), values(self.channels, 3, 0.0));
            let activation = if self.silu { Activation::Silu } else { Activation::Identity };
            let from = tokens(&data, place);
            group_norm(isa, from, self.groups, &weight, &bias, 1e-5, activation, &mut out, place);
            out
        }

        /// The definition, in f64.
        fn reference<I: Element>(&self) -> Vec<f64> {
            let (place, data) = (self.place(), self.data::<I>());
            let (weight, bias) = (values(self.channels, 2, 0.0), values(self.channels, 3, 0.0));
            let mut out = vec![77.0; data.len()];
            let size = self.channels / self.groups;
            for group in 0..self.groups {
                let pixels = (0..self.size.1).flat_map(|y| (0..self.size.0).map(move |x| (y, x)));
                let first = |(y, x)| place.start + y * place.row + x * place.pixel + group * size;
                let places: Vec<usize> = pixels.flat_map(|at| first(at)..first(at) + size).collect();
                let value = |at: &usize| f64::from(data[*at].to_f32());
                let mean = places.iter().map(value).sum::<f64>() / places.len() as f64;
                let variance = places.iter().map(|at| (value(at) - mean).powi(2)).sum::<f64>() / places.len() as f64;
                for (i, at) in places.iter().enumerate() {
                    let c = group * size + i % size;
                    let y = (value(at) - mean) / (variance + 1e-5).sqrt() * f64::from(weight[c]) + f64::from(bias[c]);
                    out[*at] = if self.silu { y / (1.0 + (-y).exp()) } else { y };
                }
            }
            out
        }

        fn check<I: Element, O: Element>(&self, isa: Isa, tolerance: f64) {
            for (found, exact) in self.run::<I, O>(isa).into_iter().zip(self.reference::<I>()) {
                let found = f64::from(found.to_f32());
                assert!(
                    (found - exact).abs() <= tolerance * exact.abs().max(1.0),
                    "{self:?} {isa:?}: {found} for {exact}"
                );
            }
        }
    }

    fn tokens<E>(data: &[E], place: Place) -> Tokens<'_, E> {
        let Place { start, row, pixel, width, height } = place;
        Tokens { data, start, row, pixel, width, height }
    }

    proptest! {
        #![proptest_config(crate::testing::random_cases(64))]

        #[test]
        fn group_norm_matches_its_definition(
            groups in 1usize..9, per_group in 1usize..20, size in (1usize..90, 1usize..4), gap in 0usize..3,
            mean in -4.0f32..4.0, silu: bool,
        ) {
            let case = Case { groups, channels: groups * per_group, size, gap, mean, silu };
            for isa in available() {
                case.check::<f32, f32>(isa, 1e-5);
                case.check::<f32, bf16>(isa, 1e-2);
                case.check::<bf16, bf16>(isa, 1e-2);
                case.check::<bf16, f32>(isa, 1e-5);
            }
        }
    }

    #[test]
    fn a_mean_far_from_zero_does_no_harm() {
        for isa in available() {
            for mean in [1e4, -1e5] {
                let case = Case { groups: 4, channels: 24, size: (600, 2), gap: 1, mean, silu: false };
                case.check::<f32, f32>(isa, 1e-5);
            }
        }
    }

    #[test]
    fn sets_and_threads_do_not_change_a_bit() {
        let case = Case { groups: 5, channels: 75, size: (700, 5), gap: 1, mean: 3.0, silu: true };
        let run = |isa| case.run::<f32, f32>(isa).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let fused: Vec<Isa> = available().filter(|isa| *isa != Isa::Plain).collect();
        for pair in fused.windows(2) {
            assert_eq!(run(pair[0]), run(pair[1]));
        }
        for isa in available() {
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(run(isa), pool.install(|| run(isa)));
            }
        }
    }

    /// The moments of two halves make those of the whole.
    #[test]
    fn moments_pool() {
        let data = values(64 * 50, 1, 100.0);
        let place = |start, height| Place { start, row: 640, pixel: 64, width: 10, height };
        for isa in available() {
            let moments = |start, height| group_statistics(isa, tokens(&data, place(start, height)), 64, 8);
            let whole = moments(0, 5);
            for ((whole, top), rest) in whole.into_iter().zip(moments(0, 2)).zip(moments(2 * 640, 3)) {
                for (a, b) in [(top, rest), (rest, top), (whole, Moments::default()), (Moments::default(), whole)] {
                    let both = a.pool(b);
                    assert_eq!(both.count, 400.0);
                    assert!((both.mean - whole.mean).abs() < 1e-9 && (both.variance - whole.variance).abs() < 1e-6);
                }
            }
        }
    }
}
