//! What there is to know of a plugin, as plain data: for the operator's
//! commands and routes.
//!
//! Times are how long ago something was, by a clock that nobody sets.

use std::time::Duration;

use crate::breaker::BreakerStatus;
use crate::candidate::CandidateSource;
use crate::error::LoadError;
use crate::inspect::Digest;
use crate::kind::Kind;

/// A plugin at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The virtual host's name.
    pub name: String,
    /// The generation that serves; numbers go up over the life of the process.
    pub generation: u64,
    /// What it was made from.
    pub build: BuildStatus,
    /// For how long it has served.
    pub serving: Duration,
    /// Whether it is still watched.
    pub phase: Phase,
    /// The build that a rollback would go back to.
    pub previous: Option<BuildStatus>,
    /// The last component that was not taken.
    pub last_refusal: Option<Refusal>,
    /// The last time that a build was given up.
    pub last_rollback: Option<RolledBack>,
    /// Replaced generations whose calls have not all finished.
    pub draining: usize,
    /// The circuit breakers: the plugin's own, and those of the origins that
    /// it may ask.
    pub breakers: Vec<BreakerStatus>,
}

/// A component that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStatus {
    /// What its bytes hash to.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// What it is to the host.
    pub kind: Kind,
    /// Where it came from.
    pub source: CandidateSource,
}

/// Whether a generation is still watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Serving,
    /// It serves, and the generation before stands by to take over.
    Probation {
        /// Fetches that are still watched.
        calls_left: usize,
        /// How long the generation before stands by at most.
        time_left: Duration,
        /// Answers so far that the generation before did better.
        regressions: usize,
    },
}

/// A component that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its digest, if it could be read.
    pub digest: Option<Digest>,
    /// [`crate::LoadError::label`].
    pub reason: &'static str,
    /// The reason in a sentence, with its causes.
    pub message: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// How long ago it was.
    pub ago: Duration,
}

impl Refusal {
    pub(crate) fn new(error: &LoadError, digest: Option<Digest>) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            // Some errors tell their causes themselves.
            let told = error.to_string();
            if !message.contains(&told) {
                message.push_str(": ");
                message.push_str(&told);
            }
            cause = error.source();
        }
        Self {
            digest,
            reason: error.label(),
            message,
            remedy: error.remedy(),
            ago: Duration::ZERO,
        }
    }
}

/// A build that was given up for the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    /// The build that was given up.
    pub from: Digest,
    /// The build that serves in its place.
    pub to: Digest,
    /// Why.
    pub cause: RollbackCause,
    /// How long ago it was.
    pub ago: Duration,
}

/// Why a build was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RollbackCause {
    /// A call failed in it and succeeded in the generation before.
    Fault,
    /// Several answers were errors where the generation before had a roster.
    Regressions,
    /// The operator asked for it.
    Operator,
}

impl RollbackCause {
    /// The value of the label `cause` in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Regressions => "regressions",
            Self::Operator => "operator",
        }
    }
}

/// What a swap or a rollback has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// The generation that serves.
    pub generation: u64,
    /// What it was made from.
    pub digest: Digest,
    /// The build that served until now; `None` if it was these very bytes, so
    /// that nothing changed.
    pub replaced: Option<Digest>,
}
