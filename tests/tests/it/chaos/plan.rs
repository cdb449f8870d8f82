//! What happens in a chaos run, and when: made from the seed alone, before
//! anything begins, and printable.
//!
//! Owns the choice. What an event does is the affair of the others.

use muster_tests::app::Fault;
use muster_tests::dice::Dice;
use std::fmt;
use std::time::Duration;

/// Users of the domain; `u0` and so on.
pub(super) const USERS: usize = 36;
/// Clients: one of each user, and a second one of every third.
pub(super) const CLIENTS: usize = USERS + USERS.div_ceil(3);

/// A whole run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) rounds: Vec<Round>,
}

/// Events, after which everything comes to rest.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// Since the beginning of the round, in order.
    pub(super) events: Vec<(Duration, Event)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The app changes a list.
    Change { user: usize, change: Change },
    /// The app tells of it, and of these users besides.
    Call { style: Style, users: Vec<usize> },
    /// A client does something.
    Client { client: usize, deed: Deed },
    /// Answers of the app go wrong, for one user in so many, for so long.
    Backend {
        fault: Fault,
        one_in: usize,
        time: Duration,
    },
    /// Nobody listens at the app's address.
    Deaf { time: Duration },
    /// Another file in the place of the plugin.
    Plugin(Build),
    /// Something befalls the process.
    Process(Jolt),
}

/// The number picks one of the list's contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add(u16),
    Rename(u16),
    Regroup(u16),
    Resubscribe(u16),
    Remove(u16),
    /// Both become each other's contacts.
    Befriend(usize),
    /// All contacts are others.
    Exchange,
}

