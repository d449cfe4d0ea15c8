//! How a run knows that a result is there already: by the recipe in the file, or, where the file holds none, by a note that
//! is kept beside the results of the nodes.

use engine::{
    Store,
    digest::{Digest, Digester},
    value::Value,
};
use nodes::limits::Limits;
use std::{
    fs,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

/// Whether a file was made by this recipe, which names the pictures that it is of.
pub(super) fn is_made(store: &dyn Store, limits: &Limits, file: &Path, recipe: &str) -> bool {
    holds(limits, file, recipe)
        || note(file, recipe).is_some_and(|(action, value)| {
            store.get(action).and_then(|mut kept| kept.pop()).is_some_and(|(digest, _)| digest == value.digest())
        })
}

/// Remembers that a file was made by this recipe, unless it tells so itself.
pub(super) fn remember(store: &dyn Store, limits: &Limits, file: &Path, recipe: &str) {
    if store.keeps()
        && !holds(limits, file, recipe)
        && let Some((action, value)) = note(file, recipe)
    {
        store.put(action, &[(value.digest(), value)], Duration::MAX);
    }
}

fn holds(limits: &Limits, file: &Path, recipe: &str) -> bool {
    file.to_str().is_some_and(|path| matches!(nodes::files::recipe(path, limits), Ok(Some(held)) if held == recipe))
}

/// What is remembered of a file as it is now.
fn note(file: &Path, recipe: &str) -> Option<(Digest, Value)> {
    let about = fs::metadata(file).ok()?;
    let time = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let path = file.canonicalize().ok()?;
    let mut d = Digester::new("a result");
    d.text(&path.to_string_lossy());
    let action = d.finish();
    let mut d = Digester::new("recipe of a result");
    d.text(recipe);
    let text = format!("{} bytes, {} ns, {}", about.len(), time.as_nanos(), d.finish());
    Some((action, Value::Text(text.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::MemoryStore;

    #[test]
    fn a_file_without_recipe_is_known_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.bmp");
        fs::write(&file, "pixels").unwrap();
        let store = MemoryStore::new(1 << 20);
        let made = |recipe| is_made(&store, &Limits::LOCAL, &file, recipe);
        assert!(!made("one"));
        remember(&store, &Limits::LOCAL, &file, "one");
        assert!(made("one") && !made("two"));
        fs::write(&file, "other pixels").unwrap();
        assert!(!made("one"));
    }
}
