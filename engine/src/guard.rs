//! A network that breaks must not be mistaken for one that works: black and empty pictures are the most reported silent
//! failure of programs of this kind.

use crate::{
    Blame, Failure, NodeResult,
    node::Inputs,
    value::{Image, Value},
};
use rayon::prelude::*;

/// Of a picture's deviation at least this share must be left. Cleaning a flat picture of noise leaves a hundredth.
const LEFT: f64 = 0.002;
/// A picture with a smaller deviation counts as flat by itself: one step of 8 bits.
const FLAT: f64 = 1.0 / 255.0;

/// Looks at what a network gave for the pictures that came in.
pub(crate) fn check(kind: &str, inputs: &Inputs, values: &[Value]) -> NodeResult<()> {
    let broken = |message: String| {
        Failure::new(Blame::Model, message)
            .hint("nothing was saved; the model may be damaged, or the machine: `upweave doctor` checks both")
    };
    let pictures = |value: &Value| match value {
        Value::Image(image) => Some(image.clone()),
        _ => None,
    };
    let most = inputs.values().filter_map(pictures).map(|image| deviation(&image)).fold(0.0, f64::max);
    for image in values.iter().filter_map(pictures) {
        let samples = image.samples();
        if !samples.par_chunks(PART).all(all_finite) {
            let wrong = samples.iter().filter(|sample| !sample.is_finite()).count();
            return Err(broken(format!("`{kind}` gave {wrong} samples that are no numbers")));
        }
        let left = deviation(&image);
        if most > FLAT && left < most * LEFT {
            return Err(broken(format!("`{kind}` gave a flat picture for one that is not flat")));
        }
    }
    Ok(())
}

/// Largest standard deviation of the colours; what is no number does not count.
fn deviation(image: &Image) -> f64 {
    let plane = |plane: &[f32]| {
        // Deviations from a value of the picture itself: of a flat one they are all nothing, whatever the rounding.
        let pivot = plane.iter().copied().find(|v| v.is_finite()).unwrap_or_default();
        let parts = plane.par_chunks(PART).flat_map_iter(|part| part.chunks(STEP)).map(|step| {
            let narrow = moments(step, pivot);
            // With what is no number in it, or squares beyond f32.
            if narrow.2.is_finite() { narrow } else { wide_moments(step, pivot) }
        });
        let (n, sum, squares) = parts.reduce(|| (0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let n = f64::max(n, 1.0);
        (squares / n - (sum / n).powi(2)).max(0.0).sqrt()
    };
    image.rgb().chunks_exact(image.size().pixels().max(1)).map(plane).fold(0.0, f64::max)
}

/// Samples of a task, and those whose sums are narrow.
const PART: usize = 1 << 16;
const STEP: usize = 1 << 10;

/// How many, their sum and that of their squares, from `pivot` on.
fn moments(samples: &[f32], pivot: f32) -> (f64, f64, f64) {
    const LANES: usize = 16;
    let (mut sums, mut squares) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (groups, rest) = samples.as_chunks::<LANES>();
    let mut add = |lane: usize, v: f32| {
        sums[lane] += v - pivot;
        squares[lane] += (v - pivot) * (v - pivot);
    };
    groups.iter().for_each(|group| (0..LANES).for_each(|lane| add(lane, group[lane])));
    rest.iter().enumerate().for_each(|(lane, v)| add(lane, *v));
    let total = |lanes: [f32; LANES]| lanes.into_iter().map(f64::from).sum();
    (samples.len() as f64, total(sums), total(squares))
}

/// The same of those that are numbers, slowly.
fn wide_moments(samples: &[f32], pivot: f32) -> (f64, f64, f64) {
    let finite = samples.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v) - f64::from(pivot));
    finite.fold((0.0, 0.0, 0.0), |(n, sum, squares), v| (n + 1.0, sum + v, squares + v * v))
}

/// Whether there is neither NaN nor an infinity. (Comparing bits keeps the loop free of branches.)
fn all_finite(samples: &[f32]) -> bool {
    samples.iter().fold(0, |most: u32, v| most.max(v.to_bits() & 0x7fff_ffff)) < f32::INFINITY.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Size;
    use std::sync::Arc;

    fn picture(sample: impl Fn(usize) -> f32) -> Value {
        Value::Image(Arc::new(Image::new(Size::new(10, 10), 3, (0..300).map(sample).collect(), Arc::default())))
    }

    fn checked(before: Value, after: Value) -> Option<String> {
        let inputs = Inputs::from([("a".to_owned(), before)]);
        check("Diffuse", &inputs, &[after]).err().map(|failure| failure.message)
    }

    #[test]
    fn broken_pictures_are_told_from_dull_ones() {
        let waves = || picture(|i| (i as f32 * 0.7).sin() * 0.3 + 0.5);
        assert_eq!(checked(waves(), waves()), None);
        assert_eq!(checked(waves(), picture(|i| (i as f32 * 0.7).sin() * 0.003 + 0.5)), None, "a gentle result");
        assert_eq!(checked(picture(|_| 0.0), picture(|_| 0.0)), None, "black stays black");
        assert_eq!(checked(picture(|i| i as f32 * 1e-6), picture(|_| 0.0)), None, "nearly flat");
        let flat = checked(waves(), picture(|_| 0.0)).expect("an error");
        assert!(flat.contains("`Diffuse` gave a flat picture"), "{flat}");
        let glaring = || picture(|i| if i % 2 == 0 { 1e30 } else { -1e30 });
        assert_eq!(checked(glaring(), glaring()), None, "squares beyond f32");
        assert!(checked(glaring(), waves()).is_some_and(|wrong| wrong.contains("flat")));
        for bad in [f32::NAN, f32::INFINITY] {
            let wrong = checked(waves(), picture(|i| if i % 100 == 7 { bad } else { i as f32 })).expect("an error");
            assert!(wrong.contains("3 samples"), "{wrong}");
        }
        assert_eq!(checked(picture(|i| if i == 0 { f32::NAN } else { 0.5 }), picture(|_| 0.5)), None);
    }
}
