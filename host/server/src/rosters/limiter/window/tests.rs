//! The limit against apps of different kinds, under virtual time.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// An app under a load that always uses the whole limit, in rounds.
struct Load {
    window: Window,
    now: Instant,
}

impl Load {
    fn new(floor: usize, cap: usize) -> Load {
        let now = Instant::now();
        Load {
            window: Window::new(floor, cap, now),
            now,
        }
    }

    /// One round: `answer` tells how the fetch of this number ends, of so many
    /// at once, and how long it takes.
    fn round(&mut self, answer: impl Fn(usize, usize) -> (Ending, Duration)) -> usize {
        let limit = self.window.limit();
        let epochs: Vec<u32> = (0..limit).map(|others| self.window.begin(others)).collect();
        let answers = (0..limit).map(|number| answer(number, limit));
        let mut answers: Vec<_> = answers.zip(epochs).collect();
        answers.sort_by_key(|((_, took), _)| *took);
        let start = self.now;
        for ((ending, took), epoch) in answers {
            self.now = start + took;
            self.window.end(epoch, ending, took, self.now);
        }
        self.window.limit()
    }

    fn rounds(
        &mut self,
        count: usize,
        answer: impl Fn(usize, usize) -> (Ending, Duration),
    ) -> usize {
        (0..count).map(|_| self.round(&answer)).last().unwrap()
    }
}

#[test]
fn each_kind_of_app_gets_what_it_bears() {
    type App = fn(usize, usize) -> (Ending, Duration);
    let cases: [(&str, App, std::ops::RangeInclusive<usize>); 9] = [
        ("well", |_, _| (Ending::Answered, 20 * MS), 64..=64),
        ("dead", |_, _| (Ending::Broke, MS), 8..=8),
        ("refuses all", |_, _| (Ending::PushedBack, MS), 8..=8),
        // Whatever the load, a fifth of the answers fail.
        (
            "faulty",
            |n, _| match n % 5 {
                0 => (Ending::Broke, 20 * MS),
                _ => (Ending::Answered, 20 * MS),
            },
            40..=64,
        ),
        (
            "bears 40 and refuses more",
            |n, _| match n < 40 {
                true => (Ending::Answered, 20 * MS),
                false => (Ending::PushedBack, MS),
            },
            36..=48,
        ),
        (
            "bears 20 and is silent to more",
            |n, _| match n < 20 {
                true => (Ending::Answered, 20 * MS),
                false => (Ending::Broke, 5_000 * MS),
            },
            18..=36,
        ),
        // 200 ms of one processor's time, in 4 processors: what is more waits there.
        (
            "queues inside",
            |_, limit| {
                let load = u32::try_from(limit.div_ceil(4)).unwrap();
                (Ending::Answered, 200 * MS * load)
            },
            12..=64,
        ),
        (
            "slow all the time",
            |_, _| (Ending::Answered, 900 * MS),
            64..=64,
        ),
        (
            "of mixed sizes",
            |n, _| (Ending::Answered, MS * (5 + 60 * u32::from(n % 8 == 0))),
            64..=64,
        ),
    ];
    for (name, app, expected) in cases {
        let limit = Load::new(8, 64).rounds(100, app);
        assert!(expected.contains(&limit), "{name}: {limit}");
    }
}

#[test]
fn an_app_that_becomes_slow_under_load_is_asked_less() {
    let mut load = Load::new(8, 64);
    load.rounds(5, |_, _| (Ending::Answered, 20 * MS));
    let busy = |_, limit: usize| (Ending::Answered, 10 * MS * u32::try_from(limit).unwrap());
    let limit = load.rounds(20, busy);
    assert!((8..40).contains(&limit), "{limit}");
    // Slower for good: the limit comes back when the memory has gone.
    let slow = |_, _| (Ending::Answered, 600 * MS);
    assert!(load.rounds(20, slow) < 32);
    assert_eq!(load.rounds(200, slow), 64);
}

#[test]
fn from_the_floor_to_the_cap_in_some_rounds() {
    let mut load = Load::new(8, 64);
    load.rounds(10, |_, _| (Ending::Broke, MS));
    assert_eq!(load.window.limit(), 8);
    let rounds = (1..).find(|_| load.round(|_, _| (Ending::Answered, 20 * MS)) == 64);
    assert!(rounds.unwrap() <= 15, "{rounds:?}");
}

#[test]
fn what_began_before_the_limit_was_lowered_lowers_it_no_further() {
    let now = Instant::now();
    let mut window = Window::new(1, 64, now);
    let epochs: Vec<u32> = (0..128).map(|others| window.begin(others)).collect();
    for epoch in epochs {
        window.end(epoch, Ending::Broke, MS, now);
    }
    assert_eq!(
        window.limit(),
        32,
        "one halving for all that were under way"
    );
}

#[test]
fn a_few_fetches_raise_nothing_and_one_failure_lowers_nothing() {
    let mut load = Load::new(8, 64);
    load.rounds(10, |_, _| (Ending::Broke, MS));
    for _ in 0..1_000 {
        let epoch = load.window.begin(0);
        load.now += 20 * MS;
        load.window.end(epoch, Ending::Answered, 20 * MS, load.now);
    }
    assert_eq!(load.window.limit(), 8, "one at a time");
    let mut load = Load::new(8, 64);
    let epoch = load.window.begin(0);
    load.window.end(epoch, Ending::Broke, MS, load.now);
    assert_eq!(load.window.limit(), 64);
}

#[test]
fn the_wait_is_the_line_by_the_pace() {
    let mut load = Load::new(8, 64);
    assert_eq!(
        load.window.wait(1_000),
        Duration::ZERO,
        "nothing is known yet"
    );
    load.rounds(20, |_, _| (Ending::Answered, 64 * MS));
    let wait = load.window.wait(1_000);
    assert!(wait > 900 * MS && wait <= 1_001 * MS, "{wait:?}");
}

proptest! {
    #[test]
    fn the_limit_stays_between_floor_and_cap(
        floor in 0_usize..20,
        cap in 0_usize..100,
        endings in prop::collection::vec((0_u8..4, 0_u32..5_000, 0_usize..100), 0..400),
    ) {
        let mut now = Instant::now();
        let mut window = Window::new(floor, cap, now);
        let (least, most) = (floor.max(1).min(cap.max(1)), cap.max(1));
        for (ending, took, others) in endings {
            let epoch = window.begin(others);
            let ending = match ending {
                0 => Ending::Answered,
                1 => Ending::PushedBack,
                2 => Ending::Broke,
                _ => Ending::Neutral,
            };
            now += MS * took;
            window.end(epoch, ending, MS * took, now);
            prop_assert!((least..=most).contains(&window.limit()));
        }
    }
}
