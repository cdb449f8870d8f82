//! The last roster of a user that the app has told, as it is kept for the day
//! on which the app does not answer.
//!
//! Owns the value and its form on the disk (in [`record`]). Does not own when
//! it is written (the keeper does) or when it is used (`first` does).

mod list;
mod record;

use std::sync::Arc;
use std::time::Duration;

use muster_xmpp::roster::Snapshot;

pub(super) use self::record::{Unreadable, decode, encode};
use crate::store;

/// What the app called a version of a list, and who understood it so.
///
/// It goes back to the app only through the source that it came from: another
/// app may use the same names, and another plugin may read the same document in
/// another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    /// What the app calls it.
    pub(super) text: Arc<str>,
    /// Through whom it was heard.
    pub(super) origin: Origin,
}

/// Names a source of rosters: a plugin and the URL that it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(pub(super) [u8; 8]);

/// A roster as the app has told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptRoster {
    pub(super) snapshot: Arc<Snapshot>,
    /// Of that very snapshot.
    pub(super) validator: Option<Validator>,
    /// When the app told or confirmed it, to a day.
    pub(super) seen: Seen,
}

/// A moment in seconds since 1970, as far as the clock is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen(pub(super) u64);

/// How exactly it is known when a roster was confirmed: an unchanged roster
/// costs one write in this time and no more.
const PRECISION: Duration = Duration::from_secs(24 * 60 * 60);

impl Seen {
    pub(super) fn now() -> Seen {
        Seen(store::now())
    }

    /// How long ago that is; nothing if it is in the future.
    pub(super) fn age(self, now: Seen) -> Duration {
        Duration::from_secs(now.0.saturating_sub(self.0))
    }

    /// Whether a confirmation at `now` has to be noted.
    pub(super) fn is_old(self, now: Seen) -> bool {
        self.age(now) >= PRECISION
    }
}

/// What is on the disk, as far as is known: enough to see that nothing new has
/// to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    contents: u64,
    seen: Seen,
}

/// What has to be written so that the disk has what the app says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// That it was confirmed.
    Seen,
    /// All of it.
    Roster,
}

impl KeptRoster {
    /// Its mark.
    pub(super) fn mark(&self) -> Mark {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        self.snapshot.ver().hash(&mut hasher);
        let validator = self.validator.as_ref();
        validator.map(|it| (&*it.text, it.origin)).hash(&mut hasher);
        Mark {
            contents: hasher.finish(),
            seen: self.seen,
        }
    }

    /// What has to be written, when `there` is on the disk.
    pub(super) fn due(&self, there: Option<Mark>) -> Due {
        match there {
            Some(there) if there.contents == self.mark().contents => {
                if there.seen.is_old(self.seen) {
                    Due::Seen
                } else {
                    Due::Nothing
                }
            }
            _ => Due::Roster,
        }
    }
}

#[cfg(test)]
mod tests;
