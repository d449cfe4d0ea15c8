//! Tensors that are not thin: OSEDiff trains the first convolution of the U-Net along with its adapter, and its files hold all of it.

use super::keys::part_of;
use super::{Base, Lora};
use crate::files::Tensors;
use crate::layers::LowRank;
use crate::picture::zeros;
use crate::stable_diffusion::checkpoint::Part;
use crate::{Error, Result};

/// The layer that is trained along.
const LAYER: &str = "conv_in";
/// Most rows or columns of a matrix that is written as a product.
const MOST_RANK: usize = 4096;

/// A tensor that takes the place of one of the model.
pub(super) struct Whole {
    part: Part,
    /// Its name in the file.
    pub(super) tensor: String,
    /// The name of what it stands for.
    pub(super) name: String,
}

impl Whole {
    /// Of the name of a tensor, if it is one.
    pub(super) fn of(tensor: &str) -> Option<Self> {
        let (part, name) = part_of(tensor)?;
        let (layer, kind) = name.rsplit_once('.')?;
        let layer = layer.strip_suffix(".base_layer").unwrap_or(layer);
        let is = part == Part::Unet && layer == LAYER && (kind == "weight" || kind == "bias");
        is.then(|| Self { part, tensor: tensor.to_owned(), name: format!("{layer}.{kind}") })
    }

    pub(super) fn is_for(&self, base: &Base<'_>) -> bool {
        self.part == base.part && base.tensors.get(&self.name).is_some()
    }
}

impl Lora {
    /// What is added so that, at a weight of one, a tensor becomes that of the file: their difference as a product of matrices, one
    /// of which is that of ones on the diagonal.
    pub(super) fn replacing(&self, whole: &Whole, base: &Base<'_>, own: &Tensors<'_>, weight: f32) -> Result<LowRank> {
        let Whole { tensor, name, .. } = whole;
        let numbers = || self.broken(format!("tensor `{tensor}` holds no floating-point numbers"));
        let (Some(old), Some(new)) = (base.tensors.get(name), own.get(tensor)) else { return Err(numbers()) };
        if old.shape() != new.shape() {
            return Err(Error::TensorShape {
                file: self.name.clone(),
                tensor: tensor.clone(),
                found: new.shape().to_vec(),
                wanted: format!(
                    "that of `{name}` of {}, {:?}: it was made for another model",
                    base.called(),
                    old.shape()
                ),
            });
        }
        let mut difference = new.values().ok_or_else(numbers)?;
        let old = old
            .values()
            .ok_or_else(|| self.broken(format!("`{name}` of the model holds no floating-point numbers")))?;
        difference.iter_mut().zip(&old).for_each(|(new, old)| *new -= old);
        if difference.iter().any(|value| !value.is_finite()) {
            return Err(self.broken(format!("tensor `{tensor}` holds values that are not finite")));
        }
        let rows = new.shape().first().copied().unwrap_or(1).max(1);
        let columns = difference.len() / rows;
        let rank = rows.min(columns);
        if rank > MOST_RANK {
            return Err(self.broken(format!("tensor `{tensor}` is larger than any first layer that is known")));
        }
        let mut ones = zeros(rank * rank, "an adapter")?;
        ones.iter_mut().step_by(rank + 1).for_each(|value| *value = 1.0);
        let (up, down) = if rank == columns { (difference, ones) } else { (ones, difference) };
        Ok(LowRank { up, down, rank, gain: weight })
    }
}
