//! Whether a build works at all, before it serves anybody.
//!
//! Owns two questions. The first is one call of `fetch` with the egress gate
//! shut: no request leaves, so any answer that the contract knows is good, and
//! a trap, a limit or silence is not. The second, where the operator named a
//! user for it, is a fetch of that user through the open gate: the app's
//! answer must become a roster. It is asked before a swap only.

use crate::error::LoadError;
use crate::generation::Shared;
use crate::roster::{FetchError, PluginFault};
use crate::solo;
use crate::store::Purpose;
use crate::swap::Verification;
use crate::{accept, roster};

/// Whom the dry call asks for: a localpart that is nobody's.
const NOBODY: &str = "muster-self-test";

/// When a build is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Nothing serves yet.
    Start,
    /// It would replace a build that serves.
    Swap,
}

pub(super) async fn run(
    shared: &Shared,
    verification: &Verification,
    occasion: Occasion,
) -> Result<(), LoadError> {
    solo::try_instance(shared).await?;
    let dry = fetch(shared, Purpose::DryRun, NOBODY).await;
    if let Err(FetchError::Plugin(fault)) = dry {
        return Err(LoadError::SelfTest(fault));
    }
    match (&verification.self_test_user, occasion) {
        (Some(username), Occasion::Swap) => {
            let fetched = fetch(shared, Purpose::Fetch, username).await;
            fetched.map(|_| ()).map_err(LoadError::SelfTestUser)
        }
        _ => Ok(()),
    }
}

async fn fetch(
    shared: &Shared,
    purpose: Purpose,
    username: &str,
) -> Result<roster::Fetched, FetchError> {
    let call = solo::fetch(shared, purpose, username, None);
    match tokio::time::timeout(shared.limits.call, call).await {
        Ok(answer) => accept::fetched(answer?, &shared.limits, &|limit| shared.meter.limit(limit)),
        Err(_) => Err(FetchError::Plugin(PluginFault::Stuck)),
    }
}
