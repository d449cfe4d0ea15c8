//! Blur of a picture, as the deviation of the Gaussian that would make a sharp photograph as soft.
//!
//! A step that was blurred by s and then by a known t has a gradient of height C / sqrt(s^2 + t^2) (Zhuo and Sim 2011,
//! "Defocus map estimation from a single image"). So 1 / gradient^2 is a straight line over t^2 that meets zero at -s^2.
//! Three known blurs give the line and say whether it is straight: where it is not, there is no lone step but a line, a
//! corner or texture, which is left out. What the remaining edges of four ranges of t say is spread out, because scenes
//! are not all in focus; `regression.rs` has learnt from photographs which of it is the blur of the picture.

mod edges;
mod regression;
mod weights;

use super::window::Window;
use engine::value::Measure;

pub use edges::features;

/// Deviation of the blur in pixels, on top of what sharp photographs have, when noise of `noise` steps lies on the picture.
pub fn sigma(windows: &[Window], noise: f32) -> Measure {
    features(windows, noise).map_or(Measure { value: 0.0, confidence: 0.0 }, |found| regression::blur(&found))
}
