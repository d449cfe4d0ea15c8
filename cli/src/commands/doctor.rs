//! `upweave doctor`: does everything work on this machine, and how fast? Or, with files: what is wrong with them?

use crate::{
    job::{REGISTRY, Recipe},
    library, memory, report, speed,
    terminal::{Terminal, print},
};
use engine::{Blame, Failure, value::SampleDepth};
use models::{Precision, kernels::Isa};
use nodes::{
    degrade_detect::{self, judge, measure},
    limits::Limits,
};
use serde_json::json;
use std::path::PathBuf;

pub(crate) fn run(terminal: &Terminal) -> u8 {
    let mut healthy = true;
    let mut line = |name: &str, result: Result<String, String>| match result {
        Ok(text) => print(&format!("ok    {name:9}  {text}")),
        Err(text) => {
            healthy = false;
            print(&format!("FAIL  {name:9}  {text}"));
        }
    };
    line("program", Ok(format!("upweave {}, {} kinds of nodes", env!("CARGO_PKG_VERSION"), REGISTRY.len())));
    let (isa, threads) = (Isa::detect().name(), rayon::current_num_threads());
    line("processor", Ok(format!("{}, {threads} threads, kernels for {isa}", std::env::consts::ARCH)));
    let (peaks, fastest) = (speed::Peaks::measure(), Precision::fastest());
    let [f32, bf16] = [Precision::F32, Precision::Bf16].map(|precision| peaks.of(precision) / 1e9);
    line("peak", Ok(format!("{f32:.0} GFLOP/s in f32, {bf16:.0} in bf16; networks run in {}", fastest.name())));
    let graphics = match models::gpu::BUILT_FOR {
        Some(kind) => models::gpu::choose(0).map(|()| format!("computes by {kind}")).map_err(|error| error.to_string()),
        None => Ok("none built in: everything runs on the processor".to_owned()),
    };
    line("graphics", graphics);
    if let Some(memory) = memory::available_here() {
        line("memory", Ok(format!("{} free", engine::bytes(memory))));
    }
    line("graphs", graphs());
    match models::cards() {
        Ok(cards) => {
            for (card, digest) in cards {
                let digest: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
                let size = card.bytes as f64 / 1e6;
                line("model", Ok(format!("{}: {:.1} MB, version {}, {digest}", card.name, size, card.version)));
            }
        }
        Err(error) => line("model", Err(error.to_string())),
    }
    match speed::measure() {
        Ok(flops) => line("speed", Ok(format!("{:.0} GFLOP/s in the faithful network", flops / 1e9))),
        Err(error) => line("speed", Err(error.to_string())),
    }
    line("folder", writable());
    if healthy {
        return 0;
    }
    terminal.error("something does not work", Some("see the lines that begin with FAIL"));
    1
}

/// What there is to say about files. The exit code is 3 when one of them cannot be used, 4 when nothing
/// is wrong but that they are beyond the limits.
pub(crate) fn look(terminal: &Terminal, files: &[PathBuf]) -> u8 {
    let mut code = 0;
    for path in files {
        let name = path.display();
        let told = match path.to_str() {
            Some(path) if path.ends_with(".ron") => graph(path),
            Some(path) => picture(path),
            None => Err(Failure::input("its name is not Unicode")),
        };
        match told {
            Ok(text) => {
                terminal.event(json!({ "event": "file", "file": path, "about": text }));
                if !terminal.json() {
                    print(&format!("ok    {name}: {text}"));
                }
            }
            Err(failure) => {
                // What is only too large is not broken.
                let this = if failure.blame == Blame::Limit { 4 } else { 3 };
                code = if code == 0 || code == this { this } else { 3 };
                terminal
                    .event(json!({ "event": "file", "file": path, "failed": &failure.message, "hint": &failure.hint }));
                // Messages about pictures name the file.
                let told = failure.message.contains(&*name.to_string());
                let message = if told { failure.message } else { format!("`{name}`: {}", failure.message) };
                terminal.error(&message, failure.hint.as_deref());
            }
        }
    }
    code
}

fn graph(path: &str) -> Result<String, Failure> {
    let recipe = Recipe::new(library::graph(path).map_err(Failure::input)?);
    match engine::build(&recipe.request(Vec::new(), Vec::new())) {
        Ok(built) => Ok(format!("a graph of {} nodes", built.graph.nodes().len())),
        Err(found) => {
            let blame = if found.beyond_limits() { Blame::Limit } else { Blame::Input };
            Err(Failure::new(blame, report::count(&found))
                .hint(format!("`upweave graph check {path}` tells all of them")))
        }
    }
}

/// Reads all of a picture, and measures its damage as the main job would.
fn picture(path: &str) -> Result<String, Failure> {
    let image = nodes::files::read(path, &Limits::LOCAL, 0)?;
    let about = &image.metadata;
    let damage = judge(measure(&image), degrade_detect::Quality::Auto);
    let bits = match about.depth {
        SampleDepth::Eight => "8 bits",
        SampleDepth::Sixteen => "16 bits",
        SampleDepth::Float => "floating point",
    };
    let mut parts = vec![format!("{} pixels", image.size()), bits.to_owned()];
    parts.extend(about.grey.then(|| "grey".to_owned()));
    parts.extend(image.has_alpha().then(|| "alpha".to_owned()));
    for (name, block) in [("colour profile", &about.icc), ("EXIF", &about.exif), ("XMP", &about.xmp)] {
        parts.extend(block.as_ref().map(|block| format!("{name} of {} bytes", block.len())));
    }
    parts.push(format!("noise {:.1} of 255", damage.noise.value));
    if damage.jpeg_quality.value < 100.0 {
        parts.push(format!("JPEG quality {:.0}", damage.jpeg_quality.value));
    }
    parts.push(format!("blur {:.1} pixels", damage.blur.value));
    parts.push(format!("quality auto takes it for {}", if damage.restore { "low" } else { "high" }));
    Ok(parts.join(", "))
}

/// Every shipped graph builds.
fn graphs() -> Result<String, String> {
    let whole: Vec<_> = graphs::GRAPHS.iter().filter(|graph| !graph.is_part()).collect();
    for graph in &whole {
        let recipe = Recipe::new(library::graph(graph.path)?);
        engine::build(&recipe.request(Vec::new(), Vec::new())).map_err(|found| format!("{}: {found}", graph.name))?;
    }
    Ok(format!("{} shipped, all of them check", whole.len()))
}

fn writable() -> Result<String, String> {
    match tempfile::Builder::new().prefix(".upweave-").tempfile_in(".") {
        Ok(_) => Ok("results can be written here".to_owned()),
        Err(error) => Err(format!("nothing can be written here: {error}")),
    }
}
