use half::bf16;
use proptest::prelude::*;

use super::*;
use crate::kernels::isa::available;
use crate::noise::gaussian;

/// Reproducible values of order one that both formats can hold.
fn values(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u32).map(|i| bf16::from_f32(gaussian(seed, i, 0, 0, 0)).to_f32()).collect()
}

fn to<E: Element>(values: &[f32]) -> Vec<E> {
    values.iter().map(|value| E::from_f32(*value)).collect()
}

/// What follows the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    Silu,
    Film,
    Prelu,
    Residual,
    All,
}

/// A layer and its input map with a border.
#[derive(Clone, Debug)]
struct Case {
    channels: (usize, usize),
    kernel: usize,
    stride: usize,
    /// Output size.
    size: (usize, usize),
    /// Values between the pixels of the input that do not belong to it.
    gap: usize,
    kind: Kind,
    /// Whether less than half of the products are done, and where in the whole picture the first pixel lies then.
    fast: Option<(bool, bool)>,
}

impl Case {
    fn new(channels: (usize, usize), kernel: usize, stride: usize, size: (usize, usize)) -> Self {
        Self { channels, kernel, stride, size, gap: 0, kind: Kind::Nothing, fast: None }
    }

    fn pixel(&self) -> usize {
        self.channels.0 + self.gap
    }

    fn row(&self) -> usize {
        (self.size.0 * self.stride + self.kernel) * self.pixel()
    }

    fn weights(&self) -> Vec<f32> {
        let patch = self.channels.0 * self.kernel * self.kernel;
        let scale = 1.0 / (patch as f32).sqrt().max(1.0);
        to::<f32>(
            &values(self.channels.1 * patch, 1).iter().map(|v| bf16::from_f32(v * scale).to_f32()).collect::<Vec<_>>(),
        )
    }

    fn input(&self) -> Vec<f32> {
        values(self.row() * (self.size.1 * self.stride + self.kernel), 3)
    }

    fn place(&self) -> Place {
        let (width, height) = self.size;
        Place { start: 0, row: width * self.channels.1, pixel: self.channels.1, width, height }
    }

    fn conv<E: Element>(&self, isa: Isa) -> Conv<E> {
        let (weights, bias) = (self.weights(), values(self.channels.1, 2));
        match self.fast {
            Some(_) => Conv::fast(isa, &weights, &bias, self.channels.0),
            None => Conv::new(isa, &weights, &bias, self.channels.0, self.kernel, self.stride),
        }
    }

    fn run<E: Element, O: Element>(&self, isa: Isa) -> Vec<O> {
        let outputs = self.channels.1;
        let (scale, shift) = (values(outputs, 4), values(outputs, 5));
        let (slopes, base) = (values(outputs, 7), to::<O>(&values(self.size.0 * self.size.1 * outputs, 6)));
        let all = self.kind == Kind::All;
        let film = (all || self.kind == Kind::Film).then_some(Film { scale: &scale, shift: &shift });
        let add = |on: bool, gain| (all || on).then_some(Residual { base: &base[..], place: self.place(), gain });
        let add = [add(self.kind == Kind::Residual, 0.25), add(false, 0.5)];
        let activation = match self.kind {
            Kind::Silu | Kind::Film => Activation::Silu,
            Kind::Prelu | Kind::All => Activation::Prelu(&slopes),
            Kind::Nothing | Kind::Residual => Activation::Identity,
        };
        let conv = self.conv::<E>(isa);
        let mut out = vec![O::from_f32(f32::NAN); self.size.0 * self.size.1 * outputs];
        let data = to::<E>(&self.input());
        let source =
            Source { data: &data, start: 0, row: self.row(), pixel: self.pixel(), odd: self.fast.unwrap_or_default() };
        conv.run(source, &mut out, self.place(), After { film, activation, add });
        out
    }

