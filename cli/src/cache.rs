//! Where results are kept between runs.

use crate::{args::Machine, memory::Budget, terminal::Terminal};
use engine::{
    Behind, Cache, CacheSize, Claim, Layered, MemoryStore, NoStore, Store, digest::Digest, filesystem::OsFilesystem,
    value::Value,
};
use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The results that are kept, or none.
pub(crate) enum Kept {
    Nothing,
    Disk(Box<Layered<MemoryStore, Behind<Cache>>>),
}

impl Kept {
    pub(crate) fn new(machine: &Machine, budget: &Budget) -> Result<Self, String> {
        if machine.no_cache {
            return Ok(Self::Nothing);
        }
        let root = root(machine.cache.as_deref())?;
        let size = machine.cache_size.map_or(CacheSize::Usual, CacheSize::Bytes);
        let back = Behind::new(Cache::new(&root, size, Arc::new(OsFilesystem)), budget.waiting);
        Ok(Self::Disk(Box::new(Layered { front: MemoryStore::new(budget.front), back })))
    }

    fn store(&self) -> &dyn Store {
        match self {
            Self::Nothing => &NoStore,
            Self::Disk(layered) => &**layered,
        }
    }

    /// Tells what went wrong with it. The pictures are none the worse for it.
    pub(crate) fn complain(&self, terminal: &Terminal) {
        let Self::Disk(layered) = self else { return };
        let cache = layered.back.settled();
        let root = cache.root().display();
        if let Some(trouble) = cache.trouble() {
            terminal.warning(
                &format!("results are not kept: the cache in `{root}` cannot be written: {trouble}"),
                "name another folder with `--cache`, or leave it out with `--no-cache`",
            );
        }
        if cache.damaged() > 0 {
            let message = format!("{} broken files in the cache in `{root}` were removed", cache.damaged());
            terminal.warning(&message, "`upweave cache verify` looks for more; a disk may be failing");
        }
    }
}

impl Store for Kept {
    fn keeps(&self) -> bool {
        self.store().keeps()
    }
    fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
        self.store().outputs(action)
    }
    fn has(&self, digest: Digest) -> bool {
        self.store().has(digest)
    }
    fn content(&self, digest: Digest) -> Option<Value> {
        self.store().content(digest)
    }
    fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.store().put(action, outputs, cost);
    }
    fn put_claimed(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration, claim: Claim) {
        self.store().put_claimed(action, outputs, cost, claim);
    }
    fn offer(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.store().offer(action, outputs, cost);
    }
    fn settle(&self) {
        self.store().settle();
    }
    fn claim(&self, action: Digest) -> Claim {
        self.store().claim(action)
    }
    fn pin(&self, digests: &[Digest]) {
        self.store().pin(digests);
    }
}

/// The folder of the cache: the one that is asked for, or that of the environment, or that of the system.
pub(crate) fn root(asked: Option<&Path>) -> Result<PathBuf, String> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = asked.map(Path::to_owned).or_else(|| variable("UPWEAVE_CACHE")) {
        return Ok(folder);
    }
    let home = || variable("HOME");
    let system = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Caches"))
    } else {
        // What is not absolute is to be ignored (XDG Base Directory Specification).
        variable("XDG_CACHE_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| home().map(|home| home.join(".cache")))
    };
    system
        .map(|folder| folder.join("upweave"))
        .ok_or_else(|| "there is no folder for the cache; name one with `--cache`, or use `--no-cache`".to_owned())
}
