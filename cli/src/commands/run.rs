//! `upweave run`: any graph, its inputs and outputs by name.

use super::upscale::{Refused, one_of};
use crate::{
    args::Run,
    batch::{Batch, Given, Output, Progress},
    cache::Kept,
    job::{self, Recipe, Saving, ron_text},
    library,
    memory::Budget,
    naming::{self, Naming},
    pictures::{Folders, Found, Picture, Search},
    recipe,
    stop::Stop,
    terminal::Terminal,
};
use engine::{Binding, Outline, value::Type};
use nodes::limits::Limits;
use std::path::PathBuf;

pub(crate) fn run(terminal: &Terminal, stop: &Stop, args: &Run) -> u8 {
    match prepared(terminal, args) {
        Ok((batch, found)) => batch.run(terminal, stop, &found),
        Err(refused) => refused.tell(terminal),
    }
}

fn prepared(terminal: &Terminal, args: &Run) -> Result<(Batch, Found), Refused> {
    let limits = job::limits(&args.machine)?;
    let mut recipe = match recipe::of_picture(&args.graph, &limits)? {
        Some(recipe) => recipe,
        None => library::graph(&args.graph)
            .map(Recipe::new)
            .map_err(|message| Refused::hint(message, "`upweave graph new` lists the graphs"))?,
    };
    let outline = Outline::read(&recipe.file).map_err(Refused::Graph)?;
    let (inputs, pictures) = bindings(&outline, args, &limits)?;
    for input in outline.inputs.iter().filter(|input| !input.optional) {
        let given = inputs.iter().any(|given| given.binding.name == input.name)
            || pictures.as_ref().is_some_and(|(name, _)| name == &input.name);
        if !given {
            let message = format!("graph `{}` needs its input `{}` ({})", args.graph, input.name, input.ty);
            return Err(Refused::hint(message, format!("add  {}={}", input.name, example(input.ty))));
        }
    }
    recipe.settings.extend(job::ron_settings(&args.change.set));
    if args.change.preset.is_some() {
        recipe.preset.clone_from(&args.change.preset);
    }
    let (picture_input, found) = match pictures {
        Some((name, typed)) => (Some(name), found(args, &typed, &limits)?),
        // A graph that reads its pictures by itself gives its name to the results.
        None if args.gather.unfold.frames.is_some() => {
            return Err(format!("graph `{}` is given no picture that could hold frames", args.graph).into());
        }
        None => {
            let graph = Picture::new(PathBuf::from(&args.graph), PathBuf::new());
            (None, Found { pictures: vec![graph], ..Found::default() })
        }
    };
    let outputs = outputs(&outline, args, found.many || found.pictures.len() > 1)?;
    for output in &outputs {
        if let Some(note) = job::without_effect(&args.files.writing, output.naming.extension()) {
            terminal.note(&note);
        }
    }
    if terminal.json() && args.files.output.iter().any(|output| output == "-" || output.ends_with("=-")) {
        return Err("`--json` and `-o -` both want stdout".to_owned().into());
    }
    // As the recipe says, unless something else was typed.
    let mut saving = Saving::new(&args.files.writing);
    for (name, value) in recipe::saving_of(&args.graph, &limits) {
        saving.fields.entry(name).or_insert(value);
    }
    let budget = Budget::new(&args.machine);
    let batch = Batch {
        recipe,
        inputs,
        picture_input,
        outputs,
        saving,
        scale: None,
        limits,
        dry_run: args.shown.dry_run,
        kept: Kept::new(&args.machine, &budget)?,
        explain: args.shown.explain,
        bounds: budget.bounds(args.shown.preview),
        fail_fast: args.gather.fail_fast,
        progress: Progress::default(),
    };
    Ok((batch, found))
}

/// The pictures that are meant by what was typed for the input that they feed.
fn found(args: &Run, typed: &[PathBuf], limits: &Limits) -> Result<Found, Refused> {
    let out = args.files.output.first().map(|out| out.split_once('=').map_or(out.as_str(), |(_, path)| path));
    let search = Search::new(&args.gather, naming::folder(out), limits)?;
    let mut found = Found::default();
    search.typed(typed, Folders::No, &mut found)?;
    if let Some(list) = &args.gather.files_from {
        search.list(list, &mut found)?;
    }
    if let Some(frames) = args.gather.unfold.frames {
        found.unfold(frames, limits)?;
    }
    Ok(found)
}

