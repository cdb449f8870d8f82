//! The guard's decision under virtual time: a table of lives, and properties.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn terms() -> config::Guard {
    config::Guard {
        min_users: 3,
        max_users: 50,
        users_percent: 10,
        ..config::Guard::default()
    }
}

/// A guard and its clock.
struct Life {
    policy: Policy,
    now: Instant,
    online: usize,
}

impl Life {
    fn new(online: usize) -> Life {
        Life::under(terms(), online)
    }

    fn under(terms: config::Guard, online: usize) -> Life {
        Life {
            policy: Policy::new(terms),
            now: Instant::now(),
            online,
        }
    }

    fn says(&mut self, user: usize, had: usize, stay: usize) -> Ruling {
        let word = Word {
            had,
            stay,
            has: stay,
        };
        let name = format!("user{user}");
        self.policy
            .judge(&name, Seat::Online, word, self.online, self.now)
    }

    fn empties(&mut self, user: usize) -> Ruling {
        self.says(user, 10, 0)
    }

    fn rulings(&mut self, users: std::ops::Range<usize>) -> Vec<Ruling> {
        users.map(|user| self.empties(user)).collect()
    }

    fn phase(&mut self) -> Phase {
        self.policy.phase(self.now)
    }

    fn closes(&mut self) -> bool {
        self.policy.close(self.online, self.now)
    }
}

#[test]
fn what_drains_a_user() {
    let life = Life::new(1);
    for (had, stay, drained) in [
        (0, 0, false),
        (1, 0, true),
        (1, 1, false),
        (4, 1, false), // three of four, but fewer than five
        (8, 2, true),  // six of eight
        (8, 3, false),
        (500, 125, true),
        (500, 126, false),
        (500, 0, true),
    ] {
        assert_eq!(life.policy.is_drained(had, stay), drained, "{had} {stay}");
    }
}

#[test]
fn more_than_the_share_trips_it_once() {
    let mut life = Life::new(100);
    assert!(life.rulings(0..10).iter().all(|it| *it == Ruling::Honour));
    assert_eq!(life.empties(10), Ruling::Trip);
    assert_eq!(life.empties(11), Ruling::Hold);
    assert_eq!(life.empties(10), Ruling::Hold, "the same user again");
    assert_eq!(life.says(12, 10, 9), Ruling::Honour, "an ordinary removal");
    assert_eq!(life.says(13, 0, 0), Ruling::Honour, "nothing to lose");
}

#[test]
fn single_users_and_small_sites_are_never_held() {
    let mut life = Life::under(config::Guard::default(), 5);
    for _ in 0..100 {
        for user in 0..5 {
            assert_eq!(life.empties(user), Ruling::Honour);
        }
    }
    let mut life = Life::under(config::Guard::default(), 10_000);
    for _ in 0..100 {
        assert_eq!(life.empties(0), Ruling::Honour);
    }
}

#[test]
fn however_many_are_online_there_is_a_most() {
    let mut life = Life::new(1_000_000);
    assert!(life.rulings(0..50).iter().all(|it| *it == Ruling::Honour));
    assert_eq!(life.empties(50), Ruling::Trip);
    for user in 51..10_000 {
        assert_eq!(life.empties(user), Ruling::Hold);
    }
    assert_eq!(life.policy.count(), 100, "bounded");
}

#[test]
fn what_is_spread_over_time_is_honoured() {
    let mut life = Life::new(100);
    for user in 0..100 {
        life.now += MINUTE;
        assert_eq!(life.empties(user), Ruling::Honour, "{user}");
    }
}

#[test]
fn it_holds_until_the_answers_recover_however_long_that_takes() {
    let mut life = Life::new(100);
    life.rulings(0..15);
    life.now += 100 * MINUTE;
    assert!(!life.closes(), "time alone ends nothing");
    // Those who were let through too have to come back.
    for user in 0..8 {
        assert_eq!(life.says(user, 0, 0), Ruling::Honour, "still nobody");
        let word = Word {
            had: 0,
            stay: 0,
            has: 10,
        };
        let name = format!("user{user}");
        let ruling = life
            .policy
            .judge(&name, Seat::Online, word, life.online, life.now);
        assert_eq!(ruling, Ruling::Honour);
    }
    assert!(!life.closes(), "seven are left");
    assert_eq!(life.says(8, 10, 10), Ruling::Honour);
    assert_eq!(life.says(9, 10, 9), Ruling::Honour);
    assert!(life.closes());
    assert_eq!(life.phase(), Phase::Watching);
    assert_eq!(life.policy.count(), 0);
}

#[test]
fn it_does_not_close_while_others_are_drained() {
    let mut life = Life::new(100);
    life.rulings(0..11);
    for user in 0..11 {
        life.says(user, 10, 10);
    }
    assert!(!life.closes(), "just now somebody was drained");
    life.now += MINUTE;
    assert_eq!(life.empties(20), Ruling::Hold);
    assert!(!life.closes());
    life.now += MINUTE;
    assert_eq!(life.empties(20), Ruling::Hold, "asked again: nothing new");
    assert!(life.closes());
}

