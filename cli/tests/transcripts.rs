//! The command line as a person sees it. Each file in `tests/suite/cli` is a session in a folder of small pictures:
//!
//!     $ upweave upscale photo.png
//!     2> photo.x2.png  [TIME]         a line on stderr (`1>`: on stdout)
//!     = 0                             the exit code
//!     + photo.x2.png 96x64            a file that was not there before, with its size when it is a picture
//!
//! Everything that the program says must stand there. `UPDATE_SUITE=1` writes the files anew; read them before you commit.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/suite/cli")
}

/// A picture that is not flat: smooth colours, an edge, some texture.
fn picture(width: u32, height: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let edge = if (x / 7 + y / 5) % 2 == 0 { 60 } else { 0 };
        let texture = (x * 31 + y * 17) % 23;
        image::Rgb([
            (x * 4 % 196 + edge) as u8,
            (y * 5 % 180 + edge + texture) as u8,
            ((x + y) * 2 % 200 + texture) as u8,
        ])
    })
}

fn furnish(folder: &Path) {
    let at = |name: &str| folder.join(name);
    picture(48, 32).save(at("photo.png")).expect("a picture can be written");
    picture(20, 20).save(at("square.png")).expect("a picture can be written");
    picture(1, 1).save(at("dot.png")).expect("a picture can be written");
    picture(20_000, 1).save(at("line.png")).expect("a picture can be written");
    image::GrayImage::from_fn(12, 40, |x, _| image::Luma([if x < 6 { 0 } else { 255 }]))
        .save(at("mask.png"))
        .expect("a mask can be written");
    fs::write(at("empty.png"), "").expect("a file can be written");
    fs::write(at("text.png"), "this is not a picture\n").expect("a file can be written");
    let whole = fs::read(at("photo.png")).expect("a picture can be read");
    fs::write(at("cut.png"), &whole[..whole.len() / 2]).expect("a file can be written");
    fs::create_dir_all(at("album/inner")).expect("a folder can be made");
    picture(8, 8).save(at("album/a.png")).expect("a picture can be written");
    picture(8, 6).save(at("album/inner/b.png")).expect("a picture can be written");
    fs::write(at("album/notes.txt"), "not a picture").expect("a file can be written");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    fs::copy(golden.join("formats.pth"), at("tiny.pth")).expect("a model can be copied");
    fs::copy(golden.join("clip_tiny.safetensors"), at("other.safetensors")).expect("a model can be copied");
    fs::write(at("evil.pth"), "cos\nsystem\n(S'touch evil-was-run'\ntR.").expect("a file can be written");
    fs::write(at("list.txt"), "photo.png\nalbum/a.png\n").expect("a file can be written");
    fs::write(
        at("wrong.ron"),
        "Graph(\n    format: 1,\n    inputs: { \"photo\": Image },\n    outputs: { \"photo\": \"big\" },\n    nodes: {\n        \
         \"big\": Upscael(image: \"photo\"),\n        \"more\": Resize(image: \"foto\", scale: 2),\n    },\n)\n",
    )
    .expect("a file can be written");
}

fn listing(folder: &Path, inside: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder.join(inside)).expect("a folder can be listed") {
        let entry = entry.expect("an entry can be read");
        let path = inside.join(entry.file_name());
        if entry.path().is_dir() {
            listing(folder, &path, found);
        } else {
            found.insert(path.to_string_lossy().into_owned());
        }
    }
}

/// What differs from run to run becomes a placeholder.
fn steady(line: &str, folder: &Path) -> String {
    let line = line.replace(&cache(folder).to_string_lossy().into_owned(), "[CACHE]");
    let line = line.replace(&models(folder).to_string_lossy().into_owned(), "[MODELS]");
    let line = line.replace(&folder.to_string_lossy().into_owned(), "[DIR]");
    let words: Vec<&str> = line.split(' ').collect();
    let mut out: Vec<String> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let next = words.get(i + 1).map(|next| next.trim_end_matches([',', '.', ')']));
        let number = word.parse::<f64>().is_ok();
        out.push(match next {
            Some("s" | "min" | "h") if number => "[TIME]".to_owned(),
            // What is cheaper to make than to keep is not kept: how many contents there are is a matter of speed.
            Some("GFLOP/s" | "MiB" | "GiB" | "contents" | "files") if number => "[N]".to_owned(),
            _ if is_digest(word) => word.replace(&word[..12], "[DIGEST]"),
            _ => (*word).to_owned(),
        });
    }
    out.join(" ").trim_end().to_owned()
}

