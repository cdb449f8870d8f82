//! The machine of one client stream, from the first byte to the last.
//!
//! Owns the order of things (RFC 6120 §4 to §7): stream headers, features,
//! SASL, resource binding, the end; and the answers that need nobody else
//! (`services`). Does not own accounts, rosters, presence, other sessions, the
//! socket or the clock: it asks the shell by [`Action`]s. From the shell, back
//! to the shell.
//!
//! The shell calls [`Session::receive`] with what it read, then
//! [`Session::poll`] until it yields nothing, performs each action, and writes
//! out [`Session::output`]. What carries the bytes is its affair; a [`Channel`]
//! tells the machine what it has to know of it.

mod action;
mod bind;
mod channel;
mod client_state;
mod config;
mod entropy;
mod header;
mod idle;
mod intake;
mod login;
mod management;
mod outbox;
mod services;
mod stanzas;

pub use action::{Action, BindRefusal, CredentialsAnswer, ResourceOrigin, TokenVerdict, Verdict};
pub use channel::{Channel, ChannelBindings, Encryption, Framing};
pub use config::{Host, SessionConfig, Software};
pub use intake::Reached;
pub(crate) use management::MANAGEMENT;
pub use management::{NotResumed, Request, Suspended, Unacknowledged, Worth};
pub use outbox::Outbox;
pub use services::{Private, Reply, ServiceAnswer, ServiceRequest};

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jid::{BareJid, DomainPart, DomainRef, FullJid};

use crate::decoder::{Decoder, StreamEvent, StreamOpen};
use crate::encode;
use crate::error::{StreamCondition, StreamError};
use crate::sasl::{Exchange, Failure};
use client_state::Held;
use entropy::Entropy;
use idle::Pulse;
use intake::Intake;
use management::Ledger;

/// The machine of one client stream.
pub struct Session {
    config: Arc<SessionConfig>,
    decoder: Decoder,
    output: Outbox,
    encryption: Encryption,
    /// Text on its way to `output`; empty between two calls.
    scratch: String,
    entropy: Entropy,
    intake: Intake,
    state: State,
    /// Our header of the current stream was written.
    opened: bool,
    /// The virtual host, as the first header named it.
    host: Option<DomainPart>,
    /// Who the client said it is in its header; not to be believed.
    claimed: Option<BareJid>,
    /// Language of stanzas that name none (RFC 6120 §8.1.5).
    lang: Option<String>,
    jid: Option<FullJid>,
    failures: u32,
    /// How the last SASL exchange ended, until the shell has asked.
    login: Option<Result<(), Failure>>,
    /// Why we ended the stream.
    closed_by: Option<StreamError>,
    /// When [`Session::timeout`] has something to do; see `idle`.
    deadline: Option<Instant>,
    pulse: Pulse,
    /// What was handled and what was not acknowledged, with stream management.
    ledger: Option<Box<Ledger>>,
    /// What waits for the client, while it is inactive.
    held: Option<Box<Held>>,
}

/// How far the stream is.
enum State {
    /// The first stream header is due.
    Opening,
    /// The shell owes a TLS handshake.
    AwaitingTls,
    /// SASL is due, or under way.
    Login(Option<Box<Exchange>>),
    /// The stream header after SASL is due.
    Reopening(BareJid),
    /// A resource is due.
    Binding(BareJid),
    /// The shell owes an answer to a bind.
    AwaitingBind { account: BareJid, id: String },
    /// The shell owes an answer to a wish to resume.
    AwaitingResume {
        account: BareJid,
        previd: String,
        handled: u32,
        /// Of logging in: the client has done its part for now.
        deadline: Option<Instant>,
    },
    /// Stanzas flow.
    Bound,
    /// Everything was said; the shell does not know yet.
    Closing,
    /// The shell was told to close.
    Closed,
}