    /// The definition, in f64.
    fn reference(&self) -> Vec<f64> {
        let (inputs, outputs) = self.channels;
        let (weights, input) = (self.weights(), self.input());
        let (bias, scale, shift) = (values(outputs, 2), values(outputs, 4), values(outputs, 5));
        let (slopes, base) = (values(outputs, 7), values(self.size.0 * self.size.1 * outputs, 6));
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let mut out = vec![];
        for (y, x) in (0..self.size.1).flat_map(|y| (0..self.size.0).map(move |x| (y, x))) {
            for o in 0..outputs {
                let mut sum = f64::from(bias[o]);
                for i in 0..inputs {
                    for (ky, kx) in (0..self.kernel * self.kernel).map(|k| (k / self.kernel, k % self.kernel)) {
                        let at = (y * self.stride + ky) * self.row() + (x * self.stride + kx) * self.pixel() + i;
                        let weight = ((o * inputs + i) * self.kernel + ky) * self.kernel + kx;
                        sum += f64::from(input[at]) * f64::from(weights[weight]);
                    }
                }
                let filmed = sum * f64::from(scale[o]) + f64::from(shift[o]);
                let bent = |y: f64| if y < 0.0 { y * f64::from(slopes[o]) } else { y };
                let base = f64::from(base[out.len()]);
                out.push(match self.kind {
                    Kind::Nothing => sum,
                    Kind::Silu => silu(sum),
                    Kind::Film => silu(filmed),
                    Kind::Prelu => bent(sum),
                    Kind::Residual => base + 0.25 * sum,
                    Kind::All => base + 0.5 * (base + 0.25 * bent(filmed)),
                });
            }
        }
        out
    }

    fn check<E: Element, O: Element>(&self, isa: Isa, tolerance: f64) {
        let found = self.run::<E, O>(isa);
        if self.fast.is_some() {
            return self.check_whole(isa, &found, tolerance);
        }
        for (found, exact) in found.into_iter().zip(self.reference()) {
            let found = f64::from(found.to_f32());
            assert!((found - exact).abs() <= tolerance * exact.abs().max(1.0), "{self:?} {isa:?}: {found} for {exact}");
        }
    }

    /// What goes through sums of inputs and of weights is only as exact as these: small results of large sums have the error of
    /// large ones. So the largest result is what errors are compared with.
    fn check_whole<O: Element>(&self, isa: Isa, found: &[O], tolerance: f64) {
        let exact = self.reference();
        let largest = exact.iter().fold(1.0f64, |largest, exact| largest.max(exact.abs()));
        for (found, exact) in found.iter().zip(exact) {
            let found = f64::from(found.to_f32());
            assert!(
                (found - exact).abs() <= tolerance * largest,
                "{self:?} {isa:?}: {found} for {exact}, of {largest}"
            );
        }
    }
}

/// f32 within 1e-5, bf16 within 1e-2, from and to all formats.
fn check_all(case: &Case) {
    for isa in available() {
        case.check::<f32, f32>(isa, 1e-5);
        case.check::<f32, bf16>(isa, 1e-2);
        if case.channels.0.is_multiple_of(2) && case.pixel().is_multiple_of(2) {
            case.check::<bf16, bf16>(isa, 1e-2);
            case.check::<bf16, f32>(isa, 1e-3);
        }
    }
}

proptest! {
    #![proptest_config(crate::testing::random_cases(96))]

    #[test]
    fn convolution_matches_its_definition(
        inputs in 1usize..40, outputs in 1usize..70, kernel in 1usize..6, stride in 1usize..3,
        width in 1usize..40, height in 1usize..6, gap in 0usize..3,
        kind in prop::sample::select(vec![Kind::Nothing, Kind::Silu, Kind::Film, Kind::Prelu, Kind::Residual, Kind::All]),
    ) {
        check_all(&Case { channels: (inputs, outputs), kernel, stride, size: (width, height), gap, kind, fast: None });
    }

    #[test]
    fn fast_convolution_matches_its_definition(
        sixteens in 2usize..6, outputs in 1usize..70, width in 1usize..40, height in 1usize..6, gap in 0usize..3,
        kind in prop::sample::select(vec![Kind::Nothing, Kind::Silu, Kind::Film, Kind::Prelu, Kind::Residual, Kind::All]),
        odd in (any::<bool>(), any::<bool>()),
    ) {
        let case = Case { gap, kind, fast: Some(odd), ..Case::new((16 * sixteens, outputs), 3, 1, (width, height)) };
        for isa in available() {
            case.check::<f32, f32>(isa, 1e-5);
            case.check::<f32, bf16>(isa, 1e-2);
            if case.pixel().is_multiple_of(2) {
                case.check::<bf16, bf16>(isa, 2e-2);
                case.check::<bf16, f32>(isa, 1e-2);
            }
        }
    }
}

/// Patches so long that the sums wait in memory, and few pixels, so that channels are shared out.
#[test]
fn long_patches_match_their_definition() {
    for (channels, kernel, size) in [((1280, 40), 3, (5, 3)), ((2600, 100), 1, (13, 2)), ((700, 17), 3, (1, 1))] {
        check_all(&Case { kind: Kind::All, ..Case::new(channels, kernel, 1, size) });
    }
}

fn bits<E: Element>(values: Vec<E>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_f32().to_bits()).collect()
}

