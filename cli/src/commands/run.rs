//! `upweave run`: any graph, its inputs and outputs by name.

use super::upscale::{Refused, one_of};
use crate::{
    args::Run,
    batch::{Batch, Output},
    cache::Kept,
    job::{self, Recipe, Saving, ron_text},
    library,
    naming::Naming,
    pictures::Picture,
    recipe,
    stop::Stop,
    terminal::Terminal,
};
use engine::{Binding, Outline, value::Type};
use nodes::limits::Limits;
use std::path::PathBuf;

pub(crate) fn run(terminal: &Terminal, stop: &Stop, args: &Run) -> u8 {
    match prepared(terminal, args) {
        Ok((batch, picture)) => batch.run(terminal, stop, &[picture]),
        Err(refused) => refused.tell(terminal),
    }
}

fn prepared(terminal: &Terminal, args: &Run) -> Result<(Batch, Picture), Refused> {
    let limits = job::limits(&args.machine)?;
    let mut recipe = match recipe::of_picture(&args.graph, &limits)? {
        Some(recipe) => recipe,
        None => library::graph(&args.graph)
            .map(Recipe::new)
            .map_err(|message| Refused::hint(message, "`upweave graph new` lists the graphs"))?,
    };
    let outline = Outline::read(&recipe.file).map_err(Refused::Graph)?;
    let (inputs, picture) = bindings(&outline, &args.inputs, &limits)?;
    for input in outline.inputs.iter().filter(|input| !input.optional) {
        let given = inputs.iter().any(|binding| binding.name == input.name)
            || picture.as_ref().is_some_and(|(name, _)| name == &input.name);
        if !given {
            let message = format!("graph `{}` needs its input `{}` ({})", args.graph, input.name, input.ty);
            return Err(Refused::hint(message, format!("add  {}={}", input.name, example(input.ty))));
        }
    }
    recipe.settings.extend(job::ron_settings(&args.change.set));
    if args.change.preset.is_some() {
        recipe.preset.clone_from(&args.change.preset);
    }
    let outputs = outputs(&outline, args)?;
    if terminal.json() && args.files.output.iter().any(|output| output == "-" || output.ends_with("=-")) {
        return Err("`--json` and `-o -` both want stdout".to_owned().into());
    }
    let (picture_input, picture) = match picture {
        Some((name, path)) => (Some(name), path),
        // A graph that reads its pictures by itself gives its name to the results.
        None => (None, PathBuf::from(&args.graph)),
    };
    let batch = Batch {
        recipe,
        inputs,
        picture_input,
        outputs,
        saving: Saving::new(&args.files),
        scale: None,
        limits,
        dry_run: args.machine.dry_run,
        kept: Kept::new(&args.machine)?,
        explain: args.machine.explain,
        bounds: job::bounds(&args.machine),
    };
    Ok((batch, Picture { path: picture, inside: PathBuf::new() }))
}

/// What feeds the inputs. The first picture is told apart: the results are named after it.
#[allow(clippy::type_complexity, reason = "bindings, and the name and path of the picture")]
fn bindings(
    outline: &Outline,
    typed: &[String],
    limits: &Limits,
) -> Result<(Vec<Binding>, Option<(String, PathBuf)>), Refused> {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut picture: Option<(String, PathBuf)> = None;
    for text in typed {
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
        let known = picture.as_ref().is_some_and(|(input, _)| input == name);
        if known || bindings.iter().any(|binding| binding.name == name) {
            return Err(format!("input `{name}` is given twice").into());
        }
        let Some(input) = outline.inputs.iter().find(|input| input.name == name) else { continue };
        let made = |kind: &str, fields: String| Binding {
            name: name.to_owned(),
            kind: kind.to_owned(),
            fields,
            origin: name.to_owned(),
        };
        match input.ty {
            Type::Image if picture.is_none() => picture = Some((name.to_owned(), PathBuf::from(value))),
            Type::Image => bindings.push(job::load(name, value, limits, name)),
            Type::Mask => bindings.push(job::load_mask(name, value, limits, name)),
            Type::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => bindings.push(made("Number", format!("(value: {number:?})"))),
                _ => return Err(format!("input `{name}` takes a number, not `{value}`").into()),
            },
            Type::Text => bindings.push(made("Text", format!("(value: {})", ron_text(value)))),
            ty => return Err(format!("input `{name}` takes {ty}, which cannot be typed").into()),
        }
    }
    Ok((bindings, picture))
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
fn outputs(outline: &Outline, args: &Run) -> Result<Vec<Output>, Refused> {
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
        let naming = Naming::new(path, args.files.format.as_deref(), args.files.on_exists, false)?;
        outputs.push(Output { name: name.to_owned(), naming });
    }
    Ok(outputs)
}
