//! Vectors that are looked up.

use half::bf16;

use super::{Precision, Weights};
use crate::Result;
use crate::kernels::convert;
use crate::picture::zeros;

/// A table of vectors.
pub(crate) struct Embedding {
    table: Table,
    channels: usize,
}

enum Table {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Embedding {
    /// Reads `{name}.weight` (count, channels).
    ///
    /// # Errors
    /// When the tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, name: &str, count: usize, channels: usize) -> Result<Self> {
        let table =
            weights.by_rows(&format!("{name}.weight"), &[count, channels], |rows| match weights.precision() {
                Precision::F32 => Ok(Table::F32(rows.all()?)),
                Precision::Bf16 => {
                    let mut table = vec![bf16::ZERO; count * channels];
                    rows.each(&mut table, |index, narrow| {
                        let mut row = vec![0.0; channels];
                        rows.fill(index, &mut row);
                        convert(&row, narrow);
                    });
                    Ok(Table::Bf16(table))
                }
            })?;
        Ok(Self { table, channels })
    }

    /// Bytes of the table.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.table {
            Table::F32(values) => size_of_val(&values[..]) as u64,
            Table::Bf16(values) => size_of_val(&values[..]) as u64,
        }
    }

    /// The vector of this index, which is one of the table.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn vector(&self, index: usize) -> Result<Vec<f32>> {
        let part = index * self.channels..(index + 1) * self.channels;
        let mut vector = zeros(self.channels, "an embedding")?;
        match &self.table {
            Table::F32(values) => vector.copy_from_slice(&values[part]),
            Table::Bf16(values) => convert(&values[part], &mut vector),
        }
        Ok(vector)
    }
}
