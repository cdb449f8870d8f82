//! Where the requests to one virtual host are worked on.
//!
//! Owns the way of a request from when it was read to its answer: once for a
//! key, within the queue, at once or as a job.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use muster_plugin::HandleError;
use muster_xmpp::{DomainPart, DomainRef};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::idempotency::{Begun, Fingerprint, Idempotency, Key};
use super::jobs::{Job, Jobs, Turn};
use super::queue::Queue;
use super::wishes::{Manner, Wishes};
use super::work::{self, Run, Work};
use super::{Answer, error, explain};
use crate::config;
use crate::hosts::{Hosts, VirtualHost};
use crate::limit::Limit;
use crate::rosters::{Record, RefreshTerms, Rosters};

/// The desks of all virtual hosts.
pub(crate) struct Desks(HashMap<DomainPart, Arc<Desk>>);

/// What the requests to one virtual host share.
pub(crate) struct Desk {
    pub(super) host: Arc<VirtualHost>,
    pub(super) rosters: Arc<Rosters>,
    pub(super) terms: RefreshTerms,
    pub(super) idempotency: Arc<Idempotency>,
    pub(super) jobs: Arc<Jobs>,
    queue: Queue,
    tasks: TaskTracker,
}

impl Desks {
    /// A desk for each of `hosts`. What runs there is among `tasks`, and jobs
    /// end when `stop` is cancelled.
    pub(crate) fn new(
        hosts: &Hosts,
        rosters: &Arc<Rosters>,
        limits: &config::RefreshLimits,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Desks, getrandom::Error> {
        let boot = Jobs::boot()?;
        let desk = |host: &Arc<VirtualHost>| {
            let desk = Desk {
                host: Arc::clone(host),
                rosters: Arc::clone(rosters),
                terms: host.refresh,
                idempotency: Arc::new(Idempotency::new(limits)),
                jobs: Arc::new(Jobs::new(limits, boot, stop.clone())),
                queue: Queue::new(limits.requests, limits.waiting, limits.wait_timeout),
                tasks: tasks.clone(),
            };
            (host.domain.clone(), Arc::new(desk))
        };
        Ok(Desks(hosts.iter().map(desk).collect()))
    }

    /// The desk of a domain.
    pub(crate) fn at(&self, domain: &DomainRef) -> Option<Arc<Desk>> {
        self.0.get(domain).cloned()
    }
}

impl Desk {
    /// Does what a request asks for; for a `key` once, whoever asks how often,
    /// and even if nobody waits for it any more.
    pub(super) async fn serve(
        self: &Arc<Self>,
        work: Work,
        wishes: Wishes,
        key: Option<(Key, Fingerprint)>,
    ) -> Answer {
        let Some((key, fingerprint)) = key else {
            return self.exchange(work, wishes).await;
        };
        let claim = loop {
            match self.idempotency.begin(&key, fingerprint) {
                Begun::First(claim) => break claim,
                Begun::Settled(answer) => return answer,
                Begun::UnderWay(wait) => {
                    // The first may have been dropped without an answer.
                    if let Some(answer) = wait.answer().await {
                        return answer;
                    }
                }
            }
        };
        let desk = Arc::clone(self);
        let work = async move {
            let answer = desk.exchange(work, wishes).await;
            claim.settle(&answer);
            answer
        };
        let first = self.tasks.spawn(work.in_current_span());
        first.await.unwrap_or_else(|_| {
            error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request was not worked through",
            )
        })
    }

    async fn exchange(self: &Arc<Self>, work: Work, wishes: Wishes) -> Answer {
        match wishes.manner {
            Manner::WhenDone => self.when_done(work, wishes).await,
            Manner::AsJob { wait } => self.as_job(work, wishes, wait).await,
        }
    }

    /// Answers when all is done, unless it turns out to be so much that it
    /// becomes a job.
    async fn when_done(self: &Arc<Self>, work: Work, wishes: Wishes) -> Answer {
        let place = match self.queue.enter().await {
            Ok(place) => place,
            Err(full) => return error(StatusCode::TOO_MANY_REQUESTS, &full.to_string()),
        };
        let mut run = self.begin(work, wishes);
        let Some(most) = self.terms.async_above else {
            return run.answer.await;
        };
        let deadline = Instant::now() + self.terms.request_time;
        tokio::select! {
            answer = &mut run.answer => return answer,
            () = more_than(&run.record, most) => {}
            () = sleep_until(deadline) => return self.too_slow(),
        }
        match self.jobs.open(&run.record) {
            Some(job) => self.hand_off(job, run, Turn::Borrowed { _place: place }),
            // Who did not ask for a job waits.
            None => timeout_at(deadline, run.answer)
                .await
                .unwrap_or_else(|_| self.too_slow()),
        }
    }

    fn too_slow(&self) -> Answer {
        work::refused(&HandleError::Timeout(self.terms.request_time))
    }

    /// Answers as soon as it is known that there is work to do, or after
    /// `wait`; with the answer itself if it comes before.
    async fn as_job(self: &Arc<Self>, work: Work, wishes: Wishes, wait: Duration) -> Answer {
        let mut run = self.begin(work, wishes);
        run.record.becomes_job();
        let Some(job) = self.jobs.open(&run.record) else {
            return error(
                StatusCode::TOO_MANY_REQUESTS,
                "too many jobs are not finished; try again later",
            );
        };
        let Some(turn) = self.jobs.turn() else {
            Limit::RefreshRunningJobs.reached();
            return as_preferred(self.hand_off(job, run, Turn::Awaited));
        };
        job.start();
        let wait = wait.min(self.terms.request_time);
        tokio::select! {
            biased;
            () = announced(&run.record, wait) => {}
            answer = &mut run.answer => {
                // What was done in no time is a job all the same.
                if !(wait.is_zero() && has_work(&run.record)) {
                    return answer;
                }
                let accepted = job.accepted();
                job.end(answer);
                return as_preferred(accepted);
            }
        }
        as_preferred(self.hand_off(job, run, turn))
    }

    /// Lets the work go on without its caller, who is told where to ask.
    fn hand_off(&self, job: Job, run: Run, turn: Turn) -> Answer {
        let accepted = job.accepted();
        self.tasks.spawn(job.carry_on(run.answer, turn));
        accepted
    }
}

/// The answer to who asked for a job.
fn as_preferred(mut accepted: Answer) -> Answer {
    explain::applied(&mut accepted, "respond-async");
    accepted
}

/// Waits until there is work, and then for so long.
async fn announced(record: &Record, wait: Duration) {
    more_than(record, 0).await;
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

/// Waits until there are more than so many entries.
async fn more_than(record: &Record, entries: usize) {
    let mut progress = record.progress();
    // The record outlives this.
    let _ = progress.wait_for(|it| it.total > Some(entries)).await;
}

fn has_work(record: &Record) -> bool {
    record.progress().borrow().total > Some(0)
}
