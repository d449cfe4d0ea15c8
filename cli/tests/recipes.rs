//! Recipes from strangers: whatever a picture says about how it was made, running it harms nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// Two pictures, one of which holds `text` as its recipe.
fn furnish(at: &Path, text: &str) {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 8, 8);
    encoder.add_itxt_chunk("upweave".to_owned(), text.to_owned()).expect("a text can be added");
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&[7; 64])).expect("it can be written");
    fs::write(at.join("evil.png"), file).expect("it can be written");
}

/// A recipe of this graph.
fn of_graph(graph: &str) -> String {
    recipe("mine.ron", &[("mine.ron", graph)], &[], "null")
}

fn recipe(graph: &str, files: &[(&str, &str)], set: &[(&str, &str)], preset: &str) -> String {
    let files: serde_json::Map<String, serde_json::Value> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect();
    let preset: serde_json::Value = serde_json::from_str(preset).expect("JSON");
    serde_json::json!({
        "upweave": "0.1.0", "graph": graph, "files": files, "preset": preset, "set": set, "models": {}, "inputs": {},
    })
    .to_string()
}

const PLAIN: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "sharp"},
    expose: {"amount": (sets: ["sharp.amount"], help: "How much.")}, presets: {"p": {"amount": 0.2}},
    nodes: {"sharp": Sharpen(image: "photo", amount: 0.1)})"#;

