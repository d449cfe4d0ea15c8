//! A processor without a matrix unit.

use super::Product;

/// There is none.
pub(in super::super) fn available() -> bool {
    false
}

/// # Safety
/// None is needed: nobody comes here.
pub(super) unsafe fn multiply(_product: &Product<'_>) {
    unreachable!("there is no matrix unit");
}

/// Nothing.
pub(in super::super) fn peak() -> f64 {
    0.0
}
