//! What one stream has handled and sent, and what the client has not
//! acknowledged yet (XEP-0198 §4).
//!
//! Owns the counters, which wrap at 2³², and the stanzas that would have to be
//! sent again. Does not own the elements that speak of them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

/// What the loss of a stanza would mean, if its client never gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is of this session alone: presence, pushes, answers.
    Passing,
    /// Other resources got the same message: it is missed when none is left.
    Shared,
    /// Nobody else got it.
    Sole,
}

impl Worth {
    /// Of a message that goes to so many resources.
    pub const fn among(resources: usize) -> Self {
        match resources {
            0 | 1 => Self::Sole,
            _ => Self::Shared,
        }
    }
}

/// A stanza that was sent and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unacknowledged {
    /// As it was sent.
    pub stanza: Bytes,
    /// What its loss would mean.
    pub worth: Worth,
}

/// The client says that it handled more than it was sent (XEP-0198 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooHigh {
    pub(crate) handled: u32,
    pub(crate) sent: u32,
}

/// How a session whose connection breaks can be taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumption {
    /// What the client calls the session; nobody can guess it.
    pub(super) id: Box<str>,
    /// How long the session outlives its connection.
    pub(super) timeout: Duration,
}

/// The counters of one managed session.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) resumption: Option<Resumption>,
    /// Stanzas of the client that were handed to processing.
    pub(super) handled: u32,
    /// Our stanzas that the client has acknowledged.
    acknowledged: u32,
    /// Our stanzas after those, in order.
    queue: VecDeque<Unacknowledged>,
    /// Of the stanzas in `queue`.
    bytes: usize,
    /// An `<r/>` of ours waits for its answer.
    asking: bool,
    /// What had been sent when we asked last.
    asked_at: u32,
    /// How many of ours the client has and does not count, as far as we know.
    uncounted: u32,
    /// What had been sent at some answer, and how many answers came since that
    /// do not cover it.
    overdue: (u32, u32),
}

/// After so many answers that do not cover what was sent before all of their
/// questions, the client has it and does not count it: the wire keeps order.
/// A client may say how far it is without being asked, so one does not do.
const ANSWERS: u32 = 16;

/// Room for stanzas that an empty queue keeps.
const ROOM_KEPT: usize = 4;

impl Ledger {
    pub(super) fn new(resumption: Option<Resumption>) -> Self {
        Self::starting_at(0, resumption)
    }

    /// With both counters at `count`, which is 0 outside of tests.
    fn starting_at(count: u32, resumption: Option<Resumption>) -> Self {
        Self {
            resumption,
            handled: count,
            acknowledged: count,
            queue: VecDeque::new(),
            bytes: 0,
            asking: false,
            asked_at: count,
            uncounted: 0,
            overdue: (count, 0),
        }
    }

    /// A stanza of the client goes to processing.
    pub(super) fn receive(&mut self) {
        self.handled = self.handled.wrapping_add(1);
    }

    /// A stanza of ours goes out.
    pub(super) fn send(&mut self, stanza: Bytes, worth: Worth) {
        self.bytes += stanza.len();
        self.queue.push_back(Unacknowledged { stanza, worth });
    }

    /// The client has handled `handled` stanzas.
    pub(super) fn acknowledge(&mut self, handled: u32) -> Result<(), TooHigh> {
        let counted = handled.wrapping_add(self.uncounted);
        let news = counted.wrapping_sub(self.acknowledged) as usize;
        let excess = news.saturating_sub(self.queue.len());
        if excess > self.uncounted as usize {
            let sent = self.sent();
            return Err(TooHigh { handled, sent });
        }
        // Who has begun to count everything has everything.
        self.uncounted -= excess as u32;
        self.drop_first(news - excess);
        if std::mem::replace(&mut self.asking, false) {
            self.judge_answer();
        }
        Ok(())
    }

    fn drop_first(&mut self, stanzas: usize) {
        for known in self.queue.drain(..stanzas) {
            self.bytes -= known.stanza.len();
        }
        // The queue is bounded far below 2³².
        self.acknowledged = self.acknowledged.wrapping_add(stanzas as u32);
        if self.queue.is_empty() {
            self.queue.shrink_to(ROOM_KEPT);
        }
    }

    /// Some libraries do not count all stanzas (@xmpp/client 0.14 leaves out
    /// results): what is overdue for many answers would never leave the queue.
    fn judge_answer(&mut self) {
        let (sent, answers) = self.overdue;
        let missing = sent.wrapping_sub(self.acknowledged);
        if missing == 0 || missing as usize > self.queue.len() {
            self.overdue = (self.sent(), 0);
        } else if answers + 1 < ANSWERS {
            self.overdue = (sent, answers + 1);
        } else {
            self.drop_first(missing as usize);
            self.uncounted = self.uncounted.wrapping_add(missing);
            self.overdue = (self.sent(), 0);
        }
    }

    /// Our stanzas, modulo 2³².
    pub(super) fn sent(&self) -> u32 {
        // The queue is bounded far below 2³².
        self.acknowledged.wrapping_add(self.queue.len() as u32)
    }

    /// Whether to ask for an acknowledgement now: something new was sent, and
    /// no question is open.
    pub(super) fn wants_to_ask(&self) -> bool {
        !self.asking && !self.queue.is_empty() && self.asked_at != self.sent()
    }

    /// Whether the client has said of everything that it has it. What a client
    /// has that does not count all stanzas is known by its answer to a question
    /// that came last, even if the number is too low.
    pub(super) fn is_settled(&self) -> bool {
        self.queue.is_empty() || !self.asking && self.asked_at == self.sent()
    }

