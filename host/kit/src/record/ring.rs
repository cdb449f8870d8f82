//! What is kept of what was heard last: so many fetches, so many bytes.
//!
//! Owns the order in which things are forgotten. The oldest go first, and with a
//! fetch the answers that nothing later can have been made of.

use std::collections::VecDeque;

use super::call::Call;
use super::{Bounds, Exchange, Refresh};

/// See the module.
#[derive(Default)]
pub(super) struct Ring {
    clock: u64,
    bytes: usize,
    /// Users of all calls.
    fetches: usize,
    pub(super) left_out: u64,
    pub(super) exchanges: VecDeque<Exchange>,
    /// In the order of their ends.
    pub(super) calls: VecDeque<Call>,
    pub(super) refreshes: VecDeque<Refresh>,
    /// Who was asked for last, and when that began. Requests have their names in
    /// them, also where the fetch has not ended or is not kept any more.
    asked: VecDeque<(u64, String)>,
}

impl Ring {
    /// The number of the next event.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A fetch of these users begins; the names of so many are kept.
    pub(super) fn begin(&mut self, usernames: &[&str], most: usize) -> u64 {
        let begun = self.tick();
        let names = usernames.iter().map(|name| (begun, (*name).to_owned()));
        self.asked.extend(names);
        while self.asked.len() > most {
            self.forget_asked();
        }
        begun
    }

    /// Who was asked for last.
    pub(super) fn asked(&self) -> Vec<String> {
        let asked = self.asked.iter();
        asked.map(|(_, username)| username.clone()).collect()
    }

    /// Fetches that are kept, and bytes of everything, by and large.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.fetches, self.bytes)
    }

    pub(super) fn keep_call(&mut self, call: Call) {
        self.bytes += call.bytes();
        self.fetches += call.users();
        self.calls.push_back(call);
    }

    pub(super) fn keep_exchange(&mut self, exchange: Exchange) {
        self.bytes += exchange.bytes();
        self.exchanges.push_back(exchange);
    }

    pub(super) fn keep_refresh(&mut self, refresh: Refresh) {
        self.bytes += refresh.bytes();
        self.refreshes.push_back(refresh);
    }

    /// Forgets what is beyond the bounds. Whether it was for the one of bytes.
    pub(super) fn trim(&mut self, bounds: Bounds) -> bool {
        while self.fetches > bounds.fetches {
            self.forget_call();
        }
        while self.refreshes.len() > bounds.fetches {
            self.forget_refresh();
        }
        let full = self.bytes > bounds.bytes;
        while self.bytes > bounds.bytes {
            // What is oldest goes, and with a fetch what it was made of.
            if self.forget_call() || self.forget_exchange() || self.forget_refresh() {
                continue;
            }
            self.bytes = 0;
        }
        full
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        while self.forget_call() || self.forget_exchange() || self.forget_refresh() {}
        self.bytes = 0;
    }

    /// Exchanges of before the oldest call that is left are of no use.
    fn forget_call(&mut self) -> bool {
        let Some(call) = self.calls.pop_front() else {
            self.fetches = 0;
            return false;
        };
        self.left_out += call.users() as u64;
        self.fetches = self.fetches.saturating_sub(call.users());
        self.bytes = self.bytes.saturating_sub(call.bytes());
        let oldest = self.calls.iter().map(Call::begun).min();
        let oldest = oldest.unwrap_or(call.ended());
        while self.exchanges.front().is_some_and(|it| it.at < oldest) {
            self.forget_exchange();
        }
        true
    }

    /// With the requests that may have been made for that one.
    fn forget_asked(&mut self) {
        self.asked.pop_front();
        let oldest = self.asked.front().map_or(self.clock, |(begun, _)| *begun);
        while self.exchanges.front().is_some_and(|it| it.at < oldest) {
            self.forget_exchange();
        }
    }

    fn forget_exchange(&mut self) -> bool {
        let Some(exchange) = self.exchanges.pop_front() else {
            return false;
        };
        self.left_out += 1;
        self.bytes = self.bytes.saturating_sub(exchange.bytes());
        true
    }

    fn forget_refresh(&mut self) -> bool {
        let Some(refresh) = self.refreshes.pop_front() else {
            return false;
        };
        self.left_out += 1;
        self.bytes = self.bytes.saturating_sub(refresh.bytes());
        true
    }
}
