//! Fetches of many users in one request, replayed.
//!
//! Owns what a server would make of the build's answer: for each user what it
//! told, or, if it cannot tell all together, a fetch of each alone.

use super::{Replayer, Verdict};
use crate::record::{Batch, Call, Fetch, Together};

impl Replayer {
    /// A build that cannot ask for these users together is asked for one after
    /// the other, as by a server.
    pub(super) async fn fetch_many(&self, recorded: &Batch) -> Vec<(String, Verdict)> {
        self.tape.wind_to(recorded.ended);
        let told = self.plugin.fetch_many(&recorded.usernames).await;
        let failed = matches!(recorded.result, Together::Error(_));
        let verdict = match (Together::of(&told), self.tape.missed()) {
            _ if told.is_err_and(|error| error.is_refused_together()) => match failed {
                // They were asked for one by one then, which is replayed apart.
                true => None,
                false => return self.one_by_one(recorded).await,
            },
            // The app gave no answer then, so there is none now.
            (_, Some(_)) if failed => None,
            (_, Some(asked)) => Some(Err(Verdict::NotRecorded { asked })),
            (is, None) => is.map(Ok),
        };
        let users = recorded.usernames.iter().enumerate();
        let verdict_on = |(index, username): (usize, &String)| {
            let verdict = match &verdict {
                None => Verdict::Same,
                Some(Err(verdict)) => verdict.clone(),
                Some(Ok(is)) => self.verdict(
                    username,
                    &recorded.result.of_user(index),
                    &is.of_user(index),
                ),
            };
            (username.clone(), verdict)
        };
        users.map(verdict_on).collect()
    }

    async fn one_by_one(&self, recorded: &Batch) -> Vec<(String, Verdict)> {
        let mut verdicts = Vec::with_capacity(recorded.usernames.len());
        for (index, username) in recorded.usernames.iter().enumerate() {
            let alone = Fetch {
                begun: recorded.begun,
                ended: recorded.ended,
                username: username.clone(),
                known: None,
                result: recorded.result.of_user(index),
            };
            verdicts.push((username.clone(), self.fetch(&alone).await));
        }
        verdicts
    }
}

/// All calls in the order of their ends, whatever they were.
pub(super) fn in_order(fetches: Vec<Fetch>, batches: Vec<Batch>) -> Vec<Call> {
    let fetches = fetches.into_iter().map(Call::One);
    let mut calls: Vec<_> = fetches.chain(batches.into_iter().map(Call::Many)).collect();
    calls.sort_by_key(Call::ended);
    calls
}