    /// An `<r/>` goes out.
    pub(super) fn ask(&mut self) {
        self.asking = true;
        self.asked_at = self.sent();
    }

    /// Another connection takes over: questions of the old one are void.
    pub(super) fn move_on(&mut self) {
        self.asking = false;
        self.asked_at = self.acknowledged;
    }

    /// Stanzas and bytes that wait for their acknowledgement.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.bytes)
    }

    pub(super) fn queue(&self) -> impl Iterator<Item = &Unacknowledged> {
        self.queue.iter()
    }

    pub(super) fn into_queue(self) -> VecDeque<Unacknowledged> {
        self.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stanza(number: usize) -> Bytes {
        Bytes::from(format!("<message id=\"{number}\"/>"))
    }

    #[test]
    fn a_question_is_asked_once_until_it_is_answered() {
        let mut ledger = Ledger::new(None);
        assert!(!ledger.wants_to_ask(), "nothing was sent");
        ledger.send(stanza(0), Worth::Passing);
        assert!(ledger.wants_to_ask());
        ledger.ask();
        ledger.send(stanza(1), Worth::Passing);
        assert!(!ledger.wants_to_ask(), "one question at a time");
        ledger.acknowledge(1).unwrap();
        assert!(ledger.wants_to_ask());
        ledger.ask();
        ledger.acknowledge(1).unwrap();
        assert!(!ledger.wants_to_ask(), "no news, no question");
        ledger.move_on();
        assert!(ledger.wants_to_ask());
    }

    #[test]
    fn what_a_client_never_counts_does_not_pile_up() {
        let mut ledger = Ledger::starting_at(u32::MAX - 20, None);
        let mut counted = u32::MAX - 20;
        for round in 0..500 {
            // One of two is counted.
            ledger.send(stanza(round), Worth::Passing);
            ledger.send(stanza(round), Worth::Sole);
            counted = counted.wrapping_add(1);
            ledger.ask();
            ledger.acknowledge(counted).unwrap();
            let waiting = ledger.waiting().0;
            assert!(waiting <= 4 * ANSWERS as usize, "{waiting} in {round}");
        }
        // It mends its ways: nothing is waited for any more, nor is it too high.
        for _ in 0..3 {
            ledger.send(stanza(0), Worth::Sole);
            ledger.ask();
            ledger.acknowledge(ledger.sent()).unwrap();
            assert_eq!(ledger.waiting(), (0, 0));
        }
        assert!(ledger.acknowledge(ledger.sent().wrapping_add(1)).is_err());
    }

    #[test]
    fn an_honest_client_is_waited_for_however_late_it_is() {
        let mut ledger = Ledger::new(None);
        ledger.send(stanza(0), Worth::Sole);
        for _ in 0..ANSWERS * 4 {
            // It speaks up without being asked, and has got nothing yet.
            ledger.acknowledge(0).unwrap();
        }
        assert_eq!(ledger.waiting().0, 1);
        assert!(ledger.acknowledge(2).is_err());
    }

    #[test]
    fn who_counts_too_few_has_answered_nevertheless() {
        let mut ledger = Ledger::new(None);
        assert!(ledger.is_settled(), "nothing was sent");
        ledger.send(stanza(0), Worth::Passing);
        ledger.send(stanza(1), Worth::Sole);
        assert!(!ledger.is_settled(), "nothing was asked");
        ledger.ask();
        assert!(!ledger.is_settled(), "nothing was answered");
        ledger.acknowledge(1).unwrap();
        assert!(ledger.is_settled());
        assert_eq!(ledger.waiting().0, 1, "it may have to be sent again");
        ledger.send(stanza(2), Worth::Sole);
        assert!(!ledger.is_settled());
        ledger.acknowledge(1).unwrap();
        assert!(!ledger.is_settled(), "nobody asked for that");
        ledger.acknowledge(3).unwrap();
        assert!(ledger.is_settled());
    }

    proptest! {
        /// Whatever the client acknowledges, and wherever the counters wrap:
        /// what waits is what was sent and not acknowledged, in order.
        #[test]
        fn what_waits_is_what_was_not_acknowledged(
            start in prop_oneof![Just(0), Just(u32::MAX - 3), any::<u32>()],
            steps in prop::collection::vec((0_usize..5, 0_u32..8), 1..30),
        ) {
            let mut ledger = Ledger::starting_at(start, None);
            let (mut sent, mut known) = (0_usize, 0_usize);
            for (news, handled) in steps {
                for _ in 0..news {
                    ledger.send(stanza(sent), Worth::Sole);
                    sent += 1;
                }
                let claim = start.wrapping_add(known as u32).wrapping_add(handled);
                match ledger.acknowledge(claim) {
                    Ok(()) => {
                        known += handled as usize;
                        prop_assert!(known <= sent);
                    }
                    Err(error) => {
                        prop_assert!(known + handled as usize > sent);
                        prop_assert_eq!(error.sent, start.wrapping_add(sent as u32));
                        prop_assert_eq!(error.handled, claim);
                    }
                }
                let waiting: Vec<_> = ledger.queue().map(|it| it.stanza.clone()).collect();
                let expected: Vec<_> = (known..sent).map(stanza).collect();
                let bytes = expected.iter().map(Bytes::len).sum();
                prop_assert_eq!(ledger.waiting(), (expected.len(), bytes));
                prop_assert_eq!(waiting, expected);
            }
        }
    }
}
