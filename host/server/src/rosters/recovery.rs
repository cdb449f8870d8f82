//! The app owes a roster to users who saw something else, and is asked until
//! it tells it: whoever was served a last known roster, or none, gets the
//! difference pushed without doing anything for it.
//!
//! Owns the one task of a virtual host that asks, and nothing else: whom is
//! known to `outage`, and a fetch is one as any other, with its turn and its
//! ticket. Ends with the server; a user whose last session has ended is owed
//! nothing.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::fallback::is_owed;
use super::outage::Pace;
use super::source::Source;
use super::{Rosters, User};

/// Asks `source` for what it owes until `stop`.
pub(super) async fn run(rosters: Arc<Rosters>, source: Arc<Source>, stop: CancellationToken) {
    let work = async {
        tokio::join!(recover(&rosters, &source), listen(&source));
    };
    stop.run_until_cancelled(work).await;
}

/// Passes on what the plugin learns of the app: that a breaker has closed, or
/// that the app said so.
async fn listen(source: &Source) {
    let mut returns = source.returns();
    while returns.changed().await.is_ok() {
        source.outage.may_be_over();
    }
}

async fn recover(rosters: &Arc<Rosters>, source: &Source) {
    let first = source.pace();
    let mut pace = first;
    loop {
        source.outage.somebody().await;
        pause(source, &mut pace).await;
        let due = source.outage.take(pace.size);
        let asked = due.iter().filter_map(|account| rosters.find(account));
        let answered = join_all(asked.map(|user| ask(rosters, user))).await;
        if answered.contains(&Answered::No) {
            pace.failed();
        } else if !answered.is_empty() {
            pace.answered();
        }
        source.tell_owed();
        if source.outage.owed() == 0 {
            pace = first;
        }
    }
}

/// Waits for the next attempt: as long as the pace says, or until the app gives
/// a sign of life.
async fn pause(source: &Source, pace: &mut Pace) {
    let start = Instant::now();
    let lot = getrandom::u32().unwrap_or(u32::MAX / 2);
    let over = sleep_until(start + pace.jittered(lot));
    let woken = async {
        source.outage.sign_of_life().await;
        // Others may be answered all the time while these are not.
        sleep_until(start + pace.shortest()).await;
    };
    tokio::select! {
        () = over => {}
        () = woken => pace.hopes(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Yes,
    No,
}

async fn ask(rosters: &Arc<Rosters>, user: Arc<User>) -> Answered {
    if user.state().is_confirmed() {
        return Answered::Yes;
    }
    let landed = rosters.refetch(&user).await;
    let outcome = if landed.is_ok() { "ok" } else { "failed" };
    metrics::counter!("muster_roster_recoveries_total", "outcome" => outcome).increment(1);
    let owed = landed.is_err_and(|error| is_owed(user.source.policy, error.reach()));
    if !owed {
        // The app does not know the user, or the guard holds its answer, and
        // asks again by itself.
        return Answered::Yes;
    }
    // Behind all others. Who has left in the meantime is not found next time.
    user.source.outage.owe(user.account.as_str());
    Answered::No
}