#[test]
fn that_everybody_goes_home_is_no_recovery() {
    let mut life = Life::new(100);
    life.rulings(0..15);
    for user in 0..15 {
        life.policy.left(&format!("user{user}"));
    }
    life.now += 100 * MINUTE;
    assert!(!life.closes());
    assert!(life.policy.next(10).is_empty(), "nobody is there");
    assert_eq!(life.empties(3), Ruling::Hold, "and comes back");
    assert_eq!(*life.policy.next(10), ["user3".into()]);
}

#[test]
fn a_release_lets_everything_through_for_a_window() {
    let mut life = Life::new(100);
    life.rulings(0..15);
    life.policy.release(life.now);
    assert!(life.rulings(0..90).iter().all(|it| *it == Ruling::Honour));
    life.now += 10 * MINUTE;
    assert_eq!(life.phase(), Phase::Watching);
    assert!(life.rulings(0..10).iter().all(|it| *it == Ruling::Honour));
    assert_eq!(life.empties(10), Ruling::Trip);
    life.policy.watch();
    assert_eq!(life.empties(10), Ruling::Honour, "counted anew");
}

#[test]
fn rosters_handed_in_for_absent_users_are_counted_among_all() {
    let mut life = Life::new(0);
    let (mut honoured, mut tripped) = (0, false);
    let hand_in = |life: &mut Life, user: usize, stay| {
        let word = Word {
            had: 10,
            stay,
            has: stay,
        };
        let name = format!("user{user}");
        life.policy
            .judge(&name, Seat::Offline, word, life.online, life.now)
    };
    for user in 0..100 {
        // Each tenth is drained: not more than the share.
        let ruling = hand_in(&mut life, user, usize::from(user % 10 != 9) * 10);
        assert_eq!(ruling, Ruling::Honour, "{user}");
    }
    for user in 100..200 {
        match hand_in(&mut life, user, 0) {
            Ruling::Honour => honoured += 1,
            Ruling::Trip => tripped = true,
            Ruling::Hold => assert!(tripped),
        }
    }
    assert!(tripped && honoured < 10, "{honoured}");
}

#[test]
fn the_drained_are_asked_for_in_turn() {
    let mut life = Life::new(100);
    life.rulings(0..12);
    let mut asked: Vec<_> = (0..4).flat_map(|_| life.policy.next(5)).collect();
    let again = asked.split_off(12);
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 12, "each once before anybody twice");
    assert_eq!(again.len(), 8);
    assert_eq!(life.policy.next(100).len(), 12);
}

#[test]
fn it_can_be_switched_off() {
    let off = config::Guard {
        enabled: false,
        ..terms()
    };
    let mut life = Life::under(off, 100);
    assert!(life.rulings(0..100).iter().all(|it| *it == Ruling::Honour));
    assert_eq!(life.policy.count(), 0);
}

/// What can happen to a guard.
#[derive(Clone, Debug)]
enum Event {
    Word {
        user: usize,
        had: usize,
        stay: usize,
    },
    Left(usize),
    Next(usize),
    Close,
    Release,
    Watch,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let word = (0_usize..40, 0_usize..30, 0_usize..30);
    prop_oneof![
        20 => word.prop_map(|(user, had, stay)| Event::Word { user, had, stay: stay.min(had) }),
        2 => (0_usize..40).prop_map(Event::Left),
        2 => (0_usize..10).prop_map(Event::Next),
        2 => Just(Event::Close),
        1 => Just(Event::Release),
        1 => Just(Event::Watch),
        4 => (0_u64..400).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn nothing_is_held_without_cause(events in proptest::collection::vec(event(), 0..300)) {
        let mut life = Life::new(40);
        for event in events {
            match event {
                Event::Word { user, had, stay } => {
                    let before = life.phase();
                    let ruling = life.says(user, had, stay);
                    let drains = life.policy.is_drained(had, stay);
                    prop_assert!(drains || ruling == Ruling::Honour);
                    let holding = matches!(before, Phase::Holding { .. });
                    match ruling {
                        Ruling::Hold => prop_assert!(holding),
                        Ruling::Honour => prop_assert!(!drains || !holding),
                        Ruling::Trip => {
                            prop_assert!(!holding);
                            prop_assert!(life.policy.count() > 4, "a tenth of forty");
                        }
                    }
                }
                Event::Left(user) => life.policy.left(&format!("user{user}")),
                Event::Next(count) => {
                    let mut next = life.policy.next(count);
                    let lacking = life.policy.drained.online();
                    prop_assert_eq!(next.len(), count.min(lacking));
                    next.sort();
                    next.dedup();
                    prop_assert_eq!(next.len(), count.min(lacking));
                }
                Event::Close => {
                    let holding = matches!(life.phase(), Phase::Holding { .. });
                    prop_assert!(!life.closes() || holding);
                }
                Event::Release => life.policy.release(life.now),
                Event::Watch => life.policy.watch(),
                Event::Pass(seconds) => life.now += Duration::from_secs(seconds),
            }
            prop_assert!(life.policy.drained.online() <= life.policy.count());
            prop_assert!(life.policy.count() <= 40);
        }
    }
}
