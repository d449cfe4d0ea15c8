//! Faces told by how they differ from squares that are known beforehand (SSD, Liu et al. 2016, section 2.2): each place of a map has a
//! few of them around its middle.

use super::Found;
use crate::Result;
use crate::layers::{Map, Pool, Weights, sigmoid};

/// Faces that are less sure than this are not told of.
const LEAST: f32 = 0.5;
/// What differences of places and of sizes were divided by in training.
const VARIANCES: [f32; 2] = [0.1, 0.2];
/// Pixels between the places of the finest map.
const STEP: usize = 8;

/// The squares of a network.
pub(super) struct Priors {
    /// Their edges in pixels, map by map, the finest first.
    pub(super) edges: &'static [&'static [f32]],
    pub(super) spread: Spread,
}

/// Where they lie.
#[derive(Clone, Copy)]
pub(super) enum Spread {
    /// Places are 8 pixels apart on the finest map, and twice as many on each next one.
    Steps,
    /// The places of each map share the sides of the picture evenly, and no square is larger than the picture.
    Evenly,
}

/// What a network tells of the squares of one map, place by place: two classes of each (none, face), four differences, and as many
/// pairs of landmarks as it knows.
pub(super) struct Told {
    pub(super) classes: Map,
    pub(super) boxes: Map,
    pub(super) points: Option<Map>,
}

impl Priors {
    /// Squares of each place of a map.
    pub(super) fn count(&self, level: usize) -> usize {
        self.edges[level].len()
    }

    /// Makes sure that a head tells `values` numbers of each square of a map.
    ///
    /// # Errors
    /// When the tensor, whose first dimension are output channels, is missing or of another width.
    pub(super) fn check(&self, weights: &Weights<'_>, tensor: &str, level: usize, values: usize) -> Result<()> {
        let (found, wanted) = (weights.shape(tensor)?, values * self.count(level));
        match found.first() {
            Some(&width) if width == wanted => Ok(()),
            _ => Err(weights.misshaped(tensor, found, format!("{wanted} output channels"))),
        }
    }

    /// The faces of a picture of a size, in its pixels, out of what was told of all maps.
    pub(super) fn found(&self, told: Vec<Told>, size: (usize, usize), pool: &mut Pool) -> Vec<Found> {
        let (width, height) = (size.0 as f32, size.1 as f32);
        let mut found = Vec::new();
        for ((level, edges), Told { classes, boxes, points }) in self.edges.iter().enumerate().zip(told) {
            let (columns, rows) = classes.size();
            let step = match self.spread {
                Spread::Steps => [(STEP << level) as f32; 2],
                Spread::Evenly => [width / columns as f32, height / rows as f32],
            };
            for y in 0..rows {
                for x in 0..columns {
                    let (classes, boxes) = (classes.pixels(x, y, 1), boxes.pixels(x, y, 1));
                    let points = points.as_ref().map(|points| points.pixels(x, y, 1));
                    let each = points.as_ref().map_or(0, |points| points.len() / edges.len());
                    let told = classes.as_chunks::<2>().0.iter().zip(boxes.as_chunks::<4>().0);
                    for (i, (([none, face], [dx, dy, dw, dh]), edge)) in told.zip(*edges).enumerate() {
                        // Of two classes, softmax is the sigmoid of their difference.
                        let confidence = sigmoid(face - none);
                        if confidence.is_nan() || confidence < LEAST {
                            continue;
                        }
                        let prior = match self.spread {
                            Spread::Steps => [*edge; 2],
                            Spread::Evenly => [edge.min(width), edge.min(height)],
                        };
                        let place = |dx: f32, dy: f32| {
                            let at = |i: usize, cell: usize, shift: f32| {
                                (cell as f32 + 0.5) * step[i] + shift * VARIANCES[0] * prior[i]
                            };
                            (at(0, x, dx), at(1, y, dy))
                        };
                        let (cx, cy) = place(*dx, *dy);
                        let (width, height) =
                            (prior[0] * (dw * VARIANCES[1]).exp(), prior[1] * (dh * VARIANCES[1]).exp());
                        let points = points.as_ref().map(|points| &points[i * each..][..each]).unwrap_or_default();
                        let points = points.as_chunks().0.iter().map(|[dx, dy]| place(*dx, *dy)).collect();
                        found.push(Found {
                            x: cx - width / 2.0,
                            y: cy - height / 2.0,
                            width,
                            height,
                            confidence,
                            points,
                        });
                    }
                }
            }
            [classes, boxes].into_iter().chain(points).for_each(|map| pool.give(map));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Precision, Region};

    /// What is told of a map of 2x1 places, whose second one sees a face in the larger of its two squares.
    fn told(pool: &mut Pool) -> Told {
        let mut map = |values: [&[f32]; 2]| {
            let mut map = pool.map(Region::whole(2, 1), values[0].len(), Precision::F32).unwrap();
            map.write(|_, row| row.copy_from_slice(&values.concat())).unwrap();
            map
        };
        let classes = map([&[4.0, -4.0, 4.0, -4.0], &[4.0, -4.0, -1.0, 1.0]]);
        let boxes = map([&[0.0; 8], &[0.0, 0.0, 0.0, 0.0, 1.0, -1.0, 5.0 * 2f32.ln(), 0.0]]);
        let points = map([&[0.0; 4], &[0.0, 0.0, 1.0, 2.0]]);
        Told { classes, boxes, points: Some(points) }
    }

    #[test]
    fn faces_are_told_by_how_they_differ_from_squares() {
        let mut pool = Pool::default();
        for (spread, step, size) in [(Spread::Steps, [8.0, 8.0], 40.0), (Spread::Evenly, [15.0, 20.0], 20.0)] {
            let priors = Priors { edges: &[&[10.0, 40.0]], spread };
            let told = told(&mut pool);
            // In a picture of 30x20 pixels, where the larger square is cut if it is not to be larger.
            let found = priors.found(vec![told], (30, 20), &mut pool);
            let [face] = &found[..] else { panic!("{found:?}") };
            let wide = if size == 40.0 { 40.0 } else { 30.0 };
            let (cx, cy) = (1.5 * step[0] + 0.1 * wide, 0.5 * step[1] - 0.1 * size);
            let wanted = [cx - wide, cy - size / 2.0, 2.0 * wide, size, 1.0 / (1.0 + (-2f32).exp())];
            let own = [face.x, face.y, face.width, face.height, face.confidence];
            assert!(own.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{own:?}, not {wanted:?}");
            let point = (1.5 * step[0] + 0.1 * wide, 0.5 * step[1] + 0.2 * size);
            assert!((face.points[0].0 - point.0).abs() < 1e-4 && (face.points[0].1 - point.1).abs() < 1e-4);
        }
    }
}
