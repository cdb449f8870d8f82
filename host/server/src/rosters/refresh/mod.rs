//! The app says whose roster changed: fetch again, push, report.
//!
//! Owns the fan-out over the entries of one request and the outcome of each:
//! fetched anew ([`RefreshCall`], which the plugin calls as the imported
//! `rosters.refresh`), only compared, or handed in by the app itself
//! ([`Batch::hand_in`]). What is told of them is in [`record`].

mod batch;
mod hand_in;
mod preview;
mod record;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::{Changes, Failure, Outcome, Refresher};
use muster_xmpp::BareJid;
use muster_xmpp::roster::ChangeCounts;

pub(crate) use self::batch::{Batch, HandedIn};
pub(crate) use self::preview::Preview;
use self::preview::Rehearsal;
pub(crate) use self::record::{Entry, Progress, Record, Told, Verdict};
use super::flight::Landed;
use super::{Provenance, Rosters, SourceError, Standing};
use crate::config::{Limits, Roster};

/// What one request may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshTerms {
    /// Entries that are worked on at once.
    pub(crate) concurrency: usize,
    /// Time for a whole request that somebody waits for.
    pub(crate) request_time: Duration,
    /// The same for one that has become a job.
    pub(crate) job_time: Duration,
    /// From how many entries on a request becomes a job by itself.
    pub(crate) async_above: Option<usize>,
    /// Contacts that a dry run names.
    pub(crate) dry_run_contacts: usize,
    /// Contacts of one user who is handed in.
    pub(crate) contacts: usize,
    /// Entries that are told one by one.
    pub(crate) told: usize,
}

impl RefreshTerms {
    /// As the configuration has it.
    pub(crate) fn of(limits: &Limits, roster: &Roster) -> RefreshTerms {
        let together = match roster.http_rosters_url {
            Some(_) => limits.backend.batch.max(1),
            None => 1,
        };
        RefreshTerms {
            // As many as can be under way: those that go together are one
            // fetch, and have to wait together to do so.
            concurrency: limits.refresh.concurrency.max(1).saturating_mul(together),
            request_time: limits.plugin.handle_timeout,
            job_time: limits.refresh.job_timeout,
            async_above: limits.refresh.async_above.map(usize::from),
            dry_run_contacts: limits.refresh.dry_run_contacts,
            contacts: limits.backend.contacts,
            told: limits.http.names,
        }
    }
}

/// Whether a refresh changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Fetch, keep, push.
    Real,
    /// Fetch and compare, and leave everything as it is.
    Dry,
}

/// What the plugin calls while it handles one request.
pub(crate) struct RefreshCall {
    batch: Arc<Batch>,
    mode: Mode,
    /// What a dry run shares among its users.
    rehearsal: Rehearsal,
}

impl RefreshCall {
    /// For one request to the plugin.
    pub(crate) fn new(batch: Arc<Batch>, mode: Mode) -> RefreshCall {
        let rehearsal = batch.rehearsal();
        RefreshCall {
            batch,
            mode,
            rehearsal,
        }
    }

    async fn run(&self, usernames: Vec<String>) -> Vec<Outcome> {
        let rosters = &self.batch.rosters;
        let work = |account: BareJid| async move {
            match self.mode {
                Mode::Real => rosters.refresh(&account).await,
                Mode::Dry => rosters.preview(&account, &self.rehearsal).await,
            }
        };
        self.batch.run(usernames, work).await
    }
}

impl Refresher for RefreshCall {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        Box::pin(self.run(usernames))
    }
}

/// What came of one account.
#[derive(Clone, Debug)]
struct Done {
    online: bool,
    result: Result<Changes, Failure>,
    provenance: Option<Provenance>,
    preview: Option<Arc<Preview>>,
}

impl Done {
    /// Nothing is done now for who is not there: the next session asks anyway.
    fn offline() -> Done {
        Done {
            online: false,
            result: Ok(Changes::default()),
            provenance: None,
            preview: None,
        }
    }

    fn failed(online: bool, failure: Failure) -> Done {
        Done {
            online,
            result: Err(failure),
            provenance: None,
            preview: None,
        }
    }

    /// The clients still see the last known roster, if `kept`.
    fn or_kept(mut self, kept: bool) -> Done {
        if kept && self.result.is_err() {
            self.provenance = Some(Provenance::Kept);
        }
        self
    }

    /// What came of an account that is online.
    fn landed(landed: Landed) -> Done {
        match landed {
            Ok(arrived) => Done {
                online: true,
                result: Ok(changes(arrived.counts)),
                provenance: Some(arrived.provenance),
                preview: None,
            },
            Err(error) => Done::failed(true, failure(error)),
        }
    }
}

impl Rosters {
    /// Refreshes one account. The next session of an offline user fetches
    /// anyway, so nothing is done for one now.
    async fn refresh(&self, account: &BareJid) -> Done {
        let Some(user) = self.find(account.as_str()) else {
            count("offline");
            return Done::offline();
        };
        let landed = self.refetch(&user).await;
        count(match landed {
            Ok(_) => "updated",
            Err(SourceError::Held) => "held",
            Err(_) => "failed",
        });
        let kept = matches!(user.state().standing, Standing::Kept(_));
        Done::landed(landed).or_kept(kept)
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("muster_refreshed_users_total", "outcome" => outcome).increment(1);
}

fn changes(counts: ChangeCounts) -> Changes {
    Changes {
        added: counts.added,
        changed: counts.changed,
        removed: counts.removed,
    }
}

fn failure(error: SourceError) -> Failure {
    match error {
        SourceError::Fetch(error) => Failure::Fetch(error),
        SourceError::Held => Failure::Held,
        SourceError::Crowded | SourceError::ShuttingDown => Failure::Overloaded,
    }
}
