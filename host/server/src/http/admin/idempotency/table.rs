//! Which keys are known, and what was answered to them. Pure: the time is
//! passed in.
//!
//! A key is under way until it is settled. Settled ones are forgotten when
//! they are too old, or when there are too many or too large ones: the oldest
//! first. What is under way is never forgotten; the queue bounds it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::key::{Fingerprint, Key};
use crate::limit::Limit;

/// The keys of one virtual host. `W` is what somebody gets who has to wait
/// for an answer `A`.
pub(super) struct Table<W, A> {
    bounds: Bounds,
    entries: HashMap<Key, Entry<W, A>>,
    /// The settled ones, the oldest first.
    settled: VecDeque<Key>,
    bytes: usize,
}

/// What a table may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) keys: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

struct Entry<W, A> {
    fingerprint: Fingerprint,
    state: State<W, A>,
}

enum State<W, A> {
    UnderWay(W),
    Settled {
        answer: A,
        bytes: usize,
        at: Instant,
    },
}

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<W, A> {
    /// Nothing was; now it is under way.
    New,
    /// It is under way.
    UnderWay(W),
    /// It was answered.
    Settled(A),
    /// It stands for another request.
    Mismatch,
}

impl<W: Clone, A: Clone> Table<W, A> {
    pub(super) fn new(bounds: Bounds) -> Table<W, A> {
        Table {
            bounds,
            entries: HashMap::new(),
            settled: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Looks a key up, and puts it under way if it is not known; `wait` is for
    /// those who come meanwhile.
    pub(super) fn begin(
        &mut self,
        key: &Key,
        fingerprint: Fingerprint,
        wait: W,
        now: Instant,
    ) -> Known<W, A> {
        self.forget_old(now);
        match self.entries.get(key) {
            Some(entry) if entry.fingerprint != fingerprint => Known::Mismatch,
            Some(entry) => match &entry.state {
                State::UnderWay(wait) => Known::UnderWay(wait.clone()),
                State::Settled { answer, .. } => Known::Settled(answer.clone()),
            },
            None => {
                let state = State::UnderWay(wait);
                self.entries
                    .insert(key.clone(), Entry { fingerprint, state });
                Known::New
            }
        }
    }

    /// Settles a key with an answer of so many bytes.
    pub(super) fn settle(&mut self, key: &Key, answer: A, bytes: usize, now: Instant) {
        if bytes > self.bounds.bytes {
            Limit::RefreshIdempotencyBytes.reached();
            self.abandon(key);
            return;
        }
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if matches!(entry.state, State::Settled { .. }) {
            return;
        }
        entry.state = State::Settled {
            answer,
            bytes,
            at: now,
        };
        self.settled.push_back(key.clone());
        self.bytes += bytes;
        while self.settled.len() > self.bounds.keys {
            Limit::RefreshIdempotencyKeys.reached();
            self.forget_oldest();
        }
        while self.bytes > self.bounds.bytes {
            Limit::RefreshIdempotencyBytes.reached();
            self.forget_oldest();
        }
    }

    /// Forgets a key that is under way: the next request is worked on.
    pub(super) fn abandon(&mut self, key: &Key) {
        let under_way = |entry: &Entry<W, A>| matches!(entry.state, State::UnderWay(_));
        if self.entries.get(key).is_some_and(under_way) {
            self.entries.remove(key);
        }
    }

    fn forget_old(&mut self, now: Instant) {
        let age = self.bounds.age;
        let is_old = |entry: &Entry<W, A>| match &entry.state {
            State::Settled { at, .. } => now.saturating_duration_since(*at) >= age,
            State::UnderWay(_) => false,
        };
        while self
            .settled
            .front()
            .is_some_and(|key| self.entries.get(key).is_none_or(is_old))
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.settled.pop_front();
        if let Some(Entry {
            state: State::Settled { bytes, .. },
            ..
        }) = oldest.and_then(|key| self.entries.remove(&key))
        {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    use crate::http::admin::wishes::Wishes;

    const AGE: Duration = Duration::from_secs(60);

    fn table() -> Table<char, &'static str> {
        Table::new(Bounds {
            keys: 2,
            bytes: 10,
            age: AGE,
        })
    }

    fn key(name: &str) -> Key {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", name.parse().unwrap());
        Key::of(&headers, 255).unwrap().unwrap()
    }

    fn print(body: &str) -> Fingerprint {
        let (head, ()) = http::Request::new(()).into_parts();
        Fingerprint::of(&head, &Wishes::default(), body.as_bytes())
    }

    #[test]
    fn a_key_is_worked_on_once() {
        let (mut table, now) = (table(), Instant::now());
        let (a, body) = (key("a"), print("1"));
        assert_eq!(table.begin(&a, body, 'x', now), Known::New);
        assert_eq!(table.begin(&a, body, 'y', now), Known::UnderWay('x'));
        assert_eq!(table.begin(&a, print("2"), 'y', now), Known::Mismatch);
        table.settle(&a, "done", 4, now);
        assert_eq!(table.begin(&a, body, 'y', now), Known::Settled("done"));
        assert_eq!(table.begin(&a, print("2"), 'y', now), Known::Mismatch);
        assert_eq!(table.begin(&key("b"), body, 'y', now), Known::New);
    }

    #[test]
    fn what_was_abandoned_is_worked_on_again() {
        let (mut table, now) = (table(), Instant::now());
        let (a, body) = (key("a"), print("1"));
        table.begin(&a, body, 'x', now);
        table.abandon(&a);
        assert_eq!(table.begin(&a, body, 'y', now), Known::New);
        table.settle(&a, "done", 4, now);
        table.abandon(&a);
        assert_eq!(table.begin(&a, body, 'z', now), Known::Settled("done"));
        // Larger than all that may be kept.
        let b = key("b");
        table.begin(&b, body, 'x', now);
        table.settle(&b, "much", 11, now);
        assert_eq!(table.begin(&b, body, 'z', now), Known::New);
    }

    #[test]
    fn the_oldest_answers_are_forgotten_first() {
        let (mut table, now) = (table(), Instant::now());
        let body = print("1");
        let settle = |table: &mut Table<char, &'static str>, name: &str, bytes| {
            assert_eq!(table.begin(&key(name), body, 'x', now), Known::New);
            table.settle(&key(name), "done", bytes, now);
        };
        let under_way = key("under-way");
        table.begin(&under_way, body, 'u', now);
        settle(&mut table, "a", 1);
        settle(&mut table, "b", 1);
        settle(&mut table, "c", 1);
        assert_eq!(
            table.begin(&key("b"), body, 'x', now),
            Known::Settled("done")
        );
        // Nine bytes more leave no room for b and c.
        settle(&mut table, "d", 9);
        assert_eq!(table.begin(&key("b"), body, 'x', now), Known::New);
        assert_eq!(
            table.begin(&key("d"), body, 'x', now),
            Known::Settled("done")
        );
        assert_eq!(table.bytes, 10);
        assert_eq!(
            table.begin(&under_way, body, 'x', now),
            Known::UnderWay('u')
        );
        // Time does the same.
        let later = now + AGE;
        assert_eq!(table.begin(&key("d"), body, 'x', later), Known::New);
        assert_eq!(table.bytes, 0);
        assert_eq!(
            table.begin(&under_way, body, 'x', later),
            Known::UnderWay('u')
        );
    }
}
