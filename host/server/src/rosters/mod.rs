//! The rosters of all users with a bound resource: asked for, kept, refreshed,
//! pushed (RFC 6121, section 2).
//!
//! Owns the snapshots and the critical section in which a resource becomes
//! interested. Gets contacts from [`source`], speaks to clients through the
//! mailboxes in `Sessions`. Lock order: a user's fetch turn, then that user's
//! state, then a leaf lock of `Sessions`; never two users' states at once.

mod exchange;
mod flight;
mod refresh;
mod source;
mod user;

use std::collections::HashMap;
use std::sync::Arc;

use muster_xmpp::presence::turns;
use muster_xmpp::roster::{ChangeCounts, Snapshot, diff};
use muster_xmpp::{BareJid, DomainPart};
use parking_lot::Mutex;

pub(crate) use self::exchange::Watcher;
use self::flight::{Boarding, Landed, Turn};
pub(crate) use self::refresh::{RefreshCall, RefreshTerms};
use self::source::Answer;
pub(crate) use self::source::{Source, SourceError};
pub(crate) use self::user::User;
use crate::mailbox::Mail;
use crate::sessions::{Resource, SessionId, Sessions};

/// The rosters of the process.
pub(crate) struct Rosters {
    sessions: Arc<Sessions>,
    sources: HashMap<DomainPart, Arc<Source>>,
    /// Users with a bound resource. Taken for a lookup; before `Sessions`' locks.
    users: Mutex<HashMap<Box<str>, Arc<User>>>,
}

impl Rosters {
    /// Rosters from `sources`, for the resources in `sessions`.
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        sources: HashMap<DomainPart, Arc<Source>>,
    ) -> Rosters {
        Rosters {
            sessions,
            sources,
            users: Mutex::default(),
        }
    }

    /// The user behind a resource that was just bound. `None` when the domain
    /// is not served.
    pub(crate) fn enter(&self, account: &BareJid) -> Option<Arc<User>> {
        let source = self.sources.get(account.domain())?;
        let mut users = self.users.lock();
        let user = users
            .entry(account.as_str().into())
            .or_insert_with(|| Arc::new(User::new(account.clone(), Arc::clone(source))));
        Some(Arc::clone(user))
    }

    /// Forgets the user when no resource is bound any more.
    pub(crate) fn leave(&self, account: &str) {
        let mut users = self.users.lock();
        if !self.sessions.is_online(account) {
            users.remove(account);
        }
    }

    /// The user, if a resource is bound.
    pub(crate) fn find(&self, account: &str) -> Option<Arc<User>> {
        self.users.lock().get(account).cloned()
    }

    /// Answers a roster get once the roster was asked for: the answer goes into
    /// the resource's mailbox, in the same critical section that makes it
    /// interested, so that no push is lost or comes before it. `known` is the
    /// version that the client holds, `failed` why there is no roster.
    ///
    /// A client whose get failed is interested all the same: it gets the
    /// contacts pushed as soon as the app answers again.
    pub(crate) fn answer_get(
        &self,
        user: &User,
        session: SessionId,
        id: String,
        known: Option<String>,
        failed: Option<SourceError>,
    ) {
        let state = user.state();
        self.sessions
            .change(user.account.as_str(), session, |resource| {
                resource.interested = true;
                let mail = match &state.snapshot {
                    Some(snapshot) => Mail::Roster {
                        id,
                        known,
                        snapshot: Arc::clone(snapshot),
                    },
                    None => Mail::RosterFailed {
                        id,
                        error: failed.unwrap_or(SourceError::ShuttingDown).stanza_error(),
                    },
                };
                resource.mailbox.send(mail);
            });
    }

    /// Sees to it that the user's roster is known; concurrent callers share
    /// one fetch.
    ///
    /// # Errors
    /// Why the fetch failed.
    pub(crate) async fn load(&self, user: &User) -> Result<(), SourceError> {
        let arrival = user.flights.arrive();
        if user.state().snapshot.is_some() {
            return Ok(());
        }
        match user.flights.join(arrival).await {
            Boarding::Served(landed) => landed.map(drop),
            Boarding::Turn(_) if user.state().snapshot.is_some() => Ok(()),
            Boarding::Turn(turn) => self.fetch(user, turn).await.map(drop),
        }
    }

    /// Fetches the user's roster again, with a fetch that starts after this
    /// call, and pushes what changed.
    ///
    /// # Errors
    /// Why the fetch failed; nothing has changed then, and nothing is pushed.
    async fn refetch(&self, user: &User) -> Landed {
        let arrival = user.flights.arrive();
        match user.flights.follow(arrival).await {
            Boarding::Served(landed) => landed,
            Boarding::Turn(turn) => self.fetch(user, turn).await,
        }
    }

    async fn fetch(&self, user: &User, turn: Turn<'_>) -> Landed {
        let known = {
            let state = user.state();
            state.snapshot.as_ref().and(state.validator.clone())
        };
        let landed = match user.source.fetch(&user.account, known.as_deref()).await {
            Ok(Answer::Unchanged) => Ok(ChangeCounts::default()),
            Ok(Answer::Roster {
                snapshot,
                validator,
            }) => Ok(self.put(user, snapshot, validator)),
            Err(error) => {
                tracing::warn!(user = %user.account, %error, "the roster could not be fetched");
                Err(error)
            }
        };
        turn.end(landed.clone());
        landed
    }

    /// Puts a new snapshot in, pushes the changes to interested resources and
    /// exchanges presence with contacts who came into sight or went out of it.
    fn put(&self, user: &User, new: Snapshot, validator: Option<Box<str>>) -> ChangeCounts {
        let new = Arc::new(new);
        // Only the holder of the fetch turn, who calls this, puts one in.
        let old = user.snapshot().unwrap_or_default();
        let changes = diff(&old, &new);
        let turns: Vec<_> = turns(&old, &changes).collect();
        let partings = self.partings(user, &turns);
        let mut state = user.state();
        state.snapshot = Some(Arc::clone(&new));
        state.validator = validator;
        if !changes.is_empty() {
            self.push(user, &old, &new);
            self.turn_sending(user, &turns, &partings);
        }
        drop(state);
        self.turn_seeing(user, &turns, &partings);
        ChangeCounts::of(&changes)
    }

    /// Called under the user's state lock.
    fn push(&self, user: &User, old: &Arc<Snapshot>, new: &Arc<Snapshot>) {
        self.sessions.look(user.account.as_str(), |resources| {
            for resource in resources
                .iter()
                .filter(|resource: &&Resource| resource.interested)
            {
                resource.mailbox.send(Mail::Pushes {
                    old: Arc::clone(old),
                    new: Arc::clone(new),
                });
            }
        });
    }
}
