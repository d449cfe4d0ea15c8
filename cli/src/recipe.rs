//! The recipe in a result: what it takes to make the picture again.
//!
//! `upweave run result.png photo=photo.jpg` repeats it. A recipe may come from a stranger, so it is read with care: it is
//! checked like every graph, and it must not read or write files on its own.

use crate::{
    job::{Recipe, Saving},
    library::Shelf,
};
use engine::{Graph, Setting, Text, digest::Digester};
use nodes::{Named, limits::Limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings that change memory and time, never the picture, as long as only the embedded models draw.
const WITHOUT_EFFECT: [&str; 1] = ["tile"];

/// What is kept in a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The version that made it.
    upweave: String,
    /// The name of the graph file.
    graph: String,
    /// The graph file and the parts that it is made of, by name.
    files: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preset: Option<String>,
    /// Parameter and value in RON, in the order in which they were set.
    #[serde(default)]
    set: Vec<(String, String)>,
    /// Digests of the embedded models.
    models: BTreeMap<String, String>,
    /// How the result is written, where that is not usual: parameters of `Save`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    save: BTreeMap<String, String>,
    /// Digests of the pictures that fed the inputs, and what else did.
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    /// Stamps of the recipes that have made the picture which fed the first input, the last of them last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
}

impl Kept {
    /// Stands for what is done to pictures, whichever they are.
    fn stamp(&self) -> Option<String> {
        let alone = Self { inputs: BTreeMap::new(), after: Vec::new(), ..self.clone() };
        let mut d = Digester::new("recipe");
        d.text(&serde_json::to_string(&alone).ok()?);
        Some(d.finish().to_string().chars().take(16).collect())
    }
}

/// So many recipes are remembered that a picture has gone through.
const MOST_STAMPS: usize = 64;

/// Stamps of the recipes that a picture has gone through, as far as it tells.
pub(crate) fn stamps(path: &str, limits: &Limits) -> Vec<String> {
    let Ok(Some(mut kept)) = kept_in(path, limits) else { return Vec::new() };
    let last = kept.stamp();
    kept.after.extend(last);
    let surplus = kept.after.len().saturating_sub(MOST_STAMPS);
    kept.after.split_off(surplus)
}

/// A recipe without the pictures that it is made from.
pub(crate) struct Base {
    kept: Kept,
    stamp: Option<String>,
}

impl Base {
    /// Of a graph that was built: only then all its parts are known.
    pub(crate) fn new(recipe: &Recipe, saving: &Saving) -> Self {
        let kept = Kept { save: saving.fields.clone(), ..kept(recipe) };
        Self { stamp: kept.stamp(), kept }
    }

    /// What matters of it in a line, in the form that stable-diffusion-webui has introduced and many programs read.
    pub(crate) fn line(&self) -> String {
        let Kept { graph, preset, set, upweave, files, .. } = &self.kept;
        let set = |name: &str| set.iter().rfind(|(target, _)| target == name).map(|(_, value)| value.as_str());
        let sampled = files.get(graph).is_some_and(|text| text.contains("\"steps\""));
        let steps = set("steps").unwrap_or(if sampled { "4" } else { "1" });
        let mut line = format!(
            "{}\nSteps: {steps}, Sampler: Upweave, Seed: {}",
            preset.as_deref().unwrap_or("universal"),
            set("seed").unwrap_or("0")
        );
        for (name, shown) in [("creativity", "Denoising strength"), ("scale", "Upscale by")] {
            if let Some(value) = set(name) {
                line.push_str(&format!(", {shown}: {value}"));
            }
        }
        line.push_str(&format!(", Model: {}, Version: Upweave {upweave}", graph.replace(",", " ")));
        line
    }

    /// Whether it is one of these recipes that a picture has gone through.
    pub(crate) fn is_among(&self, stamps: &[String]) -> bool {
        self.stamp.as_ref().is_some_and(|stamp| stamps.contains(stamp))
    }

    /// The recipe as a text to keep, with what fed the inputs, and what that has gone through before.
    pub(crate) fn text(&self, inputs: BTreeMap<String, String>, after: Vec<String>) -> Option<String> {
        serde_json::to_string(&Kept { inputs, after, ..self.kept.clone() }).ok()
    }
}

