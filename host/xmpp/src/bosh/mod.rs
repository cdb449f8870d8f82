//! BOSH without I/O: one session's HTTP requests, put in order, answered and
//! repeated if need be (XEP-0124 1.11, XEP-0206 1.4).
//!
//! Owns the window of request ids, which requests stay unanswered and for how
//! long, the answers that may be asked for again, pauses, overactivity and
//! inactivity. Does not own XML streams: what is inside the requests goes to
//! [`crate::session`] as it came, and what that writes is put into answers as
//! it is. Does not own HTTP, the table of sessions, the clock or randomness.
//! From the shell, back to the shell.
//!
//! The shell gives each request to [`Machine::receive`] with whatever it needs
//! to answer it (`R`), hands on [`Machine::next_input`] to the session until
//! there is none, gives what the session writes to [`Machine::send`], and
//! answers what [`Machine::poll`] tells.
//!
//! Left out: key sequencing (XEP-0124 §15 makes it optional, for sessions
//! without TLS, and its SHA-1 chains protect against little), several streams a
//! session (§16, optional), acknowledgements of answers (§9, optional: the
//! window says which answers may still be asked for).

mod answer;
mod body;
mod terms;

pub use answer::{Condition, End, refusal};
pub use body::{Body, BodyFault, HEAD_BYTES, Offer, Purpose};
pub use terms::{Beginning, Limits};

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::decoder::StreamOpen;
use answer::Answer;
use terms::Terms;

/// Namespace of the `<body/>` element.
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// Namespace of the attributes of XEP-0206.
pub const XBOSH: &str = "urn:xmpp:xbosh";

/// Requests that a client may have unanswered: one that waits for news, and one
/// that brings some. Answers that may be asked for again.
const REQUESTS: usize = 2;
/// Requests whose content waits for the session; with [`Limits::input_bytes`]
/// what a client can pile up while its roster is on its way.
const INPUTS: usize = 16;

/// What a request brings for the session, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A stream begins, or begins anew.
    Open(StreamOpen),
    /// Elements.
    Content(Bytes),
    /// The client is done.
    End,
}

/// The requests of one session.
#[derive(Debug)]
pub struct Machine<R> {
    terms: Terms,
    input_bytes: usize,
    answer_bytes: usize,
    /// The first answer was made.
    greeted: bool,
    /// The last request in order.
    newest: u64,
    /// When the newest request came, and whether it was empty.
    last: Option<(Instant, bool)>,
    /// Requests that came before their turn; at most the window.
    early: BTreeMap<u64, (Body, R)>,
    inputs: VecDeque<Input>,
    held: VecDeque<Held<R>>,
    /// The last answers, the oldest first.
    answered: VecDeque<(u64, Bytes)>,
    /// Answers that the shell has not taken yet.
    replies: VecDeque<(R, Bytes)>,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
    /// When the last answer was made, or the session began.
    quiet_since: Instant,
    /// How long the client may be away now.
    patience: Duration,
    end: Option<End>,
    /// The client was told of the end.
    told: bool,
}

/// A request that awaits its answer.
#[derive(Debug)]
struct Held<R> {
    rid: u64,
    responder: R,
    since: Instant,
}

impl<R> Machine<R> {
    /// A session as `request` asks for it; it is the first that is answered.
    pub fn new(
        limits: &Limits,
        beginning: Beginning,
        request: Body,
        responder: R,
        now: Instant,
    ) -> Self {
        let terms = Terms::agreed(limits, beginning, &request);
        let mut machine = Self {
            patience: terms.inactivity,
            terms,
            input_bytes: limits.input_bytes,
            answer_bytes: limits.answer_bytes,
            greeted: false,
            newest: request.rid,
            last: None,
            early: BTreeMap::new(),
            inputs: VecDeque::from([Input::Open(request.open.clone())]),
            held: VecDeque::new(),
            answered: VecDeque::new(),
            replies: VecDeque::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            quiet_since: now,
            end: None,
            told: false,
        };
        machine.take(request, responder, now);
        machine
    }

