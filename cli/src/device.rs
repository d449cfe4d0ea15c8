//! What the networks compute on.

use crate::{args::Gpu, terminal::Terminal};
use models::gpu;

/// Chooses it for all of the process: to be called before the first network is read.
///
/// # Errors
/// When the graphics processor that was asked for cannot be had.
pub(crate) fn choose(asked: Gpu, terminal: &Terminal) -> Result<(), String> {
    match asked {
        Gpu::None => Ok(()),
        Gpu::Number(number) => gpu::choose(number).map_err(|error| error.to_string()),
        Gpu::Auto => {
            if let (Some(kind), Err(error)) = (gpu::BUILT_FOR, gpu::choose(0)) {
                terminal.warning(&format!("{kind} cannot be used: {error}"), "the processor computes instead");
            }
            Ok(())
        }
    }
}