impl Session {
    /// A stream that was just accepted.
    ///
    /// `entropy` is 32 bytes from the system's generator, for this session
    /// alone. The deadline of [`crate::limits::Limits::auth_timeout`] starts at
    /// `now`.
    pub fn new(
        config: Arc<SessionConfig>,
        channel: Channel,
        entropy: [u8; 32],
        now: Instant,
    ) -> Self {
        Self {
            decoder: match channel.framing {
                Framing::Stream => Decoder::new(&config.limits),
                Framing::WebSocket | Framing::Bosh => Decoder::framed(&config.limits),
            },
            output: Outbox::new(channel.framing),
            encryption: channel.encryption,
            scratch: String::new(),
            entropy: Entropy::new(entropy),
            intake: Intake::new(now),
            state: State::Opening,
            opened: false,
            host: None,
            claimed: None,
            lang: None,
            jid: None,
            failures: 0,
            login: None,
            closed_by: None,
            deadline: now.checked_add(config.limits.auth_timeout),
            pulse: Pulse::default(),
            ledger: None,
            held: None,
            config,
        }
    }

    /// Takes bytes from the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.intake.bytes(bytes.len());
        self.heard();
        self.decoder.receive(bytes);
    }

    /// Takes complete elements from the peer, on a channel that keeps them
    /// apart.
    pub fn receive_frame(&mut self, frame: &[u8]) {
        self.intake.bytes(frame.len());
        self.heard();
        self.decoder.receive_frame(frame);
    }

    /// Takes the start of a stream whose header is not part of it (XEP-0206):
    /// the first one, and the one after SASL.
    pub fn open(&mut self, open: StreamOpen) {
        self.heard();
        match self.state {
            State::Opening | State::Reopening(_) => self.header(open),
            _ => self.close(Some(StreamCondition::InvalidXml.into())),
        }
    }

    /// Sends a stanza to the client, complete and stamped, as
    /// [`encode`](crate::encode) makes it.
    ///
    /// With stream management it is kept until the client acknowledges it; while
    /// the client is inactive (XEP-0352) it may wait.
    pub fn send(&mut self, stanza: Bytes) {
        self.deliver(stanza, Worth::Passing);
    }

    /// The same for a stanza whose loss would mean something.
    pub fn deliver(&mut self, stanza: Bytes, worth: Worth) {
        if let Some(stanza) = self.hold(stanza) {
            self.transmit(stanza, worth);
        }
    }

    fn transmit(&mut self, stanza: Bytes, worth: Worth) {
        self.output.push(&stanza);
        self.count_sent(stanza, worth);
    }

    /// The next thing for the shell to do. `None` when more bytes are needed or
    /// while an answer is due.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        self.timeout(now);
        let action = self.next_action();
        self.intake.settle(&self.config.limits, now);
        action
    }

    fn next_action(&mut self) -> Option<Action> {
        loop {
            if self.take_lost() {
                return Some(Action::Lost);
            }
            match self.state {
                State::Closing => {
                    self.state = State::Closed;
                    return Some(Action::Close);
                }
                State::Closed => return None,
                _ if self.awaits_shell() => return None,
                _ => {}
            }
            match self.decoder.next() {
                Ok(None) => {
                    self.ask_if_useful();
                    return None;
                }
                Ok(Some(event)) => {
                    if let Some(action) = self.handle(event) {
                        return Some(action);
                    }
                }
                Err(error) => self.close(Some(error)),
            }
        }
    }

    /// What to write; the shell drains it.
    pub fn output(&mut self) -> &mut Outbox {
        &mut self.output
    }

    /// Whether reading more makes sense: false while what was read ahead
    /// reaches its bound because the shell owes an answer, while the client is
    /// faster than its rate ([`Session::paused_until`]), and at the end.
    pub fn wants_read(&self) -> bool {
        !self.is_closed()
            && !self.intake.is_paused()
            && !matches!(self.state, State::AwaitingTls)
            && self.decoder.buffered() < self.config.limits.read_ahead_bytes
    }

    /// Bytes that a frame may have at this point: those of a stanza.
    pub fn frame_bytes(&self) -> usize {
        self.decoder.limits().bytes
    }

    /// Ends the stream: with `error`, or orderly without. Does nothing to a
    /// stream that has ended.
    pub fn close(&mut self, error: Option<StreamError>) {
        if self.is_closed() {
            return;
        }
        // An error may precede our header; the peer needs one to read the
        // error (RFC 6120 §4.9.1.2).
        self.open_stream();
        self.acknowledge();
        if let Some(error) = &error {
            // BOSH has a wrapper of its own for it (XEP-0206 §6).
            if self.output.framing() != Framing::Bosh {
                encode::push_stream_error(&mut self.scratch, error);
                self.flush();
            }
        }
        self.closed_by = error;
        self.scratch.push_str(match self.output.framing() {
            Framing::Stream => encode::STREAM_END,
            Framing::WebSocket => encode::FRAMED_END,
            Framing::Bosh => "",
        });
        self.flush();
        self.decoder.end();
        self.deadline = None;
        self.state = State::Closing;
    }

    /// Whether the stream has ended. The last output may still be unwritten.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closing | State::Closed)
    }

    /// The condition with which this side ended the stream, if it was an error:
    /// for the log and the metrics.
    pub fn closed_by(&self) -> Option<StreamCondition> {
        self.error().map(|error| error.condition)
    }

    /// The error with which this side ended the stream, if it was one: for
    /// [`Framing::Bosh`], where it is not part of the output.
    pub fn error(&self) -> Option<&StreamError> {
        self.closed_by.as_ref()
    }

    /// How a SASL exchange ended since this was last asked: for the log and
    /// the metrics.
    pub fn take_login(&mut self) -> Option<Result<(), Failure>> {
        self.login.take()
    }

    /// Who is at the other end, once a resource is bound. It stays known after
    /// the stream has ended.
    pub fn jid(&self) -> Option<&FullJid> {
        self.jid.as_ref()
    }

    /// The virtual host that the client has opened its stream to, once it has.
    pub fn domain(&self) -> Option<&DomainPart> {
        self.host.as_ref()
    }

    /// Answers [`Action::StartTls`]: from here on nobody can read along. A new
    /// stream begins (RFC 6120 §5.4.3.3). Ignored at any other time.
    pub fn secured(&mut self, bindings: ChannelBindings) {
        if matches!(self.state, State::AwaitingTls) {
            self.encryption = Encryption::Tls(bindings);
            self.state = State::Opening;
            self.opened = false;
            self.host = None;
            self.claimed = None;
            self.lang = None;
        }
    }

    /// Answers [`Action::Bind`]; ignored at any other time.
    pub fn bound(&mut self, result: Result<FullJid, BindRefusal>) {
        self.conclude_bind(result);
    }

    fn awaits_shell(&self) -> bool {
        match &self.state {
            State::Login(Some(exchange)) => exchange.awaits_shell(),
            State::AwaitingBind { .. } | State::AwaitingResume { .. } | State::AwaitingTls => true,
            _ => false,
        }
    }

    fn handle(&mut self, event: StreamEvent) -> Option<Action> {
        if matches!(event, StreamEvent::Stanza(_) | StreamEvent::Rejected(_)) {
            self.intake.stanza();
        }
        match event {
            StreamEvent::Open(open) => {
                self.header(open);
                None
            }
            StreamEvent::Close => {
                self.close(None);
                None
            }
            StreamEvent::Nonza(nonza) => self.nonza(nonza),
            StreamEvent::Stanza(stanza) if self.is_bound() => {
                self.count_handled();
                self.stanza(stanza)
            }
            StreamEvent::Stanza(stanza) => self.bind(stanza),
            StreamEvent::Rejected(rejection) if self.is_bound() => {
                self.count_handled();
                self.reject(&rejection);
                None
            }
            StreamEvent::Rejected(_) => {
                self.close(Some(StreamCondition::NotAuthorized.into()));
                None
            }
        }
    }

    fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound)
    }

    /// Logging in is over.
    fn begin_stanzas(&mut self) {
        self.state = State::Bound;
        self.deadline = None;
        // The client has just asked for it: silence counts from here on.
        self.heard();
    }

    fn is_served(&self, domain: &DomainRef) -> bool {
        self.config.hosts.contains_key(domain)
    }

    /// Moves what was written, one element at most, to the output.
    fn flush(&mut self) {
        if !self.scratch.is_empty() {
            self.output.push(self.scratch.as_bytes());
            self.scratch.clear();
        }
    }

    /// Whether credentials may travel on this stream.
    fn is_secure(&self) -> bool {
        is_secure(&self.encryption, self.config.encryption_required)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("jid", &self.jid)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Whether credentials may travel: nobody can read along, or the operator
/// takes no offence.
fn is_secure(encryption: &Encryption, required: bool) -> bool {
    matches!(encryption, Encryption::Tls(_)) || !required
}

#[cfg(test)]
mod tests;
