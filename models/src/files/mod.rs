//! Files of weights, whatever program wrote them: bytes become named tensors, and nothing in a file is ever executed.
//!
//! | format | told by | read by |
//! |---|---|---|
//! | safetensors | the length of its header and a brace | `container` |
//! | PyTorch (`.pth`, `.pt`, `.ckpt`), zip | the signature of zip | `zip`, `pickle`, `torch` |
//! | PyTorch before 1.6 | the magic number that its first pickle holds | `pickle`, `torch` |
//! | ncnn (`.param` and `.bin`) | the magic number of the `.param` | `ncnn` |
//! | ONNX | the graph in its first fields | `protobuf`, `onnx`, `yunet_onnx` |
//!
//! What a header claims is compared with the length of the file before any memory is spent on it. Values stay where they lie
//! in the file wherever they lie there in one piece.

mod container;
mod mapped;
mod names;
mod ncnn;
mod onnx;
mod pickle;
mod protobuf;
#[cfg(test)]
mod tests;
mod torch;
mod yunet_onnx;
mod zip;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, View};

pub(crate) use mapped::Mapped;

use crate::limits::MOST_TENSORS;
use crate::{Error, Result};

/// What is wrong with a file, in words; its name is put in front later.
type Said<T> = std::result::Result<T, String>;

/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// What kind of file tensors came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// PyTorch's zip of a pickle and raw values.
    TorchZip,
    /// PyTorch's row of pickles with raw values behind, as before version 1.6.
    TorchLegacy,
    /// ncnn's `.param` and `.bin`.
    Ncnn,
    /// ONNX.
    Onnx,
}

impl Format {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch",
            Self::TorchLegacy => "PyTorch before 1.6",
            Self::Ncnn => "ncnn",
            Self::Onnx => "ONNX",
        }
    }
}

/// A tensor as it stands in a file: little-endian values, the last dimension the fastest.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl<'a> Tensor<'a> {
    /// A tensor whose values are as many as its shape says.
    pub(crate) fn new(dtype: Dtype, shape: Vec<usize>, data: impl Into<Cow<'a, [u8]>>) -> Said<Self> {
        let data = data.into();
        if shape.len() > MOST_DIMENSIONS {
            return Err(format!("a tensor of {} dimensions, above the limit of {MOST_DIMENSIONS}", shape.len()));
        }
        match bytes(dtype, &shape) {
            Some(bytes) if bytes == data.len() => Ok(Self { dtype, shape, data }),
            _ => Err(format!("a tensor of shape {shape:?} cannot have {} bytes", data.len())),
        }
    }

    /// Its dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The kind of its numbers.
    pub(crate) fn numbers(&self) -> Dtype {
        self.dtype
    }

    /// The bytes of its values.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The same values in another shape of as many; nothing when they are not as many.
    pub(crate) fn reshaped(mut self, shape: Vec<usize>) -> Option<Self> {
        let same = bytes(self.dtype, &shape)? == self.data.len();
        self.shape = shape;
        same.then_some(self)
    }

    /// Cuts it into so many parts of the same size along its first dimension; nothing when that does not go.
    pub(crate) fn split(&self, parts: usize) -> Option<Vec<Self>> {
        let (&rows, rest) = self.shape.split_first()?;
        if parts == 0 || rows == 0 || !rows.is_multiple_of(parts) {
            return None;
        }
        let shape = [&[rows / parts], rest].concat();
        let len = self.data.len() / parts;
        let part = |i: usize| {
            let data = match &self.data {
                Cow::Borrowed(data) => Cow::Borrowed(&data[i * len..][..len]),
                Cow::Owned(data) => Cow::Owned(data[i * len..][..len].to_vec()),
            };
            Self { dtype: self.dtype, shape: shape.clone(), data }
        };
        Some((0..parts).map(part).collect())
    }

    /// A matrix with rows and columns exchanged; nothing when it is none, or there is no memory for it.
    pub(crate) fn transposed(&self) -> Option<Self> {
        let &[rows, columns] = &self.shape[..] else { return None };
        let each = self.dtype.bitsize() / 8;
        let mut data = Vec::new();
        data.try_reserve_exact(self.data.len()).ok()?;
        for column in 0..columns {
            for row in 0..rows {
                data.extend_from_slice(&self.data[(row * columns + column) * each..][..each]);
            }
        }
        Some(Self { dtype: self.dtype, shape: vec![columns, rows], data: Cow::Owned(data) })
    }

    /// Its values, widened or narrowed to f32; nothing when they are no floating-point numbers.
    pub fn values(&self) -> Option<Vec<f32>> {
        fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
            Some(data.as_chunks().0.iter().map(|bytes| value(*bytes)).collect())
        }
        match self.dtype {
            Dtype::F64 => each(&self.data, |bytes| f64::from_le_bytes(bytes) as f32),
            Dtype::F32 => each(&self.data, f32::from_le_bytes),
            Dtype::F16 => each(&self.data, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            Dtype::BF16 => each(&self.data, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            _ => None,
        }
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Bytes of a tensor; nothing beyond `usize`.
fn bytes(dtype: Dtype, shape: &[usize]) -> Option<usize> {
    let values = shape.iter().try_fold(1usize, |values, &dimension| values.checked_mul(dimension))?;
    values.checked_mul(dtype.bitsize() / 8)
}

/// The named tensors of a file.
#[derive(Clone, Debug)]
pub struct Tensors<'a> {
    format: Format,
    named: BTreeMap<String, Tensor<'a>>,
}

impl<'a> Tensors<'a> {
    /// Reads a file of weights. `name` is what errors call it; `beside` is the other file of a pair: for the `.param` of ncnn
    /// its `.bin`, and the other way round. Wrappers that training programs put around the weights (`params_ema`,
    /// `state_dict`, `module.`) are taken off.
    ///
    /// # Errors
    /// [`Error::Weights`] when the file is of no known format, broken, beyond the limits, holds no tensors, or wants to
    /// execute something.
    pub fn read(name: &str, file: &'a [u8], beside: Option<&'a [u8]>) -> Result<Self> {
        let read = || -> Said<Self> {
            let (format, named) = found(file, beside)?;
            if named.len() > MOST_TENSORS {
                return Err(format!("it has {} tensors, above the limit of {MOST_TENSORS}", named.len()));
            }
            if named.is_empty() {
                return Err("it holds no tensors".into());
            }
            Ok(Self { format, named: names::unwrapped(named) })
        };
        read().map_err(|message| Error::Weights { file: name.into(), message })
    }

    /// Reads a file that is known to be of the format safetensors, names as they are. `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is none, or beyond the limits.
    pub(crate) fn safetensors(name: &str, file: &'a [u8]) -> Result<Self> {
        let named = container::read(file);
        let named = named.map_err(|message| Error::Weights { file: name.into(), message })?;
        Ok(Self { format: Format::Safetensors, named })
    }

    /// What kind of file it was.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&Tensor<'a>> {
        self.named.get(name)
    }

    /// All names, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Tensors that others are put together from.
    pub(crate) fn of(format: Format, named: BTreeMap<String, Tensor<'a>>) -> Self {
        Self { format, named }
    }

    /// These, and those of another file of the same model.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.named.extend(other.named);
        self
    }

    /// All tensors and their names.
    pub(crate) fn into_named(self) -> BTreeMap<String, Tensor<'a>> {
        self.named
    }

    /// The same tensors by other names; what `name` gives nothing for is left out.
    pub(crate) fn renamed(self, name: impl Fn(&str) -> Option<String>) -> Self {
        let named = self.named.into_iter().filter_map(|(old, tensor)| Some((name(&old)?, tensor))).collect();
        Self { named, ..self }
    }

    /// The bytes of a safetensors file that holds the same, with texts as its metadata.
    ///
    /// # Errors
    /// [`Error::Weights`] when the format cannot hold them.
    pub fn to_safetensors(&self, name: &str, metadata: HashMap<String, String>) -> Result<Vec<u8>> {
        let views = self.named.iter().map(|(name, tensor)| (name.as_str(), tensor));
        safetensors::serialize(views, Some(metadata))
            .map_err(|error| Error::Weights { file: name.into(), message: format!("cannot be converted: {error}") })
    }
}

