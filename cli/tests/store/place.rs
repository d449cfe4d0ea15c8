//! A folder of models, a list of models, and the program beside them.

use sha2::{Digest, Sha256};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// What a test works in.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Came {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Came {
    /// Fails unless the exit code is this, and each of the texts was said.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, said: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in said {
            assert!(self.out.contains(text) || self.err.contains(text), "{text}: {self:#?}");
        }
        // One message says what is wrong.
        assert_eq!(self.err.matches("error: ").count(), usize::from(code != 0 && code < 100), "{self:#?}");
        self
    }
}

/// A file that looks like weights: safetensors with one tensor, and as long as wanted.
pub(crate) fn weights(bytes: usize) -> Vec<u8> {
    let header = format!("{{\"x\":{{\"dtype\":\"U8\",\"shape\":[{bytes}],\"data_offsets\":[0,{bytes}]}}}}");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend((0..bytes).map(|i| (i * 31 % 251) as u8));
    file
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line of a file in a list of models.
pub(crate) fn line(path: &str, content: &[u8]) -> String {
    format!("({path:?}, {}, {:?})", content.len(), sha256(content))
}

impl Place {
    /// With a list of these models: name, kind, further fields, files.
    pub(crate) fn new(models: &[(&str, &str, &str, &[String])]) -> Self {
        let root = tempfile::tempdir().expect("there is room");
        let entries: String = models
            .iter()
            .map(|(name, kind, more, files)| {
                let files = files.join(", ");
                format!(
                    "(name: {name:?}, about: \"a test\", kind: {kind}, licence: \"MIT\", {more} source: HuggingFace(\"me/it\"), \
                     revision: \"abc\", files: [{files}]),\n"
                )
            })
            .collect();
        fs::write(root.path().join("catalog.ron"), format!("[{entries}]")).expect("a list can be written");
        Self { root }
    }

    /// With one model of one file.
    pub(crate) fn with(content: &[u8]) -> Self {
        Self::new(&[("one", "Lora", "", &[line("a/file.safetensors", content)])])
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.root().join("models")
    }

    pub(crate) fn one(&self) -> PathBuf {
        self.models().join("one.safetensors")
    }

    /// What there is of the file of model `one` while it is on its way.
    pub(crate) fn part(&self) -> PathBuf {
        self.models().join(".pulling/one/file.safetensors.part")
    }

    pub(crate) fn part_bytes(&self) -> u64 {
        fs::metadata(self.part()).map_or(0, |about| about.len())
    }

    pub(crate) fn command(&self, endpoint: &str, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upweave"));
        command.args(arguments.split(' ')).current_dir(self.root()).stdin(Stdio::null());
        for name in
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "UPWEAVE_MIRROR", "UPWEAVE_MODEL_PATHS", "HF_HOME"]
        {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        command
            .env("UPWEAVE_MODELS", self.models())
            .env("UPWEAVE_CACHE", self.root().join("cache"))
            .env("UPWEAVE_CATALOG", self.root().join("catalog.ron"))
            .env("HF_HUB_CACHE", self.root().join("no-hub"))
            .env("HF_ENDPOINT", endpoint);
        command
    }

    /// Runs a command to its end. Connections are given up soon.
    pub(crate) fn run(&self, endpoint: &str, arguments: &str) -> Came {
        self.command(endpoint, arguments).output().expect("the program starts").into()
    }

    pub(crate) fn pull(&self, endpoint: &str) -> Came {
        self.run(endpoint, PULL)
    }

    pub(crate) fn start(&self, endpoint: &str, arguments: &str) -> Child {
        let mut command = self.command(endpoint, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Whether nothing has its final name.
    #[track_caller]
    pub(crate) fn is_empty(&self) {
        for entry in fs::read_dir(self.models()).expect("the folder is there") {
            let name = entry.expect("it can be listed").file_name();
            assert_eq!(name.to_string_lossy(), ".pulling");
        }
    }
}

/// Pulls the model `one` without much patience.
pub(crate) const PULL: &str = "models pull one --timeout 1 --retries 3";
