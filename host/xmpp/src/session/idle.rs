//! Whether the peer is still there (XEP-0199 §4.2, RFC 6120 §4.6).
//!
//! Owns the one deadline of a session: until a resource is bound, that of
//! logging in; then that of silence, after which the client is asked for a sign
//! of life, and that of the sign. Does not own the clock. A session within BOSH
//! is silent between its requests; its transport watches those.

use std::mem;
use std::time::Instant;

use jid::Jid;

use super::{Framing, Session, State};
use crate::encode;
use crate::error::{StreamCondition, StreamError};
use crate::stanza::IqType;

/// What is known of the peer's being there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pulse {
    /// Nothing came since the deadline was set.
    #[default]
    Silent,
    /// Something came; the deadline does not say so yet.
    Heard,
    /// A sign of life was asked for, when so many bytes of output waited.
    Asked { output: usize },
    /// It did not come.
    Lost,
}

impl Session {
    /// Until when [`Session::timeout`] has nothing to do. `None` for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Does what is due at `now`: ends a stream that does not get through its
    /// login (`connection-timeout`, RFC 6120 §4.9.3.4), asks a silent client
    /// for a sign of life, gives up one that gave none.
    pub fn timeout(&mut self, now: Instant) {
        self.note_life(now);
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Bound => self.silent(now),
            _ => self.close(Some(
                StreamError::new(StreamCondition::ConnectionTimeout)
                    .with_text("logging in took too long"),
            )),
        }
    }

    /// Something came from the peer.
    pub(super) fn heard(&mut self) {
        self.pulse = Pulse::Heard;
    }

    /// Moves the deadline if something came.
    fn note_life(&mut self, now: Instant) {
        if self.pulse == Pulse::Heard && self.is_bound() {
            self.pulse = Pulse::Silent;
            let watched = self.output.framing() != Framing::Bosh;
            let idle = watched.then_some(self.config.limits.idle_ping);
            self.deadline = idle.and_then(|idle| now.checked_add(idle));
        }
    }

    fn silent(&mut self, now: Instant) {
        let waits = self.output.len();
        match self.pulse {
            // It takes what we say, if slowly: that is a sign as well.
            Pulse::Asked { output } if waits < output && waits > 0 => {
                self.pulse = Pulse::Asked { output: waits };
            }
            Pulse::Asked { .. } | Pulse::Lost => return self.lose(),
            Pulse::Silent | Pulse::Heard => {
                self.ask_for_life();
                let output = self.output.len();
                self.pulse = Pulse::Asked { output };
            }
        }
        self.deadline = now.checked_add(self.config.limits.ping_timeout);
    }

    /// Ends a session that cannot go on elsewhere; the shell parks the other.
    fn lose(&mut self) {
        self.deadline = None;
        if self.resumable_for().is_some() {
            self.pulse = Pulse::Lost;
        } else {
            self.close(Some(
                StreamError::new(StreamCondition::ConnectionTimeout)
                    .with_text("no sign of life for too long"),
            ));
        }
    }

    /// Whether the shell has to be told that the peer is lost.
    pub(super) fn take_lost(&mut self) -> bool {
        self.pulse == Pulse::Lost && mem::take(&mut self.pulse) == Pulse::Lost
    }

    fn ask_for_life(&mut self) {
        if self.ledger.is_some() {
            return self.ask();
        }
        let Some(jid) = self.jid.clone() else { return };
        let server = Jid::from_parts(None, jid.domain(), None);
        let id = self.entropy.name();
        let ping = "<ping xmlns=\"urn:xmpp:ping\"/>";
        let ping = encode::server_iq(IqType::Get, &id, Some(&server), &jid, ping);
        self.transmit(ping, super::Worth::Passing);
    }
}
