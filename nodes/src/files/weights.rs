//! Files of upscalers and restorers that people bring along, as nodes name them: read once, and told from each other by their content.

use super::places::{self, Purpose, is_model_name};
use super::turn;
use engine::{Blame, Failure, NodeResult, digest::Digest};
use models::{Compute, Detector, SuperResolution, detect::Kind, files::Tensors};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

/// Most bytes of a model file.
pub const MOST_MODEL_BYTES: u64 = 4 << 30;

/// Networks that are held at once: nodes of one graph seldom name more.
const HELD: usize = 2;

/// Endings of files that hold weights. What has none of them is the name of a model in the user's folder.
pub const MODEL_ENDINGS: [&str; 8] = ["safetensors", "pth", "pt", "ckpt", "pkl", "onnx", "param", "bin"];

pub(super) fn has_ending(model: &str) -> bool {
    let ending = Path::new(model).extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| MODEL_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// The file of a model: a name means one that is kept, with `wanted` only one that may be used so.
///
/// # Errors
/// When there is no model of this name, or more than one.
pub fn place(model: &str, wanted: Option<Purpose>) -> NodeResult<PathBuf> {
    if !is_model_name(model) {
        return Ok(PathBuf::from(model));
    }
    places::locate(model, wanted)?.ok_or_else(|| places::missing(model))
}

/// The bytes of a model.
pub struct ModelFile {
    file: Vec<u8>,
    /// The other file of a pair of ncnn's.
    beside: Option<Vec<u8>>,
    name: String,
}

impl ModelFile {
    /// Reads a file, and the one that belongs to it if it is one of a pair.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than [`MOST_MODEL_BYTES`].
    pub fn read(path: &Path) -> NodeResult<Self> {
        let beside = partner(path).map(|path| bytes(&path)).transpose()?;
        Ok(Self { file: bytes(path)?, beside, name: path.display().to_string() })
    }

    /// The content of the file that was named.
    pub fn bytes(&self) -> &[u8] {
        &self.file
    }

    /// A digest of the content.
    pub fn digest(&self) -> Digest {
        let digest = *blake3::hash(&self.file).as_bytes();
        let Some(beside) = &self.beside else { return Digest(digest) };
        // The same pair, whichever of it was named.
        let mut both = [digest, *blake3::hash(beside).as_bytes()];
        both.sort_unstable();
        Digest(*blake3::hash(both.as_flattened()).as_bytes())
    }

    /// The tensors in it.
    ///
    /// # Errors
    /// As [`Tensors::read`].
    pub fn tensors(&self) -> models::Result<Tensors<'_>> {
        Tensors::read(&self.name, &self.file, self.beside.as_deref())
    }

    /// The network in it.
    ///
    /// # Errors
    /// When it holds none that is known.
    pub fn network(&self, compute: Compute) -> models::Result<SuperResolution> {
        SuperResolution::of(&self.name, self.tensors()?, compute)
    }

    /// The detector in it.
    ///
    /// # Errors
    /// When it holds none that is known.
    pub fn detector(&self, compute: Compute) -> models::Result<Box<dyn Detector>> {
        models::detector(&self.name, self.tensors()?, self.digest().0, compute)
    }
}

/// The other file of a pair of ncnn's, if there is one.
fn partner(path: &Path) -> Option<PathBuf> {
    let other = match path.extension()?.to_str()? {
        "param" => "bin",
        "bin" => "param",
        _ => return None,
    };
    Some(path.with_extension(other)).filter(|other| other.is_file())
}