/// Whether a word is the short form of a digest, which other weights would change.
fn is_digest(word: &str) -> bool {
    let bare = word.trim_end_matches(',');
    bare.len() == 12 && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the sessions in a folder keep their results: beside it, so that they do not show in it.
fn cache(folder: &Path) -> PathBuf {
    folder.with_file_name("cache")
}

/// Where the sessions in a folder keep their models.
fn models(folder: &Path) -> PathBuf {
    folder.with_file_name("models")
}

/// Runs one command, and writes down what happened.
fn transcript(command: &str, folder: &Path) -> String {
    let mut before = BTreeSet::new();
    listing(folder, Path::new(""), &mut before);
    let (typed, piped) = match command.split_once(" < ") {
        Some((typed, file)) => (typed, Some(file)),
        None => (command, None),
    };
    let mut words = typed.split_whitespace();
    assert_eq!(words.next(), Some("upweave"), "{command}");
    let stdin = match piped {
        Some(file) => Stdio::from(fs::File::open(folder.join(file)).expect("the file is there")),
        None => Stdio::null(),
    };
    let output = Command::new(env!("CARGO_BIN_EXE_upweave"))
        .args(words)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env("COLUMNS", "100")
        .env("UPWEAVE_CACHE", cache(folder))
        .env("UPWEAVE_MODELS", models(folder))
        .env("HF_HUB_CACHE", folder.with_file_name("no-hub"))
        .env_remove("UPWEAVE_MODEL_PATHS")
        .env_remove("UPWEAVE_CATALOG")
        .stdin(stdin)
        .output()
        .expect("the program starts");
    let mut text = format!("$ {command}\n");
    for (mark, bytes) in [("1>", &output.stdout), ("2>", &output.stderr)] {
        let Ok(said) = std::str::from_utf8(bytes) else {
            writeln!(text, "{mark} [{} bytes]", if bytes.is_empty() { "no" } else { "some" })
                .expect("memory takes text");
            continue;
        };
        for line in said.lines() {
            writeln!(text, "{}", format!("{mark} {}", steady(line, folder)).trim_end()).expect("memory takes text");
        }
    }
    writeln!(text, "= {}", output.status.code().unwrap_or(-1)).expect("memory takes text");
    let mut after = BTreeSet::new();
    listing(folder, Path::new(""), &mut after);
    for name in after.difference(&before) {
        let size =
            image::image_dimensions(folder.join(name)).map_or_else(|_| String::new(), |(w, h)| format!(" {w}x{h}"));
        writeln!(text, "+ {name}{size}").expect("memory takes text");
    }
    assert!(before.is_subset(&after), "`{command}` removed a file");
    text
}

#[test]
fn sessions() {
    let mut names: Vec<PathBuf> = fs::read_dir(suite())
        .expect("the suite is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    let mut wrong = String::new();
    for path in names {
        let kept = tempfile::tempdir().expect("there is room");
        // Some systems name the temporary folder by a link.
        let folder = kept.path().canonicalize().expect("it exists").join("folder");
        fs::create_dir(&folder).expect("a folder can be made");
        furnish(&folder);
        let expected = fs::read_to_string(&path).expect("a session can be read");
        let mut found = String::new();
        for line in expected.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                found.push_str(&transcript(command, &folder));
            } else if line.is_empty() || line.starts_with('#') {
                writeln!(found, "{line}").expect("memory takes text");
            }
        }
        if std::env::var_os("UPDATE_SUITE").is_some() {
            fs::write(&path, &found).expect("a session can be written");
        } else if found != expected {
            let first = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
            writeln!(wrong, "--- {}: first difference (found, expected): {first:#?}\n{found}", path.display())
                .expect("memory takes text");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
