//! Where a roster lands, what the app says is weighed before anything changes.
//!
//! Owns the question to the guard and the mark of a user for whom something is
//! held. Called in the user's fetch turn, so that what was weighed is what
//! lands.

use std::sync::Arc;

use muster_xmpp::DomainRef;
use muster_xmpp::roster::Snapshot;
use tokio::time::Instant;

use super::fallback::Reach;
use super::guard::{GuardStatus, Ruling, Seat, Word};
use super::kept::{KeptRoster, Validator};
use super::source::{Answer, Source};
use super::user::Standing;
use super::{Rosters, SourceError, User};

impl Rosters {
    /// Asks the guard whether what a fetch came to counts. `kept` is the last
    /// known roster of a user who has none yet.
    ///
    /// # Errors
    /// [`SourceError::Held`]; the user keeps the roster from before.
    pub(super) fn weigh(
        &self,
        user: &User,
        fetched: &Result<Answer, SourceError>,
        kept: Option<&KeptRoster>,
    ) -> Result<(), SourceError> {
        let old = held_roster(user, kept);
        let word = match fetched {
            Ok(Answer::Unchanged) => Word::of(&old, &old),
            Ok(Answer::Roster { snapshot, .. }) => Word::of(&old, snapshot),
            Err(error) if error.reach() == Reach::NoSuchUser => Word::gone(&old),
            // Of the user's contacts it says nothing.
            Err(_) => return Ok(()),
        };
        self.rule(user, word)
    }

    /// The same for a roster that was handed in.
    pub(super) fn weigh_handed_in(
        &self,
        user: &User,
        new: &Snapshot,
        kept: Option<&KeptRoster>,
    ) -> Result<(), SourceError> {
        self.rule(user, Word::of(&held_roster(user, kept), new))
    }

    /// The same for a user who is offline; `kept` is the last known roster.
    pub(super) fn weigh_offline(
        &self,
        source: &Source,
        account: &str,
        kept: &Snapshot,
        new: &Snapshot,
    ) -> Result<(), SourceError> {
        let (word, now) = (Word::of(kept, new), now());
        match source.guard.judge(account, Seat::Offline, word, now) {
            Ruling::Honour => Ok(()),
            Ruling::Hold | Ruling::Trip => Err(SourceError::Held),
        }
    }

    fn rule(&self, user: &User, word: Word) -> Result<(), SourceError> {
        let (guard, now) = (&user.source.guard, now());
        let ruling = guard.judge(user.account.as_str(), Seat::Online, word, now);
        let holds = ruling != Ruling::Honour;
        let mut state = user.state();
        if state.gone {
            // Counted out already.
            return if holds {
                Err(SourceError::Held)
            } else {
                Ok(())
            };
        }
        let was_held = std::mem::replace(&mut state.held, holds);
        // Under the lock: who leaves at this moment is counted out after, and
        // not before, being counted in.
        match (was_held, holds) {
            (false, true) => guard.begins_to_hold(now),
            (true, false) => guard.ends_to_hold(),
            _ => {}
        }
        drop(state);
        match holds {
            true => {
                tracing::debug!(user = %user.account, "the app's answer is held");
                Err(SourceError::Held)
            }
            false => Ok(()),
        }
    }

    /// Users of `source` for whom something is held.
    pub(super) fn held(&self, source: &Source) -> Vec<Arc<User>> {
        self.online(source)
            .into_iter()
            .filter(|user| user.state().held)
            .collect()
    }

    /// Users of `source` with a session.
    pub(super) fn online(&self, source: &Source) -> Vec<Arc<User>> {
        let users = self.users.lock();
        let own = users.values();
        own.filter(|user| std::ptr::eq(&*user.source, source))
            .cloned()
            .collect()
    }

    /// What the guard of a domain does.
    pub(crate) fn guard(&self, domain: &DomainRef) -> Option<GuardStatus> {
        Some(self.sources.get(domain)?.guard.status(now()))
    }

    /// How many guards hold something at the moment.
    pub(crate) fn holding_guards(&self) -> usize {
        let guards = self.sources.values().map(|source| &source.guard);
        guards.filter(|guard| guard.holds(now())).count()
    }

    /// The operator says that what is held is meant. How many users are asked
    /// for again.
    pub(crate) fn release_guard(&self, domain: &DomainRef) -> Option<usize> {
        Some(self.sources.get(domain)?.guard.release(now()))
    }

    /// The guard of a domain counts again.
    pub(crate) fn arm_guard(&self, domain: &DomainRef) -> Option<usize> {
        Some(self.sources.get(domain)?.guard.arm())
    }
}

/// What the app calls `new`, of which it has told no validator, as of a roster
/// among many: what it called the roster from before, if that is the same. A
/// validator names one content for ever.
pub(super) fn from_before(
    user: &User,
    new: &Snapshot,
    kept: Option<&KeptRoster>,
) -> Option<Validator> {
    let state = user.state();
    let (old, validator) = match (&state.snapshot, kept) {
        (Some(old), _) => (old, &state.validator),
        (None, Some(kept)) => (&kept.snapshot, &kept.validator),
        (None, None) => return None,
    };
    validator.clone().filter(|_| **old == *new)
}

/// What the user has by the app's last word, as far as it is known.
pub(super) fn held_roster(user: &User, kept: Option<&KeptRoster>) -> Arc<Snapshot> {
    let state = user.state();
    match (&state.snapshot, state.standing, kept) {
        // Nobody's word.
        (_, Standing::Empty, _) | (None, _, None) => Arc::default(),
        (Some(snapshot), _, _) => Arc::clone(snapshot),
        (None, _, Some(kept)) => Arc::clone(&kept.snapshot),
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