    /// Takes a request of this session.
    pub fn receive(&mut self, body: Body, responder: R, now: Instant) {
        if self.end.is_some() {
            return self.tell_end(responder);
        }
        let rid = body.rid;
        if rid <= self.newest {
            return self.repeat(rid, responder, now);
        }
        // One more than usual may come if it says goodbye (XEP-0124 §11).
        let goodbye = body.pause.is_some() || body.purpose == Purpose::Terminate;
        let window = REQUESTS as u64 + u64::from(goodbye);
        if rid - self.newest > window {
            return self.refuse(responder, Condition::ItemNotFound);
        }
        if let Some((_, older)) = self.early.insert(rid, (body, responder)) {
            self.replies.push_back((older, answer::repeated()));
        }
        while let Some((body, responder)) = self.early.remove(&(self.newest + 1)) {
            if self.end.is_some() {
                self.tell_end(responder);
            } else if let Some(condition) = self.fault(&body, now) {
                self.refuse(responder, condition);
            } else {
                self.newest = body.rid;
                self.take(body, responder, now);
            }
        }
    }

    /// What the session has to do next.
    pub fn next_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// An element for the client, complete and with its namespaces.
    pub fn send(&mut self, element: Bytes) {
        self.outgoing_bytes += element.len();
        self.outgoing.push_back(element);
    }

    /// Bytes that await a request to answer.
    pub fn backlog(&self) -> usize {
        self.outgoing_bytes
    }

    /// The session is over; the client is told as soon as there is a request to
    /// answer. Does nothing to a session that is over.
    pub fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether the session is over and the client knows.
    pub fn is_done(&self) -> bool {
        self.told && self.held.is_empty() && self.replies.is_empty()
    }

    /// Whether the client was away for longer than it may be.
    pub fn is_abandoned(&self, now: Instant) -> bool {
        self.held.is_empty() && now.saturating_duration_since(self.quiet_since) >= self.patience
    }

