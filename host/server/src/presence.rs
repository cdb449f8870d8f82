//! What a client's presence stanza does (RFC 6121, section 4).
//!
//! Owns the order of things: the presence is noted in `Sessions`, broadcast by
//! the sender's roster under the sender's state lock, and only then are the
//! contacts probed; so two users who become available at the same time see
//! each other at least once, and nobody is shown something out of date. The
//! receiver's side of the agreement is checked by the receiver's connection.

use std::sync::Arc;

use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};
use muster_xmpp::presence::{
    Availability, Directed, Intent, TooManyDirected, audience, intent, sources,
};
use muster_xmpp::roster::Snapshot;
use muster_xmpp::stanza::{Presence, PresenceType, Stanza};
use muster_xmpp::{BareJid, FullJid, Jid};

use crate::rosters::{Rosters, User, Watcher};
use crate::router::Router;
use crate::sessions::{Resource, SessionId, Sessions};

/// A client's presences, on their way.
pub(crate) struct Presences {
    sessions: Arc<Sessions>,
    rosters: Arc<Rosters>,
    router: Arc<Router>,
}

impl Presences {
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        rosters: Arc<Rosters>,
        router: Arc<Router>,
    ) -> Presences {
        Presences {
            sessions,
            rosters,
            router,
        }
    }

    /// Whether `presence` has to wait for the roster: a broadcast of a session
    /// whose user's roster is not known yet.
    pub(crate) fn needs_roster(presence: &Presence, user: &User) -> bool {
        presence.to.is_none()
            && presence.type_ == PresenceType::Available
            && user.snapshot().is_none()
    }

    /// Does what the presence stanza of `session` says. Returns the error that
    /// the sender is owed, if any.
    pub(crate) fn handle(
        &self,
        user: &User,
        session: SessionId,
        from: &FullJid,
        presence: Presence,
    ) -> Option<StanzaError> {
        let now = self
            .sessions
            .change(user.account.as_str(), session, |resource| {
                match resource.available {
                    Some(_) => Availability::Available,
                    None => Availability::Unavailable,
                }
            });
        // Taken over by a newer session: its farewell has been said.
        let now = now?;
        let to = presence.to.clone();
        match (intent(presence.type_, to.as_ref(), now), to) {
            (Intent::Initial, _) => self.available(user, session, from, presence, true),
            (Intent::Update, _) => self.available(user, session, from, presence, false),
            (Intent::Withdraw, _) => self.withdraw(user, session, &presence),
            (Intent::Direct, Some(to)) => {
                return self.direct(user, session, from, presence, &to).err();
            }
            (Intent::DirectUnavailable, Some(to)) => {
                self.sessions
                    .change(user.account.as_str(), session, |resource| {
                        resource.directed.forget(&to)
                    });
                self.router.deliver(&Stanza::Presence(presence), from, &to);
            }
            (Intent::Probe, Some(to)) => self.probed(user, session, &to),
            (Intent::Error, Some(to)) => {
                self.router.deliver(&Stanza::Presence(presence), from, &to);
            }
            _ => {}
        }
        None
    }

    /// The session ends: `resource` is its entry, already taken out of `Sessions`.
    pub(crate) fn farewell(&self, user: &User, resource: Resource) {
        self.gone(user, resource, &Presence::unavailable());
    }

    fn available(
        &self,
        user: &User,
        session: SessionId,
        from: &FullJid,
        presence: Presence,
        initial: bool,
    ) {
        let presence = Arc::new(presence);
        let state = user.state();
        let noted = self
            .sessions
            .change(user.account.as_str(), session, |resource| {
                resource.available = Some(Arc::clone(&presence));
                Watcher::of(resource)
            });
        let Some(watcher) = noted else { return };
        let snapshot = state.snapshot.clone().unwrap_or_default();
        self.broadcast(user, from, &presence, &snapshot);
        drop(state);
        if initial {
            let watcher = [watcher];
            self.rosters.show_own_resources(user, from, &watcher);
            for contact in sources(&snapshot) {
                self.rosters.probe(contact.jid(), user, &watcher);
            }
        }
    }

    /// To the user's own available resources and to the contacts that the
    /// roster lets see the user. Called under the user's state lock.
    fn broadcast(&self, user: &User, from: &FullJid, presence: &Presence, snapshot: &Snapshot) {
        let own = user.account.as_str();
        let blocks = self.sessions.blocks(own);
        self.rosters.deliver_presence(from, presence, own, &blocks);
        for contact in audience(snapshot) {
            self.rosters
                .deliver_presence(from, presence, contact.jid(), &blocks);
        }
    }

    fn withdraw(&self, user: &User, session: SessionId, presence: &Presence) {
        let before = self
            .sessions
            .change(user.account.as_str(), session, |resource| {
                let before = resource.clone();
                resource.available = None;
                resource.directed = Directed::default();
                before
            });
        if let Some(before) = before {
            self.gone(user, before, presence);
        }
    }

    /// Tells everybody who saw `resource` that it is gone (RFC 6121, sections
    /// 4.5.2 and 4.6.3).
    fn gone(&self, user: &User, mut resource: Resource, presence: &Presence) {
        let state = user.state();
        let snapshot = state.snapshot.clone().unwrap_or_default();
        let was_available = resource.available.is_some();
        if was_available {
            self.broadcast(user, &resource.jid, presence, &snapshot);
        }
        drop(state);
        let covered =
            |account: &BareJid| was_available && snapshot.subscription(account.as_str()).from();
        for to in resource.directed.farewell(covered) {
            let presence = Presence {
                to: Some(to.clone()),
                ..presence.clone()
            };
            self.router
                .deliver(&Stanza::Presence(presence), &resource.jid, &to);
        }
    }

    fn direct(
        &self,
        user: &User,
        session: SessionId,
        from: &FullJid,
        presence: Presence,
        to: &Jid,
    ) -> Result<(), StanzaError> {
        let remembered = self
            .sessions
            .change(user.account.as_str(), session, |resource| {
                resource.directed.remember(to)
            });
        if let Some(Err(TooManyDirected)) = remembered {
            return Err(StanzaError::new(
                ErrorType::Wait,
                StanzaCondition::ResourceConstraint,
            ));
        }
        let error = self.router.deliver(&Stanza::Presence(presence), from, to);
        if error.is_some() {
            self.sessions
                .change(user.account.as_str(), session, |resource| {
                    resource.directed.forget(to)
                });
        }
        error.map_or(Ok(()), Err)
    }

    fn probed(&self, user: &User, session: SessionId, to: &Jid) {
        let watcher = self
            .sessions
            .change(user.account.as_str(), session, |it| Watcher::of(it));
        if let Some(watcher) = watcher {
            self.rosters.probe(to.to_bare().as_str(), user, &[watcher]);
        }
    }
}
