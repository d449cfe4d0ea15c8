//! `upweave upscale`: the main job.

use crate::{
    args::{Controls, Machine, Quality, Shown, Style, Upscale, Writing},
    backbone,
    batch::{Batch, Given, Output, Progress},
    cache::Kept,
    catalog,
    job::{self, Recipe, Saving},
    library,
    memory::Budget,
    models_folder,
    naming::{self, Naming},
    pictures::{Folders, Found, Search},
    report,
    stop::Stop,
    terminal::Terminal,
};
use clap::ValueEnum;
use engine::{Outline, Setting, Text, value::Type};
use nodes::limits::Limits;
use std::path::Path;

pub(crate) fn run(terminal: &Terminal, stop: &Stop, args: &Upscale) -> u8 {
    match prepared(terminal, args) {
        Ok((batch, found)) => batch.run(terminal, stop, &found),
        Err(refused) => refused.tell(terminal),
    }
}

/// Why the arguments make no sense.
pub(crate) enum Refused {
    Usage(String, Option<String>),
    /// A model that is not there or cannot be used.
    Model(engine::Failure),
    Graph(engine::Diagnostics),
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self::Usage(message, None)
    }
}

impl Refused {
    pub(crate) fn hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(message.into(), Some(hint.into()))
    }

    pub(crate) fn tell(self, terminal: &Terminal) -> u8 {
        match self {
            Self::Usage(message, hint) => {
                terminal.error(&message, hint.as_deref());
                2
            }
            Self::Model(failure) => {
                terminal.error(&failure.message, failure.hint.as_deref());
                5
            }
            Self::Graph(found) => {
                report::diagnostics(terminal, &found);
                report::exit_code(&found)
            }
        }
    }
}

fn prepared(terminal: &Terminal, args: &Upscale) -> Result<(Batch, Found), Refused> {
    let Chosen { graph, style, model } = chosen(terminal, args)?;
    let mut controls = args.controls.clone();
    let mut set = job::ron_settings(&args.chosen.change.set);
    if let Some(model) = model {
        if controls.quality == Some(Quality::Low) {
            return Err(Refused::hint(
                "a model of your own cannot be told how a picture is damaged, which `--quality low` is about",
                "leave out `--quality`, or restore first: `upweave upscale -s 1 --quality low PICTURE`",
            ));
        }
        controls.scale = controls.scale.or(model.scale.map(f64::from));
        set.insert(
            0,
            Setting { target: "model".to_owned(), value: job::ron_text(&model.name), origin: "-n".to_owned() },
        );
    }
    let limits = job::limits(&args.machine)?;
    let out = match &args.files.output[..] {
        [] => None,
        [one] => Some(one.as_str()),
        _ => return Err("`-o` can be given only once".to_owned().into()),
    };
    if out == Some("-") && terminal.json() {
        return Err("`--json` and `-o -` both want stdout".to_owned().into());
    }
    let wanted = Wanted {
        graph: &graph,
        style,
        preset: args.chosen.change.preset.as_deref(),
        controls: &controls,
        set,
        writing: &args.files.writing,
        shown: args.shown,
        machine: &args.machine,
        fail_fast: args.gather.fail_fast,
    };
    let read = wanted.read()?;
    let found = found(args, out, &limits)?;
    let many = found.many || found.pictures.len() > 1;
    let writing = &args.files.writing;
    let naming = Naming::new(out, writing.format.as_deref(), writing.on_exists, many)?;
    if let Some(note) = job::without_effect(writing, naming.extension()) {
        terminal.note(&note);
    }
    Ok((wanted.batch(terminal, read, naming)?, found))
}

/// What is to be done with pictures.
pub(crate) struct Wanted<'a> {
    pub graph: &'a str,
    pub style: Option<Style>,
    pub preset: Option<&'a str>,
    pub controls: &'a Controls,
    pub set: Vec<Setting>,
    pub writing: &'a Writing,
    pub shown: Shown,
    pub machine: &'a Machine,
    pub fail_fast: bool,
}

/// A graph that takes a picture and gives one.
pub(crate) struct Read {
    file: Text,
    outline: Outline,
    input: String,
    output: String,
}

