//! `extra_model_paths.yaml` of ComfyUI: which folders hold which models. Of YAML it needs maps of two levels, texts in one or several
//! lines, quotes and comments; anything else is told.

use super::{
    Purpose,
    walk::{self, Found},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most bytes of such a file.
const MOST_BYTES: u64 = 1 << 20;

/// Kinds of folders that hold nothing that could be used here.
const OTHERS: [&str; 14] = [
    "configs",
    "clip_vision",
    "style_models",
    "gligen",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
    "latent_upscale_models",
    "ipadapter",
    "download_model_base",
    "is_default",
];

/// A key with the lines of its value, and where it stands.
struct Pair {
    line: usize,
    key: String,
    values: Vec<String>,
}

/// Collects the models of all folders that the file names.
pub(super) fn read(file: &Path, found: &mut Found) {
    let shown = file.display();
    let text = match fs::metadata(file).and_then(|about| {
        if about.len() > MOST_BYTES { Err(std::io::ErrorKind::FileTooLarge.into()) } else { fs::read_to_string(file) }
    }) {
        Ok(text) => text,
        Err(error) => return found.notes.push(format!("`{shown}` cannot be read: {error}")),
    };
    let around = file.parent().unwrap_or(Path::new(""));
    let (sections, wrong) = sections(&text);
    found.notes.extend(wrong.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
    for section in sections {
        let base = section.iter().find(|pair| pair.key == "base_path").and_then(|pair| pair.values.first());
        let base = base.map_or_else(|| around.to_owned(), |base| around.join(home(base)));
        for Pair { line, key, values } in &section {
            match Purpose::of_folder(key) {
                Some(purpose) => {
                    values.iter().for_each(|value| walk::collect(&base.join(home(value)), purpose, found));
                }
                None if key == "base_path" || OTHERS.contains(&key.as_str()) => {}
                None => found.notes.push(format!("{shown}:{line}: `{key}` is no kind of models that is known")),
            }
        }
    }
}

/// A path with the user's folder in place of `~`.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// The maps of the second level, and lines that are not understood.
fn sections(text: &str) -> (Vec<Vec<Pair>>, Vec<(usize, String)>) {
    let (mut sections, mut wrong) = (Vec::<Vec<Pair>>::new(), Vec::new());
    // How far the keys of the section and those of its maps are indented, and whether lines of a value follow.
    let (mut keys, mut block): (Option<usize>, bool) = (None, false);
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = without_comment(raw);
        let (indent, content) = (line.len() - line.trim_start().len(), line.trim());
        if content.is_empty() || content == "---" {
            continue;
        }
        if block
            && keys.is_some_and(|keys| indent > keys)
            && let Some(pair) = sections.last_mut().and_then(|section| section.last_mut())
        {
            pair.values.push(unquoted(content).to_owned());
            continue;
        }
        block = false;
        let Some((key, value)) =
            content.split_once(':').filter(|(_, value)| value.is_empty() || value.starts_with(' '))
        else {
            wrong.push((index + 1, format!("`{content}` is not understood: `key: value` is")));
            continue;
        };
        let (key, value) = (unquoted(key.trim()).to_owned(), value.trim());
        if indent == 0 {
            if !value.is_empty() {
                wrong.push((index + 1, format!("`{key}` stands outside of any section")));
            }
            sections.push(Vec::new());
            keys = None;
            continue;
        }
        if sections.is_empty() || keys.is_some_and(|keys| keys != indent) || value.starts_with(['[', '{', '&', '*']) {
            wrong.push((index + 1, format!("`{content}` is not understood here")));
            continue;
        }
        keys = Some(indent);
        block = value.is_empty() || matches!(value.trim_end_matches(['-', '+']), "|" | ">");
        let values = if block { Vec::new() } else { vec![unquoted(value).to_owned()] };
        if let Some(section) = sections.last_mut() {
            section.push(Pair { line: index + 1, key, values });
        }
    }
    (sections, wrong)
}

/// A comment begins at the start of a line or behind a blank, outside of quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '#' && before.is_whitespace() => return &line[..at],
            None if (c == '"' || c == '\'') && (before.is_whitespace() || before == ':') => quote = Some(c),
            _ => {}
        }
        before = c;
    }
    line
}

fn unquoted(text: &str) -> &str {
    let inside = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}
