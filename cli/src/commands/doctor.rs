//! `upweave doctor`: does everything work on this machine, and how fast?

use crate::{
    job::{REGISTRY, Recipe},
    library, speed,
    terminal::{Terminal, print},
};
use std::{fs, thread};

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
    let cores = thread::available_parallelism().map(|n| n.get().to_string());
    line(
        "processor",
        Ok(format!("{}, {} threads", std::env::consts::ARCH, cores.unwrap_or_else(|_| "unknown".into()))),
    );
    if let Some(memory) = free_memory() {
        line("memory", Ok(format!("{} free", speed::bytes(memory))));
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

/// Where the system tells.
fn free_memory() -> Option<u64> {
    let about = fs::read_to_string("/proc/meminfo").ok()?;
    let line = about.lines().find(|line| line.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}
