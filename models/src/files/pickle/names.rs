//! The names that a pickle may use. Nothing of that name is ever looked for or called: each stands for a value of our own that is made
//! in its place (`made`), and a name that is not here ends the reading.

use safetensors::Dtype;

use crate::files::Said;

/// The names that mean something here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::files) enum Known {
    OrderedDict,
    Rebuild,
    Parameter,
    Storage(Dtype),
    Size,
    Set,
    /// Calling it gives something without weights.
    Inert,
}

impl Known {
    /// What a name stands for.
    pub(super) fn of(module: &[u8], name: &[u8]) -> Said<Self> {
        Self::meant(module, name).ok_or_else(|| refused(module, name))
    }

    fn meant(module: &[u8], name: &[u8]) -> Option<Self> {
        let (module, name) = (std::str::from_utf8(module).ok()?, std::str::from_utf8(name).ok()?);
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::Rebuild,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", "Size") => Self::Size,
            ("builtins" | "__builtin__", "set") => Self::Set,
            ("torch", "device") => Self::Inert,
            // A dictionary of tensors, as training programs for embeddings keep them.
            ("torch.nn.modules.container", "ParameterDict") => Self::OrderedDict,
            // The key under which checkpoints of the first Stable Diffusion keep their scores; nothing is made of it.
            ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") => Self::Inert,
            ("torch", "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "uint8" | "bool") => {
                Self::Inert
            }
            ("numpy", "dtype") | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Inert,
            ("_codecs", "encode") => Self::Inert,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => return None,
        })
    }
}

/// Why a name is refused.
fn refused(module: &[u8], name: &[u8]) -> String {
    let [module, name] = [module, name].map(shown);
    let hint = if module.starts_with("torch.nn") || module.contains("arch") || module.contains("model") {
        "it holds a whole program object instead of weights: load it where it comes from, and save its `state_dict()`"
    } else {
        "weights never need that; if you trust the file, load it in PyTorch and save its `state_dict()`"
    };
    format!("its pickle wants to use `{module}.{name}`, which is refused, and nothing was run: {hint}")
}

/// A name for a message: short, and nothing that a terminal would obey.
fn shown(text: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(&text[..text.len().min(80)]).chars().map(clean).collect()
}
