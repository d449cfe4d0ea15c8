//! Which tensors of a checkpoint an adapter changes, and how.

use std::collections::BTreeMap;

use super::{Layer, Lora, Merged, Module, numbered};
use crate::files::Tensors;
use crate::layers::{LowRank, Patches};
use crate::stable_diffusion::checkpoint::names::Blocks;
use crate::stable_diffusion::checkpoint::{Family, Part};
use crate::{Error, Result};

/// A part of a checkpoint that adapters may fit.
pub(in super::super) struct Base<'b> {
    pub(in super::super) part: Part,
    /// By the names of diffusers and transformers.
    pub(in super::super) tensors: &'b Tensors<'b>,
    pub(in super::super) family: Option<Family>,
    /// Residual blocks of a level of the U-Net, by which the first program counted.
    pub(in super::super) per_level: usize,
}

impl Base<'_> {
    /// The weights of layers by their names with underscores for dots.
    fn layers(&self) -> BTreeMap<String, &str> {
        let weights = self.tensors.names().filter_map(|name| Some((name.strip_suffix(".weight")?, name)));
        weights
            .flat_map(|(layer, name)| {
                let flat = layer.replace('.', "_");
                // Some leave out what all layers of a text encoder begin with.
                let short = flat.strip_prefix("text_model_").map(|short| (short.to_owned(), name));
                [Some((flat.clone(), name)), short].into_iter().flatten()
            })
            .collect()
    }

    pub(super) fn called(&self) -> &'static str {
        self.family.map_or("this model", Family::name)
    }
}

/// A module and the tensor that it changes.
type Fit<'f> = (&'f Module, String);

impl Lora {
    /// The modules that are for a part and their tensors, and those for which there is none.
    fn fits(&self, base: &Base<'_>, own: &Tensors<'_>) -> Result<(Vec<Fit<'_>>, Vec<&Module>)> {
        let layers = base.layers();
        let counted = Blocks { per_level: base.per_level, hint: 0, between: '_' };
        let mine = || self.modules.iter().filter(|module| module.part == base.part);
        let named = |layer: &str| -> Option<String> {
            let name = layers.get(layer).map(|name| (*name).to_owned());
            name.or_else(|| layers.get(&counted.unet(layer)?).map(|name| (*name).to_owned()))
        };
        let order = match self.numbered.get(&base.part) {
            None => vec![],
            Some(kinds) => {
                let orders = numbered::orders(base.part, kinds, base.tensors.names());
                // The one whose layers all have the sizes of the matrices.
                let fits = |order: &Vec<String>| {
                    mine().all(|module| {
                        let Layer::Numbered(number) = module.layer else { return true };
                        let name = order.get(number).and_then(|layer| named(layer));
                        name.is_some_and(|name| self.size(module, &name, base, own).is_ok())
                    })
                };
                let [first, second] = orders;
                if fits(&first) || !fits(&second) { first } else { second }
            }
        };
        let (mut found, mut unused) = (vec![], vec![]);
        for module in mine() {
            let name = match &module.layer {
                Layer::Named(layer) => named(layer),
                Layer::Numbered(number) => order.get(*number).and_then(|layer| named(layer)),
            };
            match name {
                Some(name) => {
                    self.size(module, &name, base, own)?;
                    found.push((module, name));
                }
                None => unused.push(module),
            }
        }
        Ok((found, unused))
    }

    /// The rank of a module that is for a tensor.
    fn size(&self, module: &Module, name: &str, base: &Base<'_>, own: &Tensors<'_>) -> Result<usize> {
        let shape = |name: &str| own.get(name).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
        let (up, down) = (shape(&module.up), shape(&module.down));
        let whole = base.tensors.get(name).map(|tensor| tensor.shape()).unwrap_or_default();
        let wrong = |tensor: &str, found: Vec<usize>| Error::TensorShape {
            file: self.name.clone(),
            tensor: tensor.to_owned(),
            found,
            wanted: format!(
                "another for `{name}` of shape {whole:?} of {}: it was made for another model",
                base.called()
            ),
        };
        let rank = match (&up[..], &down[..]) {
            ([_, rank] | [_, rank, 1, 1], [other, ..]) if rank == other && *rank > 0 => *rank,
            _ => return Err(wrong(&module.up, up)),
        };
        let Some((&rows, rest)) = whole.split_first() else { return Err(wrong(&module.up, up)) };
        if up[0] != rows {
            return Err(wrong(&module.up, up));
        }
        let product = |sides: &[usize]| sides.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
        // A 1x1 convolution and a linear layer are the same.
        let taps = |shape: &[usize]| shape.get(2..).and_then(product);
        let sizes = product(rest) == product(&down[1..]) && taps(whole).unwrap_or(1) == taps(&down).unwrap_or(1);
        if !sizes { Err(wrong(&module.down, down)) } else { Ok(rank) }
    }

