//! Who lost contacts, each once, in the order in which it happened; bounded.
//!
//! Owns the counts of them and the turn in which they are asked for again.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::policy::Seat;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Drained {
    users: HashMap<Arc<str>, Entry>,
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
    /// The place in `order` of whom was asked for last.
    asked: u64,
    online: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    place: u64,
    since: Instant,
    /// How many contacts the user had before.
    had: usize,
    seat: Seat,
}

impl Drained {
    /// Room for `most`.
    pub(super) fn new(most: usize) -> Drained {
        Drained {
            users: HashMap::new(),
            order: BTreeMap::new(),
            next: 1,
            asked: 0,
            online: 0,
            most,
        }
    }

    /// Adds a user who had `had` contacts. Whether the user was not there
    /// before, whether or not there is room.
    pub(super) fn add(&mut self, account: &str, had: usize, seat: Seat, now: Instant) -> bool {
        if let Some(entry) = self.users.get_mut(account) {
            self.online -= usize::from(entry.seat == Seat::Online);
            entry.seat = seat;
            entry.had = entry.had.max(had);
            self.online += usize::from(seat == Seat::Online);
            return false;
        }
        if self.users.len() < self.most {
            let account: Arc<str> = account.into();
            let place = self.next;
            self.next += 1;
            self.order.insert(place, Arc::clone(&account));
            let entry = Entry {
                place,
                since: now,
                had,
                seat,
            };
            self.users.insert(account, entry);
            self.online += usize::from(seat == Seat::Online);
        }
        true
    }

    pub(super) fn remove(&mut self, account: &str) {
        if let Some(entry) = self.users.remove(account) {
            self.order.remove(&entry.place);
            self.online -= usize::from(entry.seat == Seat::Online);
        }
    }

    /// The user is not online any more.
    pub(super) fn left(&mut self, account: &str) {
        if let Some(entry) = self.users.get_mut(account)
            && entry.seat == Seat::Online
        {
            entry.seat = Seat::Offline;
            self.online -= 1;
        }
    }

    /// How many contacts the user had before.
    pub(super) fn had(&self, account: &str) -> Option<usize> {
        self.users.get(account).map(|entry| entry.had)
    }

    /// Forgets whom it happened to longer ago than `window`.
    pub(super) fn expire(&mut self, now: Instant, window: Duration) {
        while let Some((_, account)) = self.order.first_key_value() {
            let since = self.users.get(account).map(|entry| entry.since);
            let old = |since| now.saturating_duration_since(since) >= window;
            if !since.is_none_or(old) {
                return;
            }
            let account = Arc::clone(account);
            self.remove(&account);
        }
    }

    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.order.clear();
        self.online = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// Those of them who are online.
    pub(super) fn online(&self) -> usize {
        self.online
    }

    /// The next `count` who are online, beginning again at the end; each once.
    pub(super) fn next(&mut self, count: usize) -> Vec<Box<str>> {
        let count = count.min(self.online);
        let after = self.order.range((Excluded(self.asked), Unbounded));
        let around = after.chain(self.order.range(..=self.asked));
        let is_online = |account: &Arc<str>| {
            let entry = self.users.get(account);
            entry.is_some_and(|entry| entry.seat == Seat::Online)
        };
        let chosen: Vec<_> = around
            .filter(|(_, account)| is_online(account))
            .take(count)
            .collect();
        let last = chosen.last().map(|(place, _)| **place);
        let chosen = chosen.iter().map(|(_, account)| (&***account).into());
        let chosen = chosen.collect();
        self.asked = last.unwrap_or(self.asked);
        chosen
    }
}
