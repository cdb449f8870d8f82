//! What `/admin/…` answers, as JSON: the server writes it, `muster plugin` and
//! `muster backend` read it. `docs/admin-api.md` explains each field.
//!
//! Fields are added and never change their meaning. Times are seconds, with
//! fractions, by a clock that nobody sets.

use std::time::Duration;

use muster_plugin::{BreakerState, BreakerStatus, BuildStatus, Phase, Refusal, RolledBack, Status};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /admin/plugins`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Plugins {
    pub(crate) plugins: Vec<Plugin>,
}

/// The plugin of one virtual host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Plugin {
    pub(crate) virtual_host: String,
    pub(crate) generation: u64,
    #[serde(flatten)]
    pub(crate) build: Build,
    pub(crate) serving_seconds: f64,
    /// `serving` or `probation`.
    pub(crate) phase: String,
    pub(crate) probation: Option<Probation>,
    pub(crate) previous: Option<Build>,
    pub(crate) last_refusal: Option<LastRefusal>,
    pub(crate) last_rollback: Option<LastRollback>,
    pub(crate) draining: usize,
    /// Of all generations together, since the server started.
    pub(crate) calls: u64,
    pub(crate) faults: u64,
    pub(crate) breakers: Vec<Breaker>,
}

/// What a generation is made from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Build {
    pub(crate) sha256: String,
    pub(crate) bytes: usize,
    /// What it is to the host, in words.
    pub(crate) kind: String,
    /// `muster:roster@…`, if it speaks it.
    pub(crate) contract: Option<String>,
    /// `builtin` or a path.
    pub(crate) source: String,
}

/// How a new generation is watched.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Probation {
    pub(crate) calls_left: usize,
    pub(crate) seconds_left: f64,
    pub(crate) regressions: usize,
}

/// The last component that was not taken.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LastRefusal {
    pub(crate) sha256: Option<String>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
    pub(crate) seconds_ago: f64,
}

/// The last build that was given up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LastRollback {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) cause: String,
    pub(crate) seconds_ago: f64,
}

/// A circuit breaker.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Breaker {
    pub(crate) name: String,
    /// `closed`, `open` or `probing`.
    pub(crate) state: String,
    /// For how long it has been closed, or not closed.
    pub(crate) state_seconds: f64,
    /// Calls that ended within the window, and those of them that failed.
    pub(crate) calls: u32,
    pub(crate) failures: u32,
    /// Since the server started.
    pub(crate) refused: u64,
    pub(crate) next_probe_seconds: Option<f64>,
}

/// `POST …/reload` and `POST …/rollback`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Done {
    pub(crate) status: String,
    /// `swapped`, `unchanged` or `rolled_back`.
    pub(crate) outcome: String,
    pub(crate) message: String,
    pub(crate) plugin: Plugin,
}

/// `GET /admin/backends`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Backends {
    pub(crate) backends: Vec<Backend>,
}

/// The app of one virtual host: a breaker for each origin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Backend {
    pub(crate) virtual_host: String,
    pub(crate) breakers: Vec<Breaker>,
}

/// `POST /admin/backends/…/reset`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Reset {
    pub(crate) status: String,
    pub(crate) message: String,
    /// Breakers that were not closed before.
    pub(crate) closed: usize,
    pub(crate) backend: Backend,
}

/// What was not done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NotDone {
    pub(crate) status: String,
    /// A word that stays the same, for programs.
    #[serde(default)]
    pub(crate) reason: String,
    pub(crate) message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) remedy: Option<String>,
    /// Those that there are, if another one was named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) virtual_hosts: Vec<String>,
}

impl From<Status> for Plugin {
    fn from(status: Status) -> Plugin {
        let own = status.breakers.iter().filter(|it| !it.is_backend());
        let (calls, faults) = own.fold((0, 0), |(calls, faults), it| {
            (calls + it.total_calls, faults + it.total_failures)
        });
        let (phase, probation) = match status.phase {
            Phase::Serving => ("serving", None),
            Phase::Probation {
                calls_left,
                time_left,
                regressions,
            } => {
                let seconds_left = seconds(time_left);
                let probation = Probation {
                    calls_left,
                    seconds_left,
                    regressions,
                };
                ("probation", Some(probation))
            }
        };
        Plugin {
            virtual_host: status.name,
            generation: status.generation,
            build: status.build.into(),
            serving_seconds: seconds(status.serving),
            phase: phase.to_owned(),
            probation,
            previous: status.previous.map(Build::from),
            last_refusal: status.last_refusal.map(LastRefusal::from),
            last_rollback: status.last_rollback.map(LastRollback::from),
            draining: status.draining,
            calls,
            faults,
            breakers: status.breakers.into_iter().map(Breaker::from).collect(),
        }
    }
}

impl From<BuildStatus> for Build {
    fn from(build: BuildStatus) -> Build {
        Build {
            sha256: build.digest.to_string(),
            bytes: build.bytes,
            kind: build.kind.to_string(),
            contract: build.kind.contract().map(contract),
            source: build.source.to_string(),
        }
    }
}

/// The full name of a version of the contract.
pub(crate) fn contract(version: &str) -> String {
    format!("muster:roster@{version}")
}

impl From<Refusal> for LastRefusal {
    fn from(refusal: Refusal) -> LastRefusal {
        LastRefusal {
            sha256: refusal.digest.map(|digest| digest.to_string()),
            reason: refusal.reason.to_owned(),
            message: refusal.message,
            remedy: refusal.remedy.to_owned(),
            seconds_ago: seconds(refusal.ago),
        }
    }
}

impl From<RolledBack> for LastRollback {
    fn from(rolled_back: RolledBack) -> LastRollback {
        LastRollback {
            from: rolled_back.from.to_string(),
            to: rolled_back.to.to_string(),
            cause: rolled_back.cause.label().to_owned(),
            seconds_ago: seconds(rolled_back.ago),
        }
    }
}

impl From<BreakerStatus> for Breaker {
    fn from(status: BreakerStatus) -> Breaker {
        Breaker {
            name: status.name,
            state: status.state.name().to_owned(),
            state_seconds: seconds(status.lasting),
            calls: status.calls,
            failures: status.failures,
            refused: status.total_refused,
            next_probe_seconds: status.next_probe.map(seconds),
        }
    }
}

impl Breaker {
    pub(crate) fn is_closed(&self) -> bool {
        self.state == BreakerState::Closed.name()
    }
}

/// To the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}
