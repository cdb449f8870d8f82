//! The sandbox: engine, worker stores, egress gate, limits, generations.
//!
//! One [`Engine`] a process, one [`Plugin`] a virtual host. The server hands
//! it usernames and HTTP requests and gets typed contacts and responses back;
//! whatever the plugin does in between costs at most that one call.
//!
//! The rooms, from the outside in: [`Plugin`] (`plugin`) counts and retries;
//! `candidate` and `signature` are the bytes of a component and who vouches for
//! them; `inspect` looks at them before they are compiled, `compile` makes
//! machine code of them aside; `swap` lets one build follow another; `kind`
//! knows what the kinds of plugin differ in; `worker` runs `fetch` in long-lived
//! stores, `solo` runs a call in a store of its own (`handle`, and the retries
//! of `fetch`); `generation` is a compiled component with all that its calls
//! need; `store` and `linker` say
//! what one store may touch; `egress` decides about requests and `outbound`
//! sends them. `breaker` leaves alone for a while what fails again and again,
//! be it the plugin or the app. `tap` lets somebody listen.

#![forbid(unsafe_code)]

mod accept;
mod breaker;
mod broken_body;
mod candidate;
mod compile;
mod egress;
mod engine;
mod error;
mod failure;
mod generation;
mod guest_log;
mod inspect;
mod kind;
mod limit;
mod linker;
mod load;
mod many;
mod metric;
#[doc(hidden)]
pub mod native;
mod outbound;
mod plugin;
mod rarely;
mod refresh;
mod reply;
mod request_line;
mod rest;
mod roster;
mod settings;
mod signature;
mod solo;
mod store;
mod swap;
mod tap;
mod telemetry;
mod turn;
mod worker;

pub use breaker::{BreakerPolicy, BreakerState, BreakerStatus};
pub use candidate::{Candidate, CandidateSource, signature_path};
pub use compile::{CacheConfig, CompileOrder, Compiler, CompilerCommand, compile_in_child};
pub use egress::{
    Admitted, AllowedOrigin, Authorization, AuthorizationError, Denial, EgressPolicy, Origin,
    OriginError, OriginScheme, PrivateAddresses, TlsAccess,
};
pub use engine::{Engine, EngineConfig, EngineError};
pub use error::{CompilerError, LoadError, RollbackError};
pub use inspect::{CONTRACT, Capability, Digest, DigestError, Import, Inspection, inspect};
pub use kind::{Kind, count_entry, summary_of};
pub use limit::Limit;
pub use linker::Stubs;
pub use load::Load;
pub use many::{Many, ManyError};
pub use metric::{LATENCY_BUCKETS, Metric, MetricKind};
pub use outbound::{Resolve, Resolving, SystemResolver};
pub use plugin::Plugin;
pub use refresh::{Changes, Failure, Outcome, Refresher};
pub use roster::{Contact, FetchError, Fetched, HandleError, PluginFault, Subscription};
pub use settings::{Limits, Settings};
pub use signature::{KeyError, PublicKey, SecretKey, Signature};
pub use swap::{
    BuildStatus, Phase, Refusal, RollbackCause, RolledBack, Status, Swapped, Verification,
};
pub use tap::Tap;
pub use telemetry::{EGRESS_METRICS, METRICS};
