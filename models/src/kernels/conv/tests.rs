use super::*;
use crate::noise::gaussian;

/// Reproducible values of order one.
fn values(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u32).map(|i| gaussian(seed, i, 0, 0, 0)).collect()
}

/// A layer and its input map with a border of `pad` zeros.
struct Case {
    weights: Vec<f32>,
    bias: Vec<f32>,
    input: Vec<f32>,
    channels: (usize, usize),
    kernel: usize,
    stride: usize,
    /// Output size.
    size: (usize, usize),
    row: usize,
}

impl Case {
    fn new(channels: (usize, usize), kernel: usize, stride: usize, size: (usize, usize)) -> Self {
        let row = (size.0 * stride + 2) * channels.0;
        Self {
            weights: values(channels.1 * channels.0 * kernel * kernel, 1),
            bias: values(channels.1, 2),
            input: values(row * (size.1 * stride + 2), 3),
            channels,
            kernel,
            stride,
            size,
            row,
        }
    }

    fn place(&self) -> Place {
        let (width, height) = self.size;
        Place { start: 0, row: width * self.channels.1, pixel: self.channels.1, width, height }
    }

    fn run(&self, isa: Isa, after: After<'_>) -> Vec<f32> {
        let conv = Conv::new(isa, &self.weights, &self.bias, self.channels.0, self.kernel, self.stride);
        let mut out = vec![f32::NAN; self.size.0 * self.size.1 * self.channels.1];
        let source = Source { data: &self.input, start: 0, row: self.row, pixel: self.channels.0 };
        conv.run(source, &mut out, self.place(), after);
        out
    }

    /// The definition, in f64.
    fn reference(&self) -> Vec<f64> {
        let (inputs, outputs) = self.channels;
        let mut out = vec![];
        for y in 0..self.size.1 {
            for x in 0..self.size.0 {
                for o in 0..outputs {
                    let mut sum = f64::from(self.bias[o]);
                    for i in 0..inputs {
                        for (ky, kx) in (0..self.kernel * self.kernel).map(|k| (k / self.kernel, k % self.kernel)) {
                            let at = (y * self.stride + ky) * self.row + (x * self.stride + kx) * inputs + i;
                            let weight = ((o * inputs + i) * self.kernel + ky) * self.kernel + kx;
                            sum += f64::from(self.input[at]) * f64::from(self.weights[weight]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }
}

fn sets() -> impl Iterator<Item = Isa> {
    [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.available())
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for channels in [(1, 1), (6, 48), (3, 3), (24, 32), (14, 16), (16, 3), (32, 40), (5, 25), (48, 12)] {
        for size in [(1, 1), (7, 3), (29, 2)] {
            cases.push(Case::new(channels, 3, 1, size));
        }
    }
    cases.extend((1..=25).map(|width| Case::new((4, 9), 3, 1, (width, 1))));
    cases.push(Case::new((24, 33), 1, 1, (13, 9)));
    cases.push(Case::new((32, 64), 2, 2, (13, 9)));
    cases
}

#[test]
fn convolution_matches_its_definition() {
    for case in cases() {
        let reference = case.reference();
        for isa in sets() {
            for (found, exact) in case.run(isa, After::Nothing).iter().zip(&reference) {
                assert!((f64::from(*found) - exact).abs() < 2e-4, "{:?} {isa:?}: {found} for {exact}", case.channels);
            }
        }
    }
}

#[test]
fn what_follows_matches_its_definition() {
    let silu = |x: f64| x / (1.0 + (-x).exp());
    for case in cases() {
        let reference = case.reference();
        let outputs = case.channels.1;
        let (scale, shift, base) = (values(outputs, 4), values(outputs, 5), values(reference.len(), 6));
        let residual = After::Residual { base: &base, place: case.place(), gain: 0.2 };
        for isa in sets() {
            let plain = case.run(isa, After::Silu);
            let film = case.run(isa, After::FilmSilu { scale: &scale, shift: &shift });
            let added = case.run(isa, residual);
            for (i, &y) in reference.iter().enumerate() {
                let o = i % outputs;
                let filmed = silu(y * f64::from(scale[o]) + f64::from(shift[o]));
                let sum = f64::from(base[i]) + 0.2 * y;
                for (found, exact) in [(plain[i], silu(y)), (film[i], filmed), (added[i], sum)] {
                    assert!(
                        (f64::from(found) - exact).abs() < 3e-4,
                        "{:?} {isa:?}: {found} for {exact}",
                        case.channels
                    );
                }
            }
        }
    }
}

/// Sets that fuse multiplication and addition give the same bits, whatever the width of their vectors.
#[test]
fn vector_width_does_not_change_a_bit() {
    let fused: Vec<Isa> = sets().filter(|isa| *isa != Isa::Plain).collect();
    for case in cases() {
        for pair in fused.windows(2) {
            let run = |isa| case.run(isa, After::Silu).into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(run(pair[0]), run(pair[1]));
        }
    }
}

#[test]
fn a_pixel_does_not_know_its_neighbours_or_the_threads() {
    let case = Case::new((17, 21), 3, 1, (40, 11));
    let whole = case.run(Isa::detect(), After::Silu);
    let conv = Conv::new(Isa::detect(), &case.weights, &case.bias, 17, 3, 1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    for (x, y, width, height) in [(0, 0, 1, 1), (3, 2, 5, 4), (13, 0, 27, 11), (1, 1, 39, 1)] {
        let mut out = vec![f32::NAN; width * height * 21];
        let source = Source { data: &case.input, start: y * case.row + x * 17, row: case.row, pixel: 17 };
        let place = Place { start: 0, row: width * 21, pixel: 21, width, height };
        pool.install(|| conv.run(source, &mut out, place, After::Silu));
        for (row, line) in out.chunks(width * 21).enumerate() {
            let same = &whole[((y + row) * 40 + x) * 21..][..width * 21];
            assert!(line.iter().zip(same).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

#[test]
fn values_between_the_pixels_stay() {
    let case = Case::new((8, 8), 3, 1, (5, 4));
    let whole = case.run(Isa::detect(), After::Nothing);
    let conv = Conv::new(Isa::detect(), &case.weights, &case.bias, 8, 3, 1);
    let mut out = vec![7.0; 3 + 4 * 60];
    let source = Source { data: &case.input, start: 0, row: case.row, pixel: 8 };
    conv.run(source, &mut out, Place { start: 3, row: 60, pixel: 10, width: 5, height: 4 }, After::Nothing);
    let mut expected = vec![7.0; out.len()];
    for (pixel, values) in whole.chunks(8).enumerate() {
        expected[3 + pixel / 5 * 60 + pixel % 5 * 10..][..8].copy_from_slice(values);
    }
    assert_eq!(out, expected);
}
