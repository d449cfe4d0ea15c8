//! What is added to the weights of a file while they are read: products of thin matrices (low-rank adaptation, Hu et al. 2021).

use std::collections::BTreeMap;

/// `gain * up * down`, to be added to a tensor whose first dimension are rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LowRank {
    /// (rows, rank)
    pub(crate) up: Vec<f32>,
    /// (rank, values of a row)
    pub(crate) down: Vec<f32>,
    pub(crate) rank: usize,
    pub(crate) gain: f32,
}

impl LowRank {
    /// Whether it is of the size of a tensor of this shape.
    pub(crate) fn fits(&self, shape: &[usize]) -> bool {
        let Some((&rows, rest)) = shape.split_first() else { return false };
        let product = |a: usize, b: usize| a.checked_mul(b);
        let row = rest.iter().try_fold(1, |len, side| product(len, *side));
        product(rows, self.rank) == Some(self.up.len())
            && row.and_then(|row| product(row, self.rank)) == Some(self.down.len())
    }

    /// Adds its part of row `index` to `row`.
    fn add_to(&self, index: usize, row: &mut [f32]) {
        let up = &self.up[index * self.rank..][..self.rank];
        for (factor, down) in up.iter().zip(self.down.chunks_exact(row.len().max(1))) {
            let factor = self.gain * factor;
            row.iter_mut().zip(down).for_each(|(value, down)| *value += factor * down);
        }
    }
}

/// What is added to which tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patches(BTreeMap<String, Vec<LowRank>>);

impl Patches {
    /// Adds to a tensor; the shape is looked at when it is read.
    pub(crate) fn add(&mut self, tensor: &str, patch: LowRank) {
        self.0.entry(tensor.to_owned()).or_default().push(patch);
    }

    /// What is added to a tensor.
    pub(crate) fn of(&self, tensor: &str) -> &[LowRank] {
        self.0.get(tensor).map_or(&[], Vec::as_slice)
    }
}

/// Adds the parts of all of them to row `index`.
pub(super) fn add_all(patches: &[LowRank], index: usize, row: &mut [f32]) {
    patches.iter().for_each(|patch| patch.add_to(index, row));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_product() {
        let patch = LowRank {
            up: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            down: vec![1.0, 0.0, 2.0, 0.0, 1.0, -1.0],
            rank: 2,
            gain: 0.5,
        };
        assert!(patch.fits(&[3, 3]) && patch.fits(&[3, 1, 3, 1]));
        assert!(!patch.fits(&[3, 2]) && !patch.fits(&[2, 3]) && !patch.fits(&[]) && !patch.fits(&[3, usize::MAX, 2]));
        let mut row = vec![1.0; 3];
        add_all(&[patch.clone(), patch], 1, &mut row);
        // 1 + 2 * 0.5 * (3 * (1, 0, 2) + 4 * (0, 1, -1))
        assert_eq!(row, [4.0, 5.0, 3.0]);
    }
}
