//! Asks again for users for whom something is held, or who lost their contacts
//! before the guard could know: until the app's answers recover, or the
//! operator has decided.
//!
//! Owns the one task of a virtual host that asks; a fetch is one as any other.
//! It asks for one user at a time while nothing recovers, with the pace of
//! `recovery`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Phase;
use crate::rosters::fallback::is_owed;
use crate::rosters::outage::Pace;
use crate::rosters::source::Source;
use crate::rosters::{Rosters, User};

/// Runs until `stop`.
pub(in crate::rosters) async fn run(
    rosters: Arc<Rosters>,
    source: Arc<Source>,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(follow(&rosters, &source)).await;
}

async fn follow(rosters: &Rosters, source: &Source) {
    let guard = &source.guard;
    let mut pace = source.pace();
    loop {
        match guard.phase(now()) {
            Phase::Holding { .. } => {
                let lot = getrandom::u32().unwrap_or(u32::MAX / 2);
                // Whatever changes, the next look at the phase sees it.
                let _ = timeout(pace.jittered(lot), guard.news.notified()).await;
                ask_some(rosters, source, &mut pace).await;
                guard.close(now());
            }
            Phase::Watching | Phase::Released { .. } => {
                pace = source.pace();
                ask_all(rosters, source).await;
                guard.news.notified().await;
            }
        }
    }
}

/// Asks for those who are next.
async fn ask_some(rosters: &Rosters, source: &Source, pace: &mut Pace) {
    if !matches!(source.guard.phase(now()), Phase::Holding { .. }) {
        return;
    }
    let due = source.guard.policy.lock().next(pace.size);
    let asked = stream::iter(due).map(|account| async move {
        if let Some(user) = rosters.find(&account) {
            // What came of it is judged where it lands.
            let _ = rosters.refetch(&user).await;
        }
        source.guard.policy.lock().is_among_drained(&account)
    });
    let size = pace.size;
    let still: Vec<bool> = asked.buffer_unordered(size).collect().await;
    match still.is_empty() || still.contains(&true) {
        true => pace.failed(),
        false => pace.answered(),
    }
}

/// Asks for everybody for whom something is held.
async fn ask_all(rosters: &Rosters, source: &Source) {
    let held = rosters.held(source);
    let asked = stream::iter(held).map(|user| ask(rosters, user));
    asked
        .buffer_unordered(source.pace().largest())
        .collect::<()>()
        .await;
}

async fn ask(rosters: &Rosters, user: Arc<User>) {
    if let Err(error) = rosters.refetch(&user).await
        && is_owed(user.source.policy, error.reach())
    {
        user.source.outage.owe(user.account.as_str());
        user.source.tell_owed();
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
