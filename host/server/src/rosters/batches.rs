//! Fetches for many users in one request, where the app takes that.
//!
//! Owns the one task of a virtual host that makes them, for the parties that
//! the limiter hands out. Each user keeps the turn and the ticket of a fetch:
//! who waits here is answered as by a fetch of their own. What cannot be asked
//! for together (the app has no such address, the answer is too large, the
//! plugin fails over it) is asked for one by one, and so is everybody for a
//! while.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use muster_plugin::{FetchError, Many, ManyError};
use tokio_util::sync::CancellationToken;

use super::limiter::{Ending, Party};
use super::source::{Answer, Source, SourceError};

type Riders = Party<Result<Answer, SourceError>>;

/// Provides for the parties of `source` until `stop`.
pub(super) async fn run(source: Arc<Source>, stop: CancellationToken) {
    let mut parties = source.parties();
    let mut under_way = FuturesUnordered::new();
    let work = async {
        loop {
            tokio::select! {
                party = parties.recv() => match party {
                    Some(party) => under_way.push(provide(&source, party)),
                    None => return,
                },
                Some(()) = under_way.next() => {}
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

async fn provide(source: &Source, party: Riders) {
    let riders = party.riders.iter();
    let usernames: Vec<String> = riders
        .map(|rider| rider.account.node().map_or("", |node| node.as_str()))
        .map(str::to_owned)
        .collect();
    let many = source.ask_for_many(&usernames).await;
    let many = many.map_err(Failed::of);
    count(&many, usernames.len());
    match many {
        Ok(lists) => {
            source.note(None);
            let Party { permit, riders } = party;
            for (rider, list) in riders.into_iter().zip(lists) {
                let answer = list.map_err(SourceError::Fetch);
                let answer = answer.and_then(|list| source.accept_listed(&rider.account, list));
                rider.serve(answer);
            }
            permit.end(Ending::Answered);
        }
        Err(Failed::Together(error)) => {
            tracing::info!(users = usernames.len(), %error, "users cannot be asked for together, and are asked for one by one for a while");
            source.one_by_one(party);
        }
        Err(Failed::Altogether(error)) => {
            let error = SourceError::Fetch(error);
            // Once, however many wait for it.
            source.note(Some(&error));
            let Party { permit, riders } = party;
            permit.end(source.ending(Some(&error)));
            for rider in riders {
                rider.serve(Err(error.clone()));
            }
        }
    }
}

/// What a failure means for those who were asked for.
#[derive(Debug)]
enum Failed {
    /// Each of them may have an answer by itself.
    Together(ManyError),
    /// None of them would.
    Altogether(FetchError),
}

impl Failed {
    fn of(error: ManyError) -> Failed {
        let together = error.is_refused_together();
        match error {
            ManyError::Fetch(error) if !together => Failed::Altogether(error),
            error => Failed::Together(error),
        }
    }
}

fn count(many: &Result<Many, Failed>, users: usize) {
    let outcome = match many {
        Ok(_) => "answered",
        Err(Failed::Together(_)) => "refused",
        Err(Failed::Altogether(_)) => "failed",
    };
    metrics::counter!("muster_fetch_batches_total", "outcome" => outcome).increment(1);
    metrics::counter!("muster_fetch_batched_users_total", "outcome" => outcome)
        .increment(users as u64);
}
