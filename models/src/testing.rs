//! What tests of networks have in common.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{DType, Device};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use crate::{Compute, Precision};

/// What computes as exactly as PyTorch in f32: our kernels, and candle's operations.
pub(crate) fn exact() -> [Compute; 2] {
    [Compute::cpu(Precision::F32), Compute::Candle { device: Device::Cpu, dtype: DType::F32 }]
}

/// Largest error over the scale of what is wanted, and the relative root of the mean squared error.
pub(crate) fn errors(wanted: &[f32], found: &[f32]) -> (f32, f32) {
    assert_eq!(wanted.len(), found.len());
    let scale = wanted.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let worst = wanted.iter().zip(found).map(|(w, f)| (w - f).abs()).fold(0.0, f32::max);
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
    let off = square(&mut wanted.iter().zip(found).map(|(w, f)| w - f));
    // `max` would lose a NaN.
    assert!(found.iter().all(|value| value.is_finite()));
    (worst / scale, (off / square(&mut wanted.iter().copied())).sqrt())
}

/// So many random cases, the same in every run: a check that fails now and then helps nobody. `PROPTEST_RNG_SEED` draws others,
/// `PROPTEST_CASES` fewer.
pub(crate) fn random_cases(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    let rng_seed = match usual.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed => fixed,
    };
    ProptestConfig { cases: usual.cases.min(cases), rng_seed, failure_persistence: None, ..usual }
}

/// The bytes of a golden file, by its name: those that ship with the source, or those of the folder that `UPWEAVE_GOLDENS` names,
/// for other random weights than these.
///
/// # Panics
/// When that folder lacks the file.
pub(crate) fn golden_file(name: &str, shipped: &'static [u8]) -> Cow<'static, [u8]> {
    let Some(folder) = std::env::var_os("UPWEAVE_GOLDENS") else { return Cow::Borrowed(shipped) };
    let path = Path::new(&folder).join(name);
    Cow::Owned(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The golden file of this name: see [`golden_file`].
macro_rules! golden {
    ($name:literal) => {
        $crate::testing::golden_file(
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name)),
        )
    };
}
pub(crate) use golden;
