//! Tensors out of a file, asked for by name and shape.

use std::sync::Arc;

use candle_core::DType;
use safetensors::SafeTensors;

use super::low_rank::Patches;
use super::rows::{Rows, Values, readable};
use super::{Compute, Precision};
use crate::files::Tensors;
use crate::noise::gaussian;
use crate::{Error, Result};

/// Tensors that are asked for by name and shape, and what the layers made of them compute on.
#[derive(Clone)]
pub(crate) struct Weights<'a> {
    /// What errors call the file.
    file: Arc<str>,
    prefix: &'static str,
    source: Arc<Source<'a>>,
    /// What is added to tensors, by their names with the prefix.
    patches: Arc<Patches>,
    compute: Compute,
}

/// Where tensors come from.
enum Source<'a> {
    /// A file.
    File(Tensors<'a>),
    /// Drawn at random, of any shape that is asked for: to measure the speed of networks without their files.
    Random,
}

/// What the metadata says about the weights.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) version: String,
    pub(crate) trained: String,
}

impl<'a> Weights<'a> {
    /// Reads the header of a safetensors file. `file` is what errors call it, `prefix` stands before every tensor name.
    ///
    /// # Errors
    /// [`Error::Weights`] when this is not a safetensors file.
    pub(crate) fn read(bytes: &'a [u8], file: &'static str, prefix: &'static str) -> Result<Self> {
        let tensors = Tensors::safetensors(file, bytes)?;
        Ok(Self { prefix, ..Self::of(file, tensors) })
    }

    /// Tensors of a file that is read already. `file` is what errors call it.
    pub(crate) fn of(file: &str, tensors: Tensors<'a>) -> Self {
        Self::new(file, Source::File(tensors))
    }

    fn new(file: &str, source: Source<'a>) -> Self {
        let (source, patches) = (Arc::new(source), Arc::new(Patches::default()));
        Self { file: file.into(), prefix: "", source, patches, compute: Compute::default() }
    }

    /// Random weights: a network of the usual spread at every layer.
    pub(crate) fn random() -> Self {
        Self::new("random", Source::Random)
    }

    /// The same tensors for layers that compute in another way.
    pub(crate) fn on(&self, compute: Compute) -> Self {
        Self { compute, ..self.clone() }
    }

    /// The same tensors with something added to some of them, which are named as in the file.
    pub(crate) fn patched(self, patches: Patches) -> Self {
        Self { patches: Arc::new(patches), ..self }
    }

    /// The same tensors under a prefix of their names.
    pub(crate) fn under(&self, prefix: &'static str) -> Self {
        Self { prefix, ..self.clone() }
    }

    /// The same tensors for layers that compute in f32 where others need not.
    pub(crate) fn precise(&self) -> Self {
        self.on(match &self.compute {
            Compute::Cpu { isa, .. } => Compute::Cpu { isa: *isa, precision: Precision::F32 },
            Compute::Candle { device, .. } => Compute::Candle { device: device.clone(), dtype: DType::F32 },
        })
    }

    /// The same tensors for layers that compute in f32 on the processor.
    pub(crate) fn on_processor(&self) -> Self {
        self.on(Compute::Cpu { isa: self.compute.isa(), precision: Precision::F32 })
    }

    /// What the layers compute on.
    pub(crate) fn compute(&self) -> &Compute {
        &self.compute
    }

    /// The numbers of the maps between the layers.
    pub(crate) fn precision(&self) -> Precision {
        match self.compute {
            Compute::Cpu { precision, .. } => precision,
            Compute::Candle { .. } => Precision::F32,
        }
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
        let Source::File(tensors) = &*self.source else { return Err(self.missing(name)) };
        let tensor = tensors.get(&format!("{}{name}", self.prefix));
        tensor.map(|tensor| tensor.shape().to_vec()).ok_or_else(|| self.missing(name))
    }

