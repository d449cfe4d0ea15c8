//! What the arguments mean.

use crate::{
    args::{Bits, Controls, Machine, Numbers, OnExists, Quality, Seed, StripMetadata, Writing},
    library::Shelf,
};
use engine::{Binding, Registry, Request, Setting, Text};
use nodes::limits::{Limits, Profile};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    path::Path,
};

/// A graph with its settings, as often as it runs.
pub(crate) struct Recipe {
    pub file: Text,
    pub preset: Option<String>,
    pub settings: Vec<Setting>,
    pub shelf: Shelf,
}

impl Recipe {
    pub(crate) fn new(file: Text) -> Self {
        Self { file, preset: None, settings: Vec::new(), shelf: Shelf::default() }
    }

    pub(crate) fn request(&self, inputs: Vec<Binding>, outputs: Vec<Binding>) -> Request<'_> {
        Request {
            file: self.file.clone(),
            library: &self.shelf,
            registry: REGISTRY,
            preset: self.preset.clone(),
            settings: self.settings.clone(),
            inputs,
            outputs,
        }
    }
}

/// All kinds of nodes.
pub(crate) const REGISTRY: Registry = nodes::NODES;

/// `--set` as settings; the values are RON already.
pub(crate) fn ron_settings(set: &[(String, String)]) -> Vec<Setting> {
    let setting = |(target, value): &(String, String)| Setting {
        target: target.clone(),
        value: value.clone(),
        origin: format!("--set {target}"),
    };
    set.iter().map(setting).collect()
}

/// The controls as settings of the names that graphs expose, and the seed if one was drawn.
pub(crate) fn control_settings(controls: &Controls) -> (Vec<Setting>, Option<u32>) {
    let mut drawn = None;
    let seed = controls.seed.map(|seed| match seed {
        Seed::Given(seed) => seed,
        Seed::Random => *drawn.insert(RandomState::new().build_hasher().finish() as u32),
    });
    let quality = controls.quality.map(|quality| match quality {
        Quality::Auto => "Auto",
        Quality::Low => "Low",
        Quality::High => "High",
    });
    let precision = controls.precision.map(|numbers| match numbers {
        Numbers::Auto => "Auto",
        Numbers::F32 => "F32",
        Numbers::Bf16 => "Bf16",
    });
    let number = |value: Option<f64>| value.map(|value| format!("{value:?}"));
    let text = |text: &Option<String>| text.as_deref().map(ron_text);
    // `-t 0` means the tile that fits, which is what leaving it out means as well.
    let tile = controls.tile.filter(|&tile| tile > 0);
    let all = [
        ("scale", number(controls.scale)),
        ("quality", quality.map(str::to_owned)),
        ("creativity", number(controls.creativity)),
        ("resemblance", number(controls.resemblance)),
        ("detail", number(controls.detail)),
        ("preserve_faces", controls.preserve_faces.map(|on| on.to_string())),
        ("preserve_hands", controls.preserve_hands.map(|on| on.to_string())),
        ("seed", seed.map(|seed| seed.to_string())),
        ("steps", controls.steps.map(|steps| steps.to_string())),
        ("precision", precision.map(str::to_owned)),
        ("checkpoint", text(&controls.drawing.checkpoint)),
        ("prompt", text(&controls.drawing.prompt)),
        ("negative", text(&controls.drawing.negative_prompt)),
        ("tile", tile.map(|tile| tile.to_string())),
    ];
    let settings = all.into_iter().filter_map(|(name, value)| {
        Some(Setting { target: name.to_owned(), value: value?, origin: format!("--{}", name.replace('_', "-")) })
    });
    (settings.collect(), drawn)
}

/// The limits that were asked for.
///
/// # Errors
/// When there is no such profile.
pub(crate) fn limits(machine: &Machine) -> Result<Limits, String> {
    let Some(profile) = Profile::from_name(&machine.limits) else {
        let names = Profile::ALL.map(Profile::name).join(", ");
        return Err(format!("there are no limits `{}`; profiles: {names}", machine.limits));
    };
    let limits = profile.limits();
    Ok(Limits {
        input_pixels: machine.max_input_pixels.or(limits.input_pixels),
        output_pixels: machine.max_output_pixels.or(limits.output_pixels),
        file_bytes: machine.max_file_bytes.or(limits.file_bytes),
        metadata_bytes: machine.max_metadata_bytes.or(limits.metadata_bytes),
        frames: machine.max_frames.or(limits.frames),
        decode_seconds: limits.decode_seconds,
    })
}

/// A text in RON.
pub(crate) fn ron_text(text: &str) -> String {
    let mut ron = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => ron.push_str("\\\""),
            '\\' => ron.push_str("\\\\"),
            c if c.is_control() => ron.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => ron.push(c),
        }
    }
    ron.push('"');
    ron
}

fn ron_limits(limits: &Limits) -> String {
    let one = |limit: Option<u64>| limit.map_or_else(|| "None".to_owned(), |limit| format!("Some({limit})"));
    format!(
        "(input_pixels: {}, output_pixels: {}, file_bytes: {}, metadata_bytes: {}, frames: {}, decode_seconds: {})",
        one(limits.input_pixels),
        one(limits.output_pixels),
        one(limits.file_bytes),
        one(limits.metadata_bytes),
        one(limits.frames),
        one(limits.decode_seconds)
    )
}

/// The path as text.
///
/// # Errors
/// When it is not Unicode, and so cannot be part of a graph.
pub(crate) fn path_text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("the name `{}` is not Unicode", path.display()))
}

