//! One picture: what it comes to, and making it.

use super::{
    Batch,
    failures::{Wrong, unwritable},
    keeper::Keeper,
    made,
    room::Room,
    scratch::Scratch,
    table,
};
use crate::{
    date,
    explain::{self, Keys},
    job,
    naming::{Facts, Target},
    pictures::Picture,
    recipe, report,
    stop::Stop,
    terminal::{self, Terminal},
};
use engine::{Binding, Blame, Device, Event, Failure, Store, World, digest::Digester, filesystem::OsFilesystem};
use nodes::limits::Limits;
use serde_json::json;
use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::TempPath;

/// What a picture comes to.
pub(super) enum Prepared {
    Make(Box<Job>),
    /// Its result is there already.
    Skip(PathBuf),
}

/// A picture whose results have their names.
pub(super) struct Job {
    scratch: Scratch,
    copy: Option<TempPath>,
    inputs: Vec<Binding>,
    source: Option<PathBuf>,
    paths: Vec<PathBuf>,
    to_stdout: Option<PathBuf>,
    /// Stands for what is done, where account is kept of it.
    work: Option<String>,
    /// Whether the results may be there already, left by somebody who was stopped.
    again: bool,
}

impl Job {
    /// Lets a failure that is about the copy of the picture speak of the picture.
    pub(super) fn telling_of(&self, picture: &Picture) -> impl FnOnce(Wrong) -> Wrong + use<> {
        telling_of(picture, self.copy.as_deref())
    }

    /// Has it written down that the work begins.
    pub(super) fn begin(&self, keeper: &dyn Keeper, index: usize) -> Result<(), Wrong> {
        match &self.work {
            Some(work) => Ok(keeper.begin(index, work, &self.paths)?),
            None => Ok(()),
        }
    }
}

/// What came of a picture.
#[derive(Default)]
pub(crate) struct Made {
    /// Its results, where they are files.
    pub outputs: Vec<PathBuf>,
    pub seconds: f64,
    /// What is to be printed on stdout.
    pub lines: Vec<String>,
    /// What is worth knowing about it.
    pub notes: Vec<String>,
}

/// Where pictures are made, and who listens.
pub(super) struct Workshop<'a> {
    pub terminal: &'a Terminal,
    pub stop: &'a Stop,
    pub device: &'a Device,
    /// The memory that is shared, where several pictures are at work.
    pub room: Option<&'a Room>,
}

