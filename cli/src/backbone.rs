//! Which graph does the main job: with the embedded models or with Stable Diffusion.

use crate::{
    args::{Backbone, Drawing},
    commands::upscale::Refused,
    terminal::Terminal,
};
use nodes::files::{self, Purpose};

/// The graph of the main job with the embedded models.
pub(crate) const EMBEDDED: &str = "dynamic-upscale";
/// The graph of the main job with Stable Diffusion.
const STABLE_DIFFUSION: &str = "redraw";
/// The checkpoint that it takes when none is named.
const CHECKPOINT: &str = "sd15";

/// The graph that is meant, where `named` is what `--graph` says.
pub(crate) fn graph(terminal: &Terminal, named: &str, drawing: &Drawing) -> Result<String, Refused> {
    let Drawing { backbone, checkpoint, prompt, negative_prompt } = drawing;
    let said = [("--checkpoint", checkpoint), ("--prompt", prompt), ("--negative-prompt", negative_prompt)];
    let said = said.into_iter().find(|(_, text)| text.is_some()).map(|(flag, _)| flag);
    // A graph of one's own knows by itself what it draws with.
    if named != EMBEDDED {
        return match backbone {
            Some(_) => Err(Refused::hint(
                format!("`--backbone` chooses a graph, and `--graph {named}` is another one"),
                "leave out one of them",
            )),
            None => Ok(named.to_owned()),
        };
    }
    match (backbone, said) {
        (None, None) => Ok(named.to_owned()),
        (None, Some(_)) | (Some(Backbone::StableDiffusion), _) => Ok(STABLE_DIFFUSION.to_owned()),
        (Some(Backbone::Embedded), None) => Ok(named.to_owned()),
        (Some(Backbone::Embedded), Some(flag)) => Err(Refused::hint(
            format!("the embedded models know nothing of `{flag}`"),
            "leave it out, or take `--backbone stable-diffusion`",
        )),
        (Some(Backbone::Auto), _) => {
            let wanted = checkpoint.as_deref().unwrap_or(CHECKPOINT);
            match files::place(wanted, Some(Purpose::Checkpoint)) {
                Ok(_) => Ok(STABLE_DIFFUSION.to_owned()),
                Err(failure) => match said {
                    // What was said to it would be said in vain.
                    Some(_) => Err(Refused::Model(failure)),
                    None => {
                        let how = failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                        terminal.note(&format!("the embedded models do it: {}{how}", failure.message));
                        Ok(named.to_owned())
                    }
                },
            }
        }
    }
}