/// f32 on sets that fuse multiplication and addition gives the same bits, whatever the width of their vectors.
#[test]
fn vector_width_does_not_change_a_bit() {
    let fused: Vec<Isa> = available().filter(|isa| *isa != Isa::Plain).collect();
    for case in [
        Case::new((24, 33), 3, 1, (29, 3)),
        Case::new((1281, 48), 3, 1, (7, 2)),
        Case::new((3, 12), 2, 2, (16, 4)),
        Case { fast: Some((true, false)), ..Case::new((48, 33), 3, 1, (29, 5)) },
    ] {
        let case = Case { kind: Kind::Film, ..case };
        for pair in fused.windows(2) {
            assert_eq!(bits(case.run::<f32, f32>(pair[0])), bits(case.run::<f32, f32>(pair[1])));
        }
    }
}

#[test]
fn a_pixel_does_not_know_its_neighbours_or_the_threads() {
    neighbours::<f32>();
    neighbours::<bf16>();
}

fn neighbours<E: Element>() {
    for fast in [None, Some((false, false)), Some((true, false)), Some((true, true))] {
        let case = Case { kind: Kind::Silu, fast, ..Case::new((48, 21), 3, 1, (40, 11)) };
        let (inputs, outputs) = case.channels;
        for isa in available() {
            let whole = bits(case.run::<E, E>(isa));
            let conv = case.conv::<E>(isa);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            for (x, y, width, height) in [(0, 0, 1, 1), (3, 2, 5, 4), (13, 0, 27, 11), (1, 1, 39, 1)] {
                // Nothing but the patches of these pixels: what else there is must not matter.
                let row = (width + 2) * inputs;
                let line = |y: usize| case.input()[y * case.row()..][x * inputs..][..row].to_vec();
                let data = to::<E>(&(y..y + height + 2).flat_map(line).collect::<Vec<f32>>());
                let (left, top) = fast.unwrap_or_default();
                let odd = (left ^ (x % 2 == 1), top ^ (y % 2 == 1));
                let source = Source { data: &data, start: 0, row, pixel: inputs, odd };
                let place = Place { start: 0, row: width * outputs, pixel: outputs, width, height };
                let mut out = vec![E::default(); width * height * outputs];
                pool.install(|| conv.run(source, &mut out, place, After::only(Activation::Silu)));
                for (row, line) in out.chunks(width * outputs).enumerate() {
                    assert_eq!(bits(line.to_vec()), whole[((y + row) * 40 + x) * outputs..][..width * outputs]);
                }
            }
        }
    }
}

#[test]
fn values_between_the_pixels_stay() {
    let case = Case::new((8, 8), 3, 1, (5, 4));
    for isa in available() {
        let whole = case.run::<f32, f32>(isa);
        let conv = Conv::<f32>::new(isa, &case.weights(), &values(8, 2), 8, 3, 1);
        let mut out = vec![7.0; 3 + 4 * 60];
        let input = case.input();
        let source = Source { data: &input, start: 0, row: case.row(), pixel: 8, odd: (false, false) };
        let place = Place { start: 3, row: 60, pixel: 10, width: 5, height: 4 };
        conv.run(source, &mut out, place, After::only(Activation::Identity));
        let mut expected = vec![7.0; out.len()];
        for (pixel, values) in whole.chunks(8).enumerate() {
            expected[3 + pixel / 5 * 60 + pixel % 5 * 10..][..8].copy_from_slice(values);
        }
        assert_eq!(out, expected);
    }
}

/// Grouped convolutions are convolutions of some channels of a map to some channels of another one.
#[test]
fn groups_equal_convolutions_of_their_channels() {
    groups::<f32>(6, None);
    groups::<bf16>(6, None);
    groups::<f32>(32, Some((true, false)));
    groups::<bf16>(32, Some((true, false)));
}

fn groups<E: Element>(inputs: usize, fast: Option<(bool, bool)>) {
    let (outputs, count, (width, height)) = (5, 3, (21, 4));
    let case = Case { fast, ..Case::new((inputs, outputs), 3, 1, (width, height)) };
    let pixel = inputs * count;
    let map = to::<E>(&values((width + 2) * (height + 2) * pixel, 9));
    let odd = fast.unwrap_or_default();
    let after = After::only(Activation::Silu);
    for isa in available() {
        let conv = case.conv::<E>(isa);
        let mut out = vec![E::default(); width * height * outputs * count];
        for group in 0..count {
            let source = Source { data: &map, start: group * inputs, row: (width + 2) * pixel, pixel, odd };
            let (start, pixel) = (group * outputs, outputs * count);
            conv.run(source, &mut out, Place { start, row: width * pixel, pixel, width, height }, after);
        }
        for group in 0..count {
            let own: Vec<E> = map.chunks(pixel).flat_map(|all| &all[group * inputs..][..inputs]).copied().collect();
            let mut alone = vec![E::default(); width * height * outputs];
            let source = Source { data: &own, start: 0, row: (width + 2) * inputs, pixel: inputs, odd };
            conv.run(source, &mut alone, case.place(), after);
            let found = out.chunks(outputs * count).flat_map(|all| &all[group * outputs..][..outputs]).copied();
            assert!(bits(found.collect::<Vec<E>>()) == bits(alone), "{isa:?}");
        }
    }
}

