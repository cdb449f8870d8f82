//! `[limits.refresh]`: what a refresh may cost the app, and what requests under `/roster_admin/`
//! may make the server hold.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::quantity::Size;
use super::reader::Section;

const MIB: usize = 1024 * 1024;

/// What refreshes may cost; each for one virtual host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshLimits {
    /// Fetches that run at the same time, at most: fewer while the app shows that it has too much
    /// to do. Default 64.
    pub concurrency: usize,
    /// The same at least, or `concurrency` if that is less. Default 8.
    pub concurrency_floor: usize,
    /// Fetches that wait for their turn. Default 20,000.
    pub waiting_fetches: usize,
    /// Of those, for users whose roster the app still owes after a failure. Default 16.
    pub recovery_concurrency: usize,
    /// Longest pause between attempts to get what the app owes. Default 10 s.
    pub recovery_interval: Duration,
    /// Requests under `/roster_admin/` that are worked on at the same time, without jobs.
    /// Default 16.
    pub requests: usize,
    /// Further ones that wait. Default 64; more are answered with 429.
    pub waiting: usize,
    /// How long one waits. Default 10 s; then it is answered with 429.
    pub wait_timeout: Duration,
    /// Entries above which a request becomes a job though it did not ask for it. Default (no
    /// key): none does.
    pub async_above: Option<NonZeroUsize>,
    /// Jobs that are not finished. Default 64; more are answered with 429.
    pub jobs: usize,
    /// Of these, jobs that are worked on at the same time. Default 4; the others wait.
    pub running_jobs: usize,
    /// For all of a job's work. Default 10 min.
    pub job_timeout: Duration,
    /// Finished jobs whose answer is kept. Default 100; then the oldest is forgotten.
    pub finished_jobs: usize,
    /// Bytes of their answers. Default 32 MiB; then the oldest is forgotten.
    pub finished_bytes: usize,
    /// How long a finished job is kept. Default 1 h.
    pub job_age: Duration,
    /// Connections that follow the events of jobs. Default 64; more are answered with 429.
    pub listeners: usize,
    /// Answers that are kept for a retry with the same `Idempotency-Key`. Default 10,000; then
    /// the oldest is forgotten.
    pub idempotency_keys: usize,
    /// Bytes of one such key. Default 255.
    pub idempotency_key_bytes: usize,
    /// Bytes of these answers. Default 32 MiB; then the oldest is forgotten.
    pub idempotency_bytes: usize,
    /// How long such an answer is kept. Default 24 h.
    pub idempotency_age: Duration,
    /// Contacts that the answer to one dry run names. Default 10,000; of the others it tells the
    /// number.
    pub dry_run_contacts: usize,
}

impl RefreshLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let finished_bytes = Size(default.finished_bytes);
        let idempotency_bytes = Size(default.idempotency_bytes);
        Self {
            concurrency: section.value("concurrency", default.concurrency),
            concurrency_floor: section.value("concurrency_floor", default.concurrency_floor),
            waiting_fetches: section.value("waiting_fetches", default.waiting_fetches),
            recovery_concurrency: section
                .value("recovery_concurrency", default.recovery_concurrency),
            recovery_interval: section.value("recovery_interval", default.recovery_interval),
            requests: section.value("requests", default.requests),
            waiting: section.value("waiting", default.waiting),
            wait_timeout: section.value("wait_timeout", default.wait_timeout),
            async_above: section.optional("async_above"),
            jobs: section.value("jobs", default.jobs),
            running_jobs: section.value("running_jobs", default.running_jobs),
            job_timeout: section.value("job_timeout", default.job_timeout),
            finished_jobs: section.value("finished_jobs", default.finished_jobs),
            finished_bytes: section.value("finished_bytes", finished_bytes).0,
            job_age: section.value("job_age", default.job_age),
            listeners: section.value("listeners", default.listeners),
            idempotency_keys: section.value("idempotency_keys", default.idempotency_keys),
            idempotency_key_bytes: section
                .value("idempotency_key_bytes", default.idempotency_key_bytes),
            idempotency_bytes: section.value("idempotency_bytes", idempotency_bytes).0,
            idempotency_age: section.value("idempotency_age", default.idempotency_age),
            dry_run_contacts: section.value("dry_run_contacts", default.dry_run_contacts),
        }
    }
}

impl Default for RefreshLimits {
    fn default() -> Self {
        Self {
            concurrency: 64,
            concurrency_floor: 8,
            waiting_fetches: 20_000,
            recovery_concurrency: 16,
            recovery_interval: Duration::from_secs(10),
            requests: 16,
            waiting: 64,
            wait_timeout: Duration::from_secs(10),
            async_above: None,
            jobs: 64,
            running_jobs: 4,
            job_timeout: Duration::from_secs(600),
            finished_jobs: 100,
            finished_bytes: 32 * MIB,
            job_age: Duration::from_secs(3_600),
            listeners: 64,
            idempotency_keys: 10_000,
            idempotency_key_bytes: 255,
            idempotency_bytes: 32 * MIB,
            idempotency_age: Duration::from_secs(24 * 3_600),
            dry_run_contacts: 10_000,
        }
    }
}
