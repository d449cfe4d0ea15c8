//! Running one graph over pictures, one after the other. A bad picture never stops the others.

use crate::{
    cache::Kept,
    explain::{self, Keys},
    job::{self, Recipe, Saving},
    naming::{Naming, Target},
    pictures::Picture,
    recipe, report, speed,
    stop::Stop,
    terminal::{self, Terminal, print},
};
use engine::{
    Binding, Blame, Bounds, Event, Failure, Graph, Plan, RunError, Shape, State, Store, World, filesystem::OsFilesystem,
};
use nodes::limits::Limits;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::PathBuf,
    time::Instant,
};
use tempfile::TempDir;

/// A graph and what it is run on.
pub(crate) struct Batch {
    pub recipe: Recipe,
    /// What feeds the inputs beside the picture.
    pub inputs: Vec<Binding>,
    /// The input that the pictures feed.
    pub picture_input: Option<String>,
    pub outputs: Vec<Output>,
    pub saving: Saving,
    /// The enlargement, when it was typed.
    pub scale: Option<f64>,
    pub limits: Limits,
    pub dry_run: bool,
    /// The results of earlier runs.
    pub kept: Kept,
    pub explain: bool,
    /// How much of the result is wanted, and how much memory may be taken for it.
    pub bounds: Bounds,
}

/// An output of the graph, and where it goes.
pub(crate) struct Output {
    pub name: String,
    pub naming: Naming,
}

/// How it went with one picture.
enum Outcome {
    Done,
    Skipped,
    Failed(u8),
    /// Nothing else will go better: the mistake is in the graph, or the person wants to stop.
    Stopped(u8),
}

/// What went wrong with one picture.
enum Wrong {
    Graph(engine::Diagnostics),
    Run(Box<RunError>),
    Plain(Failure),
}

impl From<engine::Diagnostics> for Wrong {
    fn from(found: engine::Diagnostics) -> Self {
        Self::Graph(found)
    }
}

impl From<Box<RunError>> for Wrong {
    fn from(error: Box<RunError>) -> Self {
        Self::Run(error)
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Plain(failure)
    }
}

/// The exit code that tells whose fault it was.
fn exit_code(blame: Blame) -> u8 {
    match blame {
        Blame::Internal => 1,
        Blame::Graph => 2,
        Blame::Input => 3,
        Blame::Limit => 4,
        Blame::Model => 5,
        Blame::Resource | Blame::Memory => 6,
        Blame::Cancelled => 130,
    }
}

/// Files of this run that are not meant to stay.
#[derive(Default)]
struct Scratch(Option<TempDir>);

impl Scratch {
    fn path(&mut self, name: &str) -> Result<PathBuf, Failure> {
        if self.0.is_none() {
            let made = tempfile::Builder::new().prefix("upweave-").tempdir();
            self.0 = Some(made.map_err(|error| unwritable("the folder for temporary files", &error))?);
        }
        self.0.as_ref().map(|folder| folder.path().join(name)).ok_or_else(|| Failure::internal("no temporary folder"))
    }
}

fn unwritable(what: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory => "a file is where a folder should be".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::PermissionDenied => "it is not allowed".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the disk can only be read".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Blame::Resource, format!("cannot write {what}: {why}")).hint("choose another place with `-o`")
}

