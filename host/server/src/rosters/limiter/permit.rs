//! The place of a fetch under way, and who is called when it gets free.
//!
//! Owns the end of a fetch, whatever way it ends, and the waking. Who is next is
//! for the limiter to say.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::line::Class;
use super::window::Ending;
use super::{Limiter, Party, Rider, Turn};

/// The place of one fetch under way. Dropped without a word, it says nothing of
/// the app.
pub(in crate::rosters) struct Permit<T> {
    pub(super) limiter: Arc<Limiter<T>>,
    pub(super) epoch: u32,
    pub(super) begun: Instant,
    pub(super) ending: Ending,
    pub(super) load: Load,
}

/// What a place is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    One,
    Party,
    Background,
}

impl<T> Permit<T> {
    /// The fetch has ended.
    pub(in crate::rosters) fn end(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        let now = Instant::now();
        let limiter = &self.limiter;
        let mut desk = limiter.desk.lock();
        desk.under_way -= 1;
        desk.parties -= usize::from(self.load == Load::Party);
        desk.background -= usize::from(self.load == Load::Background);
        let took = now.saturating_duration_since(self.begun);
        // One request for many takes its own time.
        if !(self.load == Load::Party && self.ending == Ending::Answered) {
            desk.window.end(self.epoch, self.ending, took, now);
        }
        let called = limiter.call(&mut desk, now);
        limiter.show(&desk);
        drop(desk);
        wake(called);
    }
}

/// Who is called when a place gets free.
pub(super) enum Called<T> {
    Alone(Rider<T>, Permit<T>),
    Party(mpsc::Sender<Party<T>>, Party<T>),
}

/// Tells them. Not under the lock: who has gone away gives the permit back.
pub(super) fn wake<T>(called: Vec<Called<T>>) {
    for called in called {
        match called {
            Called::Alone(rider, permit) => drop(rider.turn.send(Turn::Alone(permit))),
            // As many fit as there may be parties.
            Called::Party(driver, party) => drop(driver.try_send(party)),
        }
    }
}

impl Load {
    pub(super) fn of(class: Class) -> Load {
        match class {
            Class::Login | Class::Refresh => Load::One,
            Class::Background => Load::Background,
        }
    }
}
