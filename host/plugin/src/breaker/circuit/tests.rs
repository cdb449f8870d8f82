//! Every state with every event, and what chance alone must not do.

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    failures: 5,
    window: Duration::from_secs(10),
    share: 80,
    probe_interval: Duration::from_secs(5),
};

const SECOND: Duration = Duration::from_secs(1);

/// A circuit and a clock that the test moves.
struct Bench {
    circuit: Circuit,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let circuit = Circuit::new(POLICY, now);
        Self { circuit, now }
    }

    fn open() -> Self {
        let mut bench = Self::new();
        for _ in 0..POLICY.failures {
            bench.call(Verdict::Failure);
        }
        assert_eq!(bench.state(), BreakerState::Open);
        bench
    }

    /// A circuit with a probe under way.
    fn probing() -> (Self, Ticket) {
        let mut bench = Self::open();
        bench.wait(POLICY.probe_interval);
        let (probe, transition) = bench.circuit.admit(bench.now);
        assert_eq!(transition, Some(Transition::Probing));
        (bench, probe.unwrap())
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn admit(&mut self) -> Result<Ticket, Refused> {
        self.circuit.admit(self.now).0
    }

    fn end(&mut self, ticket: &Ticket, verdict: Verdict) -> Option<Transition> {
        self.circuit.end(ticket, verdict, self.now)
    }

    fn call(&mut self, verdict: Verdict) -> Option<Transition> {
        let ticket = self.admit().unwrap();
        self.end(&ticket, verdict)
    }

    fn state(&mut self) -> BreakerState {
        self.circuit.glance(self.now).state
    }
}

/// What happens to a circuit.
#[derive(Debug, Clone, Copy)]
enum Event {
    Admit,
    AdmitWhenDue,
    Success,
    Failure,
    Nothing,
    Reset,
}

/// The state of the circuit, the ticket whose ending is the event if it is one, whether a call
/// passes, the state afterwards.
#[test]
fn every_state_takes_every_event() {
    use BreakerState::{Closed, Open, Probing};
    use Event::{Admit, AdmitWhenDue, Failure, Nothing, Reset, Success};
    let table = [
        (Closed, Admit, Some(true), Closed),
        (Closed, AdmitWhenDue, Some(true), Closed),
        (Closed, Success, None, Closed),
        (Closed, Failure, None, Closed),
        (Closed, Nothing, None, Closed),
        (Closed, Reset, None, Closed),
        (Open, Admit, Some(false), Open),
        (Open, AdmitWhenDue, Some(true), Probing),
        // Of calls that began before it opened.
        (Open, Success, None, Open),
        (Open, Failure, None, Open),
        (Open, Nothing, None, Open),
        (Open, Reset, None, Closed),
        (Probing, Admit, Some(false), Probing),
        (Probing, AdmitWhenDue, Some(true), Probing),
        (Probing, Success, None, Closed),
        (Probing, Failure, None, Open),
        (Probing, Nothing, None, Open),
        (Probing, Reset, None, Closed),
    ];
    for (state, event, expected, after) in table {
        let mut bench = Bench::new();
        let mut ticket = bench.admit().unwrap();
        match state {
            Closed => {}
            Open => {
                bench = {
                    let mut open = bench;
                    for _ in 0..8 {
                        let Ok(call) = open.admit() else { break };
                        open.end(&call, Verdict::Failure);
                    }
                    open
                }
            }
            Probing => (bench, ticket) = Bench::probing(),
        }
        assert_eq!(bench.state(), state, "before {event:?}");
        let passed = match event {
            Admit => Some(bench.admit().is_ok()),
            AdmitWhenDue => {
                bench.wait(POLICY.probe_interval);
                Some(bench.admit().is_ok())
            }
            Success | Failure | Nothing => {
                let verdict = match event {
                    Success => Verdict::Success,
                    Failure => Verdict::Failure,
                    _ => Verdict::Nothing,
                };
                bench.end(&ticket, verdict);
                None
            }
            Reset => {
                bench.circuit.reset(bench.now);
                None
            }
        };
        assert_eq!(passed, expected, "{state:?} {event:?}");
        assert_eq!(bench.state(), after, "{state:?} {event:?}");
    }
}