impl Wanted<'_> {
    /// Reads the graph.
    pub(crate) fn read(&self) -> Result<Read, Refused> {
        let graph = self.graph;
        let file =
            library::graph(graph).map_err(|message| Refused::hint(message, "`upweave graph new` lists the graphs"))?;
        let outline = Outline::read(&file).map_err(Refused::Graph)?;
        let input =
            outline.inputs.iter().find(|input| input.ty == Type::Image && !input.optional).ok_or_else(|| {
                Refused::hint(format!("graph `{graph}` takes no picture"), "start it with `upweave run`")
            })?;
        let output = outline.outputs.first().ok_or_else(|| format!("graph `{graph}` gives nothing"))?;
        let (input, output) = (input.name.clone(), output.clone());
        Ok(Read { file, outline, input, output })
    }

    /// The batch that does it.
    pub(crate) fn batch(&self, terminal: &Terminal, read: Read, naming: Naming) -> Result<Batch, Refused> {
        let Read { file, outline, input, output } = read;
        let (mut settings, drawn) = job::control_settings(self.controls);
        settings.extend(self.set.iter().cloned());
        settings.extend(backbone::controls(terminal, self.graph, &self.controls.drawing, &settings));
        let preset = match self.style {
            Some(style) if outline.presets.iter().any(|preset| preset == style.name()) => Some(style.name().to_owned()),
            Some(style) => {
                return Err(Refused::hint(
                    format!("graph `{}` has no type `{}`", self.graph, style.name()),
                    format!("its presets: {}", one_of(&outline.presets)),
                ));
            }
            None => self.preset.map(str::to_owned),
        };
        let limits = job::limits(self.machine)?;
        let mut inputs = Vec::new();
        if let Some(mask) = &self.controls.mask {
            if !outline.inputs.iter().any(|input| input.name == "mask") {
                return Err(Refused::hint(
                    format!("graph `{}` takes no mask", self.graph),
                    "leave out `--mask`, or take another graph",
                ));
            }
            let binding = job::load_mask("mask", job::path_text(mask)?, &limits, "--mask");
            inputs.push(Given { binding, file: Some(mask.clone()) });
        }
        if let Some(seed) = drawn {
            terminal.note(&format!("seed {seed}"));
        }
        let budget = Budget::new(self.machine);
        Ok(Batch {
            recipe: Recipe { preset, settings, ..Recipe::new(file) },
            inputs,
            picture_input: Some(input),
            outputs: vec![Output { name: output, naming }],
            saving: Saving::new(self.writing),
            scale: self.controls.scale,
            limits,
            dry_run: self.shown.dry_run,
            kept: Kept::new(self.machine, &budget)?,
            explain: self.shown.explain,
            bounds: budget.bounds(self.shown.preview),
            fail_fast: self.fail_fast,
            progress: Progress::default(),
        })
    }
}

/// The pictures that are meant.
fn found(args: &Upscale, out: Option<&str>, limits: &Limits) -> Result<Found, Refused> {
    let search = Search::new(&args.gather, naming::folder(out), limits)?;
    let mut found = Found::default();
    search.typed(&args.pictures, Folders::No, &mut found)?;
    search.typed(&args.input, Folders::Flat, &mut found)?;
    if let Some(list) = &args.gather.files_from {
        search.list(list, &mut found)?;
    }
    if found.pictures.is_empty() && !found.many {
        return Err(Refused::hint("no picture is named", "upweave upscale photo.jpg"));
    }
    let piped = args.gather.files_from.as_deref() == Some(Path::new("-"));
    if found.pictures.iter().filter(|picture| picture.is_stdin()).count() + usize::from(piped) > 1 {
        return Err("stdin can be read only once".to_owned().into());
    }
    if let Some(frames) = args.gather.unfold.frames {
        found.unfold(frames, limits)?;
    }
    Ok(found)
}

/// Names of models that come with realesrgan-ncnn, and the type that does their job here.
const NCNN_MODELS: [(&str, Style); 4] = [
    ("realesrgan-x4plus-anime", Style::Anime),
    ("realesr-animevideov3", Style::Anime),
    ("realesrgan-x4plus", Style::Universal),
    ("realesrnet-x4plus", Style::Universal),
];

/// What `-n` and the flags beside it choose.
struct Chosen {
    graph: String,
    style: Option<Style>,
    model: Option<Model>,
}

