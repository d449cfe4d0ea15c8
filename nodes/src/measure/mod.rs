//! Statistics of pictures: plain functions on planes of samples, shared by nodes.

pub mod blur;
pub mod dct;
pub mod jpeg;
pub mod noise;
pub mod window;