/// How the app tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Each user in a request of its own.
    Single,
    /// A list, answered by counts.
    Batch,
    /// A list, of which each entry is told.
    Explained,
    /// The same, twice with one key.
    Keyed,
    /// The same as a job.
    Job,
    /// What would happen.
    Dry,
    /// The caller hangs up.
    GivenUp,
    /// The lists themselves.
    HandIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Logs in, and stays.
    Come,
    /// Closes the stream.
    Leave,
    /// Goes without a word, and stays away.
    Vanish,
    /// The connection breaks in the midst of a stanza.
    Cut,
    /// The connection is dead, and the host is not told.
    HalfOpen,
    /// The next connection breaks after so many bytes to the client.
    Doom(u16),
    /// Nothing passes for so many milliseconds.
    Stall(u16),
    /// Asks for the roster that it has.
    Ask,
    /// Writes to another client.
    Say(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Build {
    /// The built-in plugin, with another digest.
    Good(u32),
    /// No component.
    Broken,
    /// The first half of one.
    Half,
    /// A component that misbehaves in this way (`muster_test_plugins::DEEDS`).
    Hostile(&'static str),
    /// The operator has the build before serve again.
    RollBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jolt {
    /// SIGKILL, then a start.
    Kill,
    /// SIGTERM, then a start.
    Terminate,
    /// SIGSTOP, and SIGCONT so many milliseconds later.
    Suspend(u16),
    /// SIGHUP.
    HangUp,
}

/// Between two deaths of the process there is time to start.
const JOLTS_APART: Duration = Duration::from_secs(5);

impl Plan {
    /// The plan of this seed, for about so long, coming to rest in between.
    pub(super) fn new(seed: u64, time: Duration) -> Plan {
        let mut dice = Dice::new(seed);
        let seconds = time.as_secs().max(8);
        let rounds = (seconds / 30).max(2);
        // The rest is for coming to rest.
        let length = time.mul_f64(0.85 / rounds as f64);
        let rounds = (0..rounds).map(|_| Round::new(&mut dice, length));
        Plan {
            seed,
            rounds: rounds.collect(),
        }
    }
}

impl Round {
    fn new(dice: &mut Dice, length: Duration) -> Round {
        let mut events = Vec::new();
        let mut at = Duration::ZERO;
        let mut last_jolt = None;
        while at < length {
            at += Duration::from_millis(20 + dice.below(280));
            if dice.below(25) == 0 {
                events.extend(overlap(dice, at));
                at += Duration::from_millis(300);
                continue;
            }
            let event = match dice.below(100) {
                0..30 => Event::change(dice),
                30..54 => Event::call(dice),
                54..80 => Event::client(dice),
                80..91 => Event::backend(dice),
                91..96 => Event::Plugin(Build::any(dice)),
                _ if last_jolt.is_none_or(|last| at > last + JOLTS_APART) => {
                    last_jolt = Some(at);
                    Event::Process(Jolt::any(dice))
                }
                _ => Event::change(dice),
            };
            events.push((at, event));
        }
        Round { events }
    }
}

/// A change in the midst of a fetch, and a call that tells of it before that
/// fetch has ended: it must not end with what was fetched before.
fn overlap(dice: &mut Dice, at: Duration) -> Vec<(Duration, Event)> {
    let user = dice.index(USERS);
    let call = Event::Call {
        style: *dice.pick(&[Style::Explained, Style::Single, Style::Job]),
        users: vec![user],
    };
    let change = Event::Change {
        user,
        change: Change::Rename(u16::try_from(dice.below(1 << 16)).unwrap_or_default()),
    };
    let slow = Event::Backend {
        fault: Fault::Late(250),
        one_in: 1,
        time: Duration::from_millis(300),
    };
    let after = |time| at + Duration::from_millis(time);
    vec![
        (at, slow),
        (after(20), call.clone()),
        (after(120), change),
        (after(150), call),
    ]
}

impl Event {
    fn change(dice: &mut Dice) -> Event {
        let number = u16::try_from(dice.below(1 << 16)).unwrap_or_default();
        Event::Change {
            user: dice.index(USERS),
            change: match dice.below(120) {
                0..36 => Change::Add(number),
                36..60 => Change::Rename(number),
                60..76 => Change::Regroup(number),
                76..88 => Change::Resubscribe(number),
                88..104 => Change::Remove(number),
                104..119 => Change::Befriend(dice.index(USERS)),
                // Seldom: of many such at once the guard makes something else.
                _ => Change::Exchange,
            },
        }
    }

    fn call(dice: &mut Dice) -> Event {
        let style = match dice.below(20) {
            0..4 => Style::Single,
            4..8 => Style::Batch,
            8..12 => Style::Explained,
            12..14 => Style::Keyed,
            14..16 => Style::Job,
            16 => Style::Dry,
            17 => Style::GivenUp,
            _ => Style::HandIn,
        };
        let most = match dice.below(5) {
            0 => USERS,
            _ => 4,
        };
        let count = 1 + dice.index(most);
        let users = (0..count).map(|_| dice.index(USERS)).collect();
        Event::Call { style, users }
    }

    fn client(dice: &mut Dice) -> Event {
        let number =
            |most: u64, dice: &mut Dice| u16::try_from(100 + dice.below(most)).unwrap_or_default();
        Event::Client {
            client: dice.index(CLIENTS),
            deed: match dice.below(24) {
                0..6 => Deed::Come,
                6..8 => Deed::Leave,
                8 => Deed::Vanish,
                9..12 => Deed::Cut,
                12..14 => Deed::HalfOpen,
                14..16 => Deed::Doom(number(8_000, dice)),
                16..18 => Deed::Stall(number(1_500, dice)),
                18..20 => Deed::Ask,
                _ => Deed::Say(dice.index(CLIENTS)),
            },
        }
    }

    fn backend(dice: &mut Dice) -> Event {
        let faults = [
            Fault::Status(500),
            Fault::Status(503),
            Fault::Status(204),
            Fault::TooMany(1),
            Fault::Reset,
            Fault::ResetInBody,
            Fault::Hang,
            Fault::Drip,
            Fault::Html,
            Fault::Truncated,
            Fault::TooLong,
            Fault::TooShort,
            Fault::Late(300),
            Fault::Late(900),
        ];
        let time = Duration::from_millis(300 + dice.below(3_000));
        match dice.below(12) {
            0 => Event::Deaf { time },
            _ => Event::Backend {
                fault: *dice.pick(&faults),
                one_in: *dice.pick(&[1, 2, 3, 3, 3, 5]),
                time,
            },
        }
    }
}

impl Build {
    fn any(dice: &mut Dice) -> Build {
        match dice.below(10) {
            0..4 => Build::Good(u32::try_from(dice.below(1 << 20)).unwrap_or_default()),
            4 => Build::Broken,
            5 => Build::Half,
            6 => Build::RollBack,
            _ => {
                let deeds = ["trap", "some", "never", "malformed", "trap-start"];
                Build::Hostile(deeds[dice.index(deeds.len())])
            }
        }
    }
}

impl Jolt {
    fn any(dice: &mut Dice) -> Jolt {
        match dice.below(10) {
            0..4 => Jolt::Kill,
            4..6 => Jolt::Terminate,
            6..8 => Jolt::Suspend(u16::try_from(500 + dice.below(2_500)).unwrap_or_default()),
            _ => Jolt::HangUp,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        for (number, round) in self.rounds.iter().enumerate() {
            writeln!(f, "round {number}")?;
            for (at, event) in &round.events {
                writeln!(f, "{:>8} ms  {event}", at.as_millis())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Change { user, change } => write!(f, "list of u{user}: {change:?}"),
            Event::Call { style, users } => {
                write!(f, "call {style:?} for {users:?} and whom it concerns")
            }
            Event::Client { client, deed } => write!(f, "client {client}: {deed:?}"),
            Event::Backend {
                fault,
                one_in,
                time,
            } => write!(
                f,
                "app: {fault} for one user in {one_in}, {} ms",
                time.as_millis()
            ),
            Event::Deaf { time } => write!(f, "app: nobody listens, {} ms", time.as_millis()),
            Event::Plugin(build) => write!(f, "plugin: {build:?}"),
            Event::Process(jolt) => write!(f, "process: {jolt:?}"),
        }
    }
}