/// A dense block: channels behind those that are read, in the same map.
#[test]
fn channels_are_added_to_a_map() {
    dense::<f32>();
    dense::<bf16>();
}

fn dense<E: Element>() {
    for (inputs, fast) in [(6, None), (32, Some((false, true)))] {
        let case = Case { gap: 37, kind: Kind::Silu, fast, ..Case::new((inputs, 35), 3, 1, (21, 4)) };
        dense_block::<E>(&case);
    }
}

fn dense_block<E: Element>(case: &Case) {
    let (inputs, outputs) = case.channels;
    let (row, pixel) = (case.row(), case.pixel());
    for isa in available() {
        let apart = bits(case.run::<E, E>(isa));
        let conv = case.conv::<E>(isa);
        let before = to::<E>(&case.input());
        let mut map = before.clone();
        let place = Place { start: row + pixel + inputs, row, pixel, width: 21, height: 4 };
        conv.run_beside(&mut map, 0, case.fast.unwrap_or_default(), place, After::only(Activation::Silu));
        let mut expected = bits(before);
        for (at, values) in apart.chunks(outputs).enumerate() {
            expected[place.start + at / 21 * row + at % 21 * pixel..][..outputs].copy_from_slice(values);
        }
        assert!(bits(map) == expected, "{isa:?}");
    }
}

#[test]
#[should_panic(expected = "channels overlap")]
fn channels_that_are_read_cannot_be_written() {
    let conv = Conv::<f32>::new(Isa::Plain, &[0.0; 8 * 8], &[0.0; 8], 8, 1, 1);
    let place = Place { start: 7, row: 60, pixel: 20, width: 3, height: 2 };
    conv.run_beside(&mut [0.0; 120], 0, (false, false), place, After::only(Activation::Identity));
}

/// A gated layer equals a plain one whose halves meet afterwards.
#[test]
fn gates_match_their_definition() {
    gates::<f32>(1e-5);
    gates::<bf16>(1e-2);
}

fn gates<E: Element>(tolerance: f32) {
    for (inputs, outputs, pixels) in [(8, 1, 3), (6, 16, 1), (700, 37, 29), (40, 64, 17)] {
        let (weights, bias, data) =
            (values(2 * outputs * inputs, 1), values(2 * outputs, 2), values(pixels * inputs, 3));
        let scale = 1.0 / (inputs as f32).sqrt();
        let weights = to::<f32>(&weights.iter().map(|w| bf16::from_f32(w * scale).to_f32()).collect::<Vec<_>>());
        let data = to::<E>(&data);
        let source = Source { data: &data, start: 0, row: pixels * inputs, pixel: inputs, odd: (false, false) };
        let place = |channels| Place { start: 0, row: pixels * channels, pixel: channels, width: pixels, height: 1 };
        for isa in available() {
            let mut plain = vec![0.0f32; pixels * 2 * outputs];
            let conv = Conv::<E>::new(isa, &weights, &bias, inputs, 1, 1);
            conv.run(source, &mut plain, place(2 * outputs), After::only(Activation::Identity));
            let mut found = vec![E::from_f32(f32::NAN); pixels * outputs];
            let gated = Conv::<E>::gated(isa, &weights, &bias, inputs);
            assert_eq!(gated.flops(), conv.flops());
            gated.run(source, &mut found, place(outputs), After::only(Activation::Identity));
            for (pixel, found) in plain.chunks(2 * outputs).zip(found.chunks(outputs)) {
                let (values, gates) = pixel.split_at(outputs);
                let mut gates = gates.to_vec();
                crate::kernels::activate(&mut gates, Activation::Gelu);
                for ((found, value), gate) in found.iter().zip(values).zip(&gates) {
                    let (found, exact) = (found.to_f32(), value * gate);
                    assert!((found - exact).abs() <= tolerance * exact.abs().max(1.0), "{isa:?}: {found} for {exact}");
                }
            }
        }
    }
}