/// A model that is brought along.
struct Model {
    /// What graphs call it: its name, or its file.
    name: String,
    /// By how much it enlarges, where nobody asks for another factor: to tell that, its network has to be made.
    scale: Option<u32>,
}

/// `-n` names a model, a type or a graph; `--type` and `--graph` do the last two by their own names.
fn chosen(terminal: &Terminal, args: &Upscale) -> Result<Chosen, Refused> {
    let usual = backbone::graph(terminal, &args.chosen.graph, &args.controls.drawing, &args.chosen.change.set)?;
    let style = args.controls.style;
    let Some(name) = &args.name else { return Ok(Chosen { graph: usual, style, model: None }) };
    if let Some(model) = model(args, name)? {
        return Ok(Chosen { graph: graph_of_model(args, usual), style, model: Some(model) });
    }
    if let Ok(style) = Style::from_str(name, true) {
        return Ok(Chosen { graph: usual, style: Some(style), model: None });
    }
    if let Some((_, style)) = NCNN_MODELS.iter().find(|(model, _)| name.starts_with(model)) {
        let how = match catalog::named(name) {
            Some(_) => format!("`upweave models pull {name}` fetches the model"),
            None => "`upweave models import FILE` brings the model along".to_owned(),
        };
        terminal.note(&format!("there is no model `{name}` here; the type `{}` does its job. {how}", style.name()));
        return Ok(Chosen { graph: usual, style: Some(*style), model: None });
    }
    if graphs::find(name).is_some() || name.ends_with(".ron") {
        return Ok(Chosen { graph: name.clone(), style, model: None });
    }
    if let Some(entry) = catalog::named(name) {
        let failure = engine::Failure::new(engine::Blame::Model, format!("the model `{name}` is not installed"));
        return Err(Refused::Model(failure.hint(entry.how())));
    }
    let types: Vec<&str> = Style::value_variants().iter().map(|style| style.name()).collect();
    Err(Refused::hint(
        format!("there is no model `{name}`"),
        format!(
            "`-n` takes a model file, a model by name (`upweave models list`), a type ({}) or a shipped graph",
            types.join(", ")
        ),
    ))
}

/// The model that `-n` names: a file in the folder of `-m`, a file, or an imported one.
fn model(args: &Upscale, name: &str) -> Result<Option<Model>, Refused> {
    let name = match &args.model_folder {
        Some(folder) => {
            let file = models_folder::within(folder, name, args.controls.scale).ok_or_else(|| {
                Refused::hint(
                    format!("there is no model `{name}` in `{}`", folder.display()),
                    "`upweave models scan FOLDER` tells what a folder holds",
                )
            })?;
            job::path_text(&file)?.to_owned()
        }
        None if nodes::files::is_model_name(name) => {
            let there = nodes::files::locate(name, Some(nodes::files::Purpose::Upscaler)).map_err(Refused::Model)?;
            match there {
                Some(_) => name.to_owned(),
                // A file without an ending, in a folder.
                None if name.contains('/') && Path::new(name).is_file() => format!("./{name}"),
                None => return Ok(None),
            }
        }
        None if Path::new(name).is_file() || !name.ends_with(".ron") => name.to_owned(),
        None => return Ok(None),
    };
    let scale = match args.controls.scale {
        Some(_) => nodes::known_model(&name).map(|()| None),
        None => nodes::model_scale(&name).map(Some),
    };
    Ok(Some(Model { name, scale: scale.map_err(Refused::Model)? }))
}

/// The graph for a model: its answer alone, unless something is to be added to it.
fn graph_of_model(args: &Upscale, usual: String) -> String {
    let Controls { creativity, detail, resemblance, mask, steps, style, preserve_faces, preserve_hands, seed, .. } =
        &args.controls;
    let numbers = [creativity, detail, resemblance].into_iter().any(Option::is_some);
    let faces = [preserve_faces, preserve_hands].into_iter().any(|on| on.is_some());
    let more =
        mask.is_some() || steps.is_some() || style.is_some() || seed.is_some() || args.chosen.change.preset.is_some();
    let alone = usual == backbone::EMBEDDED && !(numbers || faces || more);
    if alone { "faithful".to_owned() } else { usual }
}

pub(crate) fn one_of(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
