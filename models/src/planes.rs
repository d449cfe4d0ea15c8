//! Cutting cells out of planes that lie one after the other, and putting them back.

use crate::layers::Region;

/// The values of a cell, plane by plane.
pub(crate) fn cut(planes: &[f32], cell: Region) -> Vec<f32> {
    let mut values = Vec::with_capacity(3 * cell.width() * cell.height());
    for plane in planes.chunks_exact(cell.of.0 * cell.of.1) {
        for y in cell.top..cell.bottom {
            values.extend_from_slice(&plane[y * cell.of.0..][cell.left..cell.right]);
        }
    }
    values
}

/// Takes [`cut`] back.
pub(crate) fn paste(values: &[f32], cell: Region, planes: &mut [f32]) {
    let mut rows = values.chunks_exact(cell.width());
    for plane in planes.chunks_exact_mut(cell.of.0 * cell.of.1) {
        for (y, row) in (cell.top..cell.bottom).zip(&mut rows) {
            plane[y * cell.of.0..][cell.left..cell.right].copy_from_slice(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_and_put_back() {
        let cell = Region { left: 1, top: 2, right: 4, bottom: 4, of: (5, 4) };
        let planes: Vec<f32> = (0..60).map(|i| i as f32).collect();
        let values = cut(&planes, cell);
        assert_eq!(values[..4], [11.0, 12.0, 13.0, 16.0]);
        assert_eq!(values.len(), 18);
        let mut other = vec![-1.0; 60];
        paste(&values, cell, &mut other);
        for (i, (a, b)) in planes.iter().zip(&other).enumerate() {
            let (x, y) = (i % 5, i / 5 % 4);
            assert_eq!(*b, if (1..4).contains(&x) && (2..4).contains(&y) { *a } else { -1.0 });
        }
    }
}
