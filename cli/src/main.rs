//! The `upweave` command: arguments, progress and exit codes around the engine.

mod args;
mod backbone;
mod batch;
mod cache;
mod catalog;
mod commands;
mod date;
mod device;
mod download;
mod explain;
mod installed;
mod job;
mod library;
mod memory;
mod models_folder;
mod naming;
mod peak_memory;
mod pictures;
mod recipe;
mod report;
mod speed;
mod stop;
mod template;
mod terminal;
mod watch;

use args::{Cli, Verb};
use clap::Parser;
use std::{process::ExitCode, thread};

fn main() -> ExitCode {
    // clap itself ends the program with 2 for wrong usage, and with 0 for help.
    let cli = Cli::parse();
    let machine = match &cli.verb {
        Verb::Upscale(args) => Some(&args.machine),
        Verb::Run(args) => Some(&args.machine),
        Verb::Watch(args) => Some(&args.machine),
        _ => None,
    };
    let offline = match &cli.verb {
        Verb::Models(args) => args.offline,
        _ => machine.is_some_and(|machine| machine.offline),
    };
    if offline {
        download::go_offline();
    }
    let threads = machine.and_then(|machine| machine.threads);
    limit_threads(threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get())));
    engine::silence_contained();
    let terminal = terminal::Terminal::new(cli.talk);
    if let Ok(own) = models_folder::folder() {
        let others = models_folder::others(&own).unwrap_or_else(|message| {
            terminal.warning(&message, "until it is mended, models of other programs are not found");
            Vec::new()
        });
        nodes::files::keep_models_in(nodes::files::Places { own, others, fetchable: models_folder::fetchable });
    }
    if let Err(message) = models::kernels::Isa::asked() {
        terminal.error(&message, Some("leave the variable out to use the best set"));
        return ExitCode::from(2);
    }
    if let Some(Err(message)) = machine.map(|machine| device::choose(machine.gpu, &terminal)) {
        terminal.error(&message, Some("leave out `-g`, or write `-g auto`"));
        return ExitCode::from(2);
    }
    ExitCode::from(match cli.verb {
        Verb::Upscale(args) => commands::upscale::run(&terminal, &stop::Stop::listen(), &args),
        Verb::Run(args) => commands::run::run(&terminal, &stop::Stop::listen(), &args),
        Verb::Watch(args) => commands::watch::run(&terminal, &stop::Stop::listen(), &args),
        Verb::Graph(verb) => commands::graph::run(&terminal, &verb),
        Verb::Nodes { name } => commands::nodes::run(&terminal, name.as_deref()),
        Verb::Models(args) => commands::models::run(&terminal, &args),
        Verb::Cache(verb) => commands::cache::run(&terminal, &verb),
        Verb::Inspect { file } => commands::inspect::run(&terminal, &file),
        Verb::Limits => commands::limits::run(),
        Verb::Doctor { files } if files.is_empty() => commands::doctor::run(&terminal),
        Verb::Doctor { files } => commands::doctor::look(&terminal, &files),
        Verb::Bench(args) => commands::bench::run(&terminal, &args),
        Verb::Completions { shell } => commands::manual::completions(shell),
        Verb::Man { folder } => commands::manual::man(&terminal, folder.as_deref()),
    })
}

/// rayon and candle read how many threads to start from the environment, and would else count the cores of the machine
/// even where this process may use only some of them.
#[expect(unsafe_code, reason = "setting the environment is unsafe because other threads may read it")]
fn limit_threads(threads: usize) {
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: called first thing in `main`, when no other thread has been started yet.
        unsafe { std::env::set_var(name, threads.to_string()) };
    }
}