#[test]
fn it_opens_with_the_last_failure_that_is_needed() {
    let mut bench = Bench::new();
    for _ in 1..POLICY.failures {
        assert_eq!(bench.call(Verdict::Failure), None);
    }
    let opened = Transition::Opened {
        failed: 5,
        ended: 5,
    };
    assert_eq!(bench.call(Verdict::Failure), Some(opened));
    let refused = bench.admit().unwrap_err();
    assert_eq!(refused.retry_after, POLICY.probe_interval);
    bench.wait(SECOND);
    assert_eq!(bench.admit().unwrap_err().retry_after, 4 * SECOND);
}

#[test]
fn failures_have_to_be_most_of_the_calls() {
    let mut bench = Bench::new();
    bench.call(Verdict::Success);
    bench.call(Verdict::Success);
    for failed in 1..8 {
        assert_eq!(
            bench.call(Verdict::Failure),
            None,
            "{failed} of {}",
            failed + 2
        );
    }
    assert!(bench.call(Verdict::Failure).is_some(), "8 of 10");
}

#[test]
fn failures_have_to_come_within_the_window() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        assert_eq!(bench.call(Verdict::Failure), None);
        bench.wait(3 * SECOND);
    }
    bench.wait(2 * POLICY.window);
    for _ in 1..POLICY.failures {
        assert_eq!(bench.call(Verdict::Failure), None);
    }
    assert!(bench.call(Verdict::Failure).is_some());
}

#[test]
fn what_shows_nothing_is_not_counted() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        bench.call(Verdict::Nothing);
    }
    for _ in 1..POLICY.failures {
        assert_eq!(bench.call(Verdict::Failure), None);
    }
    assert!(bench.call(Verdict::Failure).is_some());
}

#[test]
fn one_probe_passes_in_each_interval_until_one_succeeds() {
    let mut bench = Bench::open();
    for _ in 0..3 {
        bench.wait(POLICY.probe_interval);
        let probe = bench.admit().unwrap();
        for _ in 0..10 {
            assert!(bench.admit().is_err());
        }
        bench.wait(SECOND);
        let ended = bench.end(&probe, Verdict::Failure);
        assert_eq!(ended, Some(Transition::OpenAgain));
        // Another interval, from the failure on.
        assert_eq!(
            bench.admit().unwrap_err().retry_after,
            POLICY.probe_interval
        );
    }
    bench.wait(POLICY.probe_interval);
    let closed = Transition::Closed { after: 23 * SECOND };
    assert_eq!(bench.call(Verdict::Success), Some(closed));
    // With nothing held against it.
    for _ in 1..POLICY.failures {
        assert_eq!(bench.call(Verdict::Failure), None);
    }
    assert!(bench.call(Verdict::Failure).is_some());
}

