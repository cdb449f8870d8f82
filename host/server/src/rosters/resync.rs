//! Asks for everybody who is online once in an interval, for apps that cannot
//! always tell that a list has changed.
//!
//! Owns the one task of a virtual host that asks and when each user's turn is:
//! by a hash of the account, so that the requests are spread over the interval
//! and two rounds keep their distance. A fetch is one as any other, with the
//! validator and in the user's turn, but for its place: it has one only while
//! there are some to spare, and has it before the user's turn, so that nobody
//! who comes for that user meanwhile waits behind it. While the app is known to
//! fail nobody is asked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::source::Source;
use super::{Rosters, SourceError};

/// The part of the interval by which a user's moment differs from round to
/// round.
const JITTER: u32 = 16;

/// How often it is looked whether an app that fails is back.
const LOOK: Duration = Duration::from_secs(1);

/// Asks until `stop`.
pub(super) async fn run(
    rosters: Arc<Rosters>,
    source: Arc<Source>,
    interval: Duration,
    stop: CancellationToken,
) {
    let list = || {
        let online = rosters.online(&source).into_iter();
        online.map(|user| user.account.as_str().into()).collect()
    };
    let ask = |account: Box<str>| ask(&rosters, &source, account);
    let rounds = Rounds::new(interval, Instant::now());
    let work = follow(rounds, source.pace().largest(), list, ask);
    stop.run_until_cancelled(work).await;
}

/// Round after round; at most `most` are asked for at once.
async fn follow<F: Future<Output = ()>>(
    mut rounds: Rounds,
    most: usize,
    list: impl Fn() -> Vec<Box<str>>,
    ask: impl Fn(Box<str>) -> F,
) {
    let mut asking = FuturesUnordered::new();
    loop {
        match rounds.step(Instant::now()) {
            Step::Plan => rounds.plan(list(), getrandom::u32().unwrap_or_default()),
            Step::Wait(due) => wait(&mut asking, due).await,
            Step::Ask(account) => {
                while asking.len() >= most {
                    asking.next().await;
                }
                asking.push(ask(account));
            }
        }
    }
}

/// Waits until `due` while the others go on.
async fn wait<F: Future<Output = ()>>(asking: &mut FuturesUnordered<F>, due: Instant) {
    let over = sleep_until(due);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            Some(()) = asking.next() => {}
        }
    }
}

/// When whose turn is.
struct Rounds {
    interval: Duration,
    /// Of the round that goes on.
    start: Instant,
    /// Who is still to be asked for in it, in order.
    due: std::vec::IntoIter<(Duration, Box<str>)>,
    next: Option<(Duration, Box<str>)>,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A round begins: somebody has to say who is online.
    Plan,
    Wait(Instant),
    Ask(Box<str>),
}

impl Rounds {
    /// The first one begins an interval from now: whoever is there was just
    /// asked for.
    fn new(interval: Duration, now: Instant) -> Rounds {
        Rounds {
            interval,
            start: now,
            due: Vec::new().into_iter(),
            next: None,
        }
    }

    fn step(&mut self, now: Instant) -> Step {
        match self.next.take() {
            Some((due, account)) if self.start + due <= now => {
                self.next = self.due.next();
                Step::Ask(account)
            }
            Some((due, account)) => {
                self.next = Some((due, account));
                Step::Wait(self.start + due)
            }
            None if self.start + self.interval <= now => {
                self.start += self.interval;
                if self.start + self.interval <= now {
                    // A slow app has rounds that take longer; none is made up for.
                    self.start = now;
                }
                Step::Plan
            }
            None => Step::Wait(self.start + self.interval),
        }
    }

    fn plan(&mut self, accounts: Vec<Box<str>>, lot: u32) {
        let moment = |account: Box<str>| (moment(&account, self.interval, lot), account);
        let mut plan: Vec<_> = accounts.into_iter().map(moment).collect();
        plan.sort_unstable();
        self.due = plan.into_iter();
        self.next = self.due.next();
    }
}

/// The same in every round but for a small part, which `lot` decides.
fn moment(account: &str, interval: Duration, lot: u32) -> Duration {
    let hash = |salt: Option<u32>| {
        let mut hasher = DefaultHasher::new();
        (account, salt).hash(&mut hasher);
        // The upper half is a number below 2^32.
        hasher.finish() >> 32
    };
    let share = |hash: u64| hash as f64 / (u64::from(u32::MAX) + 1) as f64;
    let jitter = interval / JITTER;
    (interval - jitter).mul_f64(share(hash(None))) + jitter.mul_f64(share(hash(Some(lot))))
}

