//! A session without a connection, and its way to another one (XEP-0198,
//! section 5).
//!
//! A session whose socket died stays in its task, bound and available, and
//! collects mail within the bounds of its mailbox. A connection that resumes it
//! gets all of it; so does one that resumes a session whose socket only looks
//! alive: that socket is told `<conflict/>`.

use std::time::{Duration, Instant};

use muster_xmpp::BareJid;
use muster_xmpp::error::StreamCondition;
use muster_xmpp::session::{NotResumed, Suspended};
use tracing::Span;

use super::bound::Bound;
use super::{Answer, Connection, Pending};
use crate::resumption::{Place, Reply, Ticket};
use crate::telemetry::Carried;
use crate::transport::Transport;
use crate::undelivered::Left;

/// A session on its way from one connection to another.
pub(crate) struct Handover {
    suspended: Suspended,
    bound: Bound,
    /// The answer that the client's next stanza waits for.
    pending: Option<Pending>,
    ticket: Ticket<Box<Handover>>,
}

/// How a session comes to another connection.
pub(super) type SessionTicket = Ticket<Box<Handover>>;

/// A session without a connection.
pub(super) struct Parked {
    until: Instant,
    _place: Place<Box<Handover>>,
}

impl Parked {
    /// When it ends.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Connection {
    /// The client wants its session to outlive a broken connection.
    pub(super) fn enable(&mut self, id: String, max: Option<Duration>) {
        let timeout = self.services.resumptions.timeout(max);
        self.session.enabled(id, timeout);
        let (Some(id), Some(bound)) = (self.session.resumption_id(), &self.bound) else {
            return;
        };
        let account = bound.registration.jid().to_bare();
        self.ticket = Some(Box::new(self.services.resumptions.enter(&account, id)));
    }

    /// The client wants to go on with an earlier session.
    pub(super) fn resume(&mut self, account: BareJid, previd: String) {
        let resumptions = self.services.resumptions.clone();
        self.resuming = true;
        self.pending = Some(Box::pin(async move {
            Answer::Resumed(resumptions.obtain(&account, &previd).await)
        }));
    }

    /// The earlier session is here, or cannot be had.
    pub(super) fn resumed(&mut self, obtained: Result<Box<Handover>, NotResumed>) {
        self.resuming = false;
        let outcome = match &obtained {
            Ok(_) => "resumed",
            Err(_) => "refused",
        };
        metrics::counter!("muster_resumptions_total", "outcome" => outcome).increment(1);
        let result = obtained.map(|handover| self.take_over(*handover));
        self.session.resumed(result);
        if self.hung_up {
            // The peer did not wait for it; it may come again.
            self.park();
        }
    }

    fn take_over(&mut self, handover: Handover) -> Suspended {
        let Handover {
            suspended,
            mut bound,
            pending,
            mut ticket,
        } = handover;
        bound.registration.set_parked(false);
        bound.carried = Carried::by(self.transport.name());
        tracing::debug!(jid = %bound.registration.jid(), "session resumed");
        ticket.renew();
        self.span = tracing::debug_span!("session", jid = %bound.registration.jid());
        self.bound = Some(bound);
        self.pending = pending;
        self.ticket = Some(Box::new(ticket));
        suspended
    }

    /// Another connection wants the session.
    pub(super) fn hand_over(&mut self, reply: Reply<Box<Handover>>) {
        let Some(suspended) = self.session.suspend() else {
            // It has just ended; the ticket goes with it.
            return;
        };
        let (Some(bound), Some(ticket)) = (self.bound.take(), self.ticket.take()) else {
            return;
        };
        self.span = Span::none();
        let handover = Box::new(Handover {
            suspended,
            bound,
            pending: self.pending.take(),
            ticket: *ticket,
        });
        match reply.send(handover) {
            Ok(()) => {
                self.parked = None;
                self.session.close(Some(StreamCondition::Conflict.into()));
            }
            // Who asked is gone already.
            Err(handover) => {
                let parked = self.parked.is_some();
                let suspended = self.take_over(*handover);
                self.session.reclaim(suspended);
                if let Some(bound) = self.bound.as_ref().filter(|_| parked) {
                    bound.registration.set_parked(true);
                }
            }
        }
    }

    /// The peer is gone. False if that is the end of the session.
    pub(super) fn hang_up(&mut self) -> bool {
        self.hung_up = true;
        self.transport = Transport::Gone;
        self.slot = None;
        // A session that is on its way here must not be lost on it.
        self.resuming || self.park()
    }

    /// Lets the session live on without a connection, if it can.
    fn park(&mut self) -> bool {
        let (Some(timeout), Some(bound)) = (self.session.resumable_for(), &mut self.bound) else {
            return false;
        };
        let until = Instant::now().checked_add(timeout);
        let (Some(place), Some(until)) = (self.services.resumptions.park(), until) else {
            return false;
        };
        tracing::debug!(jid = %bound.registration.jid(), "session parked");
        bound.registration.set_parked(true);
        bound.carried = Carried::by(self.transport.name());
        self.session.detach();
        self.parked = Some(Parked {
            until,
            _place: place,
        });
        true
    }

    /// Nobody resumed the session in time.
    pub(super) fn expire(&mut self) {
        self.parked = None;
        metrics::counter!("muster_parked_sessions_expired_total").increment(1);
    }

    /// Ends the session: takes the resource out, says its farewell, and returns
    /// what its client never got.
    pub(super) fn leave(&mut self) -> Option<Left> {
        self.pending = None;
        self.span = Span::none();
        self.parked = None;
        let handled = self.session.handled();
        if let (Some(ticket), Some(handled)) = (self.ticket.take(), handled) {
            ticket.end(handled);
        }
        Some(self.bound.take()?.end(&mut self.session)).filter(|left| !left.is_empty())
    }
}