    /// What is added to the tensors of a part at a weight, with what adds meaning or without.
    pub(in super::super) fn patch(
        &self,
        base: &Base<'_>,
        weight: f32,
        semantic: bool,
        patches: &mut Patches,
    ) -> Result<()> {
        if !weight.is_finite() {
            let hint = "the weight of a LoRA is a number, usually 0 to 1";
            return Err(Error::Setting { name: "weight", value: weight.to_string(), hint });
        }
        if weight == 0.0 {
            return Ok(());
        }
        let own = self.tensors()?;
        let (fits, _) = self.fits(base, &own)?;
        let values = |name: &str| -> Result<Vec<f32>> {
            let tensor = own.get(name).and_then(|tensor| tensor.values());
            let tensor =
                tensor.ok_or_else(|| self.broken(format!("tensor `{name}` holds no floating-point numbers")))?;
            if tensor.iter().any(|value| !value.is_finite()) {
                return Err(self.broken(format!("tensor `{name}` holds values that are not finite")));
            }
            Ok(tensor)
        };
        for (module, name) in fits.into_iter().filter(|(module, _)| semantic || !module.semantic) {
            let rank = self.size(module, &name, base, &own)?;
            let scale = match (module.alpha, self.scales.get(&module.part)) {
                (Some(alpha), _) => alpha / rank as f32,
                (None, Some(scale)) if scale.root => scale.alpha / (rank as f32).sqrt(),
                (None, Some(scale)) => scale.alpha / rank as f32,
                (None, None) => 1.0,
            };
            let (up, down) = (values(&module.up)?, values(&module.down)?);
            patches.add(&name, LowRank { up, down, rank, gain: weight * scale });
        }
        for whole in self.wholes.iter().filter(|whole| whole.is_for(base)) {
            patches.add(&whole.name, self.replacing(whole, base, &own, weight)?);
        }
        self.file.unchanged().map_err(|message| self.broken(message))
    }

    /// What of it fits parts of a checkpoint.
    ///
    /// # Errors
    /// When nothing does, or a matrix has another size than the layer it is for.
    pub(in super::super) fn merged(&self, bases: &[Base<'_>]) -> Result<Merged> {
        let own = self.tensors()?;
        let mut merged = Merged { unused: self.strange.clone(), ..Merged::default() };
        for base in bases {
            let (fits, unused) = self.fits(base, &own)?;
            match base.part {
                Part::Unet => merged.unet += fits.len(),
                Part::Vae => merged.vae += fits.len(),
                _ => merged.text += fits.len(),
            }
            merged.unused.extend(unused.into_iter().map(|module| module.up.clone()));
        }
        let lost = self.wholes.iter().filter(|whole| !bases.iter().any(|base| whole.is_for(base)));
        merged.unused.extend(lost.map(|whole| whole.tensor.clone()));
        let has = |part: Part| bases.iter().any(|base| base.part == part);
        merged.unused.extend(self.modules.iter().filter(|module| !has(module.part)).map(|module| module.up.clone()));
        merged.unused.sort();
        if merged.unet + merged.text + merged.vae == 0 {
            let called = bases.first().map_or("this model", Base::called);
            let first = merged.unused.first().map_or("", String::as_str);
            return Err(self.broken(format!(
                "none of its {} layers is in {called}: it was made for another model; the first is `{first}`",
                self.modules.len()
            )));
        }
        Ok(merged)
    }
}