    /// The names of all tensors, the prefix left out.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = match &*self.source {
            Source::File(tensors) => Some(tensors.names()),
            Source::Random => None,
        };
        names.into_iter().flatten().filter_map(|name| name.strip_prefix(self.prefix))
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.shape(name).is_ok()
    }

    /// The values of a tensor of a known shape, or zeros where there is none: a bias that a layer may do without.
    ///
    /// # Errors
    /// As [`Weights::tensor`], but for a tensor that is missing.
    pub(crate) fn tensor_or_zeros(&self, name: &str, wanted: &[usize]) -> Result<Vec<f32>> {
        match &*self.source {
            Source::File(_) if !self.has(name) => Ok(vec![0.0; wanted.iter().product()]),
            _ => self.tensor(name, wanted),
        }
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

    /// One of the dimensions of a tensor.
    ///
    /// # Errors
    /// When the tensor is missing, or has no such dimension, or nothing in it.
    pub(crate) fn side(&self, name: &str, dimension: usize) -> Result<usize> {
        let found = self.shape(name)?;
        match found.get(dimension) {
            Some(&side) if side > 0 => Ok(side),
            _ => Err(self.misshaped(name, found, format!("something in dimension {dimension}"))),
        }
    }

    /// Whether there is a tensor whose name begins like this.
    pub(crate) fn any(&self, before: &str) -> bool {
        self.names().any(|name| name.starts_with(before))
    }

    /// By how much a pixel shuffle enlarges behind a convolution that makes `colours` channels for each pixel of a square.
    ///
    /// # Errors
    /// When the tensor is missing, or its channels are not those of a square.
    pub(crate) fn enlargement(&self, name: &str, colours: usize) -> Result<usize> {
        let outputs = self.width(name)?;
        let scale = (outputs / colours).isqrt();
        if scale == 0 || colours * scale * scale != outputs {
            let wanted = format!("{colours} channels for each pixel of a square");
            return Err(self.misshaped(name, self.shape(name)?, wanted));
        }
        Ok(scale)
    }

    /// How many of `{before}{i}{behind}` there are, counted from 0.
    pub(crate) fn count(&self, before: &str, behind: &str) -> usize {
        (0..).take_while(|i| self.has(&format!("{before}{i}{behind}"))).count()
    }

    /// The values of a tensor of a known shape, widened to f32.
    ///
    /// # Errors
    /// When the tensor is missing, has another shape, holds no floating-point numbers, or a value that is not
    /// finite.
    pub(crate) fn tensor(&self, name: &str, wanted: &[usize]) -> Result<Vec<f32>> {
        self.by_rows(name, wanted, |rows| rows.all())
    }

    /// The same, row by row: `read` is given the rows, and what it makes of them counts only if all values were finite.
    ///
    /// # Errors
    /// As [`Weights::tensor`], and those of `read`.
    pub(crate) fn by_rows<T>(
        &self,
        name: &str,
        wanted: &[usize],
        read: impl FnOnce(&Rows<'_>) -> Result<T>,
    ) -> Result<T> {
        self.all_by_rows(&[name], wanted, |rows| read(&rows[0]))
    }

    /// The same for several tensors of one shape.
    ///
    /// # Errors
    /// As [`Weights::by_rows`].
    pub(crate) fn all_by_rows<T>(
        &self,
        names: &[impl AsRef<str>],
        wanted: &[usize],
        read: impl FnOnce(&[Rows<'_>]) -> Result<T>,
    ) -> Result<T> {
        let all: Vec<Rows<'_>> = names.iter().map(|name| self.rows(name.as_ref(), wanted)).collect::<Result<_>>()?;
        let made = read(&all)?;
        match names.iter().zip(&all).find(|(_, rows)| rows.broken()) {
            Some((name, _)) => {
                let name = format!("{}{}", self.prefix, name.as_ref());
                Err(self.broken(format!("tensor `{name}` holds values that are not finite")))
            }
            None => Ok(made),
        }
    }

    /// The rows of a tensor of a known shape.
    fn rows(&self, name: &str, wanted: &[usize]) -> Result<Rows<'_>> {
        let Source::File(tensors) = &*self.source else {
            return Ok(Rows::new(Values::Given(drawn(name, wanted)), &[], wanted));
        };
        let full = format!("{}{name}", self.prefix);
        let tensor = tensors.get(&full).ok_or_else(|| self.missing(name))?;
        if tensor.shape() != wanted {
            return Err(self.misshaped(name, tensor.shape().to_vec(), format!("{wanted:?}")));
        }
        if !readable(tensor.numbers()) {
            let numbers = tensor.numbers();
            return Err(self.broken(format!("tensor `{full}` holds {numbers:?}, but f16, bf16 or f32 is needed")));
        }
        let patches = self.patches.of(&full);
        if patches.iter().any(|patch| !patch.fits(wanted)) {
            return Err(self.broken(format!("what is to be added to tensor `{full}` has another size")));
        }
        Ok(Rows::new(Values::Tensor(tensor), patches, wanted))
    }

    /// Puts a batch normalisation by the numbers that training has fixed, `{norm}.weight`, `.bias`, `.running_mean` and `.running_var`,
    /// into the filters and biases of the convolution before it.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(super) fn normalise(&self, norm: &str, epsilon: f32, filters: &mut [f32], bias: &mut [f32]) -> Result<()> {
        let vector = |what: &str| self.tensor(&format!("{norm}.{what}"), &[bias.len()]);
        let (gain, shift) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        let filter = (filters.len() / bias.len().max(1)).max(1);
        for (c, (filter, bias)) in filters.chunks_exact_mut(filter).zip(bias).enumerate() {
            let gain = gain[c] / (variance[c] + epsilon).sqrt();
            filter.iter_mut().for_each(|value| *value *= gain);
            *bias = (*bias - mean[c]) * gain + shift[c];
        }
        Ok(())
    }

    fn missing(&self, name: &str) -> Error {
        Error::TensorMissing { file: self.file.to_string(), tensor: format!("{}{name}", self.prefix) }
    }

    /// A tensor that has another shape than the rest of the file asks for.
    pub(crate) fn misshaped(&self, name: &str, found: Vec<usize>, wanted: String) -> Error {
        Error::TensorShape { file: self.file.to_string(), tensor: format!("{}{name}", self.prefix), found, wanted }
    }

    /// A file that is known for what it is, and not read.
    pub(crate) fn unsupported(&self, message: &str) -> Error {
        self.broken(message.into())
    }

    fn broken(&self, message: String) -> Error {
        Error::Weights { file: self.file.to_string(), message }
    }
}

/// Random values for a tensor: vectors near 1 where they are gains, near 0 where they are biases, and matrices that keep the
/// spread of what they are applied to.
fn drawn(name: &str, shape: &[usize]) -> Vec<f32> {
    let len: usize = shape.iter().product();
    let inputs: usize = shape.iter().skip(1).product();
    let (middle, spread) = match shape {
        [_] if name.ends_with("bias") => (0.0, 0.02),
        [_] => (1.0, 0.02),
        _ => (0.0, 1.0 / (inputs.max(1) as f32).sqrt()),
    };
    let seed = name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    // A few thousand values over and over: drawing hundreds of millions would take longer than what is measured with them.
    let values: Vec<f32> = (0..4099).map(|i| middle + spread * gaussian(seed, i, 0, 0, 0)).collect();
    values.iter().copied().cycle().take(len).collect()
}