/// The input that pictures feed, and what was typed for it.
type Pictures = Option<(String, Vec<PathBuf>)>;

/// What feeds the inputs. The first picture is told apart: there may be many of it, and the results are named after it.
fn bindings(outline: &Outline, args: &Run, limits: &Limits) -> Result<(Vec<Given>, Pictures), Refused> {
    let mut bindings: Vec<Given> = Vec::new();
    let mut pictures: Pictures = None;
    if args.gather.files_from.is_some() {
        let first = outline.inputs.iter().find(|input| input.ty == Type::Image);
        let first = first.ok_or_else(|| format!("graph `{}` takes no picture", args.graph))?;
        pictures = Some((first.name.clone(), Vec::new()));
    }
    for text in &args.inputs {
        let named = text.split_once('=').filter(|(name, _)| outline.inputs.iter().any(|input| input.name == *name));
        let (name, value) = match (named, outline.inputs.first()) {
            (Some(named), _) => named,
            (None, Some(first)) if !text.contains('=') || PathBuf::from(text).exists() => {
                (first.name.as_str(), text.as_str())
            }
            _ => {
                let names: Vec<String> = outline.inputs.iter().map(|input| input.name.clone()).collect();
                let name = text.split('=').next().unwrap_or_default();
                return Err(Refused::hint(
                    format!("the graph has no input `{name}`"),
                    format!("inputs: {}", one_of(&names)),
                ));
            }
        };
        if let Some((_, typed)) = pictures.as_mut().filter(|(input, _)| input == name) {
            typed.push(PathBuf::from(value));
            continue;
        }
        if bindings.iter().any(|given| given.binding.name == name) {
            return Err(format!("input `{name}` is given twice").into());
        }
        let Some(input) = outline.inputs.iter().find(|input| input.name == name) else { continue };
        let made = |kind: &str, fields: String| {
            let (name, kind, origin) = (name.to_owned(), kind.to_owned(), name.to_owned());
            Given { binding: Binding { name, kind, fields, origin }, file: None }
        };
        let read = |binding: Binding, path: &str| Given { binding, file: Some(PathBuf::from(path)) };
        match input.ty {
            Type::Image if pictures.is_none() => pictures = Some((name.to_owned(), vec![PathBuf::from(value)])),
            Type::Image => bindings.push(read(job::load(name, value, 0, limits, name), value)),
            Type::Mask => bindings.push(read(job::load_mask(name, value, limits, name), value)),
            Type::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => bindings.push(made("Number", format!("(value: {number:?})"))),
                _ => return Err(format!("input `{name}` takes a number, not `{value}`").into()),
            },
            Type::Text => bindings.push(made("Text", format!("(value: {})", ron_text(value)))),
            ty => return Err(format!("input `{name}` takes {ty}, which cannot be typed").into()),
        }
    }
    Ok((bindings, pictures))
}

fn example(ty: Type) -> &'static str {
    match ty {
        Type::Image => "photo.jpg",
        Type::Mask => "mask.png",
        Type::Number => "1",
        _ => "text",
    }
}

/// `-o photo=out.png` for an output by name, `-o out.png` for the first.
fn outputs(outline: &Outline, args: &Run, many: bool) -> Result<Vec<Output>, Refused> {
    let Some(first) = outline.outputs.first() else { return Ok(Vec::new()) };
    let mut outputs: Vec<Output> = Vec::new();
    let typed: Vec<Option<&str>> = match &args.files.output[..] {
        [] => vec![None],
        several => several.iter().map(|one| Some(one.as_str())).collect(),
    };
    for text in typed {
        let named = text
            .and_then(|text| text.split_once('='))
            .filter(|(name, _)| outline.outputs.iter().any(|output| output == name));
        let (name, path) = match named {
            Some((name, path)) => (name, Some(path)),
            None => (first.as_str(), text),
        };
        if outputs.iter().any(|output| output.name == name) {
            return Err(Refused::hint(
                format!("output `{name}` is given twice"),
                format!("name them: -o NAME=FILE; outputs: {}", one_of(&outline.outputs)),
            ));
        }
        let naming = Naming::new(path, args.files.writing.format.as_deref(), args.files.writing.on_exists, many)?;
        outputs.push(Output { name: name.to_owned(), naming });
    }
    Ok(outputs)
}
