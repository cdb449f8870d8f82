//! Machine code that was made before.
//!
//! Owns the directory, which is private to the server's user: whatever is in
//! it is run. A file is named by the component's digest and by all that the
//! code depends on (the engine's version, its configuration, the processor);
//! it is written under another name, made durable and renamed, never changed
//! in place; and its content is checked against its own digest before it is
//! believed, because disks and operators have accidents. A plugin's own folder
//! is never looked into.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use muster_plugin_artifact::Artifact;
use sha2::{Digest as _, Sha256};

use crate::inspect::Digest;
use crate::telemetry;

/// How a file begins; the digest of all that follows it, and of what the file
/// is named by, is next.
const MAGIC: &[u8] = b"muster machine code 1\n";
const HEAD_BYTES: usize = MAGIC.len() + 32;
const ENDING: &str = ".code";
const UNFINISHED: &str = ".new";

/// Where machine code is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// A directory of the server's own. Created, for this user only.
    pub directory: PathBuf,
    /// Bytes of all files together; the oldest go.
    pub bytes: usize,
}

/// A directory that was found to be private.
pub(super) struct Cache {
    directory: PathBuf,
    bytes: u64,
    /// What machine code depends on beside the component.
    engine: Digest,
    /// Held while files come and go.
    writing: Mutex<()>,
}

impl Cache {
    /// `None`, told in the log, if the directory cannot be used: everything is
    /// compiled then.
    pub(super) fn open(config: CacheConfig, engine: &wasmtime::Engine) -> Option<Self> {
        match prepare(&config.directory) {
            Ok(()) => {
                let cache = Self {
                    directory: config.directory,
                    bytes: u64::try_from(config.bytes).unwrap_or(u64::MAX),
                    engine: fingerprint(engine),
                    writing: Mutex::new(()),
                };
                cache.tidy();
                Some(cache)
            }
            Err(error) => {
                let directory = config.directory.display();
                tracing::warn!(%directory, %error, "compiled plugins are not kept");
                None
            }
        }
    }

    /// Whether something was kept for this component.
    pub(super) fn holds(&self, component: Digest) -> bool {
        self.path(component).exists()
    }

    /// What was kept for this component.
    pub(super) fn find(&self, component: Digest) -> Option<Artifact> {
        let path = self.path(component);
        let found = match self.read(&path, component) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                telemetry::cached("miss");
                return None;
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled plugin cannot be used");
                None
            }
        };
        if found.is_none() {
            telemetry::cached("damaged");
            self.forget(component);
        } else {
            telemetry::cached("hit");
        }
        found
    }

    /// Keeps machine code for the next start. That it cannot is told in the
    /// log and harms nobody.
    pub(super) fn keep(&self, component: Digest, artifact: &Artifact) {
        let size = artifact.bytes().len().saturating_add(HEAD_BYTES);
        if u64::try_from(size).unwrap_or(u64::MAX) > self.bytes {
            return;
        }
        match self.write(component, artifact) {
            Ok(()) => self.tidy(),
            Err(error) => {
                let directory = self.directory.display();
                tracing::warn!(%directory, %error, "a compiled plugin was not kept");
            }
        }
    }

    /// Removes what cannot be used.
    pub(super) fn forget(&self, component: Digest) {
        let _ = fs::remove_file(self.path(component));
    }

    fn path(&self, component: Digest) -> PathBuf {
        let engine = self.engine.to_string();
        let engine = engine.get(..16).unwrap_or_default();
        self.directory.join(format!("{component}-{engine}{ENDING}"))
    }

    fn read(&self, path: &Path, component: Digest) -> io::Result<Option<Artifact>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !is_ours(&metadata) || !metadata.is_file() || metadata.len() > self.bytes {
            return Ok(None);
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.take(self.bytes).read_to_end(&mut content)?;
        if content.len() < HEAD_BYTES {
            return Ok(None);
        }
        let code = content.split_off(HEAD_BYTES);
        let sound = content == self.head(component, &code);
        Ok(sound.then(|| Artifact::vouched(code)))
    }

    fn write(&self, component: Digest, artifact: &Artifact) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = tempfile::Builder::new()
            .suffix(UNFINISHED)
            .tempfile_in(&self.directory)?;
        file.write_all(&self.head(component, artifact.bytes()))?;
        file.write_all(artifact.bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.path(component))
            .map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()
    }

    fn head(&self, component: Digest, code: &[u8]) -> Vec<u8> {
        let digest = Sha256::new()
            .chain_update(component.as_bytes())
            .chain_update(self.engine.as_bytes())
            .chain_update(code)
            .finalize();
        [MAGIC, digest.as_slice()].concat()
    }

    /// Removes what a killed process left unfinished, and the oldest files
    /// beyond the bound.
    fn tidy(&self) {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(UNFINISHED) {
                let _ = fs::remove_file(path);
            } else if name.ends_with(ENDING)
                && let Ok(metadata) = entry.metadata()
            {
                kept.push((
                    metadata.mtime(),
                    metadata.mtime_nsec(),
                    path,
                    metadata.len(),
                ));
            }
        }
        kept.sort();
        let mut size: u64 = kept.iter().map(|(.., length)| length).sum();
        for (.., path, length) in kept {
            if size <= self.bytes {
                break;
            }
            if fs::remove_file(path).is_ok() {
                size = size.saturating_sub(length);
            }
        }
        telemetry::cache_bytes(size);
    }
}

/// Creates the directory, or finds that it is ours alone.
fn prepare(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    match builder.recursive(true).mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Not through a link: it could lead to a place that others can change.
    let metadata = fs::symlink_metadata(directory)?;
    if metadata.is_dir() && is_ours(&metadata) {
        Ok(())
    } else {
        let refusal = "it must be a directory of the server's user with mode 0700";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, refusal))
    }
}

/// Whether nobody else could have written it, root aside.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0
}

/// A digest of the engine's version and of all in its configuration that
/// machine code depends on.
fn fingerprint(engine: &wasmtime::Engine) -> Digest {
    struct Bytes(Vec<u8>);
    impl Hasher for Bytes {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut bytes = Bytes(env!("CARGO_PKG_VERSION").as_bytes().to_vec());
    engine.precompile_compatibility_hash().hash(&mut bytes);
    Digest::of(&bytes.0)
}

#[cfg(test)]
mod tests;
