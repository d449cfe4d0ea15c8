//! `upweave graph`: looking at graph files without running them.

use crate::{
    args::{GraphVerb, Picture},
    job::{Recipe, ron_settings},
    library, report,
    terminal::{Terminal, print},
};
use engine::{Built, Outline};
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

pub(crate) fn run(terminal: &Terminal, verb: &GraphVerb) -> u8 {
    match verb {
        GraphVerb::Check { graphs, preset, set } => {
            let codes = graphs.iter().map(|name| match recipe(terminal, name) {
                Ok(recipe) => {
                    check(terminal, name, Recipe { preset: preset.clone(), settings: ron_settings(set), ..recipe })
                }
                Err(code) => code,
            });
            codes.fold(0, u8::max)
        }
        GraphVerb::Show { graph, format } => {
            match recipe(terminal, graph).and_then(|recipe| built(terminal, &recipe)) {
                Ok((outline, built)) => {
                    report::diagnostics(terminal, &built.warnings);
                    show(&outline, &built, *format);
                    0
                }
                Err(code) => code,
            }
        }
        GraphVerb::New { from, output } => new(terminal, from.as_deref(), output.as_deref()),
    }
}

fn recipe(terminal: &Terminal, name: &str) -> Result<Recipe, u8> {
    library::graph(name).map(Recipe::new).map_err(|message| {
        terminal.error(&message, Some("`upweave graph new` lists the shipped graphs"));
        2
    })
}

fn check(terminal: &Terminal, name: &str, recipe: Recipe) -> u8 {
    match built(terminal, &recipe) {
        Ok((_, built)) => {
            report::diagnostics(terminal, &built.warnings);
            let warnings = report::count(&built.warnings);
            let remark = if warnings.is_empty() { "no mistakes" } else { &warnings };
            terminal.say(&format!("{name}: {} nodes, {remark}", built.graph.nodes().len()));
            0
        }
        Err(code) => code,
    }
}

fn built(terminal: &Terminal, recipe: &Recipe) -> Result<(Outline, Built), u8> {
    let all = Outline::read(&recipe.file)
        .and_then(|outline| engine::build(&recipe.request(Vec::new(), Vec::new())).map(|built| (outline, built)));
    all.map_err(|found| {
        report::diagnostics(terminal, &found);
        terminal.stderr(&format!("{}: {}", recipe.file.name, report::count(&found)));
        report::exit_code(&found)
    })
}

fn show(outline: &Outline, built: &Built, format: Picture) {
    let graph = &built.graph;
    match format {
        Picture::Dot => print(graph.dot().trim_end()),
        Picture::Mermaid => print(graph.mermaid().trim_end()),
        Picture::Svg => print(graph.svg().trim_end()),
        Picture::Text => {
            print(&interface(outline));
            print(graph.text().trim_end());
        }
    }
}

/// What a graph takes, gives and offers.
fn interface(outline: &Outline) -> String {
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<(String, String)>| {
        if lines.is_empty() {
            return;
        }
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        text.push_str(&format!("{title}\n"));
        for (name, about) in lines {
            text.push_str(format!("  {name:width$}  {about}").trim_end());
            text.push('\n');
        }
        text.push('\n');
    };
    let inputs = outline.inputs.iter().map(|input| {
        let optional = if input.optional { ", may be left out" } else { "" };
        (input.name.clone(), format!("{}{optional}", input.ty))
    });
    section("Inputs", inputs.collect());
    section("Outputs", outline.outputs.iter().map(|name| (name.clone(), String::new())).collect());
    section("Controls", outline.exposed.iter().map(|one| (one.name.clone(), one.help.clone())).collect());
    section("Presets", outline.presets.iter().map(|name| (name.clone(), String::new())).collect());
    let about = if outline.about.is_empty() { String::new() } else { format!("{}\n\n", outline.about) };
    format!("{about}{text}Nodes")
}

fn new(terminal: &Terminal, from: Option<&str>, output: Option<&Path>) -> u8 {
    let Some(from) = from else {
        let width = graphs::GRAPHS.iter().map(|graph| graph.name.len()).max().unwrap_or_default();
        for graph in graphs::GRAPHS {
            let text = engine::Text { name: graph.path.to_owned(), text: graph.text.to_owned() };
            let about = Outline::read(&text).map(|outline| outline.about).unwrap_or_default();
            print(&format!("{:width$}  {}", graph.name, about.split(". ").next().unwrap_or_default()));
        }
        terminal.say("\nStart from one of them with `upweave graph new --from NAME -o my.ron`.");
        return 0;
    };
    let Some(graph) = graphs::find(from) else {
        terminal.error(&format!("there is no shipped graph `{from}`"), Some("`upweave graph new` lists them"));
        return 2;
    };
    let Some(path) = output else {
        print(graph.text.trim_end());
        return 0;
    };
    let written = fs::File::create_new(path).and_then(|mut file| file.write_all(graph.text.as_bytes()));
    match written {
        Ok(()) => {
            terminal.say(&format!("{}: a copy of {}", path.display(), graph.path));
            0
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            terminal.error(&format!("`{}` is already there", path.display()), Some("choose another name"));
            2
        }
        Err(error) => {
            terminal.error(&format!("cannot write `{}`: {error}", path.display()), None);
            6
        }
    }
}
