//! What is known of an app that does not answer, and whom it owes a roster.
//!
//! Owns, for one virtual host, the count of failures in a row, the users who
//! saw something else than the app's answer, and the pace at which the app is
//! asked again. Does not ask: `recovery` does.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Failures in a row, of whatever users, after which the app is known to fail.
const STRIKES: u32 = 5;

/// The shortest pause between attempts to get what the app owes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Outage {
    /// Held for a look or a change; nothing is locked under it.
    ledger: Mutex<Ledger>,
    /// The app gave a sign of life, or somebody is owed who was not.
    news: Notify,
    /// How long a failure is remembered. Twice the pause between attempts: as
    /// long as anybody is owed, the next attempt renews or ends it.
    memory: Duration,
}

#[derive(Debug, Default)]
struct Ledger {
    strikes: u32,
    last: Option<Instant>,
    owed: Owed,
    awake: bool,
}

/// Accounts, each once, in the order in which they are asked for.
#[derive(Debug, Default)]
struct Owed {
    places: HashMap<Box<str>, u64>,
    queue: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl Outage {
    /// `longest_pause`: between attempts.
    pub(super) fn new(longest_pause: Duration) -> Outage {
        Outage {
            ledger: Mutex::default(),
            news: Notify::new(),
            memory: longest_pause.max(SHORTEST_PAUSE) * 2,
        }
    }

    /// The app failed, or keeps somebody waiting for too long.
    pub(super) fn failed(&self, now: Instant) {
        let mut ledger = self.ledger.lock();
        ledger.strikes = ledger.strikes.saturating_add(1);
        ledger.last = Some(now);
    }

    /// The app answered.
    pub(super) fn is_over(&self) {
        self.ledger.lock().strikes = 0;
        self.may_be_over();
    }

    /// Something else than an answer lets hope that the app is back.
    pub(super) fn may_be_over(&self) {
        let mut ledger = self.ledger.lock();
        if !ledger.owed.is_empty() {
            ledger.awake = true;
            self.news.notify_one();
        }
    }

    /// Whether the app is known to fail, so that there is no use in waiting.
    pub(super) fn is_known(&self, now: Instant) -> bool {
        let ledger = self.ledger.lock();
        let recent = |last| now.saturating_duration_since(last) < self.memory;
        ledger.strikes >= STRIKES && ledger.last.is_some_and(recent)
    }

    /// The account saw something else than the app's answer.
    pub(super) fn owe(&self, account: &str) {
        let mut ledger = self.ledger.lock();
        let first = ledger.owed.is_empty();
        ledger.owed.add(account);
        if first {
            self.news.notify_one();
        }
    }

    /// Whether the account is owed a roster.
    pub(super) fn owes(&self, account: &str) -> bool {
        self.ledger.lock().owed.places.contains_key(account)
    }

    /// The account is owed nothing any more.
    pub(super) fn settle(&self, account: &str) {
        self.ledger.lock().owed.remove(account);
    }

    /// Takes out the accounts that are next, at most `count`.
    pub(super) fn take(&self, count: usize) -> Vec<Box<str>> {
        let mut ledger = self.ledger.lock();
        std::iter::from_fn(|| ledger.owed.pop())
            .take(count)
            .collect()
    }

    /// How many are owed.
    pub(super) fn owed(&self) -> usize {
        self.ledger.lock().owed.places.len()
    }

    /// Waits until somebody is owed.
    pub(super) async fn somebody(&self) {
        while self.owed() == 0 {
            self.news.notified().await;
        }
    }

    /// Waits for a sign of life since the last call.
    pub(super) async fn sign_of_life(&self) {
        while !std::mem::take(&mut self.ledger.lock().awake) {
            self.news.notified().await;
        }
    }
}

impl Owed {
    fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn add(&mut self, account: &str) {
        if !self.places.contains_key(account) {
            self.places.insert(account.into(), self.next);
            self.queue.insert(self.next, account.into());
            self.next += 1;
        }
    }

    fn remove(&mut self, account: &str) {
        if let Some(place) = self.places.remove(account) {
            self.queue.remove(&place);
        }
    }

    fn pop(&mut self) -> Option<Box<str>> {
        let (_, account) = self.queue.pop_first()?;
        self.places.remove(&account);
        Some(account)
    }
}

/// How many are asked for at once, and how long the pause before is: one, after
/// a pause that doubles, while the app fails; twice as many each time, without
/// a pause, once it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) size: usize,
    pub(super) pause: Duration,
    largest: usize,
    longest: Duration,
}

