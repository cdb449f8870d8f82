//! A component that may become the next generation: its bytes, where they
//! come from, and who has signed them.
//!
//! Owns that a file is read once, within a bound, into memory: whatever is
//! checked and compiled later are those very bytes. Whether they are good is
//! decided when they are loaded.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::LoadError;
use crate::inspect::Digest;

/// Most bytes of a signature file that are read.
const SIGNATURE_BYTES: usize = 4 << 10;

/// A component that may become the next generation.
#[derive(Clone)]
pub struct Candidate {
    bytes: Bytes,
    digest: Digest,
    source: CandidateSource,
    signature: Option<String>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateSource {
    /// The program itself, so that it needs no signature.
    Builtin,
    /// A file, or whatever the caller read from elsewhere and named so.
    File(PathBuf),
}

impl Candidate {
    /// The component inside this program.
    pub fn builtin(component: &'static [u8]) -> Self {
        let bytes = Bytes::from_static(component);
        Self::new(bytes, CandidateSource::Builtin, None)
    }

    /// Bytes that the caller has read from `path`, and the text of the
    /// signature file if there is one. The bytes are hashed here.
    pub fn new(bytes: Bytes, source: CandidateSource, signature: Option<String>) -> Self {
        Self {
            digest: Digest::of(&bytes),
            bytes,
            source,
            signature,
        }
    }

    /// Reads the regular file at `path`, at most `limit` bytes, and
    /// `path.sig` beside it; if that cannot be read, or has more than 4 KiB,
    /// there is no signature. Blocks, and hashes what it read.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`] and [`LoadError::TooLarge`]; of a file that
    /// is too large nothing is read.
    pub fn read(path: &Path, limit: usize) -> Result<Self, LoadError> {
        let bytes = read_bounded(path, limit)?;
        // Whether it matters that there is none is not known here.
        let signature = read_bounded(&signature_path(path), SIGNATURE_BYTES).ok();
        let signature = signature.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let source = CandidateSource::File(path.to_owned());
        Ok(Self::new(bytes.into(), source, signature))
    }

    /// The component.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the bytes hash to.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Where they come from.
    pub fn source(&self) -> &CandidateSource {
        &self.source
    }

    /// The text of the signature file.
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("bytes", &self.bytes.len())
            .field("digest", &self.digest)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CandidateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Where the signature of the component at `path` is: `path.sig`.
#[must_use]
pub fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, LoadError> {
    let fault = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = open(path).map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX);
    let too_large = |bytes: u64| LoadError::TooLarge {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        limit,
    };
    if length > bound {
        return Err(too_large(length));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    // The file may grow while it is read.
    let read = file.take(bound.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(fault)?;
    if bytes.len() > limit {
        return Err(too_large(u64::try_from(read).unwrap_or(u64::MAX)));
    }
    Ok(bytes)
}

/// Opens a regular file. What is none may block for ever when it is opened or
/// read, so nothing waits for it.
fn open(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(nonblocking).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}
