//! What a bound client sends, on its way: requests that others answer, the
//! roster, presence, stanzas for somebody else.
//!
//! Owns the order in which a client's own stanzas take effect. Where they go is
//! decided below.

use std::sync::Arc;

use muster_xmpp::error::StanzaError;
use muster_xmpp::session::{self, ServiceRequest};
use muster_xmpp::stanza::{Presence, Stanza, StanzaKind};
use muster_xmpp::{Jid, encode};
use tracing::Instrument as _;

use super::bound::Bound;
use super::{Answer, Connection, Then};
use crate::presence::Presences;
use crate::requests::{self, Asker};
use crate::rosters::{Obtained, SourceError};
use crate::router::Delivery;

impl Connection {
    pub(super) fn answer_request(&mut self, reply: session::Reply, request: ServiceRequest) {
        let Some(Bound { registration, .. }) = &self.bound else {
            return;
        };
        let asker = Asker {
            user: Arc::clone(registration.user()),
            session: registration.id(),
        };
        let services = Arc::clone(&self.services);
        let span = tracing::debug_span!(parent: &self.span, "iq", id = reply.id());
        let served = async move {
            let answer = requests::answer(&services, &asker, request).await;
            Answer::Served { reply, answer }
        };
        self.pending = Some(Box::pin(served.instrument(span)));
    }

    /// Does `then` once the roster is known, or is known to be out of reach.
    pub(super) fn with_roster(&mut self, then: Then) {
        let Some(bound) = &self.bound else { return };
        let user = Arc::clone(bound.registration.user());
        let at_hand = match then {
            Then::Get { .. } => user.is_current(),
            Then::Presence(_) => user.snapshot().is_some(),
        };
        if at_hand {
            return self.proceed(Ok(Obtained::There), then);
        }
        let rosters = Arc::clone(&self.services.rosters);
        let span = match &then {
            Then::Get { id, .. } => tracing::debug_span!(parent: &self.span, "iq", id),
            Then::Presence(_) => tracing::debug_span!(parent: &self.span, "presence"),
        };
        let loaded = async move {
            Answer::Roster {
                loaded: rosters.load(&user).await.map(|()| Obtained::Asked),
                then,
            }
        };
        self.pending = Some(Box::pin(loaded.instrument(span)));
    }

    pub(super) fn proceed(&mut self, loaded: Result<Obtained, SourceError>, then: Then) {
        let Some(bound) = &self.bound else { return };
        match then {
            Then::Get { id, known } => {
                let user = bound.registration.user();
                self.services
                    .rosters
                    .answer_get(user, bound.registration.id(), id, known, loaded);
            }
            Then::Presence(presence) => self.presence(presence),
        }
    }

    pub(super) fn presence_or_roster_first(&mut self, presence: Presence) {
        match &self.bound {
            Some(bound) if Presences::needs_roster(&presence, bound.registration.user()) => {
                self.with_roster(Then::Presence(presence));
            }
            _ => self.presence(presence),
        }
    }

    fn presence(&mut self, presence: Presence) {
        let Some(Bound { registration, .. }) = &self.bound else {
            return;
        };
        let (id, to) = (presence.id.clone(), presence.to.clone());
        let turn = self.backlog_turn(&presence);
        let owed = self.services.presences.handle(
            registration.user(),
            registration.id(),
            registration.jid(),
            presence,
        );
        if let Some(error) = owed {
            self.refuse(StanzaKind::Presence, id.as_deref(), to.as_ref(), &error);
        }
        if let Some(turn) = turn {
            self.begin_backlog(turn);
        }
    }

    pub(super) fn route(&mut self, stanza: &Stanza) {
        let Some(Bound { registration, .. }) = &self.bound else {
            return;
        };
        let from = registration.jid();
        // A stanza to nobody is for the sender's own account (RFC 6120, section 10.3).
        let own;
        let to = match stanza.to() {
            Some(to) => to,
            None => {
                own = Jid::from(from.to_bare());
                &own
            }
        };
        match self.services.router.attempt(stanza, from, to) {
            Delivery::Done => {}
            Delivery::Refused(error) => {
                self.refuse(stanza.kind(), stanza.id(), stanza.to(), &error);
            }
            Delivery::Absent => {
                let to = to.clone();
                self.keep(stanza, &to);
            }
        }
    }

    pub(super) fn refuse(
        &mut self,
        kind: StanzaKind,
        id: Option<&str>,
        from: Option<&Jid>,
        error: &StanzaError,
    ) {
        if let Some(bound) = &self.bound {
            let to = Jid::from(bound.registration.jid().clone());
            let reply = encode::error_reply(kind, id, from, Some(&to), error);
            self.session.send(reply);
        }
    }
}
