//! Stream management (XEP-0198 1.6): acknowledgements, and sessions that
//! outlive their connection.
//!
//! Owns the elements in `urn:xmpp:sm:3`, what they change in a session, and
//! what of a session goes over to another connection ([`Suspended`]). Which
//! sessions can be resumed, by whom and for how long is the shell's to know.
//! `urn:xmpp:sm:2`, of drafts before 2011, is not offered.

mod ledger;

pub use ledger::{Unacknowledged, Worth};

pub(super) use ledger::Ledger;

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use jid::FullJid;

use self::ledger::{Resumption, TooHigh};
use super::idle::Pulse;
use super::{Action, Session, State};
use crate::encode;
use crate::error::{ApplicationCondition, StanzaCondition, StreamCondition, StreamError};

/// Namespace of stream management.
pub(crate) const MANAGEMENT: &str = "urn:xmpp:sm:3";

/// The elements of stream management that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `<enable/>` (§3).
    Enable {
        /// The session shall be resumable.
        resume: bool,
        /// How long at most, in seconds, if the client says so.
        max: Option<u32>,
    },
    /// `<resume/>` (§5).
    Resume {
        /// The session.
        previd: String,
        /// What the client has handled of it; `None` if that is no number.
        handled: Option<u32>,
    },
    /// `<r/>` (§4).
    Ask,
    /// `<a/>` (§4).
    Acknowledge {
        /// What the client has handled; `None` if that is no number.
        handled: Option<u32>,
    },
}

/// A session without a connection: what another one needs to go on with it.
#[derive(Debug)]
pub struct Suspended {
    jid: FullJid,
    ledger: Box<Ledger>,
}

impl Suspended {
    /// Stanzas of the client that were handled, modulo 2³².
    pub fn handled(&self) -> u32 {
        self.ledger.handled
    }
}

/// Why a session cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotResumed {
    /// What the server has handled of it, if it still knows.
    pub handled: Option<u32>,
}

impl Session {
    /// An element of stream management.
    pub(super) fn manage(&mut self, request: Request) -> Option<Action> {
        match request {
            Request::Enable { resume, max } => self.enable(resume, max),
            Request::Resume { previd, handled } => self.wish_to_resume(previd, handled),
            Request::Ask => {
                self.acknowledge();
                None
            }
            Request::Acknowledge { handled } => {
                self.acknowledged(handled);
                None
            }
        }
    }

    /// Answers [`Action::Enable`]: for how long the session will outlive a
    /// broken connection, under the identifier that came with the action; with
    /// `None` it will not.
    pub fn enabled(&mut self, id: String, timeout: Option<Duration>) {
        if self.is_bound() && self.ledger.is_none() {
            self.start_ledger(timeout.map(|timeout| Resumption {
                id: id.into_boxed_str(),
                timeout,
            }));
        }
    }

    /// How long the session outlives a broken connection; `None` if it does
    /// not, or has ended in good order.
    pub fn resumable_for(&self) -> Option<Duration> {
        let resumption = self.ledger.as_ref()?.resumption.as_ref()?;
        self.is_bound().then_some(resumption.timeout)
    }

    /// What the client calls the session, if it can be resumed.
    pub fn resumption_id(&self) -> Option<&str> {
        let resumption = self.ledger.as_ref()?.resumption.as_ref()?;
        Some(&resumption.id)
    }

    /// Takes out what another connection needs to go on with this session.
    /// What was read and not handled is left out: the client will send it
    /// again. From here on this session handles nothing; end it with
    /// [`Session::close`]. `None` if it cannot be resumed.
    pub fn suspend(&mut self) -> Option<Suspended> {
        self.resumable_for()?;
        self.release_held();
        Some(Suspended {
            jid: self.jid.clone()?,
            ledger: self.ledger.take()?,
        })
    }

    /// Takes back what [`Session::suspend`] gave, when nobody wanted it.
    pub fn reclaim(&mut self, suspended: Suspended) {
        self.ledger = Some(suspended.ledger);
    }

