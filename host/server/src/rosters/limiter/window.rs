//! How many fetches the app bears at once, told from how it answers.
//!
//! Owns the limit, which moves between a floor and a cap, and the evidence for
//! it: a round of as many fetches as the limit allows. Pure: the time is passed
//! in, and nothing is done about the limit here.
//!
//! The limit starts at the cap, which is the operator's word. What pushes back
//! (429, 503) counts most; what breaks off or stays silent lowers the limit by
//! its share of the round, so that an app of which one answer in ten fails
//! whatever the load is not starved for it; so does an app that has become
//! slow. A round that used the limit raises it by the limit's root, less the
//! share of what failed: from the floor to the cap in some ten rounds.

use std::time::{Duration, Instant};

/// How a fetch ended, as far as it tells of the app's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rosters) enum Ending {
    /// With a roster, or the word that it is unchanged.
    Answered,
    /// The app said that it has too much to do.
    PushedBack,
    /// There was no answer, or half of one.
    Broke,
    /// In a way that tells nothing: the app was not asked, or answered what it
    /// would answer at any load.
    Neutral,
}

/// An answer may take so many times as long as the fastest round has lately,
/// and so much longer, before it counts as slow: rosters differ in size.
const TOLERANCE: u32 = 3;
const SLACK: Duration = Duration::from_millis(50);
/// The most that slowness takes of the limit in a round.
const SLOWEST: f64 = 0.8;
/// What one answer that pushes back counts, beside one that breaks off.
const PUSH: f64 = 4.0;
/// A round ends after that time too, if it has the floor's number of endings.
const ROUND: Duration = Duration::from_secs(1);
/// A fast round is remembered for that long, and at most for twice as long.
const MEMORY: Duration = Duration::from_secs(30);
/// The share of the last fetch in the mean time of one.
const SHARE: f64 = 1.0 / 16.0;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    floor: f64,
    cap: f64,
    limit: f64,
    /// Counts how often the limit was lowered: what began before says nothing
    /// of the limit that holds now.
    epoch: u32,
    round: Round,
    fastest: Fastest,
    /// Mean time of a fetch, whatever came of it.
    mean: f64,
}

#[derive(Debug)]
struct Round {
    since: Instant,
    answered: u32,
    pushed_back: u32,
    broke: u32,
    /// Of those answered, together.
    took: Duration,
    /// Most fetches at once.
    peak: usize,
}

impl Window {
    pub(super) fn new(floor: usize, cap: usize, now: Instant) -> Window {
        let cap = cap.max(1) as f64;
        Window {
            floor: (floor.max(1) as f64).min(cap),
            cap,
            limit: cap,
            epoch: 0,
            round: Round::new(now),
            fastest: Fastest::new(now),
            mean: 0.0,
        }
    }

    /// Fetches that may run at once.
    pub(super) fn limit(&self) -> usize {
        // Between 1 and the cap, which was a `usize`.
        self.limit as usize
    }

    /// A fetch begins beside `others`; what its end has to bring back.
    pub(super) fn begin(&mut self, others: usize) -> u32 {
        self.round.peak = self.round.peak.max(others + 1);
        self.epoch
    }

    /// A fetch that began in `epoch` has ended.
    pub(super) fn end(&mut self, epoch: u32, ending: Ending, took: Duration, now: Instant) {
        if ending == Ending::Neutral {
            return;
        }
        self.mean += (took.as_secs_f64() - self.mean) * SHARE;
        if epoch != self.epoch {
            return;
        }
        if now.saturating_duration_since(self.round.since) > MEMORY {
            // Too old to be held against anybody.
            self.round = Round::new(now);
        }
        self.round.count(ending, took);
        let ended = f64::from(self.round.ended());
        let long = now.saturating_duration_since(self.round.since) >= ROUND;
        if ended >= self.limit.floor() || (long && ended >= self.floor) {
            let round = std::mem::replace(&mut self.round, Round::new(now));
            self.judge(&round, now);
        }
    }

    /// How long so many in line wait for their turn, about.
    pub(super) fn wait(&self, line: usize) -> Duration {
        Duration::try_from_secs_f64(line as f64 * self.mean / self.limit).unwrap_or(Duration::MAX)
    }

    fn judge(&mut self, round: &Round, now: Instant) {
        let ended = f64::from(round.ended());
        let broke = (f64::from(round.broke) + PUSH * f64::from(round.pushed_back)) / ended;
        let slow = match round.took.checked_div(round.answered) {
            Some(took) => slowness(took, self.fastest.of(took, now)),
            None => 1.0,
        };
        let kept = (1.0 - broke.min(1.0) / 2.0).min(slow);
        // What did not use the limit does not show that there could be more.
        let used = round.peak as f64 * 2.0 >= self.limit;
        let grown = match used {
            true => self.limit.sqrt() * f64::from(round.answered) / ended,
            false => 0.0,
        };
        let limit = (self.limit * kept + grown).clamp(self.floor, self.cap);
        if limit < self.limit {
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.limit = limit;
    }
}

/// What an answer that took so long leaves of the limit.
fn slowness(took: Duration, fastest: Duration) -> f64 {
    let tolerated = fastest.saturating_mul(TOLERANCE).saturating_add(SLACK);
    let ratio = tolerated.as_secs_f64() / took.as_secs_f64().max(f64::MIN_POSITIVE);
    ratio.clamp(SLOWEST, 1.0)
}

impl Round {
    fn new(since: Instant) -> Round {
        Round {
            since,
            answered: 0,
            pushed_back: 0,
            broke: 0,
            took: Duration::ZERO,
            peak: 0,
        }
    }

    fn count(&mut self, ending: Ending, took: Duration) {
        match ending {
            Ending::Answered => {
                self.answered += 1;
                self.took = self.took.saturating_add(took);
            }
            Ending::PushedBack => self.pushed_back += 1,
            Ending::Broke => self.broke += 1,
            Ending::Neutral => {}
        }
    }

    fn ended(&self) -> u32 {
        self.answered + self.pushed_back + self.broke
    }
}

/// The mean time of the fastest round lately. An app that has become slower for
/// good is measured by itself once the memory has gone.
#[derive(Debug)]
struct Fastest {
    since: Instant,
    now: Option<Duration>,
    before: Option<Duration>,
}

impl Fastest {
    fn new(since: Instant) -> Fastest {
        Fastest {
            since,
            now: None,
            before: None,
        }
    }

    /// Takes the time of a round, and tells the fastest.
    fn of(&mut self, took: Duration, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.since);
        if age >= MEMORY {
            self.before = self.now.take().filter(|_| age < 2 * MEMORY);
            self.since = now;
        }
        let fastest = self.now.map_or(took, |fastest| fastest.min(took));
        self.now = Some(fastest);
        self.before.map_or(fastest, |before| before.min(fastest))
    }
}

#[cfg(test)]
mod tests;
