//! Networks whose files are a part of the program.

use std::sync::OnceLock;

use crate::{Compute, Precision, Result};

/// A model file that ships in the binary, and the network `T` that is made of it.
pub(crate) struct Embedded<T> {
    file: &'static [u8],
    read: fn(&'static [u8], &Compute) -> Result<T>,
    /// In f32, in bf16.
    nets: [OnceLock<Result<T>>; 2],
    digest: OnceLock<[u8; 32]>,
}

impl<T> Embedded<T> {
    /// A file that `read` makes a network of.
    pub(crate) const fn new(file: &'static [u8], read: fn(&'static [u8], &Compute) -> Result<T>) -> Self {
        Self { file, read, nets: [const { OnceLock::new() }; 2], digest: OnceLock::new() }
    }

    /// The network, unpacked on the first call for each precision.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(crate) fn get(&self, precision: Precision) -> Result<&T> {
        let net = &self.nets[usize::from(precision == Precision::Bf16)];
        net.get_or_init(|| (self.read)(self.file, &Compute::here(precision))).as_ref().map_err(Clone::clone)
    }

    /// blake3 of the file. It is not unpacked for this.
    pub(crate) fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| *blake3::hash(self.file).as_bytes())
    }

    /// Whether this process has unpacked the network.
    pub(crate) fn is_unpacked(&self) -> bool {
        self.nets.iter().any(|net| net.get().is_some())
    }
}
