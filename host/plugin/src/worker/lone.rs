//! Calls of `fetch` of a plugin that takes one at a time: each has a store of
//! its own, and goes with it.
//!
//! A store is made when its call begins, and not before: one that waits would
//! keep its memory, and making one costs less than a tenth of what the app
//! takes to answer. Nothing of another call can be in it, so a fault is the
//! call's own, and it is not made again.

use std::sync::Arc;

use async_channel::Receiver;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Job;
use crate::generation::Shared;
use crate::roster::PluginFault;
use crate::solo;
use crate::store::Purpose;

/// Answers one job after the other until there are no more. After an abort
/// each is answered with [`PluginFault::Stopped`].
pub(super) async fn run(shared: Arc<Shared>, jobs: Receiver<Job>, abort: CancellationToken) {
    while let Ok(job) = jobs.recv().await {
        answer(&shared, job, &abort).await;
    }
}

async fn answer(shared: &Shared, job: Job, abort: &CancellationToken) {
    let Job {
        question,
        deadline,
        span,
        mut reply,
    } = job;
    let call = solo::ask(shared, Purpose::Fetch, question).instrument(span);
    let answer = tokio::select! {
        biased;
        () = abort.cancelled() => Err(PluginFault::Stopped),
        // Whoever asked has given up: nobody else needs the store.
        () = reply.closed() => return,
        answer = tokio::time::timeout_at(deadline, call) => answer.unwrap_or_else(|_| {
            shared.meter.trap(PluginFault::Stuck);
            Err(PluginFault::Stuck)
        }),
    };
    let _ = reply.send(answer);
}