    /// The connection broke: forgets what was read and not handled, and what
    /// was written. Mail can still be counted and kept.
    pub fn detach(&mut self) {
        self.decoder.end();
        self.output.clear();
        self.deadline = None;
        self.pulse = Pulse::default();
    }

    /// Stanzas of the client that were handled, modulo 2³², with stream
    /// management.
    pub fn handled(&self) -> Option<u32> {
        self.ledger.as_ref().map(|ledger| ledger.handled)
    }

    /// Answers [`Action::Resume`] (§5). At any other time the stream has ended
    /// meanwhile, and takes no more than what it will have left unacknowledged.
    pub fn resumed(&mut self, result: Result<Suspended, NotResumed>) {
        let (account, previd, handled, deadline) =
            match mem::replace(&mut self.state, State::Opening) {
                State::AwaitingResume {
                    account,
                    previd,
                    handled,
                    deadline,
                } => (account, previd, handled, deadline),
                other => {
                    self.state = other;
                    self.ledger = result.ok().map(|suspended| suspended.ledger);
                    return;
                }
            };
        let suspended = match result {
            Ok(suspended) => suspended,
            Err(NotResumed { handled }) => {
                self.state = State::Binding(account);
                self.deadline = deadline;
                return self.push_failed(StanzaCondition::ItemNotFound, handled);
            }
        };
        let mut ledger = suspended.ledger;
        ledger.move_on();
        self.jid = Some(suspended.jid);
        self.begin_stanzas();
        let refused = ledger.acknowledge(handled).err();
        if refused.is_none() {
            self.begin_element("resumed");
            encode::push_attribute(&mut self.scratch, "h", &ledger.handled.to_string());
            encode::push_attribute(&mut self.scratch, "previd", &previd);
            self.end_element();
            for missing in ledger.queue() {
                self.output.push(&missing.stanza);
            }
        }
        self.ledger = Some(ledger);
        if let Some(error) = refused {
            self.close(Some(error.into()));
        }
    }

    /// What the client was sent and never acknowledged, in order; for the end
    /// of the session.
    pub fn take_unacknowledged(&mut self) -> Vec<Unacknowledged> {
        let ledger = self.ledger.take();
        ledger.map_or_else(Vec::new, |ledger| ledger.into_queue().into())
    }

    /// Whether the client has acknowledged everything, or has at least answered
    /// the question that came after it; true without stream management.
    pub fn is_settled(&self) -> bool {
        self.ledger.as_ref().is_none_or(|it| it.is_settled())
    }

    /// Whether another stanza may be sent: false while the client has too much
    /// to acknowledge.
    pub fn wants_mail(&self) -> bool {
        self.backlog() < 1
    }

    /// Asks for an acknowledgement if there is anything new to acknowledge.
    pub(super) fn ask_if_useful(&mut self) {
        if self.ledger.as_ref().is_some_and(|it| it.wants_to_ask()) {
            self.ask();
        }
    }