#[test]
fn a_probe_whose_caller_goes_away_is_followed_by_the_next_call() {
    let (mut bench, probe) = Bench::probing();
    assert!(bench.admit().is_err());
    bench.end(&probe, Verdict::Nothing);
    let probe = bench.admit().unwrap();
    assert!(bench.admit().is_err());
    bench.end(&probe, Verdict::Success);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_probe_that_does_not_end_is_followed_by_another_after_the_interval() {
    let (mut bench, slow) = Bench::probing();
    bench.wait(POLICY.probe_interval);
    let other = bench.admit().unwrap();
    assert!(bench.admit().is_err());
    bench.end(&other, Verdict::Failure);
    assert_eq!(bench.state(), BreakerState::Probing, "the slow one goes on");
    // It shows what the other could not.
    assert!(bench.end(&slow, Verdict::Success).is_some());
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn calls_of_another_term_show_nothing() {
    let mut bench = Bench::new();
    let early: Vec<_> = (0..10).map(|_| bench.admit().unwrap()).collect();
    for call in &early[..8] {
        bench.end(call, Verdict::Failure);
    }
    assert_eq!(bench.state(), BreakerState::Open);
    bench.wait(POLICY.probe_interval);
    assert_eq!(bench.end(&early[8], Verdict::Success), None, "begun before");
    let probe = bench.admit().unwrap();
    bench.circuit.reset(bench.now);
    assert_eq!(bench.end(&probe, Verdict::Failure), None);
    assert_eq!(bench.end(&early[9], Verdict::Failure), None);
    assert_eq!(bench.circuit.glance(bench.now).failed, 0);
}

#[test]
fn a_reset_of_a_closed_one_forgets_the_failures() {
    let mut bench = Bench::new();
    for _ in 1..POLICY.failures {
        bench.call(Verdict::Failure);
    }
    assert_eq!(bench.circuit.reset(bench.now), None);
    assert_eq!(bench.call(Verdict::Failure), None);
    assert_eq!(bench.state(), BreakerState::Closed);
}

/// 64 calls at once, each with a fate of its own; whoever ends is replaced.
struct Crowd {
    bench: Bench,
    random: u64,
    /// When each ends, and how.
    calls: Vec<(Instant, Verdict, Ticket)>,
}

impl Crowd {
    const SIZE: usize = 64;

    fn new(seed: u64) -> Self {
        Self {
            bench: Bench::new(),
            // A different stream for each seed; zero would stay zero.
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            calls: Vec::new(),
        }
    }

    /// xorshift64* (Marsaglia 2003, Vigna 2016).
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    /// Runs `ends` endings; the percentage that fails does so after `failing`
    /// milliseconds or twice as many, the rest succeeds after 20 to 40.
    fn run(&mut self, ends: usize, percent: u64, failing: u64) -> Option<usize> {
        for ended in 0..ends {
            while self.calls.len() < Self::SIZE {
                let ticket = self.bench.admit().unwrap();
                let fails = self.below(100) < percent;
                let (verdict, least) = match fails {
                    true => (Verdict::Failure, failing),
                    false => (Verdict::Success, 20),
                };
                let took = Duration::from_millis(least + self.below(least + 1));
                self.calls.push((self.bench.now + took, verdict, ticket));
            }
            let next = (0..self.calls.len()).min_by_key(|at| self.calls[*at].0);
            let (at, verdict, ticket) = self.calls.swap_remove(next.unwrap());
            self.bench.now = at;
            if self.bench.end(&ticket, verdict).is_some() {
                return Some(ended);
            }
        }
        None
    }
}

#[test]
fn a_third_of_failures_by_chance_does_not_open_it() {
    for seed in 0..30 {
        // Refused at once, as slow as a success, and only after a long silence.
        for failing in [1, 20, 4_500] {
            let mut crowd = Crowd::new(seed);
            let opened = crowd.run(600, 30, failing);
            assert_eq!(opened, None, "seed {seed}, failing after {failing} ms");
        }
    }
}

#[test]
fn a_crowd_that_fails_altogether_opens_it_soon() {
    for seed in 0..20 {
        for failing in [1, 20, 4_500] {
            let mut crowd = Crowd::new(seed);
            let opened = crowd.run(2_000, 100, failing);
            assert!(
                opened.is_some_and(|after| after < Crowd::SIZE),
                "{opened:?}"
            );
        }
    }
}

#[test]
fn a_crowd_that_begins_to_fail_opens_it_within_the_window() {
    for failing in [1, 20] {
        let mut crowd = Crowd::new(7);
        assert_eq!(crowd.run(2_000, 1, 20), None);
        let healthy = crowd.bench.now;
        assert!(crowd.run(1_000_000, 100, failing).is_some());
        let took = crowd.bench.now - healthy;
        assert!(took <= POLICY.window + SECOND, "{took:?}");
    }
}
