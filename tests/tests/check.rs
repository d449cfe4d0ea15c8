//! The annotated error suite: every file in `suite/check` says at its end which mistakes are to be found in it, and
//! all that is found must be said there. `UPDATE_SUITE=1` writes the annotations anew; read them before you commit.
//!
//!     // Preset: name                              the preset that is asked for
//!     // Set: name=value                           a setting from outside
//!     // Error: 7:18 unknown-kind part of the message
//!     // Hint: part of the hint of the mistake before
//!
//! A place in another text is written with its name: `parts/broken.ron:6:32`.

use engine::{Diagnostics, Library, Request, Setting, Severity, Text, line_and_column};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

const MARKS: [&str; 3] = ["// Error: ", "// Warning: ", "// Hint: "];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/check")
}

/// Opens the parts of the suite.
struct Parts;

impl Library for Parts {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        let name = format!("parts/{}", name.trim_start_matches("parts/"));
        match fs::read_to_string(folder().join(&name)) {
            Ok(text) => Ok(Text { name, text }),
            Err(_) => Err(format!("there is no graph file `{name}`")),
        }
    }
}

fn found_in(name: &str, text: &str) -> Diagnostics {
    let asked = |mark: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect()
    };
    let settings = asked("// Set: ").into_iter().map(|line| {
        let (target, value) = line.split_once('=').expect("a setting is name=value");
        Setting { target: target.to_owned(), value: value.to_owned(), origin: format!("--set {target}") }
    });
    let request = Request {
        file: Text { name: name.to_owned(), text: text.to_owned() },
        library: &Parts,
        registry: nodes::NODES,
        preset: asked("// Preset: ").pop(),
        settings: settings.collect(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    match engine::build(&request) {
        Ok(built) => built.warnings,
        Err(found) => found,
    }
}

/// What was found, as annotations.
fn annotations(name: &str, found: &Diagnostics) -> String {
    let mut text = String::new();
    for item in &found.items {
        let place = item.labels.first().map_or_else(String::new, |label| {
            let source = &found.sources[label.span.source];
            let (line, column) = line_and_column(&source.text, label.span.range.start);
            let file = if source.name == name { String::new() } else { format!("{}:", source.name) };
            format!("{file}{line}:{column} ")
        });
        let mark = if item.severity == Severity::Error { MARKS[0] } else { MARKS[1] };
        writeln!(text, "{mark}{place}{} {}", item.code, item.message).expect("memory takes text");
        if let Some(hint) = &item.hint {
            writeln!(text, "{}{}", MARKS[2], hint.replace('\n', " ")).expect("memory takes text");
        }
    }
    text
}

#[test]
fn every_mistake_is_found_and_nothing_else() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the suite is there")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".ron"))
        .collect();
    names.sort();
    assert!(names.len() >= 30, "only {} cases", names.len());
    let mut wrong = String::new();
    for name in names {
        let path = folder().join(&name);
        let text = fs::read_to_string(&path).expect("a case can be read");
        let is_annotation = |line: &&str| MARKS.iter().any(|mark| line.starts_with(mark));
        let graph: Vec<&str> = text.lines().filter(|line| !is_annotation(line)).collect();
        let graph = format!("{}\n", graph.join("\n").trim_end());
        let found = annotations(&name, &found_in(&name, &graph));
        if std::env::var_os("UPDATE_SUITE").is_some() {
            fs::write(&path, format!("{graph}{found}")).expect("a case can be written");
            continue;
        }
        let expected: Vec<&str> = text.lines().filter(is_annotation).collect();
        let found: Vec<&str> = found.lines().collect();
        // An annotation may stop early: it is enough that the message begins with it.
        let same = expected.len() == found.len() && found.iter().zip(&expected).all(|(f, e)| f.starts_with(e));
        if !same {
            writeln!(
                wrong,
                "{name}\n  expected:\n    {}\n  found:\n    {}",
                expected.join("\n    "),
                found.join("\n    ")
            )
            .expect("memory takes text");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
