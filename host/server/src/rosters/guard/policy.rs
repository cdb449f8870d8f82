//! When removals are held back: the decision, with time passed in.
//!
//! Owns who was drained within the window, whether the guard holds, and what
//! ends that. Does nothing about it, and knows no roster: it is told how many
//! contacts a user had and has.

use std::time::{Duration, Instant};

use super::drained::Drained;
use crate::config;

/// What the app's word does to a user's contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rosters) struct Word {
    /// How many there were.
    pub(in crate::rosters) had: usize,
    /// How many of these stay.
    pub(in crate::rosters) stay: usize,
    /// How many there would be.
    pub(in crate::rosters) has: usize,
}

/// Whether the user has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rosters) enum Seat {
    Online,
    /// Somebody handed in the roster of a user who is not there.
    Offline,
}

/// What becomes of the app's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rosters) enum Ruling {
    /// It counts.
    Honour,
    /// It waits.
    Hold,
    /// It waits, and is the first to do so: the operator has to hear of it.
    Trip,
}

/// What the guard does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rosters) enum Phase {
    /// It counts.
    Watching,
    /// It holds removals back.
    Holding { since: Instant },
    /// The operator has seen to it: for a while everything is honoured.
    Released { until: Instant },
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::rosters) struct Policy {
    terms: config::Guard,
    phase: Phase,
    drained: Drained,
    /// Drained users who have their contacts again, since the guard holds.
    recovered: usize,
    /// When somebody was drained who was not before.
    last: Option<Instant>,
    offline: Offline,
}

/// About how many rosters of offline users were handed in within the window:
/// they belong to the users of whom a share is taken.
#[derive(Clone, Debug, Default)]
struct Offline {
    began: Option<Instant>,
    before: usize,
    now: usize,
}

impl Policy {
    pub(in crate::rosters) fn new(terms: config::Guard) -> Policy {
        Policy {
            terms,
            phase: Phase::Watching,
            // Those that it takes to trip, and as many who came after: enough
            // to see whether the app's answers recover.
            drained: Drained::new(terms.max_users.saturating_mul(2)),
            recovered: 0,
            last: None,
            offline: Offline::default(),
        }
    }

    /// What becomes of the app's `word` for `account`, while `online` users
    /// are there.
    pub(in crate::rosters) fn judge(
        &mut self,
        account: &str,
        seat: Seat,
        word: Word,
        online: usize,
        now: Instant,
    ) -> Ruling {
        if !self.terms.enabled {
            return Ruling::Honour;
        }
        self.advance(now);
        self.offline.now += usize::from(seat == Seat::Offline);
        if let Phase::Released { .. } = self.phase {
            return Ruling::Honour;
        }
        if !self.is_drained(word.had, word.stay) {
            self.note_recovery(account, word.has);
            return Ruling::Honour;
        }
        if self.drained.add(account, word.had, seat, now) {
            self.last = Some(now);
        }
        match self.phase {
            Phase::Holding { .. } => Ruling::Hold,
            _ if self.drained.len() > self.limit(online) => {
                self.phase = Phase::Holding { since: now };
                self.recovered = 0;
                Ruling::Trip
            }
            _ => Ruling::Honour,
        }
    }

    /// The user's last session has ended.
    pub(in crate::rosters) fn left(&mut self, account: &str) {
        self.drained.left(account);
    }

    /// Takes up to `count` of the drained users who are online, in turn: the
    /// app is to be asked for them again.
    pub(in crate::rosters) fn next(&mut self, count: usize) -> Vec<Box<str>> {
        self.drained.next(count)
    }

    /// Ends the holding if the answers have recovered: more of the drained
    /// users have their contacts again than still lack them, who are at most
    /// half of those that it takes to trip, and nobody was drained for a
    /// while. Whether it did.
    pub(in crate::rosters) fn close(&mut self, online: usize, now: Instant) -> bool {
        let (lacking, limit) = (self.drained.online(), self.limit(online));
        let quiet = self.terms.window / 10;
        let is_quiet = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= quiet);
        let closes = matches!(self.phase, Phase::Holding { .. })
            && is_quiet
            && lacking <= limit / 2
            && self.recovered > lacking;
        if closes {
            self.watch();
        }
        closes
    }

    /// The operator says that the removals are meant: they and others like
    /// them are honoured for a window's time.
    pub(in crate::rosters) fn release(&mut self, now: Instant) {
        self.watch();
        let until = now + self.terms.window;
        self.phase = Phase::Released { until };
    }

    /// Counts from now on, whatever was before.
    pub(in crate::rosters) fn watch(&mut self) {
        self.phase = Phase::Watching;
        self.drained.clear();
        self.recovered = 0;
        self.last = None;
    }

    /// What it does.
    pub(in crate::rosters) fn phase(&mut self, now: Instant) -> Phase {
        self.advance(now);
        self.phase
    }

    /// Whether the user still lacks contacts, as far as is known.
    pub(in crate::rosters) fn is_among_drained(&self, account: &str) -> bool {
        self.drained.had(account).is_some()
    }

    /// How many are drained: they count against [`Self::limit`].
    pub(in crate::rosters) fn count(&self) -> usize {
        self.drained.len()
    }

    /// How many users may be drained within the window.
    pub(in crate::rosters) fn limit(&self, online: usize) -> usize {
        let users = online.saturating_add(self.offline.handed_in());
        let share = users.saturating_mul(self.terms.users_percent) / 100;
        share.clamp(self.terms.min_users, self.terms.max_users)
    }

    pub(in crate::rosters) fn terms(&self) -> &config::Guard {
        &self.terms
    }

    /// Lets go what is over.
    fn advance(&mut self, now: Instant) {
        self.offline.turn(now, self.terms.window);
        match self.phase {
            Phase::Watching => self.drained.expire(now, self.terms.window),
            Phase::Released { until } if now >= until => self.phase = Phase::Watching,
            // What was let through before the guard knew counts on, so that the
            // holding does not end by the passing of time.
            Phase::Holding { .. } | Phase::Released { .. } => {}
        }
    }

    fn is_drained(&self, had: usize, stay: usize) -> bool {
        let lost = had.saturating_sub(stay);
        let most = lost.saturating_mul(100) >= had.saturating_mul(self.terms.lost_percent);
        had > 0 && (stay == 0 || (most && lost >= self.terms.min_contacts))
    }

    fn note_recovery(&mut self, account: &str, has: usize) {
        if let Some(had) = self.drained.had(account)
            && !self.is_drained(had, has.min(had))
        {
            self.drained.remove(account);
            self.recovered += 1;
        }
    }
}

impl Offline {
    /// Two spans of a window each, so that one number a span is enough.
    fn turn(&mut self, now: Instant, window: Duration) {
        let began = *self.began.get_or_insert(now);
        let age = now.saturating_duration_since(began);
        if age >= window {
            let recent = age < window.saturating_mul(2);
            self.before = if recent { self.now } else { 0 };
            self.now = 0;
            self.began = Some(now);
        }
    }

    fn handed_in(&self) -> usize {
        self.now.saturating_add(self.before)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
