//! Graph files: whatever the text is, it is a graph or a list of mistakes, each of which can be shown.
#![no_main]

use engine::{Library, Request, Text};
use libfuzzer_sys::fuzz_target;

/// The shipped parts, which a graph may put to use.
struct Parts;

impl Library for Parts {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        let part = graphs::find(name).ok_or_else(|| format!("there is no part `{name}`"))?;
        Ok(Text { name: part.path.to_owned(), text: part.text.to_owned() })
    }
}

fuzz_target!(|text: &str| {
    let file = Text { name: "fuzz.ron".into(), text: text.into() };
    let request = Request {
        file,
        library: &Parts,
        registry: nodes::NODES,
        preset: None,
        settings: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let found = match engine::build(&request) {
        Ok(built) => {
            built.graph.needed();
            built.warnings
        }
        Err(found) => found,
    };
    // To show a mistake is to cut texts at its place.
    drop(found.to_string());
});