    /// Asks for an acknowledgement.
    pub(super) fn ask(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.ask();
            self.begin_element("r");
            self.end_element();
        }
    }

    /// Says what we have handled.
    pub(super) fn acknowledge(&mut self) {
        if let Some(ledger) = &self.ledger {
            let handled = ledger.handled.to_string();
            self.begin_element("a");
            encode::push_attribute(&mut self.scratch, "h", &handled);
            self.end_element();
        }
    }

    /// Counts a stanza that goes out.
    pub(super) fn count_sent(&mut self, stanza: Bytes, worth: Worth) {
        // The session's own answers do not wait for acknowledgements as mail
        // does; who asks and asks and acknowledges nothing is not served on.
        if self.backlog() >= 2 && !self.is_closed() {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            self.close(Some(
                error.with_text("too many stanzas were not acknowledged"),
            ));
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.send(stanza, worth);
        }
    }

    /// Counts a stanza that goes to processing.
    pub(super) fn count_handled(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.receive();
        }
    }

    /// How often what waits for acknowledgement fills its bounds.
    fn backlog(&self) -> usize {
        let limits = &self.config.limits;
        self.ledger.as_ref().map_or(0, |ledger| {
            let (stanzas, bytes) = ledger.waiting();
            let times = |waiting: usize, bound: usize| waiting / bound.max(1);
            times(stanzas, limits.unacknowledged_stanzas)
                .max(times(bytes, limits.unacknowledged_bytes))
        })
    }

    fn enable(&mut self, resume: bool, max: Option<u32>) -> Option<Action> {
        if !self.is_bound() {
            self.push_failed(StanzaCondition::UnexpectedRequest, None);
        } else if self.ledger.is_some() {
            // A second attempt ends the stream (§3).
            let error = StreamError::new(StreamCondition::PolicyViolation);
            self.close(Some(error.with_text("stream management is enabled")));
        } else if resume {
            return Some(Action::Enable {
                id: self.entropy.name(),
                max: max.map(|seconds| Duration::from_secs(seconds.into())),
            });
        } else {
            self.start_ledger(None);
        }
        None
    }

    fn start_ledger(&mut self, resumption: Option<Resumption>) {
        self.begin_element("enabled");
        if let Some(Resumption { id, timeout }) = &resumption {
            encode::push_attribute(&mut self.scratch, "id", id);
            encode::push_attribute(&mut self.scratch, "resume", "true");
            encode::push_attribute(&mut self.scratch, "max", &timeout.as_secs().to_string());
        }
        self.end_element();
        self.ledger = Some(Box::new(Ledger::new(resumption)));
    }

    fn wish_to_resume(&mut self, previd: String, handled: Option<u32>) -> Option<Action> {
        let Some(handled) = handled else {
            self.close(Some(StreamCondition::InvalidXml.into()));
            return None;
        };
        match mem::replace(&mut self.state, State::Opening) {
            State::Binding(account) => {
                self.state = State::AwaitingResume {
                    account: account.clone(),
                    previd: previd.clone(),
                    handled,
                    deadline: self.deadline.take(),
                };
                Some(Action::Resume { account, previd })
            }
            state => {
                self.state = state;
                self.push_failed(StanzaCondition::UnexpectedRequest, None);
                None
            }
        }
    }

    fn acknowledged(&mut self, handled: Option<u32>) {
        let Some(ledger) = &mut self.ledger else {
            // Of nothing, so of no consequence.
            return;
        };
        let error = match handled {
            None => Some(StreamCondition::InvalidXml.into()),
            Some(handled) => ledger.acknowledge(handled).err().map(StreamError::from),
        };
        if error.is_some() {
            self.close(error);
        }
    }

    /// `<failed/>` (§6): the session goes on without.
    fn push_failed(&mut self, condition: StanzaCondition, handled: Option<u32>) {
        self.begin_element("failed");
        if let Some(handled) = handled {
            encode::push_attribute(&mut self.scratch, "h", &handled.to_string());
        }
        self.scratch.push_str("><");
        self.scratch.push_str(condition.name());
        self.scratch
            .push_str(" xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></failed>");
        self.flush();
    }

    fn begin_element(&mut self, name: &str) {
        self.scratch.push('<');
        self.scratch.push_str(name);
        encode::push_attribute(&mut self.scratch, "xmlns", MANAGEMENT);
    }

    fn end_element(&mut self) {
        self.scratch.push_str("/>");
        self.flush();
    }
}

impl From<TooHigh> for StreamError {
    /// §4: the client and we no longer speak of the same stream.
    fn from(TooHigh { handled, sent }: TooHigh) -> Self {
        Self {
            application: Some(ApplicationCondition::HandledCountTooHigh { handled, sent }),
            ..Self::new(StreamCondition::UndefinedCondition)
        }
    }
}