async fn ask(rosters: &Rosters, source: &Source, account: Box<str>) {
    while source.outage.is_known(Instant::now().into_std()) {
        sleep(LOOK).await;
    }
    let Some(user) = rosters.find(&account) else {
        return;
    };
    let permit = source.spare(&user.account).await;
    let is_there = {
        let state = user.state();
        !state.gone && state.snapshot.is_some()
    };
    if !is_there || source.outage.owes(&account) {
        // Whoever wants the roster asks, and `recovery` for what is owed.
        return;
    }
    let landed = match permit {
        Ok(permit) => rosters.refetch_idle(&user, permit).await,
        Err(error) => Some(Err(error)),
    };
    let outcome = match landed {
        Some(Ok(_)) => "ok",
        Some(Err(SourceError::Held)) => "held",
        Some(Err(_)) => "failed",
        None => "asked_already",
    };
    metrics::counter!("muster_roster_resyncs_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn accounts(count: usize) -> Vec<Box<str>> {
        let account = |number| format!("user{number}@example.test").into();
        (0..count).map(account).collect()
    }

    /// Everything that is asked for until `end`, with its moment.
    fn asked(rounds: &mut Rounds, start: Instant, end: Instant) -> Vec<(Instant, Box<str>)> {
        let (mut now, mut lot, mut asked) = (start, 0, Vec::new());
        while now < end {
            match rounds.step(now) {
                Step::Plan => {
                    lot += 1;
                    rounds.plan(accounts(1_000), lot);
                }
                Step::Wait(due) => now = due,
                Step::Ask(account) => asked.push((now, account)),
            }
        }
        asked
    }

    #[test]
    fn a_round_is_spread_evenly_over_the_interval() {
        let start = Instant::now();
        let mut rounds = Rounds::new(HOUR, start);
        let mut parts = [0; 20];
        for (moment, _) in asked(&mut rounds, start, start + HOUR * 2) {
            parts[(moment - start - HOUR).as_secs() as usize / 180] += 1;
        }
        // 50 on the average; the first and the last have only the tail of the
        // jitter.
        assert!(
            parts[2..18].iter().all(|it| (25..90).contains(it)),
            "{parts:?}"
        );
        assert!(parts.iter().all(|it| *it < 90), "{parts:?}");
    }

    #[test]
    fn everybody_is_asked_for_once_an_interval() {
        let start = Instant::now();
        let mut rounds = Rounds::new(HOUR, start);
        let mut moments = HashMap::<Box<str>, Vec<Instant>>::new();
        for (moment, account) in asked(&mut rounds, start, start + HOUR * 11) {
            moments.entry(account).or_default().push(moment);
        }
        assert_eq!(moments.len(), 1_000);
        for (account, moments) in moments {
            assert!(moments[0] >= start + HOUR, "{account}: too early");
            assert_eq!(moments.len(), 10, "{account}: {moments:?}");
            for pair in moments.windows(2) {
                let distance = pair[1] - pair[0];
                assert!(
                    distance.abs_diff(HOUR) < HOUR / JITTER,
                    "{account}: {distance:?}"
                );
            }
        }
    }

    #[test]
    fn rounds_that_were_missed_are_not_made_up_for() {
        let start = Instant::now();
        let mut rounds = Rounds::new(HOUR, start);
        let late = start + HOUR * 7;
        assert_eq!(rounds.step(late), Step::Plan);
        rounds.plan(Vec::new(), 1);
        assert_eq!(rounds.step(late), Step::Wait(late + HOUR));
    }

    #[tokio::test]
    async fn a_slow_app_is_not_asked_for_more_at_once() {
        let open = Mutex::new((0, 0));
        let ask = |_| {
            let open = &open;
            async move {
                {
                    let mut now = open.lock();
                    now.0 += 1;
                    now.1 = now.1.max(now.0);
                }
                sleep(Duration::from_millis(2)).await;
                open.lock().0 -= 1;
            }
        };
        let rounds = Rounds::new(Duration::from_millis(1), Instant::now());
        let work = follow(rounds, 4, || accounts(100), ask);
        let _ = tokio::time::timeout(Duration::from_millis(200), work).await;
        assert_eq!(open.lock().1, 4);
    }
}
