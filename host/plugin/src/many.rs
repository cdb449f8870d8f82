//! Asking for many users in one call: an optional export of a plugin, for apps
//! that take many names in one request.
//!
//! Owns the call, in a store of its own: a fault costs the users of this call
//! and nobody else's fetch. How many run at once, and who is asked for again
//! alone, is for the caller to say.

use std::sync::Arc;

use muster_plugin_bindings::v0_1::muster::roster::types;
use muster_plugin_bindings::v0_1_batch::{Batching, BatchingPre};
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::accept;
use crate::failure;
use crate::generation::{Build, Shared};
use crate::kind::{Kind, Template};
use crate::limit::Limit;
use crate::roster::{FetchError, Fetched, PluginFault};
use crate::solo::Instance;
use crate::store::{Purpose, StoreState};
use crate::turn::metered;

/// What is told of each user, in the order of the question.
pub type Many = Vec<Result<Fetched, FetchError>>;

/// Why nothing is told of anybody.
///
/// Reach: all users of the call; nothing of their rosters may change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManyError {
    /// The plugin has no such export.
    #[error("the plugin asks for one user at a time")]
    Unsupported,
    /// As for a single fetch.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl ManyError {
    /// Whether each of the users may have an answer by itself: the app has no
    /// such address, or the answer for all is more than can be had.
    #[must_use]
    pub fn is_refused_together(&self) -> bool {
        match self {
            Self::Unsupported => true,
            Self::Fetch(error) => matches!(
                error,
                FetchError::Status(404 | 405 | 501)
                    | FetchError::Denied
                    | FetchError::TooLarge
                    | FetchError::Malformed(_)
                    | FetchError::Plugin(
                        PluginFault::Trap
                            | PluginFault::TurnLimit
                            | PluginFault::ResourceLimit
                            | PluginFault::StackOverflow
                    )
            ),
        }
    }
}

/// The export of a component; nothing, if it has none. A handler of `wasi:http`
/// is asked for one user at a time.
pub(crate) fn pre(kind: &Kind, pre: &InstancePre<StoreState>) -> Option<BatchingPre<StoreState>> {
    match kind {
        Kind::Contract(_) => BatchingPre::new(pre.clone()).ok(),
        Kind::Http03 | Kind::Http02 => None,
    }
}

impl Template for BatchingPre<StoreState> {
    type Guest = Batching;

    async fn instantiate(&self, store: &mut Store<StoreState>) -> wasmtime::Result<Batching> {
        self.instantiate_async(store).await
    }
}

/// One call. Answers by the deadline.
pub(crate) async fn fetch_many(
    shared: &Shared,
    build: &Arc<Build>,
    usernames: &[String],
    deadline: Instant,
) -> Result<Many, ManyError> {
    let Some(pre) = &build.batch else {
        return Err(ManyError::Unsupported);
    };
    let call = tokio::time::timeout_at(deadline, call(shared, pre, usernames.to_vec()));
    let answer = match call.await {
        Ok(Ok(answer)) => answer.map_err(accept::fetch_error)?,
        Ok(Err(fault)) => return Err(FetchError::Plugin(fault).into()),
        Err(_) => return Err(FetchError::Timeout.into()),
    };
    if answer.len() != usernames.len() {
        let wrong = "not as many rosters as users".to_owned();
        return Err(FetchError::Malformed(wrong).into());
    }
    let reached = |limit: Limit| shared.meter.limit(limit);
    let lists = answer.into_iter();
    Ok(lists
        .map(|list| accept::listed(list, &shared.limits, &reached))
        .collect())
}

type Answer = Result<Vec<Result<types::ContactList, types::FetchError>>, types::FetchError>;

async fn call(
    shared: &Shared,
    pre: &BatchingPre<StoreState>,
    usernames: Vec<String>,
) -> Result<Answer, PluginFault> {
    let instance = Instance::new(shared, Purpose::Batch, pre).await;
    let mut instance = instance.map_err(|error| {
        failure::not_instantiated(&shared.meter, &error);
        PluginFault::Instantiate
    })?;
    let batch = instance.guest.muster_roster_batch();
    let call = instance
        .store
        .run_concurrent(async |accessor| batch.call_fetch_many(accessor, usernames).await);
    let result = metered(&instance.turn, call).await.flatten();
    result.map_err(|error| {
        let fault = instance.store.data().fault(&error);
        shared.meter.trap(fault);
        tracing::warn!(
            vhost = shared.meter.vhost(),
            fault = fault.label(),
            "the plugin failed in `fetch-many`: {}",
            failure::text(&error)
        );
        fault
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_all_is_not_asked_for_one_by_one() {
        for (error, refused) in [
            (FetchError::Status(404), true),
            (FetchError::Status(405), true),
            (FetchError::Status(501), true),
            (FetchError::TooLarge, true),
            (FetchError::Denied, true),
            (FetchError::Malformed(String::new()), true),
            (FetchError::Plugin(PluginFault::TurnLimit), true),
            (FetchError::Plugin(PluginFault::CircuitOpen), false),
            (FetchError::Status(500), false),
            (FetchError::Status(503), false),
            (FetchError::Status(429), false),
            (FetchError::Timeout, false),
            (FetchError::Unavailable, false),
        ] {
            let error = ManyError::Fetch(error);
            assert_eq!(error.is_refused_together(), refused, "{error}");
        }
        assert!(ManyError::Unsupported.is_refused_together());
    }
}
