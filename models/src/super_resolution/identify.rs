//! Which network a file is for: found from the names and shapes of its tensors alone.

use super::{
    Network, craft, dat, denoisers, dncnn, espcn, fsrcnn, hat, imdn, omnisr, plksr, rlfn, rrdb, safmn, span, srvgg,
    swinir, upconv7,
};
use crate::files::Tensors;
use crate::layers::Weights;
use crate::{Error, Result};

/// A kind of network that is read.
pub(crate) struct Architecture {
    /// Its name for people.
    pub(super) name: &'static str,
    /// Tensors that every file of it has.
    pub(super) signs: &'static [&'static str],
    /// Turns other names that its files come with into those of `signs`.
    pub(super) names: &'static [for<'a> fn(Tensors<'a>) -> Tensors<'a>],
    /// Tells it from others that have the same signs.
    pub(super) is: fn(&Tensors<'_>) -> bool,
    /// Makes the network; sizes come from the shapes.
    pub(super) load: fn(&Weights<'_>) -> Result<Box<dyn Network>>,
}

/// All of them; the more particular ones come first.
const ARCHITECTURES: [&Architecture; 21] = [
    &rrdb::ARCHITECTURE,
    &srvgg::ARCHITECTURE,
    &span::ARCHITECTURE,
    &rlfn::ARCHITECTURE,
    &imdn::ARCHITECTURE,
    &safmn::ARCHITECTURE,
    &safmn::PLUS,
    &plksr::ARCHITECTURE,
    &plksr::REAL,
    &craft::ARCHITECTURE,
    &dat::ARCHITECTURE,
    &hat::ARCHITECTURE,
    &swinir::ARCHITECTURE,
    &omnisr::ARCHITECTURE,
    &upconv7::ARCHITECTURE,
    &denoisers::DRUNET,
    &denoisers::SCUNET,
    &dncnn::ARCHITECTURE,
    &dncnn::FIRST,
    &espcn::ARCHITECTURE,
    &fsrcnn::ARCHITECTURE,
];

/// Prefixes that some programs put before all names.
const PREFIXES: [&str; 3] = ["model.", "net.", "generator."];

/// Signs that are listed when a file is unknown.
const LISTED: usize = 4;

/// Names of all networks that are read.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    ARCHITECTURES.iter().map(|architecture| architecture.name)
}

/// The network of a file, and its tensors by the names that the network knows. `name` is what errors call the file.
///
/// # Errors
/// When it is for none of them: the message names the nearest, and what tells them apart.
pub(super) fn identify<'a>(name: &str, tensors: Tensors<'a>) -> Result<(&'static Architecture, Tensors<'a>)> {
    let fits = |architecture: &Architecture, tensors: &Tensors<'_>| {
        missing(architecture, tensors).next().is_none() && (architecture.is)(tensors)
    };
    let variants = |tensors: &Tensors<'a>| -> Vec<Tensors<'a>> {
        let stripped = PREFIXES.into_iter().filter(|prefix| tensors.names().all(|name| name.starts_with(prefix)));
        let stripped =
            stripped.map(|prefix| tensors.clone().renamed(|name| Some(name.strip_prefix(prefix)?.to_owned())));
        [tensors.clone()].into_iter().chain(stripped).collect()
    };
    let mut nearest: Option<(usize, &Architecture, Vec<&str>)> = None;
    for tensors in variants(&tensors) {
        for architecture in ARCHITECTURES {
            let named = architecture.names.iter().map(|name| name(tensors.clone()));
            for tensors in [tensors.clone()].into_iter().chain(named) {
                if fits(architecture, &tensors) {
                    return Ok((architecture, tensors));
                }
                let lacking: Vec<&str> = missing(architecture, &tensors).collect();
                // In parts of a thousand, so that networks of few signs do not look near.
                let share = (architecture.signs.len() - lacking.len()) * 1000 / architecture.signs.len();
                if nearest.as_ref().is_none_or(|(best, ..)| share > *best) {
                    nearest = Some((share, architecture, lacking));
                }
            }
        }
    }
    let (message, more) = match crate::unused::told(&tensors) {
        Some(told) => (format!("it holds {told}"), String::new()),
        None => unknown(nearest, &tensors),
    };
    Err(Error::Unused { file: name.into(), message, more })
}

/// Signs that are not there.
fn missing<'t>(architecture: &Architecture, tensors: &'t Tensors<'_>) -> impl Iterator<Item = &'static str> + use<'t> {
    let signs = architecture.signs;
    signs.iter().copied().filter(|sign| tensors.get(sign).is_none())
}

/// What to say of a file that is for no network that is known: in a line, and more.
fn unknown(nearest: Option<(usize, &Architecture, Vec<&str>)>, tensors: &Tensors<'_>) -> (String, String) {
    let listed = |names: &mut dyn Iterator<Item = String>| names.take(LISTED).collect::<Vec<_>>().join(", ");
    let has = |name: &str| format!("`{name}` {:?}", tensors.get(name).map_or(&[][..], |tensor| tensor.shape()));
    let first = listed(&mut tensors.names().map(has));
    let near = |architecture: &Architecture| format!("; the nearest is {}", architecture.name);
    let (near, differs) = match nearest {
        Some((share, architecture, lacking)) if share > 0 && !lacking.is_empty() => {
            let lacking = listed(&mut lacking.iter().map(|name| format!("`{name}`")));
            (near(architecture), format!(", which would have {lacking}"))
        }
        Some((share, architecture, _)) if share > 0 => {
            (near(architecture), ", whose tensors have other shapes".to_owned())
        }
        _ => (String::new(), format!("; these are: {}", architectures().collect::<Vec<_>>().join(", "))),
    };
    let count = tensors.names().count();
    (
        format!("it is for no network that is known here{near}"),
        format!("{differs}; its {count} tensors begin with {first}"),
    )
}
