//! A client and a server that echoes over a network that repeats, loses and
//! reorders.

use proptest::prelude::*;

use super::*;

/// A client, a network without manners, and a server that echoes.
#[derive(Debug)]
struct Simulation {
    now: Instant,
    machine: Machine<(u64, usize)>,
    /// The next request that the client makes.
    next: u64,
    /// Copies so far, each with its number.
    copies: usize,
    /// Requests on their way.
    under_way: Vec<(u64, usize)>,
    /// What each copy was answered.
    answered: BTreeMap<usize, (u64, Bytes)>,
    /// What the client has, by request.
    received: BTreeMap<u64, Bytes>,
    handled: Vec<Bytes>,
    pushed: Vec<u8>,
    pushes: usize,
}

impl Simulation {
    fn new() -> Self {
        let now = Instant::now();
        let limits = Limits {
            // How often the client asks is another matter.
            polling: Duration::ZERO,
            ..Limits::default()
        };
        let beginning = Beginning {
            sid: "sid".to_owned(),
            secure: true,
        };
        let machine = Machine::new(&limits, beginning, with(1, "hold='1'"), (1, 0), now);
        let mut simulation = Self {
            now,
            machine,
            next: 2,
            copies: 1,
            under_way: Vec::new(),
            answered: BTreeMap::new(),
            received: BTreeMap::new(),
            handled: Vec::new(),
            pushed: Vec::new(),
            pushes: 0,
        };
        simulation.push();
        simulation.handle();
        simulation.answer(true);
        simulation
    }

    fn unanswered(&self) -> Vec<u64> {
        (1..self.next)
            .filter(|rid| !self.received.contains_key(rid))
            .collect()
    }

    fn post(&mut self, rid: u64) {
        self.under_way.push((rid, self.copies));
        self.copies += 1;
    }

    fn deliver(&mut self, index: usize) {
        let (rid, copy) = self.under_way.remove(index);
        // What the client knows the answer of is beyond the window.
        if self.received.contains_key(&rid) {
            return;
        }
        let request = match rid % 3 {
            0 => empty(rid),
            _ => saying(rid, &format!("<n>{rid}</n>")),
        };
        self.machine.receive(request, (rid, copy), self.now);
    }

    fn push(&mut self) {
        let element = format!("<p>{}</p>", self.pushes);
        self.pushes += 1;
        self.pushed.extend_from_slice(element.as_bytes());
        self.machine.send(Bytes::from(element));
    }

    fn handle(&mut self) {
        while let Some(input) = self.machine.next_input() {
            match input {
                Input::Content(content) => self.handled.push(content),
                Input::Open(_) => assert!(self.handled.is_empty()),
                Input::End => panic!("nobody asked for it"),
            }
        }
    }

    fn answer(&mut self, arrives: bool) {
        while let Some(((rid, copy), answer)) = self.machine.poll(self.now) {
            let before = self.answered.insert(copy, (rid, answer.clone()));
            assert_eq!(before, None, "copy {copy} was answered twice");
            if arrives && !is_error(&answer) {
                self.received.entry(rid).or_insert(answer);
            }
        }
        assert_eq!(self.machine.ended(), None);
    }

    fn step(&mut self, choice: u16) {
        let (choice, pick) = (choice % 8, usize::from(choice / 8));
        let unanswered = self.unanswered();
        match choice {
            // The window starts at the oldest request without an answer.
            0 if unanswered
                .first()
                .is_none_or(|oldest| self.next - oldest < REQUESTS as u64) =>
            {
                self.post(self.next);
                self.next += 1;
            }
            1 if !unanswered.is_empty() => self.post(unanswered[pick % unanswered.len()]),
            2 | 3 if !self.under_way.is_empty() => self.deliver(pick % self.under_way.len()),
            4 if !self.under_way.is_empty() => {
                self.under_way.remove(pick % self.under_way.len());
            }
            5 => self.handle(),
            6 => self.push(),
            _ => self.answer(pick % 3 != 0),
        }
        self.now += Duration::from_millis(700);
    }

    /// The network behaves, and the client asks for what is left.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            for rid in self.unanswered() {
                self.post(rid);
            }
            while !self.under_way.is_empty() {
                self.deliver(0);
            }
            self.handle();
            self.answer(true);
            if self.unanswered().is_empty() {
                if self.machine.backlog() == 0 {
                    return;
                }
                self.next += 1;
            }
        }
        panic!("the session does not settle");
    }
}

fn is_error(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("type=\"error\"")
}

/// What is inside of an answer.
fn inside(answer: &[u8]) -> &[u8] {
    let start = answer.iter().position(|byte| *byte == b'>').unwrap() + 1;
    answer[start..].strip_suffix(b"</body>").unwrap_or_default()
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_on_a_network_without_manners(
        choices in prop::collection::vec(any::<u16>(), 0..400)
    ) {
        let mut simulation = Simulation::new();
        for choice in choices {
            simulation.step(choice);
        }
        simulation.settle();
        // What the client said arrived once and in order.
        let said: Vec<Bytes> = (2..simulation.next)
            .filter(|rid| rid % 3 != 0)
            .map(|rid| Bytes::from(format!("<n>{rid}</n>")))
            .collect();
        prop_assert_eq!(&simulation.handled, &said);
        // What it was told as well.
        let heard: Vec<u8> = simulation.received.values().flat_map(|it| inside(it).to_vec()).collect();
        prop_assert_eq!(&heard, &simulation.pushed);
        // Copies of a request have one answer.
        for (rid, answer) in simulation.answered.values().filter(|(_, it)| !is_error(it)) {
            prop_assert_eq!(answer, &simulation.received[rid]);
        }
    }

    #[test]
    fn whatever_comes_is_answered_at_most_once_and_after_the_end_at_once(
        requests in prop::collection::vec((0_u64..12, 0_u8..8, 0_u64..70), 0..60)
    ) {
        let mut now = Instant::now();
        let beginning = Beginning { sid: "sid".to_owned(), secure: false };
        let mut machine = Machine::new(&Limits::default(), beginning, with(5, "wait='9'"), 0, now);
        let mut open = std::collections::BTreeSet::from([0]);
        for (number, (rid, kind, gap)) in requests.into_iter().enumerate() {
            now += Duration::from_secs(gap / 8);
            let request = match kind {
                0 => with(rid + 1, "type='terminate'"),
                1 => with(rid + 1, "pause='30'"),
                2 => with(rid + 1, "xmpp:restart='true'"),
                3 => saying(rid + 1, "<x/>"),
                _ => empty(machine.newest + 1),
            };
            let number = number + 1;
            open.insert(number);
            machine.receive(request, number, now);
            if kind % 2 == 0 && inputs(&mut machine).contains(&Input::End) {
                machine.end(End::Orderly);
            }
            if kind == 5 {
                machine.send(Bytes::from_static(b"<x/>"));
            }
            while let Some((responder, _)) = machine.poll(now) {
                prop_assert!(open.remove(&responder), "{responder} was answered twice");
            }
            prop_assert!(machine.ended().is_none() || open.is_empty());
            prop_assert!(open.len() <= 2 * REQUESTS + 1);
        }
    }
}
