//! Which graph does the main job: with the embedded models or with Stable Diffusion.

use crate::{
    args::{Backbone, Drawing},
    commands::upscale::Refused,
    terminal::Terminal,
};
use engine::Setting;
use models::stable_diffusion::{Checkpoint, Family};
use nodes::files::{self, Purpose};
use std::path::Path;

/// The graph of the main job with the embedded models.
pub(crate) const EMBEDDED: &str = "dynamic-upscale";
/// The graph of the main job with Stable Diffusion.
const STABLE_DIFFUSION: &str = "redraw";
/// The checkpoint that it takes when none is named.
const CHECKPOINT: &str = "sd15";
/// The ControlNet that it takes when none is named. It is for Stable Diffusion 1; the list of models has none of its kind for others.
const CONTROL: &str = "sd15-tile";
/// The names under which the graph is told of ControlNets.
const CONTROLS: [&str; 2] = ["controls", "passes.controls"];

/// The graph that is meant, where `named` is what `--graph` says, and `set` what `--set` does.
pub(crate) fn graph(
    terminal: &Terminal,
    named: &str,
    drawing: &Drawing,
    set: &[(String, String)],
) -> Result<String, Refused> {
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
            let place = files::place(wanted, Some(Purpose::Checkpoint)).and_then(|path| {
                let fits = family(&path).is_none_or(|family| family == Family::Sd1);
                if fits && !set.iter().any(|(target, _)| CONTROLS.contains(&target.as_str())) {
                    files::place(CONTROL, Some(Purpose::ControlNet))?;
                }
                Ok(path)
            });
            match place {
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

/// Leaves out the usual ControlNet where the named checkpoint is of a family that it is not for, and nothing was said about ControlNets.
pub(crate) fn controls(terminal: &Terminal, graph: &str, drawing: &Drawing, settings: &[Setting]) -> Option<Setting> {
    let named = drawing.checkpoint.as_deref().filter(|_| graph == STABLE_DIFFUSION)?;
    if settings.iter().any(|setting| CONTROLS.contains(&setting.target.as_str())) {
        return None;
    }
    // What is missing or broken is said when it is needed.
    let family = family(&files::place(named, Some(Purpose::Checkpoint)).ok()?)?;
    if family == Family::Sd1 {
        return None;
    }
    terminal.note(&format!(
        "`{named}` is {}, and `{CONTROL}` is for {}: without a ControlNet resemblance has no effect; `--set controls` names one",
        family.name(),
        Family::Sd1.name()
    ));
    Some(Setting { target: "controls".to_owned(), value: "[]".to_owned(), origin: "--checkpoint".to_owned() })
}

/// The family of a checkpoint, as far as it can be told.
fn family(path: &Path) -> Option<Family> {
    Checkpoint::open(path).ok()?.family()
}