/// The node that reads a picture into an input, or one frame of it.
pub(crate) fn load(input: &str, path: &str, frame: u32, limits: &Limits, origin: &str) -> Binding {
    let frame = if frame == 0 { String::new() } else { format!(", frame: {frame}") };
    let fields = format!("(path: {}{frame}, limits: {})", ron_text(path), ron_limits(limits));
    Binding { name: input.to_owned(), kind: "Load".to_owned(), fields, origin: origin.to_owned() }
}

/// The node that reads a mask into an input.
pub(crate) fn load_mask(input: &str, path: &str, limits: &Limits, origin: &str) -> Binding {
    Binding { kind: "MaskLoad".to_owned(), ..load(input, path, 0, limits, origin) }
}

/// Tells what was typed that files with this ending have no use for.
pub(crate) fn without_effect(writing: &Writing, ending: &str) -> Option<String> {
    let jpeg = ["jpg", "jpeg"].contains(&ending);
    let idle = [
        ("--jpeg-quality", writing.jpeg_quality.is_some() && !jpeg),
        ("--progressive", writing.progressive && !jpeg),
        ("--webp-quality", writing.webp_quality.is_some() && ending != "webp"),
    ];
    let idle: Vec<String> = idle.iter().filter(|(_, idle)| *idle).map(|(flag, _)| format!("`{flag}`")).collect();
    (!idle.is_empty()).then(|| format!("{} changes nothing about .{ending} files", idle.join(", ")))
}

/// How results are written.
#[derive(Clone, Debug)]
pub(crate) struct Saving {
    /// Parameters of `Save`, and their values in RON.
    pub fields: BTreeMap<String, String>,
    pub keep_recipe: bool,
    pub on_exists: Option<OnExists>,
}

impl Saving {
    pub(crate) fn new(writing: &Writing) -> Self {
        let depth = writing.depth.map(|depth| match depth {
            Bits::Eight => "Eight",
            Bits::Sixteen => "Sixteen",
            Bits::Float => "Float",
        });
        let set = |on: bool| on.then(|| "true".to_owned());
        let fields = [
            ("strip_metadata", set(writing.strip_metadata == Some(StripMetadata::All))),
            ("strip_gps", set(writing.strip_metadata == Some(StripMetadata::Gps))),
            ("quality", writing.jpeg_quality.map(|quality| quality.to_string())),
            ("webp_quality", writing.webp_quality.map(|quality| format!("Some({quality})"))),
            ("progressive", set(writing.progressive)),
            ("depth", depth.map(str::to_owned)),
        ];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self {
            fields: fields.collect(),
            keep_recipe: !writing.no_recipe && writing.strip_metadata != Some(StripMetadata::All),
            on_exists: writing.on_exists,
        }
    }

    /// Whether a recipe may say this about how results are written.
    pub(crate) fn is_field(name: &str, value: &str) -> bool {
        match name {
            "strip_gps" | "progressive" => value == "true",
            "quality" => value.parse::<u32>().is_ok_and(|quality| (1..=100).contains(&quality)),
            "webp_quality" => value
                .strip_prefix("Some(")
                .and_then(|value| value.strip_suffix(')')?.parse::<u32>().ok())
                .is_some_and(|quality| (1..=100).contains(&quality)),
            "depth" => ["Eight", "Sixteen", "Float"].contains(&value),
            _ => false,
        }
    }

    /// Stands for the way in which results are written.
    pub(crate) fn way(&self) -> String {
        format!("{:?}, recipe {}", self.fields, self.keep_recipe)
    }

    /// The node that writes an output to a file, `again` when that may have been done already. The `origin` of the picture is its
    /// recipe, and the same in a line.
    pub(crate) fn save(&self, output: &str, path: &str, origin: Option<&(String, String)>, again: bool) -> Binding {
        // What is there was already looked at when the name was chosen; this is for files that come in between.
        let on_exists = match self.on_exists {
            _ if again => "Overwrite",
            None | Some(OnExists::Rename) => "Rename",
            Some(OnExists::Skip) => "Skip",
            Some(OnExists::Overwrite) => "Overwrite",
            Some(OnExists::Error) => "Error",
        };
        let mut fields = format!("(path: {}, on_exists: {on_exists}", ron_text(path));
        for (name, value) in &self.fields {
            fields.push_str(&format!(", {name}: {value}"));
        }
        if let Some((recipe, line)) = origin {
            fields.push_str(&format!(", recipe: Some({}), parameters: Some({})", ron_text(recipe), ron_text(line)));
        }
        fields.push(')');
        Binding { name: output.to_owned(), kind: "Save".to_owned(), fields, origin: "-o".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_ron() {
        assert_eq!(ron_text("a \"b\" c:\\d\n"), r#""a \"b\" c:\\d\u{a}""#);
    }

    #[test]
    fn controls_become_settings() {
        let controls = Controls {
            scale: Some(2.5),
            quality: Some(Quality::Low),
            preserve_faces: Some(true),
            seed: Some(Seed::Random),
            tile: Some(0),
            ..Controls::default()
        };
        let (settings, drawn) = control_settings(&controls);
        let seed = drawn.expect("a seed was drawn").to_string();
        let seen: Vec<_> = settings.iter().map(|s| (s.origin.as_str(), s.value.as_str())).collect();
        assert_eq!(seen, [("--scale", "2.5"), ("--quality", "Low"), ("--preserve-faces", "true"), ("--seed", &*seed)]);
    }
}
