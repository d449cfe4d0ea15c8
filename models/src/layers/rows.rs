//! Tensors that are read row by row, so that no copy of a large one is ever whole in memory.

use std::sync::atomic::{AtomicBool, Ordering};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;

use super::low_rank::{LowRank, add_all};
use crate::Result;
use crate::files::Tensor;
use crate::picture::room;

/// Values that are widened at a time: a few lines of the cache.
const STEP: usize = 64;
/// About how many values are worth a task of their own.
const TASK: usize = 1 << 15;

/// The rows of a tensor whose shape and numbers are known to be right; a row is all of it for one index of its first dimension.
pub(crate) struct Rows<'w> {
    values: Values<'w>,
    patches: &'w [LowRank],
    count: usize,
    len: usize,
    broken: AtomicBool,
}

/// Where values come from.
pub(super) enum Values<'w> {
    /// A tensor of floating-point numbers.
    Tensor(&'w Tensor<'w>),
    /// Values that are there already.
    Given(Vec<f32>),
}

impl<'w> Rows<'w> {
    /// The patches have the size of the tensor.
    pub(super) fn new(values: Values<'w>, patches: &'w [LowRank], shape: &[usize]) -> Self {
        let count = shape.first().copied().unwrap_or(1);
        let len = shape.iter().skip(1).product();
        Self { values, patches, count, len, broken: AtomicBool::new(false) }
    }

    /// Values of each.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes row `index`, widened to f32, with what is added to it.
    pub(crate) fn fill(&self, index: usize, row: &mut [f32]) {
        let at = index * self.len;
        match &self.values {
            Values::Given(values) => row.copy_from_slice(&values[at..at + self.len]),
            Values::Tensor(tensor) => widen(tensor.numbers(), tensor.bytes(), at, row),
        }
        add_all(self.patches, index, row);
        // The exponent of what is not finite is all ones. (Comparing bits keeps the loop free of branches.)
        let largest = row.iter().fold(0, |most: u32, value| most.max(value.to_bits() & 0x7fff_ffff));
        if largest >= f32::INFINITY.to_bits() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a row that was written held a value that is not finite.
    pub(super) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// All rows one after the other.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub(crate) fn all(&self) -> Result<Vec<f32>> {
        let mut all = room(self.count * self.len, "a tensor")?;
        all.resize(self.count * self.len, 0.0);
        self.each(&mut all, |index, row| self.fill(index, row));
        Ok(all)
    }

    /// Calls `job` for every row's part of `out`, in parallel where that pays.
    pub(crate) fn each<T: Send>(&self, out: &mut [T], job: impl Fn(usize, &mut [T]) + Sync) {
        let per_task = (TASK / self.len.max(1)).max(1);
        out.par_chunks_mut((per_task * self.len).max(1)).enumerate().for_each(|(task, part)| {
            for (i, row) in part.chunks_exact_mut(self.len).enumerate() {
                job(task * per_task + i, row);
            }
        });
    }
}

/// Whether tensors of these numbers can be read.
pub(super) fn readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// Writes the values from number `at` on to `out`.
fn widen(dtype: Dtype, bytes: &[u8], at: usize, out: &mut [f32]) {
    fn each<const N: usize>(bytes: &[u8], at: usize, out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        let (values, _) = bytes[at * N..(at + out.len()) * N].as_chunks::<N>();
        out.iter_mut().zip(values).for_each(|(out, bytes)| *out = value(*bytes));
    }
    match dtype {
        Dtype::F64 => each(bytes, at, out, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F32 => each(bytes, at, out, f32::from_le_bytes),
        Dtype::BF16 => each(bytes, at, out, |bytes| bf16::from_le_bytes(bytes).to_f32_bits()),
        Dtype::F16 => {
            // Files need not align their values; the processor's conversion wants them in a slice.
            let mut step = [f16::ZERO; STEP];
            let (values, _) = bytes[at * 2..(at + out.len()) * 2].as_chunks::<2>();
            for (out, values) in out.chunks_mut(STEP).zip(values.chunks(STEP)) {
                step.iter_mut().zip(values).for_each(|(value, bytes)| *value = f16::from_le_bytes(*bytes));
                step[..out.len()].convert_to_f32_slice(out);
            }
        }
        _ => unreachable!("asked of `readable` before"),
    }
}

/// Widening without a look for NaN, which costs more than all the rest.
trait Widen {
    fn to_f32_bits(self) -> f32;
}

impl Widen for bf16 {
    fn to_f32_bits(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}
