//! Tensors out of a safetensors file.

use candle_core::{DType, Device, safetensors::SliceSafetensors};
use safetensors::SafeTensors;

use crate::{Error, Result};

/// A safetensors file whose tensors are asked for by name and shape.
pub(crate) struct Weights<'a> {
    file: &'static str,
    prefix: &'static str,
    tensors: SliceSafetensors<'a>,
}

/// What the metadata says about the weights.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) trained: String,
}

impl<'a> Weights<'a> {
    /// Reads the header of a file. `file` is what errors call it, `prefix` stands before every tensor name.
    ///
    /// # Errors
    /// [`Error::Weights`] when this is not a safetensors file.
    pub(crate) fn read(bytes: &'a [u8], file: &'static str, prefix: &'static str) -> Result<Self> {
        let tensors = SliceSafetensors::new(bytes).map_err(|error| Error::Weights {
            file: file.into(),
            message: format!("not a safetensors file: {error}"),
        })?;
        Ok(Self { file, prefix, tensors })
    }

    /// Reads the metadata and makes sure that the file is meant for the network `name`.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is not.
    pub(crate) fn about(bytes: &[u8], name: &'static str) -> Result<About> {
        let broken = |message: String| Error::Weights { file: name.into(), message };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| broken(error.to_string()))?;
        let metadata = metadata.metadata().as_ref();
        let entry = |key: &str| metadata.and_then(|entries| entries.get(key)).map_or("", String::as_str);
        let (format, found) = (entry("format"), entry("name"));
        if format != "upweave-1" {
            return Err(broken(format!("its format is `{format}`, but `upweave-1` is needed")));
        }
        if found != name {
            return Err(broken(format!("it holds the network `{found}`")));
        }
        Ok(About { version: entry("version").into(), trained: entry("trained").into() })
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// [`Error::TensorMissing`].
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let view = self.tensors.get(&format!("{}{name}", self.prefix));
        view.map(|view| view.shape().to_vec()).map_err(|_| self.missing(name))
    }

    /// The first dimension of a tensor: the output channels of a convolution.
    ///
    /// # Errors
    /// When the tensor is missing, or empty.
    pub(crate) fn width(&self, name: &str) -> Result<usize> {
        let found = self.shape(name)?;
        match found.first() {
            Some(&width) if width > 0 => Ok(width),
            _ => Err(self.misshaped(name, found, "at least one output channel".into())),
        }
    }

    /// How many of `{before}{i}{behind}` there are, counted from 0.
    pub(crate) fn count(&self, before: &str, behind: &str) -> usize {
        (0..).take_while(|i| self.shape(&format!("{before}{i}{behind}")).is_ok()).count()
    }

    /// The values of a tensor of a known shape, widened to f32.
    ///
    /// # Errors
    /// When the tensor is missing, has another shape, a number type that is not f16, bf16 or f32, or a value that is not
    /// finite.
    pub(crate) fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Vec<f32>> {
        let found = self.shape(name)?;
        if found != wanted {
            return Err(self.misshaped(name, found, format!("{wanted:?}")));
        }
        let broken = |error: candle_core::Error| self.broken(format!("tensor `{name}`: {error}"));
        let tensor = self.tensors.load(&format!("{}{name}", self.prefix), &Device::Cpu).map_err(broken)?;
        if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) {
            return Err(self.broken(format!("tensor `{name}` holds {:?}, but f16 is needed", tensor.dtype())));
        }
        let flat = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all());
        let values: Vec<f32> = flat.and_then(|tensor| tensor.to_vec1()).map_err(broken)?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self.broken(format!("tensor `{name}` holds values that are not finite")));
        }
        Ok(values)
    }

    fn missing(&self, name: &str) -> Error {
        Error::TensorMissing { file: self.file.into(), tensor: format!("{}{name}", self.prefix) }
    }

    fn misshaped(&self, name: &str, found: Vec<usize>, wanted: String) -> Error {
        Error::TensorShape { file: self.file.into(), tensor: format!("{}{name}", self.prefix), found, wanted }
    }

    fn broken(&self, message: String) -> Error {
        Error::Weights { file: self.file.into(), message }
    }
}