    /// When [`Machine::poll`] or [`Machine::is_abandoned`] will have news if
    /// nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        match self.held.front() {
            Some(held) => held.since.checked_add(self.terms.wait),
            None => self.quiet_since.checked_add(self.patience),
        }
    }

    /// The next answer to give. Each responder comes out once.
    pub fn poll(&mut self, now: Instant) -> Option<(R, Bytes)> {
        while self.end.is_some()
            && let Some((_, (_, responder))) = self.early.pop_first()
        {
            self.tell_end(responder);
        }
        while self.replies.is_empty() {
            let held = self.held.front()?;
            let overdue = now.saturating_duration_since(held.since) >= self.terms.wait;
            // What was not looked at yet may bring an answer; and a client that
            // sends on and on is slowed down.
            let crowded = self.held.len() > self.terms.hold && self.inputs.is_empty();
            let news = !self.outgoing.is_empty() || self.end.is_some();
            if !(news || crowded || overdue) {
                return None;
            }
            self.answer_oldest(now);
        }
        self.replies.pop_front()
    }

    /// What is wrong with the request that is next in order, seen together with
    /// those before it (XEP-0124 §11 and §12).
    fn fault(&self, body: &Body, now: Instant) -> Option<Condition> {
        let goodbye = body.pause.is_some() || body.purpose == Purpose::Terminate;
        if self.held.len() >= REQUESTS && !goodbye {
            return Some(Condition::PolicyViolation);
        }
        let waiting = self.inputs.iter().map(|input| match input {
            Input::Content(content) => content.len(),
            _ => 0,
        });
        let waiting: usize = waiting.sum();
        if self.inputs.len() >= INPUTS || waiting > self.input_bytes {
            return Some(Condition::PolicyViolation);
        }
        let (came, was_empty) = self.last?;
        let hasty = now.saturating_duration_since(came) < self.terms.polling;
        let idle = match self.terms.hold {
            0 => was_empty,
            _ => self.held.len() + 1 >= REQUESTS,
        };
        (body.is_empty() && hasty && idle).then_some(Condition::PolicyViolation)
    }

    /// The request is the next one in order.
    fn take(&mut self, body: Body, responder: R, now: Instant) {
        self.last = Some((now, body.is_empty()));
        self.held.push_back(Held {
            rid: body.rid,
            responder,
            since: now,
        });
        if body.purpose == Purpose::Restart {
            let mut open = body.open;
            // Asked for, but not demanded (XEP-0206 §5).
            open.to = open.to.or_else(|| self.terms.from.clone());
            self.inputs.push_back(Input::Open(open));
        }
        if !body.content.is_empty() {
            self.inputs.push_back(Input::Content(body.content));
        }
        if body.purpose == Purpose::Terminate {
            self.inputs.push_back(Input::End);
        }
        let pause = body.pause.map(Duration::from_secs);
        match pause.filter(|pause| *pause <= self.terms.longest_pause) {
            Some(pause) => self.pause(pause, now),
            None => self.patience = self.terms.inactivity,
        }
    }

    /// The client will be away: everything is answered, the request for the
    /// pause without content (XEP-0124 §10).
    fn pause(&mut self, pause: Duration, now: Instant) {
        self.patience = pause;
        while self.held.len() > 1 {
            self.answer_oldest(now);
        }
        let waiting = std::mem::take(&mut self.outgoing);
        self.answer_oldest(now);
        self.outgoing = waiting;
    }

    /// A request that was taken before came again (XEP-0124 §14.3).
    fn repeat(&mut self, rid: u64, responder: R, now: Instant) {
        // The client gave up waiting for the first copy: both get what there is.
        while self.held.front().is_some_and(|held| held.rid <= rid) {
            self.answer_oldest(now);
        }
        let mut answered = self.answered.iter();
        match answered.find(|(other, _)| *other == rid) {
            Some((_, answer)) => self.replies.push_back((responder, answer.clone())),
            None => self.refuse(responder, Condition::ItemNotFound),
        }
    }

    fn answer_oldest(&mut self, now: Instant) {
        let Some(Held { rid, responder, .. }) = self.held.pop_front() else {
            return;
        };
        let greeting = (!self.greeted).then_some(&self.terms);
        let mut answer = Answer::default().with_terms(greeting);
        self.greeted = true;
        let mut bytes = 0;
        while (bytes < self.answer_bytes || self.end.is_some())
            && let Some(element) = self.outgoing.pop_front()
        {
            bytes += element.len();
            answer.push(element);
        }
        self.outgoing_bytes -= bytes;
        // An answer with content takes back the word that nothing came.
        if bytes > 0
            && let Some((_, empty)) = &mut self.last
        {
            *empty = false;
        }
        let answer = Bytes::from(answer.with_end(self.end.as_ref()).finish());
        self.told |= self.end.is_some();
        if self.answered.len() == REQUESTS {
            self.answered.pop_front();
        }
        self.answered.push_back((rid, answer.clone()));
        self.replies.push_back((responder, answer));
        self.quiet_since = now;
    }

    /// Ends the session because of this request.
    fn refuse(&mut self, responder: R, condition: Condition) {
        self.end(End::Binding(condition));
        self.tell_end(responder);
    }

    /// Answers a request that is not taken any more.
    fn tell_end(&mut self, responder: R) {
        let mut answer = Answer::default();
        // What waited longer has a claim to the content.
        if self.held.is_empty() {
            for element in self.outgoing.drain(..) {
                answer.push(element);
            }
            self.outgoing_bytes = 0;
        }
        let answer = answer.with_end(self.end.as_ref()).finish();
        self.replies.push_back((responder, Bytes::from(answer)));
        self.told = true;
    }
}

#[cfg(test)]
mod tests;
