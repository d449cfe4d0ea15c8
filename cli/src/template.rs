//! Names of results by a template: `{dir}/{stem}.{scale}x.{ext}`.

use std::path::PathBuf;

/// What may stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Dir,
    Inside,
    Stem,
    Scale,
    Ext,
    Type,
    Seed,
    Hash8,
    Date,
    Frame,
}

impl Part {
    const ALL: [(&str, Self); 10] = [
        ("dir", Self::Dir),
        ("inside", Self::Inside),
        ("stem", Self::Stem),
        ("scale", Self::Scale),
        ("ext", Self::Ext),
        ("type", Self::Type),
        ("seed", Self::Seed),
        ("hash8", Self::Hash8),
        ("date", Self::Date),
        ("frame", Self::Frame),
    ];

    /// Whether it is a path, rather than a piece of a name.
    fn is_path(self) -> bool {
        matches!(self, Self::Dir | Self::Inside)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Part(Part),
}

/// A template, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    /// # Errors
    /// When something else stands in braces, or a brace is not closed.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let known = || Part::ALL.map(|(name, _)| format!("{{{name}}}")).join(" ");
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let part = after
                .split_once('}')
                .and_then(|(name, after)| Some((Part::ALL.iter().find(|(known, _)| *known == name)?.1, after)));
            let Some((part, after)) = part.filter(|_| !before.contains('}')) else {
                return Err(format!("`{text}` has an unknown name in braces; there are {}", known()));
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Part(part));
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` closes a brace that is not open; names in braces are {}", known()));
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// Whether it holds this part.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.0.contains(&Piece::Part(part))
    }

    /// The path, with the parts as `value` gives them. What is no path itself cannot lead into another folder.
    ///
    /// # Errors
    /// When a part has no value.
    pub(crate) fn fill(&self, mut value: impl FnMut(Part) -> Result<String, String>) -> Result<PathBuf, String> {
        let mut path = String::new();
        let mut none = false;
        for piece in &self.0 {
            match piece {
                // Behind a folder that is none there is nothing to part.
                Piece::Text(text) if none => path.push_str(text.trim_start_matches(std::path::is_separator)),
                Piece::Text(text) => path.push_str(text),
                Piece::Part(part) if part.is_path() => path.push_str(&value(*part)?),
                Piece::Part(part) => path.push_str(&value(*part)?.replace(std::path::is_separator, "_")),
            }
            none = matches!(piece, Piece::Part(part) if part.is_path())
                && (path.is_empty() || path.ends_with(std::path::is_separator));
        }
        Ok(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_in_and_never_twice() {
        let template = Template::new("{dir}/{stem}-{scale}.{ext}").unwrap();
        let value = |part| {
            Ok(match part {
                Part::Dir => "a/b",
                Part::Stem => "{ext}",
                Part::Scale => "../2",
                _ => "png",
            }
            .to_owned())
        };
        assert_eq!(template.fill(value), Ok(PathBuf::from("a/b/{ext}-.._2.png")));
        assert!(template.has(Part::Stem) && !template.has(Part::Date));
        assert!(template.fill(|_| Err("no".to_owned())).is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in ["{name}", "{stem", "stem}", "{}", "{{stem}}", "}{stem}"] {
            assert!(Template::new(text).is_err(), "{text}");
        }
    }
}