fn bytes(path: &Path) -> NodeResult<Vec<u8>> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        let failure = Failure::new(
            Blame::Model,
            match error.kind() {
                io::ErrorKind::NotFound => format!("there is no model file `{shown}`"),
                io::ErrorKind::PermissionDenied => format!("the model file `{shown}` may not be read"),
                _ => format!("the model file `{shown}` cannot be read: {error}"),
            },
        );
        failure.at("model").hint("check the spelling; paths start from the folder that the command runs in")
    };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    let refused = |message: String| Failure::new(Blame::Model, message).at("model");
    if about.is_dir() {
        return Err(refused(format!("`{shown}` is a folder, not a model file"))
            .hint("`upweave models scan` looks through folders"));
    }
    if about.len() > MOST_MODEL_BYTES {
        return Err(refused(format!(
            "the model file `{shown}` has {} bytes, above the limit of {MOST_MODEL_BYTES}",
            about.len()
        )));
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(about.len()).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(room).map_err(|_| {
        Failure::new(Blame::Memory, format!("there is no memory to read `{shown}`")).hint("close other programs")
    })?;
    file.take(MOST_MODEL_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A file as it was when it was read.
#[derive(Clone, PartialEq)]
struct Stamp {
    path: PathBuf,
    looks: Vec<(u64, Option<SystemTime>)>,
}

impl Stamp {
    fn of(path: PathBuf) -> Self {
        let look = |path: &Path| fs::metadata(path).ok().map(|about| (about.len(), about.modified().ok()));
        let looks = [Some(path.clone()), partner(&path)].into_iter().flatten().filter_map(|path| look(&path)).collect();
        Self { path, looks }
    }
}

/// What was made of a file.
struct Held<T: ?Sized> {
    stamp: Stamp,
    family: String,
    content: Arc<T>,
}

/// What was read last, the newest at the end. What a file says is never believed longer than it looks the same.
struct Shelf<T: ?Sized>(Mutex<Vec<Held<T>>>);

impl<T: ?Sized> Shelf<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// What `read` makes of a model.
    fn get(
        &self,
        model: &str,
        wanted: Option<Purpose>,
        compute: &Compute,
        read: impl FnOnce(&ModelFile) -> models::Result<Arc<T>>,
    ) -> NodeResult<Arc<T>> {
        let stamp = Stamp::of(place(model, wanted)?);
        let family = compute.family();
        let mut held = turn::wait(&self.0);
        if let Some(index) = held.iter().position(|held| held.stamp == stamp && held.family == family) {
            let found = held.remove(index);
            let content = found.content.clone();
            held.push(found);
            return Ok(content);
        }
        let file = ModelFile::read(&stamp.path)?;
        let content = read(&file).map_err(|error| crate::backend::failure(error).at("model"))?;
        if held.len() >= HELD {
            held.remove(0);
        }
        held.push(Held { stamp, family, content: content.clone() });
        Ok(content)
    }
}

/// The network of a model that enlarges or restores.
///
/// # Errors
/// When there is no such model, or it holds no network that is known.
pub(crate) fn network(model: &str, compute: Compute) -> NodeResult<Arc<SuperResolution>> {
    static SHELF: Shelf<SuperResolution> = Shelf::new();
    SHELF.get(model, Some(Purpose::Upscaler), &compute, |file| file.network(compute.clone()).map(Arc::new))
}

/// The detector of a model.
///
/// # Errors
/// When there is no such model, or it holds no detector that is known.
pub(crate) fn detector(model: &str, compute: Compute) -> NodeResult<Arc<dyn Detector>> {
    static SHELF: Shelf<dyn Detector> = Shelf::new();
    SHELF.get(model, None, &compute, |file| file.detector(compute.clone()).map(Arc::from))
}

/// What is known of files without making networks of them, and how they looked then.
type Glances<T> = Mutex<Vec<(Stamp, T)>>;

/// What `look` tells of a model, and the digest of its content. The names of its tensors are looked at, not their values.
fn glance<T: Clone>(
    glances: &Glances<(T, Digest)>,
    model: &str,
    wanted: Option<Purpose>,
    look: impl FnOnce(&ModelFile) -> models::Result<T>,
) -> NodeResult<(T, Digest)> {
    let stamp = Stamp::of(place(model, wanted)?);
    let mut known = turn::wait(glances);
    if let Some((_, told)) = known.iter().find(|(known, _)| *known == stamp) {
        return Ok(told.clone());
    }
    let file = ModelFile::read(&stamp.path)?;
    let told = (look(&file).map_err(|error| crate::backend::failure(error).at("model"))?, file.digest());
    known.push((stamp, told.clone()));
    Ok(told)
}

/// The digest of the content of a model that enlarges or restores. No network is made of it.
///
/// # Errors
/// As [`network`], as far as the names of the tensors tell.
pub(crate) fn network_digest(model: &str) -> NodeResult<Digest> {
    static GLANCES: Glances<((), Digest)> = Mutex::new(Vec::new());
    let look = |file: &ModelFile| SuperResolution::architecture_of(&file.name, file.tensors()?).map(|_| ());
    glance(&GLANCES, model, Some(Purpose::Upscaler), look).map(|(_, digest)| digest)
}

/// What the detector of a model finds, and the digest of its content. No network is made of it.
///
/// # Errors
/// As [`detector`], as far as the names of the tensors tell.
pub(crate) fn detector_digest(model: &str) -> NodeResult<(Kind, Digest)> {
    static GLANCES: Glances<(Kind, Digest)> = Mutex::new(Vec::new());
    glance(&GLANCES, model, None, |file| models::detector_kind(&file.name, &file.tensors()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let missing = |model: &str| network(model, Compute::default()).err().unwrap();
        for (model, part) in
            [("no-such-model", "no model `no-such-model`"), ("/no/such.pth", "no model file `/no/such.pth`")]
        {
            let failure = missing(model);
            assert!(failure.message.contains(part), "{}", failure.message);
            assert_eq!((failure.blame, failure.field.as_deref()), (Blame::Model, Some("model")));
        }
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pth");
        fs::write(&path, include_bytes!("../../../models/tests/golden/formats.pth")).unwrap();
        let model = path.to_str().unwrap();
        let first = network(model, Compute::default()).unwrap();
        let before = network_digest(model).unwrap();
        assert!(Arc::ptr_eq(&first, &network(model, Compute::default()).unwrap()));
        fs::write(&path, include_bytes!("../../../models/tests/golden/srvgg_tiny.safetensors")).unwrap();
        let second = network(model, Compute::default()).unwrap();
        assert_ne!(before, network_digest(model).unwrap());
        assert_eq!((first.scale(), second.scale()), (2, 4));
    }
}