/// The format of a file, and its tensors.
fn found<'a>(file: &'a [u8], beside: Option<&'a [u8]>) -> Said<(Format, BTreeMap<String, Tensor<'a>>)> {
    if file.is_empty() {
        return Err("it is empty".into());
    }
    if zip::is_zip(file) {
        return Ok((Format::TorchZip, torch::zipped(file)?));
    }
    if ncnn::is_param(file) {
        let bin = beside.ok_or("its numbers are missing: the `.bin` of the same name has to lie beside it")?;
        return Ok((Format::Ncnn, ncnn::read(file, bin)?));
    }
    if let Some(param) = beside.filter(|beside| ncnn::is_param(beside)) {
        return Ok((Format::Ncnn, ncnn::read(param, file)?));
    }
    if container::is_safetensors(file) {
        return Ok((Format::Safetensors, container::read(file)?));
    }
    if torch::is_legacy(file) {
        return Ok((Format::TorchLegacy, torch::legacy(file)?));
    }
    if let Some(other) = unsupported(file) {
        return Err(other.into());
    }
    if onnx::is_onnx(file) {
        return Ok((Format::Onnx, onnx::read(file)?));
    }
    Err("it is of no known format: safetensors, PyTorch (.pth, .pt, .ckpt), ONNX, or ncnn (.param and .bin) are read; a \
         `.bin` of ncnn needs its `.param` beside it"
        .into())
}

/// What a file is that others read and this program does not.
fn unsupported(file: &[u8]) -> Option<&'static str> {
    if onnx::is_tensorflow(file) {
        return Some("it is a graph of TensorFlow, which is not read: convert it to ONNX (tf2onnx) or to safetensors");
    }
    let starts = |with: &[u8]| file.starts_with(with);
    if starts(b"GGUF") {
        return Some("it is a GGUF file, which is not read: take the safetensors version of the model");
    }
    if starts(b"\x89HDF") {
        return Some("it is an HDF5 file (Keras), which is not read: convert it to ONNX or to safetensors");
    }
    if file.get(4..8) == Some(b"TFL3") {
        return Some("it is a TensorFlow Lite file, which is not read: take the ONNX version of the model");
    }
    if starts(b"\x93NUMPY") {
        return Some("it is a NumPy array, which is not read: convert it to safetensors");
    }
    if file.get(257..262) == Some(b"ustar") {
        return Some("it is a tar of PyTorch before 0.1.10, which is not read: load and save it with a newer PyTorch");
    }
    if starts(b"<!DOCTYPE") || starts(b"<html") || starts(b"version https://git-lfs") {
        return Some("it is a page or a pointer instead of the model: download the file itself");
    }
    None
}
