//! safetensors files.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use super::{Said, Tensor};
use crate::check_safetensors;

/// Whether this begins like a safetensors file: the length of a header, and its brace.
pub(super) fn is_safetensors(file: &[u8]) -> bool {
    let Some((length, rest)) = file.split_first_chunk() else { return false };
    u64::from_le_bytes(*length) < 1 << 40 && rest.first() == Some(&b'{')
}

/// The tensors of the file.
pub(super) fn read(file: &[u8]) -> Said<BTreeMap<String, Tensor<'_>>> {
    check_safetensors(file, "").map_err(|error| match error {
        crate::Error::Weights { message, .. } => message,
        other => other.to_string(),
    })?;
    let parsed = SafeTensors::deserialize(file).map_err(|error| format!("not a safetensors file: {error}"))?;
    let named = parsed.iter().map(|(name, view)| {
        if view.dtype().bitsize() % 8 != 0 || view.dtype() == Dtype::C64 {
            return Err(format!("tensor `{name}` holds {:?}, which is not read", view.dtype()));
        }
        Ok((name.to_owned(), Tensor::new(view.dtype(), view.shape().to_vec(), view.data())?))
    });
    named.collect()
}