impl Batch {
    /// Works through the pictures. Gives the exit code.
    pub(crate) fn run(mut self, terminal: &Terminal, stop: &Stop, pictures: &[Picture]) -> u8 {
        let start = Instant::now();
        let (mut done, mut skipped, mut codes) = (0usize, 0usize, Vec::new());
        for (index, picture) in pictures.iter().enumerate() {
            let title = match pictures.len() {
                1 => picture.name(),
                all => format!("{}/{all} {}", index + 1, picture.name()),
            };
            match self.one(terminal, stop, picture, &title) {
                Outcome::Done => done += 1,
                Outcome::Skipped => skipped += 1,
                Outcome::Failed(code) => codes.push(code),
                Outcome::Stopped(code) => return code,
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        self.kept.complain(terminal);
        if pictures.len() > 1 {
            let parts = [(done, "done"), (skipped, "skipped"), (codes.len(), "failed")];
            let parts: Vec<String> =
                parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            terminal.say(&format!("{} in {}", parts.join(", "), speed::duration(seconds)));
        }
        terminal.event(json!({
            "event": "finished", "done": done, "skipped": skipped, "failed": codes.len(), "seconds": seconds,
            "unpacked": models::unpacked(),
        }));
        match codes[..] {
            [] => 0,
            // With one picture, or when all failed alike, the code says why.
            [first, ..] if done + skipped == 0 && codes.iter().all(|code| *code == first) => first,
            _ => 3,
        }
    }

    fn one(&mut self, terminal: &Terminal, stop: &Stop, picture: &Picture, title: &str) -> Outcome {
        let result = self.attempt(terminal, stop, picture, title);
        terminal.clear();
        let wrong = match result {
            Ok(outcome) => return outcome,
            Err(wrong) => wrong,
        };
        if let Wrong::Graph(found) = &wrong {
            report::diagnostics(terminal, found);
            terminal.stderr(&format!("{} in the graph; nothing was run", report::count(found)));
            return Outcome::Stopped(report::exit_code(found));
        }
        let failure = match &wrong {
            Wrong::Run(error) => &error.failure,
            Wrong::Plain(failure) => failure,
            Wrong::Graph(_) => return Outcome::Stopped(2),
        };
        if failure.blame == Blame::Cancelled {
            terminal.stderr("stopped; nothing half-written was left");
            return Outcome::Stopped(stop.exit_code().unwrap_or(130));
        }
        let code = exit_code(failure.blame);
        terminal.event(json!({
            "event": "failed", "input": picture.name(), "message": failure.message, "hint": failure.hint, "code": code,
        }));
        match &wrong {
            Wrong::Run(error) => report::run_error(terminal, error),
            _ => terminal.error(&failure.message, failure.hint.as_deref()),
        }
        if failure.blame == Blame::Graph { Outcome::Stopped(code) } else { Outcome::Failed(code) }
    }

    fn attempt(&mut self, terminal: &Terminal, stop: &Stop, picture: &Picture, title: &str) -> Result<Outcome, Wrong> {
        let mut scratch = Scratch::default();
        let inputs = self.bind(picture, &mut scratch)?;
        let recipe = self.recipe_text()?;
        let scale = self.enlargement(&inputs)?;

        let mut to_stdout = None;
        let mut bindings = Vec::new();
        let mut paths = Vec::new();
        for output in &mut self.outputs {
            output.naming.partly = self.bounds.region.is_some();
            let target = output
                .naming
                .target(picture, scale)
                .map_err(|message| Failure::input(message).hint("choose another name, or another `--on-exists`"))?;
            let path = match target {
                Target::File(path) => {
                    if !self.dry_run {
                        let name = || format!("`{}`", path.display());
                        output.naming.prepare(&path).map_err(|error| unwritable(&name(), &error))?;
                    }
                    path
                }
                Target::Stdout => {
                    let path = scratch.path(&format!("result.{}", output.naming.extension()))?;
                    to_stdout = Some(path.clone());
                    path
                }
                Target::Skip(path) => {
                    terminal.say(&format!("{}: already there, skipped", path.display()));
                    terminal.event(json!({ "event": "skipped", "input": picture.name(), "output": path }));
                    return Ok(Outcome::Skipped);
                }
            };
            let text = job::path_text(&path).map_err(|message| Failure::new(Blame::Graph, message))?;
            bindings.push(self.saving.save(&output.name, text, recipe.as_deref(), "-o"));
            paths.push(path);
        }

        let built = engine::build(&self.recipe.request(inputs, bindings))?;
        report::diagnostics(terminal, &built.warnings);
        if self.dry_run {
            let plan = engine::plan(&built.graph, &self.kept, self.bounds)?;
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            show_plan(terminal, &built.graph, &plan, title, &shown)?;
            return Ok(Outcome::Done);
        }
        let start = Instant::now();
        terminal.event(json!({ "event": "started", "input": picture.name(), "output": paths }));
        terminal.progress(title, 0.0);
        let world = World {
            store: &self.kept,
            files: &OsFilesystem,
            cancel: &stop.flag(),
            listen: &|event| show_event(terminal, title, &event),
            bounds: self.bounds,
        };
        let outcome = engine::run(&built.graph, world)?;
        // What has shown with one picture need not show again with the next.
        self.bounds.thrift = outcome.thrift;
        terminal.clear();
        if self.explain {
            let last = Keys::last(&self.kept, &self.recipe.file.name, &picture.name());
            explain::lines(&outcome, last.as_ref()).iter().for_each(|line| print(line));
        }
        if self.kept.keeps() && self.bounds.region.is_none() {
            Keys::new(&outcome).keep(&self.kept, &self.recipe.file.name, &picture.name());
        }
        let seconds = start.elapsed().as_secs_f64();
        if let Some(path) = to_stdout {
            let bytes = fs::read(&path).map_err(|error| unwritable("to stdout", &error))?;
            terminal::bytes(&bytes).map_err(|error| unwritable("to stdout", &error))?;
            return Ok(Outcome::Done);
        }
        for (output, _) in self.outputs.iter().zip(&paths) {
            if let Some(written) = outcome.published.get(&format!("out:{}", output.name)) {
                terminal.say(&format!("{}  {}", written.display(), speed::duration(seconds)));
                let event = json!({
                    "event": "done", "input": picture.name(), "output": written, "seconds": seconds,
                });
                terminal.event(event);
            }
        }
        Ok(Outcome::Done)
    }

    /// The inputs of the graph, the picture among them.
    fn bind(&self, picture: &Picture, scratch: &mut Scratch) -> Result<Vec<Binding>, Failure> {
        let mut inputs = self.inputs.clone();
        let Some(name) = &self.picture_input else { return Ok(inputs) };
        let path = if picture.is_stdin() { self.keep_stdin(scratch)? } else { picture.path.clone() };
        let text = job::path_text(&path).map_err(Failure::input)?;
        inputs.insert(0, job::load(name, text, &self.limits, &picture.name()));
        Ok(inputs)
    }

    /// Stdin as a file: a picture is read more than once, its header first.
    fn keep_stdin(&self, scratch: &mut Scratch) -> Result<PathBuf, Failure> {
        let path = scratch.path("stdin")?;
        if path.exists() {
            return Ok(path);
        }
        let kept = File::create(&path).and_then(|mut file| {
            let most = self.limits.file_bytes.unwrap_or(u64::MAX);
            io::copy(&mut io::stdin().lock().take(most.saturating_add(1)), &mut file)
        });
        kept.map(|_| path).map_err(|error| unwritable("stdin to a temporary file", &error))
    }

    /// What is written into the result, so that it can be made again.
    fn recipe_text(&self) -> Result<Option<String>, Wrong> {
        // A recipe would make the whole.
        if !self.saving.keep_recipe || self.bounds.region.is_some() {
            return Ok(None);
        }
        // Building the graph opens the files that it is made of.
        engine::build(&self.recipe.request(Vec::new(), Vec::new()))?;
        Ok(recipe::text(&self.recipe))
    }

    /// How much larger the result is, when its name is to tell it.
    fn enlargement(&self, inputs: &[Binding]) -> Result<f64, Wrong> {
        let Some(output) = self.outputs.iter().find(|output| output.naming.needs_scale()) else { return Ok(1.0) };
        if let Some(scale) = self.scale {
            return Ok(scale);
        }
        let built = engine::build(&self.recipe.request(inputs.to_vec(), Vec::new()))?;
        let shapes = engine::shapes(&built.graph)?;
        let size = |node: usize, port: usize| shapes.get(&node)?.get(port)?.size();
        let loader = self.picture_input.as_ref().map(|input| format!("in:{input}"));
        let loader = built.graph.nodes().iter().position(|node| Some(&node.id) == loader.as_ref());
        let from = loader.and_then(|node| size(node, 0));
        let named = built.graph.outputs().iter().find(|(name, ..)| *name == output.name);
        let to = named.and_then(|(_, node, port)| size(*node, *port));
        Ok(match (from, to) {
            // The longer edge tells it best, for sizes are rounded.
            (Some(from), Some(to)) => f64::from(to.width.max(to.height)) / f64::from(from.width.max(from.height)),
            _ => 1.0,
        })
    }
}

fn show_event(terminal: &Terminal, title: &str, event: &Event<'_>) {
    match event {
        Event::Started { id, kind } => {
            terminal.event(json!({ "event": "node-started", "node": id, "kind": kind }));
        }
        Event::Progress { id, overall, .. } => {
            terminal.progress(title, *overall);
            terminal.event(json!({ "event": "progress", "node": id, "fraction": overall }));
        }
        Event::Tile { id, core, kept } => {
            terminal.event(json!({
                "event": "tile", "node": id, "x": core.x, "y": core.y, "width": core.width, "height": core.height,
                "kept": kept,
            }));
        }
        Event::Finished { id, kind, seconds, overall, .. } => {
            terminal.progress(title, *overall);
            terminal.event(json!({ "event": "node-finished", "node": id, "kind": kind, "seconds": seconds }));
            if terminal.verbose() {
                terminal.say(&format!("  {id} ({kind}): {}", speed::duration(*seconds)));
            }
        }
    }
}

/// The plan as a table. It is data, so it goes to stdout.
fn show_plan(terminal: &Terminal, graph: &Graph, plan: &Plan, title: &str, outputs: &[String]) -> Result<(), Failure> {
    let speed = speed::measure().map_err(|error| Failure::new(Blame::Model, error.to_string()))?;
    let seconds = plan.flops / speed;
    let mut rows = vec![["node", "kind", "gives", "tiles", "GFLOP"].map(str::to_owned)];
    let mut events = Vec::new();
    for step in &plan.steps {
        let node = &graph.nodes()[step.node];
        let gives = step.forecast.outputs.first().map_or_else(String::new, shape_text);
        let counted = |n: f64, text: String| if n > 0.0 { text } else { String::new() };
        let kept = step.state == State::Kept;
        let tiles = counted(step.forecast.tiles as f64, step.forecast.tiles.to_string());
        let gflop = counted(step.forecast.flops, format!("{:.1}", step.forecast.flops / 1e9));
        let gflop = if kept { "kept".to_owned() } else { gflop };
        events.push(json!({
            "node": node.id, "kind": node.kind_name(), "gives": gives, "tiles": step.forecast.tiles,
            "flops": step.forecast.flops, "kept": kept,
        }));
        rows.push([node.id.clone(), node.kind_name().to_owned(), gives, tiles, gflop]);
    }
    if terminal.json() {
        terminal.event(json!({
            "event": "plan", "input": title, "outputs": outputs, "nodes": events, "peak_bytes": plan.peak_bytes,
            "flops": plan.flops, "seconds": seconds, "strips": plan.strips().map(|(count, _)| count),
        }));
        return Ok(());
    }
    print(&format!("{title} -> {}", outputs.join(", ")));
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    for row in &rows {
        let [id, kind, gives, tiles, gflop] = row;
        let line = format!(
            "  {id:a$}  {kind:b$}  {gives:c$}  {tiles:>d$}  {gflop:>e$}",
            a = widths[0],
            b = widths[1],
            c = widths[2],
            d = widths[3],
            e = widths[4]
        );
        print(line.trim_end());
    }
    print(&format!(
        "  about {} in the networks at {:.0} GFLOP/s, at most {} of memory",
        speed::duration(seconds),
        speed / 1e9,
        engine::bytes(plan.peak_bytes)
    ));
    if let Some((strips, rows)) = plan.strips() {
        print(&format!("  the whole does not fit into memory: in {strips} strips of {rows} rows"));
    }
    Ok(())
}

fn shape_text(shape: &Shape) -> String {
    match shape {
        Shape::Image(size, channels) => format!("{size} {}", if *channels == 4 { "RGBA" } else { "RGB" }),
        Shape::Mask(size) => format!("{size} mask"),
        Shape::Guide(size, ..) => format!("{size} guide"),
        Shape::Tiles(size, _, tiles) => format!("{size} in {} tiles", tiles.len()),
        Shape::Small(ty) => ty.to_string(),
        Shape::Unknown(ty) => format!("{ty} of unknown size"),
    }
}
