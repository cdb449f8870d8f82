//! The guard against mass removal: a deploy of the app that suddenly answers
//! `{}` for everybody must not empty everybody's contact list.
//!
//! Owns, for one virtual host, the [`policy`] and the counts that the operator
//! sees; [`watch`] asks again for whom something is held. What is held is not
//! kept: the user has the roster from before, and what the app says is asked
//! for anew when the time has come. The landing of a roster asks
//! [`Guard::judge`] before anything changes (`rosters/landing.rs`).

mod drained;
mod policy;
mod status;
pub(super) mod watch;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use muster_xmpp::roster::{Change, Snapshot, diff};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(super) use self::policy::{Phase, Policy, Ruling, Seat, Word};
pub(crate) use self::status::GuardStatus;
use crate::config;

/// See the module.
#[derive(Debug)]
pub(super) struct Guard {
    domain: String,
    /// A leaf lock.
    policy: Mutex<Policy>,
    /// Users with a session.
    online: AtomicUsize,
    /// Users who have something else than the app says because of the guard.
    held: AtomicUsize,
    trips: AtomicU64,
    /// The phase has changed.
    news: Notify,
}

impl Guard {
    pub(super) fn new(domain: &str, terms: config::Guard) -> Guard {
        let guard = Guard {
            domain: domain.to_owned(),
            policy: Mutex::new(Policy::new(terms)),
            online: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            trips: AtomicU64::new(0),
            news: Notify::new(),
        };
        guard.tell_phase(Phase::Watching);
        guard
    }

    /// What becomes of the app's `word` for `account`; tells the operator when
    /// the guard trips.
    pub(super) fn judge(&self, account: &str, seat: Seat, word: Word, now: Instant) -> Ruling {
        let online = self.online();
        let (ruling, drained) = {
            let mut policy = self.policy.lock();
            let ruling = policy.judge(account, seat, word, online, now);
            (ruling, policy.count())
        };
        if ruling == Ruling::Trip {
            self.trips.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("muster_guard_trips_total", "vhost" => self.domain.clone())
                .increment(1);
            tracing::error!(
                vhost = self.domain,
                drained,
                online,
                "the app takes the contacts of many users away: such changes are held from now on, \
                 and users keep their contacts. If they are meant: muster guard release"
            );
            self.tell_phase(Phase::Holding { since: now });
        }
        if ruling != Ruling::Honour {
            metrics::counter!("muster_guard_held_total", "vhost" => self.domain.clone())
                .increment(1);
        }
        ruling
    }

    /// The policy as it is, to try with it what would be held.
    pub(super) fn rehearsal(&self) -> Policy {
        self.policy.lock().clone()
    }

    pub(super) fn online(&self) -> usize {
        self.online.load(Ordering::Relaxed)
    }

    /// A user has come who was not online.
    pub(super) fn came(&self) {
        self.online.fetch_add(1, Ordering::Relaxed);
    }

    /// The last session of a user has ended.
    pub(super) fn left(&self, account: &str) {
        self.online.fetch_sub(1, Ordering::Relaxed);
        self.policy.lock().left(account);
    }

    /// One user more has something else than the app says. Called under that
    /// user's state lock, as is [`Guard::ends_to_hold`].
    pub(super) fn begins_to_hold(&self, now: Instant) {
        self.tell_held(self.held.fetch_add(1, Ordering::Relaxed) + 1);
        if !self.holds(now) {
            // It ended while this one was judged: who asks for those who are
            // held may have missed this one.
            self.news.notify_one();
        }
    }

    /// One user less.
    pub(super) fn ends_to_hold(&self) {
        self.tell_held(self.held.fetch_sub(1, Ordering::Relaxed) - 1);
    }

    /// The operator says that the removals are meant. How many users are
    /// asked for again.
    pub(super) fn release(&self, now: Instant) -> usize {
        self.policy.lock().release(now);
        let held = self.held.load(Ordering::Relaxed);
        tracing::warn!(
            vhost = self.domain,
            held,
            "the operator says that the removals are meant: they are honoured for a while"
        );
        self.tell_phase(Phase::Released { until: now });
        held
    }

    /// The operator wants the guard to count again, whatever was before. How
    /// many users are asked for again.
    pub(super) fn arm(&self) -> usize {
        self.policy.lock().watch();
        tracing::info!(vhost = self.domain, "the guard watches, and counts anew");
        self.tell_phase(Phase::Watching);
        self.held.load(Ordering::Relaxed)
    }

    /// Whether it holds something back.
    pub(super) fn holds(&self, now: Instant) -> bool {
        matches!(self.phase(now), Phase::Holding { .. })
    }

    /// Ends the holding if the app's answers have recovered.
    fn close(&self, now: Instant) -> bool {
        let closed = self.policy.lock().close(self.online(), now);
        if closed {
            tracing::warn!(
                vhost = self.domain,
                "the app's answers have recovered: nothing is held any more"
            );
            self.tell_phase(Phase::Watching);
        }
        closed
    }

    fn phase(&self, now: Instant) -> Phase {
        self.policy.lock().phase(now)
    }

    fn tell_phase(&self, phase: Phase) {
        let holding = f64::from(u8::from(matches!(phase, Phase::Holding { .. })));
        metrics::gauge!("muster_guard_holding", "vhost" => self.domain.clone()).set(holding);
        self.news.notify_one();
    }

    fn tell_held(&self, held: usize) {
        metrics::gauge!("muster_guard_held_users", "vhost" => self.domain.clone()).set(held as f64);
    }
}

impl Word {
    /// What `new` does to somebody who has `old`.
    pub(super) fn of(old: &Snapshot, new: &Snapshot) -> Word {
        let changes = diff(old, new).into_iter();
        let removed = changes.filter(|it| matches!(it, Change::Removed(_)));
        Word {
            had: old.len(),
            stay: old.len().saturating_sub(removed.count()),
            has: new.len(),
        }
    }

    /// What it does to somebody with `old` that the app knows no such user.
    pub(super) fn gone(old: &Snapshot) -> Word {
        Word {
            had: old.len(),
            stay: 0,
            has: 0,
        }
    }
}