impl Batch {
    /// Names the results of a picture, and sees whether they are there already.
    pub(super) fn prepare(
        &self,
        picture: &Picture,
        index: usize,
        keeper: &dyn Keeper,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<Prepared, Wrong> {
        let copy = keeper.copy(index)?;
        let told = telling_of(picture, copy.as_deref());
        self.prepare_copy(picture, index, keeper, taken, copy).map_err(told)
    }

    fn prepare_copy(
        &self,
        picture: &Picture,
        index: usize,
        keeper: &dyn Keeper,
        taken: &mut HashSet<PathBuf>,
        copy: Option<TempPath>,
    ) -> Result<Prepared, Wrong> {
        let mut scratch = Scratch::default();
        let source = match &copy {
            Some(copy) => Some(copy.to_path_buf()),
            None => self.source(picture, &mut scratch)?,
        };
        let inputs = self.bind(picture, source.as_deref())?;
        // Building the graph opens the files that it is made of: only then the recipe is known.
        if self.progress.base.get().is_none() {
            engine::build(&self.recipe.request(Vec::new(), Vec::new()))?;
            let _ = self.progress.base.set(recipe::Base::new(&self.recipe, &self.saving));
        }
        if keeper.keeps() {
            self.refuse_again(picture, source.as_deref())?;
        }
        let work = if keeper.keeps() { self.work_of(source.as_deref(), picture.frame)? } else { None };
        if let Some(work) = &work
            && let Some(output) = keeper.is_done(index, work)
        {
            return Ok(Prepared::Skip(output));
        }
        let is_own = |file: &Path| work.as_ref().is_some_and(|work| keeper.is_own(index, work, file));
        let told = Told {
            batch: self,
            scale: self.enlargement(&inputs)?,
            source: source.as_deref(),
            frame: picture.frame,
            text: OnceCell::new(),
            is_own: &is_own,
        };
        let (mut to_stdout, mut paths, mut again) = (None, Vec::new(), false);
        for output in &self.outputs {
            let target = output
                .naming
                .target(picture, &told, taken)
                .map_err(|message| Failure::input(message).hint("choose another name, or another `--on-exists`"))?;
            paths.push(match target {
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
                Target::Again(path) => {
                    again = true;
                    path
                }
                Target::Skip(path) => {
                    if let Some(work) = &work {
                        keeper.found(index, work, &path);
                    }
                    return Ok(Prepared::Skip(path));
                }
            });
        }
        Ok(Prepared::Make(Box::new(Job { scratch, copy, inputs, source, paths, to_stdout, work, again })))
    }

    /// What stands for the content of a picture, the recipe and the way in which results are written.
    fn work_of(&self, source: Option<&Path>, frame: u32) -> Result<Option<String>, Failure> {
        let Some(text) = self.recipe_text(source, frame)? else { return Ok(None) };
        let mut d = Digester::new("work");
        d.text(&text);
        d.text(&self.saving.way());
        self.outputs.iter().for_each(|output| d.text(output.naming.extension()));
        Ok(Some(d.finish().to_string()))
    }

    /// Makes the results of a picture. What fails may speak of the copy of it: see [`Job::telling_of`].
    pub(super) fn make(
        &self,
        at: &Workshop<'_>,
        picture: &Picture,
        title: &str,
        job: Job,
        advance: &(dyn Fn(f64) + Sync),
    ) -> Result<Made, Wrong> {
        let terminal = at.terminal;
        let text = self.recipe_text(job.source.as_deref(), picture.frame)?;
        let line = self.progress.base.get().map(recipe::Base::line).unwrap_or_default();
        let embedded = text.clone().filter(|_| self.saving.keep_recipe).map(|text| (text, line));
        let mut bindings = Vec::new();
        for (output, path) in self.outputs.iter().zip(&job.paths) {
            let path = job::path_text(path).map_err(|message| Failure::new(Blame::Graph, message))?;
            bindings.push(self.saving.save(&output.name, path, embedded.as_ref(), job.again));
        }
        let built = engine::build(&self.recipe.request(job.inputs, bindings))?;
        report::diagnostics(terminal, &built.warnings);
        let bounds = self.bounds();
        if self.dry_run {
            let plan = engine::plan(&built.graph, &self.kept, bounds)?;
            let shown: Vec<String> = job.paths.iter().map(|path| path.display().to_string()).collect();
            let lines = table::lines(terminal, &built.graph, &plan, title, &shown)?;
            return Ok(Made { lines, ..Made::default() });
        }
        // What cannot be planned needs no room: the run tells why.
        let _place = at.room.map(|room| {
            let plan = engine::plan(&built.graph, &self.kept, bounds);
            room.enter(plan.map_or(0, |plan| plan.peak_bytes))
        });
        let start = Instant::now();
        let name = picture.name();
        let notes = notes(picture, job.source.as_deref(), &self.limits);
        terminal.event(json!({ "event": "started", "input": name, "output": job.paths }));
        let world = World {
            store: &self.kept,
            files: &OsFilesystem,
            cancel: &at.stop.flag(),
            listen: &|event| show_event(terminal, &name, &event, advance),
            device: at.device,
            bounds,
        };
        let outcome = engine::run(&built.graph, world)?;
        // What has shown with one picture need not show again with the next.
        self.learn(outcome.thrift);
        let mut lines = Vec::new();
        if self.explain {
            let last = Keys::last(&self.kept, &self.recipe.file.name, &name);
            lines = explain::lines(&outcome, last.as_ref());
        }
        if self.kept.keeps() && self.bounds.region.is_none() {
            Keys::new(&outcome).keep(&self.kept, &self.recipe.file.name, &name);
        }
        let seconds = start.elapsed().as_secs_f64();
        if let Some(path) = job.to_stdout {
            let bytes = fs::read(&path).map_err(|error| unwritable("to stdout", &error))?;
            terminal::bytes(&bytes).map_err(|error| unwritable("to stdout", &error))?;
            drop(job.scratch);
            return Ok(Made { lines, seconds, notes, outputs: Vec::new() });
        }
        let published = |output: &super::Output| outcome.published.get(&format!("out:{}", output.name)).cloned();
        let outputs: Vec<PathBuf> = self.outputs.iter().filter_map(published).collect();
        if let Some(text) = &text {
            outputs.iter().for_each(|file| made::remember(&self.kept, &self.limits, file, text));
        }
        Ok(Made { outputs, seconds, lines, notes })
    }

    /// The file that a picture lies in. Stdin becomes one: a picture is read more than once, its header first.
    fn source(&self, picture: &Picture, scratch: &mut Scratch) -> Result<Option<PathBuf>, Failure> {
        if self.picture_input.is_none() {
            return Ok(None);
        }
        if !picture.is_stdin() {
            return Ok(Some(picture.path.clone()));
        }
        let path = scratch.path("stdin")?;
        let kept = File::create(&path).and_then(|mut file| {
            let most = self.limits.file_bytes.unwrap_or(u64::MAX);
            io::copy(&mut io::stdin().lock().take(most.saturating_add(1)), &mut file)
        });
        kept.map(|_| Some(path)).map_err(|error| unwritable("stdin to a temporary file", &error))
    }

    /// The inputs of the graph, the picture among them.
    fn bind(&self, picture: &Picture, source: Option<&Path>) -> Result<Vec<Binding>, Failure> {
        let mut inputs: Vec<Binding> = self.inputs.iter().map(|given| given.binding.clone()).collect();
        if let (Some(name), Some(path)) = (&self.picture_input, source) {
            let text = job::path_text(path).map_err(Failure::input)?;
            inputs.insert(0, job::load(name, text, picture.frame, &self.limits, &picture.name()));
        }
        Ok(inputs)
    }

    /// What is written into the result, so that it can be made again.
    fn recipe_text(&self, source: Option<&Path>, frame: u32) -> Result<Option<String>, Failure> {
        // A recipe would make the whole.
        let Some(base) = self.progress.base.get().filter(|_| self.bounds.region.is_none()) else { return Ok(None) };
        let mut inputs = BTreeMap::new();
        if let (Some(name), Some(path)) = (&self.picture_input, source) {
            let digest = self.digest(path)?;
            inputs.insert(name.clone(), if frame == 0 { digest } else { format!("{digest}, frame {frame}") });
        }
        for given in &self.inputs {
            let told = match &given.file {
                Some(path) => self.digest(path)?,
                None => given.binding.fields.clone(),
            };
            inputs.insert(given.binding.name.clone(), told);
        }
        let after = source.filter(|_| self.picture_input.is_some()).and_then(Path::to_str);
        Ok(base.text(inputs, after.map(|path| recipe::stamps(path, &self.limits)).unwrap_or_default()))
    }

    /// Refuses a picture that this very recipe has made already, where pictures come by themselves: two watchers that feed each
    /// other would never come to an end.
    fn refuse_again(&self, picture: &Picture, source: Option<&Path>) -> Result<(), Failure> {
        let stamps = source.and_then(Path::to_str).map(|path| recipe::stamps(path, &self.limits)).unwrap_or_default();
        match self.progress.base.get() {
            Some(base) if base.is_among(&stamps) => Err(Failure::new(
                Blame::Limit,
                format!("`{}` has gone through this graph with these settings already", picture.name()),
            )
            .hint(
                "it is left alone, so that watchers that feed each other come to an end; `upweave upscale` takes it",
            )),
            _ => Ok(()),
        }
    }

    fn digest(&self, path: &Path) -> Result<String, Failure> {
        let text = job::path_text(path).map_err(Failure::input)?;
        nodes::files::digest(text, &self.limits).map(|digest| digest.to_string())
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

/// What a file holds that the result will not.
fn notes(picture: &Picture, source: Option<&Path>, limits: &Limits) -> Vec<String> {
    let name = picture.name();
    let header = source.and_then(Path::to_str).and_then(|path| nodes::files::probe(path, limits).ok());
    let Some(header) = header else { return Vec::new() };
    let inks = format!("`{name}` is made of four inks (CMYK): it became RGB, without its profile");
    let first = format!("`{name}` holds {} pictures: only the first was taken; `--frames` takes all", header.frames);
    let more = header.frames > 1 && picture.frame == 0;
    [(header.inks, inks), (more, first)].into_iter().filter_map(|(holds, note)| holds.then_some(note)).collect()
}

/// Lets a failure that is about the copy of a picture speak of the picture.
fn telling_of(picture: &Picture, copy: Option<&Path>) -> impl FnOnce(Wrong) -> Wrong + use<> {
    let names = copy.map(|copy| (copy.display().to_string(), picture.name()));
    move |wrong| match &names {
        Some((copy, name)) => wrong.told_of(copy, name),
        None => wrong,
    }
}

/// What names may tell of a picture.
struct Told<'a> {
    batch: &'a Batch,
    scale: f64,
    source: Option<&'a Path>,
    frame: u32,
    /// The recipe, once somebody asked.
    text: OnceCell<Option<String>>,
    is_own: &'a dyn Fn(&Path) -> bool,
}

impl Facts for Told<'_> {
    fn scale(&self) -> f64 {
        self.scale
    }

    fn style(&self) -> String {
        self.batch.recipe.preset.clone().unwrap_or_else(|| "universal".to_owned())
    }

    fn seed(&self) -> String {
        let set = self.batch.recipe.settings.iter().rfind(|setting| setting.target == "seed");
        set.map_or_else(|| "0".to_owned(), |setting| setting.value.clone())
    }

    fn date(&self) -> String {
        date::today()
    }

    fn hash8(&self) -> Result<String, String> {
        let path = self.source.ok_or("{hash8} needs a picture that the graph takes")?;
        let digest = self.batch.digest(path).map_err(|failure| failure.message)?;
        Ok(digest.chars().take(8).collect())
    }

    fn is_own(&self, file: &Path) -> bool {
        (self.is_own)(file)
    }

    fn is_made(&self, file: &Path) -> bool {
        // A picture that cannot be read fails later, with a message.
        let text = self.text.get_or_init(|| self.batch.recipe_text(self.source, self.frame).ok().flatten());
        text.as_ref().is_some_and(|text| made::is_made(&self.batch.kept, &self.batch.limits, file, text))
    }
}

fn show_event(terminal: &Terminal, input: &str, event: &Event<'_>, advance: &(dyn Fn(f64) + Sync)) {
    match event {
        Event::Started { id, kind } => {
            terminal.event(json!({ "event": "node-started", "input": input, "node": id, "kind": kind }));
        }
        Event::Progress { id, overall, .. } => {
            advance(*overall);
            terminal.event(json!({ "event": "progress", "input": input, "node": id, "fraction": overall }));
        }
        Event::Tile { id, core, kept } => {
            terminal.event(json!({
                "event": "tile", "input": input, "node": id, "x": core.x, "y": core.y, "width": core.width,
                "height": core.height, "kept": kept,
            }));
        }
        Event::Finished { id, kind, seconds, overall, .. } => {
            advance(*overall);
            terminal.event(json!({
                "event": "node-finished", "input": input, "node": id, "kind": kind, "seconds": seconds,
            }));
            if terminal.verbose() {
                terminal.say(&format!("  {id} ({kind}): {}", crate::speed::duration(*seconds)));
            }
        }
    }
}