impl Pace {
    pub(super) fn new(largest: usize, longest: Duration) -> Pace {
        Pace {
            size: 1,
            pause: SHORTEST_PAUSE.min(longest),
            largest: largest.max(1),
            longest,
        }
    }

    /// All who were asked for got an answer.
    pub(super) fn answered(&mut self) {
        self.size = self.size.saturating_mul(2).min(self.largest);
        self.pause = Duration::ZERO;
    }

    /// Somebody got none.
    pub(super) fn failed(&mut self) {
        self.size = 1;
        self.pause = (self.pause * 2).max(SHORTEST_PAUSE).min(self.longest);
    }

    /// There was a sign of life: the pauses are short again.
    pub(super) fn hopes(&mut self) {
        self.pause = SHORTEST_PAUSE.min(self.longest);
    }

    /// The pause before the next attempt, for a number that was drawn by lot:
    /// between half of it and all of it.
    pub(super) fn jittered(&self, lot: u32) -> Duration {
        let share = 0.5 + 0.5 * f64::from(lot) / f64::from(u32::MAX);
        self.pause.mul_f64(share)
    }

    /// How many are asked for at once at most.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// How soon after an attempt a sign of life may cause the next.
    pub(super) fn shortest(&self) -> Duration {
        self.pause.min(SHORTEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    #[test]
    fn an_outage_is_known_after_failures_in_a_row_and_for_a_while() {
        let (outage, now) = (Outage::new(TEN_SECONDS), Instant::now());
        for _ in 1..STRIKES {
            outage.failed(now);
        }
        assert!(!outage.is_known(now));
        outage.is_over();
        outage.failed(now);
        assert!(!outage.is_known(now), "an answer starts the count again");
        for _ in 1..STRIKES {
            outage.failed(now);
        }
        assert!(outage.is_known(now));
        assert!(outage.is_known(now + TEN_SECONDS));
        assert!(!outage.is_known(now + 2 * TEN_SECONDS), "it is forgotten");
        outage.failed(now + 2 * TEN_SECONDS);
        assert!(outage.is_known(now + 2 * TEN_SECONDS));
        outage.is_over();
        assert!(!outage.is_known(now + 2 * TEN_SECONDS));
    }

    #[test]
    fn each_is_owed_once_and_in_turn() {
        let outage = Outage::new(TEN_SECONDS);
        for account in ["a", "b", "c", "a"] {
            outage.owe(account);
        }
        outage.settle("b");
        assert!(outage.owes("a") && !outage.owes("b"));
        assert_eq!(outage.owed(), 2);
        assert_eq!(outage.take(1), ["a".into()]);
        outage.owe("a");
        assert_eq!(outage.take(9), ["c".into(), "a".into()]);
        assert_eq!(outage.owed(), 0);
    }

    #[tokio::test]
    async fn a_sign_of_life_is_heard_once_and_only_if_anybody_is_owed() {
        use futures_util::FutureExt as _;
        let outage = Outage::new(TEN_SECONDS);
        outage.is_over();
        outage.owe("a");
        assert!(outage.somebody().now_or_never().is_some());
        assert!(outage.sign_of_life().now_or_never().is_none());
        outage.is_over();
        assert!(outage.sign_of_life().now_or_never().is_some());
        assert!(outage.sign_of_life().now_or_never().is_none());
    }

    #[test]
    fn the_pace_backs_off_and_grows() {
        let mut pace = Pace::new(16, TEN_SECONDS);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pauses.push(pace.pause.as_secs());
            pace.failed();
            assert_eq!(pace.size, 1);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            pace.answered();
            sizes.push(pace.size);
            assert_eq!(pace.pause, Duration::ZERO);
        }
        assert_eq!(sizes, [2, 4, 8, 16, 16, 16]);
        pace.failed();
        assert_eq!((pace.size, pace.pause), (1, SHORTEST_PAUSE));
        assert_eq!(pace.jittered(0), SHORTEST_PAUSE / 2);
        assert_eq!(pace.jittered(u32::MAX), SHORTEST_PAUSE);
    }

    #[test]
    fn a_short_interval_is_kept_to() {
        let interval = Duration::from_millis(50);
        let mut pace = Pace::new(4, interval);
        for _ in 0..3 {
            assert_eq!(pace.pause, interval);
            assert_eq!(pace.shortest(), interval);
            pace.failed();
        }
    }
}