/// A hundred recipes, none of which means well.
fn hostile(at: &Path) -> Vec<String> {
    let secret = at.join("secret.png").display().to_string();
    let target = at.join("written.png").display().to_string();
    let nodes = |nodes: &str| {
        format!(r#"Graph(format: 1, inputs: {{"photo": Image}}, outputs: {{"photo": "out"}}, nodes: {{{nodes}}})"#)
    };
    let mut all: Vec<String> = Vec::new();
    // Texts that are no recipe.
    for text in
        ["", " ", "null", "[]", "{}", "0", "\"\"", "true", "{", "}", "{]", "\u{0}", "NaN", "{\"upweave\":", "1e999"]
    {
        all.push(text.to_owned());
    }
    all.push("[".repeat(100_000));
    all.push("{\"a\":".repeat(50_000));
    all.push(format!("\"{}\"", "x".repeat(1_000_000)));
    all.push(PLAIN.to_owned());
    // Recipes with something missing, too much, or of another type.
    let good: serde_json::Value = serde_json::from_str(&of_graph(PLAIN)).expect("JSON");
    for field in ["upweave", "graph", "files", "preset", "set", "models", "inputs"] {
        for value in [serde_json::json!(null), serde_json::json!(7), serde_json::json!(["x", ["y"]])] {
            let mut bad = good.clone();
            bad[field] = value;
            all.push(bad.to_string());
        }
    }
    let mut more = good.clone();
    more["run"] = "rm -rf".into();
    all.push(more.to_string());
    for save in [
        r#"{"path": "\"x.png\""}"#,
        r#"{"quality": "1), x: ("}"#,
        r#"{"on_exists": "Overwrite"}"#,
        r#"{"recipe": "Some(\"x\")"}"#,
    ] {
        let mut bad = good.clone();
        bad["save"] = serde_json::from_str(save).expect("JSON");
        all.push(bad.to_string());
    }
    // Graphs that read and write files.
    for path in [&secret, "/etc/passwd", "../secret.png", "/dev/zero", "/proc/self/environ", ""] {
        all.push(of_graph(&nodes(&format!(r#""out": Load(path: {path:?})"#))));
        all.push(of_graph(&nodes(&format!(
            r#""in:photo2": Load(path: {path:?}), "out": Sharpen(image: "in:photo2")"#
        ))));
        all.push(of_graph(&nodes(&format!(
            r#""m": MaskLoad(path: {path:?}), "g": Guide(image: "photo", mask: "m"), "out": Annotate(image: "photo", guide: "g")"#
        ))));
        all.push(of_graph(&nodes(&format!(r#""out": Subgraph(file: {path:?}, inputs: {{"photo": "photo"}})"#))));
        all.push(of_graph(&nodes(&format!(r#""out": Repeat(file: {path:?}, image: "photo", scale: 4)"#))));
        // Settings that turn what is bound to somewhere else.
        for name in ["in:photo.path", "out:photo.path", "photo.path"] {
            all.push(recipe("mine.ron", &[("mine.ron", PLAIN)], &[(name, &format!("{path:?}"))], "null"));
        }
    }
    for id in ["out:photo", "save", "in:save"] {
        let save = format!(r#""out": Sharpen(image: "photo"), {id:?}: Save(image: "out", path: {target:?})"#);
        all.push(of_graph(&nodes(&save)));
    }
    // Parts that hide it.
    let part = format!(r#"Graph(format: 1, outputs: {{"photo": "x"}}, nodes: {{"x": Load(path: {secret:?})}})"#);
    let main = nodes(r#""out": Subgraph(file: "part.ron")"#);
    all.push(recipe("mine.ron", &[("mine.ron", &main), ("part.ron", &part)], &[], "null"));
    all.push(recipe("../../mine.ron", &[("../../mine.ron", &main), ("../../part.ron", &part)], &[], "null"));
    // What would never end, or needs more than there is.
    let itself = nodes(r#""out": Subgraph(file: "mine.ron", inputs: {"photo": "photo"})"#);
    all.push(of_graph(&itself));
    all.push(of_graph(&nodes(r#""a": Sharpen(image: "out"), "out": Sharpen(image: "a")"#)));
    all.push(of_graph(&nodes(r#""out": Resize(image: "photo", width: 4000000000, height: 4000000000)"#)));
    all.push(of_graph(&nodes(r#""out": Upscale(image: "photo", scale: 1e300)"#)));
    all.push(of_graph(&nodes(r#""out": Sharpen(image: "photo", radius: 1e38)"#)));
    all.push(of_graph(&"(".repeat(100_000)));
    all.push(of_graph(&format!("Graph(format: 1, about: \"{}\")", "x".repeat(1_000_000))));
    for (set, preset) in [("amount", "\"p\""), ("amount", "\"none\""), ("sharp.amount", "\"\""), ("", "null")] {
        for value in ["1e999", "\"x", "Load(path: \"x\")", "0.3), b: Save(path: \"x\""] {
            all.push(recipe("mine.ron", &[("mine.ron", PLAIN)], &[(set, value)], preset));
        }
    }
    all
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .expect("it can be listed")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn hostile_recipes_touch_no_file_and_panic_nowhere() {
    let folder = tempfile::tempdir().expect("there is room");
    let at = folder.path().join("inner");
    fs::create_dir(&at).expect("a folder can be made");
    // What a recipe would read: its colour shows in every result.
    let secret = image::RgbImage::from_pixel(8, 8, image::Rgb([255, 0, 255]));
    for place in [at.join("secret.png"), folder.path().join("secret.png")] {
        secret.save(place).expect("it can be written");
    }
    image::RgbImage::from_pixel(8, 8, image::Rgb([0, 60, 0])).save(at.join("photo.png")).expect("it can be written");
    let all = hostile(&at);
    assert!(all.len() >= 100, "{}", all.len());
    for (number, text) in all.iter().enumerate() {
        // PNG texts hold no NUL.
        furnish(&at, &text.replace('\0', " "));
        let before = names(&at);
        for arguments in [
            &["run", "evil.png", "photo.png", "-o", "out.png", "--on-exists", "overwrite", "--no-cache"][..],
            &["inspect", "evil.png"],
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_upweave"))
                .args(arguments)
                .current_dir(&at)
                .stdin(Stdio::null())
                .output()
                .expect("the program starts");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let shown: String = text.chars().take(300).collect();
            let code = output.status.code();
            assert!(code.is_some_and(|code| [0, 2, 3, 4].contains(&code)), "{number}: {code:?} {shown}\n{said}");
            assert!(!said.contains("panicked") && !said.contains("root:"), "{number}: {shown}\n{said}");
            assert!(!said.contains('\u{1b}'), "{number}: a recipe commands the terminal");
        }
        let mut after = names(&at);
        if after.remove("out.png") {
            let found = image::open(at.join("out.png")).expect("it can be read").to_rgb8();
            assert!(found.pixels().all(|pixel| pixel[0] < 128), "{number}: a file was read");
            fs::remove_file(at.join("out.png")).expect("it can be removed");
        }
        assert_eq!(after, before, "{number}: a file was written");
    }
}