/// The models that the nodes of a graph name, and the digests of those that are there.
fn brought(graph: &Graph) -> impl Iterator<Item = (Named, Option<String>)> {
    let named = graph.nodes().iter().flat_map(|node| Named::all(&node.parameters()));
    named.map(|named| {
        let digest = named.digest().ok().map(|digest| hex(&digest.0));
        (named, digest)
    })
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kept(recipe: &Recipe) -> Kept {
    let mut files = recipe.shelf.opened();
    files.insert(recipe.file.name.clone(), recipe.file.text.clone());
    let models = models::digests().into_iter().map(|(name, digest)| (name.to_owned(), hex(&digest)));
    let built = engine::build(&recipe.request(Vec::new(), Vec::new()));
    let brought: Vec<_> = built.iter().flat_map(|built| brought(&built.graph)).collect();
    let without_effect = |setting: &&Setting| brought.is_empty() && WITHOUT_EFFECT.contains(&setting.target.as_str());
    let set = recipe.settings.iter().filter(|setting| !without_effect(setting));
    let set = set.map(|setting| (setting.target.clone(), setting.value.clone())).collect();
    let models = models.chain(brought.into_iter().filter_map(|(named, digest)| Some((named.model, digest?))));
    Kept {
        upweave: env!("CARGO_PKG_VERSION").to_owned(),
        graph: recipe.file.name.clone(),
        files,
        preset: recipe.preset.clone(),
        set,
        models: models.collect(),
        save: BTreeMap::new(),
        inputs: BTreeMap::new(),
        after: Vec::new(),
    }
}

/// What a file keeps, as a text and taken apart; nothing when it is no picture or keeps nothing.
fn kept_in(path: &str, limits: &Limits) -> Result<Option<Kept>, String> {
    let Ok(Some(text)) = nodes::files::recipe(path, limits) else { return Ok(None) };
    let kept: Kept =
        serde_json::from_str(&text).map_err(|error| format!("the recipe in `{path}` cannot be read: {error}"))?;
    match kept.save.iter().find(|(name, value)| !Saving::is_field(name, value)) {
        Some((name, _)) => Err(format!("the recipe in `{path}` wants to save in a way that is not known: `{name}`")),
        None => Ok(Some(kept)),
    }
}

/// The recipe in a picture for people, a line each.
///
/// # Errors
/// When there is one that cannot be read.
pub(crate) fn described(path: &str, limits: &Limits) -> Result<Option<Vec<(String, String)>>, String> {
    let Some(kept) = kept_in(path, limits)? else { return Ok(None) };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut lines = vec![pair("made by", &format!("Upweave {}", kept.upweave)), pair("graph", &kept.graph)];
    lines.extend(kept.preset.iter().map(|preset| pair("preset", preset)));
    lines.extend(kept.set.iter().map(|(name, value)| pair(name, value)));
    lines.extend(kept.save.iter().map(|(name, value)| pair(name, value)));
    lines.extend(kept.inputs.iter().map(|(name, value)| (format!("from {name}"), value.clone())));
    lines.extend(kept.models.iter().map(|(name, value)| (format!("model {name}"), value.clone())));
    lines.extend(kept.files.keys().map(|name| pair("holds", name)));
    Ok(Some(lines))
}

/// How the result in a picture was written.
pub(crate) fn saving_of(path: &str, limits: &Limits) -> BTreeMap<String, String> {
    kept_in(path, limits).ok().flatten().map(|kept| kept.save).unwrap_or_default()
}

/// The recipe that a picture file holds; nothing when it is no picture or holds none.
///
/// # Errors
/// When there is one that must not or cannot be run.
pub(crate) fn of_picture(path: &str, limits: &Limits) -> Result<Option<Recipe>, String> {
    let Some(kept) = kept_in(path, limits)? else { return Ok(None) };
    let Some(graph) = kept.files.get(&kept.graph) else {
        return Err(format!("the recipe in `{path}` has no graph"));
    };
    let set = kept.set.iter().map(|(target, value)| Setting {
        target: target.clone(),
        value: value.clone(),
        origin: format!("{path}, {target}"),
    });
    let recipe = Recipe {
        file: Text { name: kept.graph.clone(), text: graph.clone() },
        preset: kept.preset.clone(),
        settings: set.collect(),
        shelf: Shelf::with(kept.files.clone()),
    };
    // What cannot be built by itself could be another graph once files are bound to it.
    let built = engine::build(&recipe.request(Vec::new(), Vec::new())).map_err(|found| {
        let first = found.items.first().map_or("unknown", |item| item.message.as_str());
        format!("the graph of the recipe in `{path}` has mistakes: {first}")
    })?;
    if let Some((node, model)) = built.graph.nodes().iter().find_map(|node| Some((node, model_file(node)?))) {
        return Err(format!(
            "the recipe in `{path}` wants to read the model file `{model}` (`{}`): import the model, and name it by its name",
            node.id
        ));
    }
    if let Some(node) = built.graph.nodes().iter().find(|node| touches_files(node.kind_name())) {
        let kind = node.kind_name();
        return Err(format!("the recipe in `{path}` wants to use files by itself (`{}` is a `{kind}`)", node.id));
    }
    let other = |(named, digest): &(Named, Option<String>)| {
        kept.models.get(&named.model).is_some_and(|then| digest.as_ref().is_some_and(|now| now != then))
    };
    if let Some((named, _)) = brought(&built.graph).find(other) {
        return Err(format!("the model `{}` is another one than `{path}` was made with", named.model));
    }
    Ok(Some(recipe))
}

/// The file that a node wants to read a model from. A name is none: it means something in the folders of models only.
fn model_file(node: &engine::GraphNode) -> Option<String> {
    let named = Named::all(&node.parameters()).into_iter().map(|named| named.model);
    named.into_iter().find(|model| !nodes::files::is_model_name(model))
}

fn touches_files(kind: &str) -> bool {
    ["Load", "MaskLoad", "Save"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library;

    fn recipe(text: &str) -> Recipe {
        Recipe::new(Text { name: "mine.ron".to_owned(), text: text.to_owned() })
    }

    fn text(recipe: &Recipe) -> String {
        let saving = Saving { fields: BTreeMap::new(), keep_recipe: true, on_exists: None };
        Base::new(recipe, &saving).text(BTreeMap::new(), Vec::new()).unwrap()
    }

    fn written(folder: &std::path::Path, text: &str) -> String {
        let path = folder.join("a.png").display().to_string();
        let graph = "Graph(format: 1, inputs: {\"photo\": Image}, outputs: {\"photo\": \"large\"}, \
                     nodes: {\"large\": Resize(image: \"photo\", width: 4, height: 4)})";
        let binding = |name: &str, kind: &str, fields: String| engine::Binding {
            name: name.to_owned(),
            kind: kind.to_owned(),
            fields,
            origin: String::new(),
        };
        image::RgbImage::new(4, 4).save(folder.join("in.png")).unwrap();
        let input = folder.join("in.png").display().to_string();
        let load = binding("photo", "Load", format!("(path: {})", crate::job::ron_text(&input)));
        let fields = format!("(path: {}, recipe: {})", crate::job::ron_text(&path), crate::job::ron_text(text));
        let built = engine::build(&recipe(graph).request(vec![load], vec![binding("photo", "Save", fields)])).unwrap();
        engine::run(&built.graph, engine::World::quiet(&engine::NoStore)).unwrap();
        path
    }

    #[test]
    fn a_recipe_survives_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let mut main = Recipe::new(library::graph("dynamic-upscale").unwrap());
        main.preset = Some("anime".to_owned());
        let set = |target: &str, value: &str| Setting {
            target: target.to_owned(),
            value: value.to_owned(),
            origin: String::new(),
        };
        main.settings = vec![set("seed", "7"), set("tile", "64")];
        engine::build(&main.request(Vec::new(), Vec::new())).unwrap();
        let path = written(folder.path(), &text(&main));
        let again = of_picture(&path, &Limits::LOCAL).unwrap().expect("there is a recipe");
        assert_eq!((again.file, again.preset.as_deref()), (main.file, Some("anime")));
        assert_eq!(again.settings.iter().map(|s| s.target.as_str()).collect::<Vec<_>>(), ["seed"]);
        assert_eq!(again.shelf.opened(), main.shelf.opened());
    }

    #[test]
    fn strangers_do_not_touch_files() {
        let folder = tempfile::tempdir().unwrap();
        let evil = recipe(
            "Graph(format: 1, outputs: {\"x\": \"in:evil\"}, nodes: {\"a\": Load(path: \"/etc/passwd\"), \
             \"in:evil\": Save(image: \"a\", path: \"/tmp/x.png\")})",
        );
        let path = written(folder.path(), &text(&evil));
        assert!(of_picture(&path, &Limits::LOCAL).is_err_and(|message| message.contains("by itself")));
        let model = |name: &str| {
            let nodes = format!(
                "Graph(format: 1, inputs: {{\"photo\": Image}}, outputs: {{\"photo\": \"large\"}}, \
                                 nodes: {{\"large\": Upscale(image: \"photo\", model: \"{name}\")}})"
            );
            of_picture(&written(folder.path(), &text(&recipe(&nodes))), &Limits::LOCAL)
        };
        assert!(model("/etc/passwd.pth").is_err_and(|message| message.contains("import the model")));
        assert!(model("secret.safetensors").is_err_and(|message| message.contains("import the model")));
        assert!(model("mine").is_ok());
        let path = written(folder.path(), "not json");
        assert!(of_picture(&path, &Limits::LOCAL).is_err());
    }
}
