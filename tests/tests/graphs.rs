//! The shipped graphs: all of them check without a remark, and keep what they promise.

use engine::{Built, Library, Outline, Request, Setting, Text};
use graphs::{GRAPHS, Shipped};

/// Opens shipped parts.
struct Parts;

impl Library for Parts {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        graphs::find(name).map(text).ok_or_else(|| format!("there is no part `{name}`"))
    }
}

fn text(graph: &Shipped) -> Text {
    Text { name: graph.path.to_owned(), text: graph.text.to_owned() }
}

fn build(graph: &Shipped, preset: Option<&str>, settings: &[(&str, &str)]) -> Built {
    let setting = |(target, value): &(&str, &str)| Setting {
        target: (*target).to_owned(),
        value: (*value).to_owned(),
        origin: format!("--set {target}"),
    };
    let request = Request {
        file: text(graph),
        library: &Parts,
        registry: nodes::NODES,
        preset: preset.map(str::to_owned),
        settings: settings.iter().map(setting).collect(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    engine::build(&request).unwrap_or_else(|found| panic!("{} {preset:?} {settings:?}:\n{found}", graph.name))
}

fn outline(graph: &Shipped) -> Outline {
    Outline::read(&text(graph)).unwrap_or_else(|found| panic!("{found}"))
}

fn shipped(name: &str) -> &'static Shipped {
    graphs::find(name).expect("it is shipped")
}

/// A parameter of a node of a built graph.
fn parameter(built: &Built, id: &str, name: &str) -> serde_json::Value {
    let node = built.graph.nodes().iter().find(|node| node.id == id);
    node.unwrap_or_else(|| panic!("no node {id}")).parameters()[name].clone()
}

/// A value that is not the default, for every control that shipped graphs expose.
fn other_value(control: &str) -> &'static str {
    match control.trim_start_matches("guide.") {
        "scale" => "1.5",
        "quality" => "High",
        "creativity" | "resemblance" | "detail" | "strength" | "confidence" | "sharpen" => "0.125",
        "preserve_faces" | "preserve_hands" => "true",
        "seed" => "7",
        "type" => "Anime",
        "steps" => "3",
        "tile" => "192",
        "precision" => "F32",
        "model" | "checkpoint" | "vae" | "prompt" | "negative" => "\"mine\"",
        "controls" | "loras" => "[(model: \"mine\", weight: 0.5)]",
        "embeddings" => "[\"mine\"]",
        "places" => "[(left: 0.5, prompt: \"mine\")]",
        "sampler" => "Euler",
        "spacing" => "Trailing",
        "guidance" => "2.0",
        "inversion" => "(renoise: 0.25, kernel: 32)",
        "tiling" => "Mixture",
        "tile_width" | "tile_height" => "128",
        unknown => panic!("add a value for the control `{unknown}` to this test"),
    }
}

#[test]
fn all_check_without_a_remark() {
    for graph in GRAPHS {
        let built = build(graph, None, &[]);
        assert!(built.warnings.items.is_empty(), "{}: {}", graph.name, built.warnings);
        assert!(!outline(graph).about.is_empty(), "{} does not say what it is for", graph.name);
    }
}

#[test]
fn every_preset_builds() {
    for graph in GRAPHS {
        for preset in outline(graph).presets {
            build(graph, Some(&preset), &[]);
        }
    }
}

#[test]
fn every_control_can_be_set_and_is_documented() {
    for graph in GRAPHS {
        for control in outline(graph).exposed {
            assert!(control.help.ends_with('.'), "{}: `{}` is not documented", graph.name, control.name);
            let built = build(graph, None, &[(&control.name, other_value(&control.name))]);
            let parameters = |built: &Built| -> Vec<_> {
                built.graph.nodes().iter().map(|node| node.parameters().clone()).collect()
            };
            let plain = build(graph, None, &[]);
            assert_ne!(parameters(&built), parameters(&plain), "{}: `{}` changes nothing", graph.name, control.name);
        }
    }
}

#[test]
fn the_main_job_has_every_control_and_every_type() {
    let outline = outline(shipped("dynamic-upscale"));
    let controls: Vec<&str> = outline.exposed.iter().map(|control| control.name.as_str()).collect();
    for name in
        ["scale", "quality", "creativity", "resemblance", "detail", "preserve_faces", "preserve_hands", "seed", "type"]
    {
        assert!(controls.contains(&name), "{name}");
    }
    for preset in ["universal", "realism", "anime", "impasto", "watercolor", "faithful"] {
        assert!(outline.presets.iter().any(|known| known == preset), "{preset}");
    }
    assert!(outline.inputs.iter().any(|input| input.name == "mask" && input.optional));
}

#[test]
fn later_passes_invent_less_and_draw_other_noise() {
    let built = build(shipped("dynamic-upscale"), None, &[("scale", "16"), ("creativity", "0.5"), ("seed", "9")]);
    for (pass, scale, creativity, seed) in [(1, 4.0, 0.5, 9), (2, 4.0, 0.4, 10)] {
        assert_eq!(parameter(&built, &format!("passes.{pass}.canvas"), "scale"), scale);
        assert_eq!(parameter(&built, &format!("passes.{pass}.woven"), "scale"), scale);
        assert_eq!(parameter(&built, &format!("passes.{pass}.guide"), "creativity"), creativity);
        assert_eq!(parameter(&built, &format!("passes.{pass}.woven"), "seed"), seed);
    }
    assert!(!built.graph.nodes().iter().any(|node| node.id.starts_with("passes.3.")));
}

#[test]
fn one_pass_is_enough_up_to_four_times() {
    for scale in ["1", "1.5", "2", "3.7", "4"] {
        let built = build(shipped("dynamic-upscale"), None, &[("scale", scale)]);
        assert!(!built.graph.nodes().iter().any(|node| node.id.starts_with("passes.2.")), "{scale}");
    }
}

#[test]
fn types_differ() {
    let graph = shipped("dynamic-upscale");
    let of = |preset| {
        let built = build(graph, Some(preset), &[]);
        ["creativity", "resemblance", "detail"].map(|name| parameter(&built, "passes.1.guide", name).to_string())
    };
    let types = ["universal", "realism", "anime", "impasto", "watercolor"].map(of);
    for (i, one) in types.iter().enumerate() {
        assert!(types[..i].iter().all(|other| other != one), "type {i} is like an earlier one");
    }
    // What nobody chooses is the universal type.
    let plain = build(graph, None, &[]);
    let chosen = build(graph, Some("universal"), &[]);
    for (a, b) in plain.graph.nodes().iter().zip(chosen.graph.nodes()) {
        assert_eq!(a.parameters(), b.parameters(), "{}", a.id);
    }
}

#[test]
fn the_graph_of_the_readme_checks() {
    let readme = include_str!("../../README.md");
    let start = readme.find("    Graph(").expect("the README shows a graph");
    let lines = readme[start..].lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let shown: Vec<&str> = lines.collect();
    let end = shown.iter().position(|line| *line == "    )").expect("the graph ends");
    let text = Text { name: "README.md".to_owned(), text: shown[..=end].join("\n") };
    let request = Request {
        file: text,
        library: &Parts,
        registry: nodes::NODES,
        preset: Some("plain".to_owned()),
        settings: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let built = engine::build(&request).unwrap_or_else(|found| panic!("{found}"));
    assert!(built.warnings.items.is_empty(), "{}", built.warnings);
}
