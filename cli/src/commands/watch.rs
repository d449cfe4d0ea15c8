//! `upweave watch`: works on every picture that arrives in a folder, once.

use super::upscale::{Refused, Wanted};
use crate::{
    args::{Existing, Shown, Watch as Args},
    backbone,
    batch::Batch,
    job,
    naming::Naming,
    stop::Stop,
    terminal::Terminal,
    watch::{LedgerError, Manner, Sidecar, Watch, places::Places},
};
use engine::Setting;

pub(crate) fn run(terminal: &Terminal, stop: &Stop, args: &Args) -> u8 {
    match watched(terminal, stop, args) {
        Ok(code) => code,
        Err(refused) => refused.tell(terminal),
    }
}

fn watched(terminal: &Terminal, stop: &Stop, args: &Args) -> Result<u8, Refused> {
    let (done, failed) = (args.done.as_deref(), args.failed.as_deref());
    let places = Places::new(&args.folder, &args.output, done, failed, args.ledger.as_deref())?;
    let factory = |sidecar: &Sidecar| batch(terminal, args, sidecar);
    // What is wrong for all pictures is better told now than with each of them.
    let usual = factory(&Sidecar::default())?;
    engine::build(&usual.recipe.request(Vec::new(), Vec::new())).map_err(Refused::Graph)?;
    if let Some(note) =
        usual.outputs.first().and_then(|output| job::without_effect(&args.writing, output.naming.extension()))
    {
        terminal.note(&note);
    }
    let manner = Manner {
        settle: args.settle,
        poll: args.poll,
        rescan: args.rescan,
        ignore_existing: args.existing == Existing::Ignore,
        once: args.once,
        frames: args.unfold.frames,
        settings: usual.stamp(args.unfold.frames),
    };
    match Watch::new(terminal, stop, places, manner, &factory) {
        Ok(watch) => Ok(watch.run()),
        Err(error @ LedgerError::Taken(_)) => {
            Err(Refused::hint(error.to_string(), "stop the other one, or give this one a folder of its own"))
        }
        Err(error) => {
            terminal.error(&error.to_string(), Some("name another file with `--ledger`"));
            Ok(6)
        }
    }
}

/// The batch for pictures with these settings beside them.
fn batch(terminal: &Terminal, args: &Args, sidecar: &Sidecar) -> Result<Batch, Refused> {
    let said = sidecar.set.iter().map(|(name, value)| Setting {
        target: name.clone(),
        value: value.get_ron().trim().to_owned(),
        origin: format!("settings beside the picture, {name}"),
    });
    // A sidecar that names another graph speaks of that graph alone.
    let own = sidecar.graph.is_some();
    let (style, preset) = match &sidecar.preset {
        Some(preset) => (None, Some(preset.as_str())),
        None if own => (None, None),
        None => (args.controls.style, args.chosen.change.preset.as_deref()),
    };
    let set = if own { Vec::new() } else { job::ron_settings(&args.chosen.change.set) };
    let none = crate::args::Controls::default();
    let graph = match &sidecar.graph {
        Some(graph) => graph.clone(),
        None => backbone::graph(terminal, &args.chosen.graph, &args.controls.drawing, &args.chosen.change.set)?,
    };
    let wanted = Wanted {
        graph: &graph,
        style,
        preset,
        controls: if own { &none } else { &args.controls },
        set: set.into_iter().chain(said).collect(),
        writing: &args.writing,
        shown: Shown::default(),
        machine: &args.machine,
        fail_fast: false,
    };
    let read = wanted.read()?;
    let mut output = args.output.display().to_string();
    output.push(std::path::MAIN_SEPARATOR);
    let naming = Naming::new(Some(&output), args.writing.format.as_deref(), args.writing.on_exists, true)?;
    let mut batch = wanted.batch(terminal, read, naming)?;
    // The scale may be set beside the picture: then only the graph knows it.
    batch.scale = batch.scale.filter(|_| sidecar.set.is_empty());
    Ok(batch)
}
