//! Turns, parties and those who go away.

use futures_util::FutureExt as _;

use super::*;

const BOUNDS: Bounds = Bounds {
    floor: 1,
    cap: 2,
    waiting: 4,
    names: 3,
    parties: 1,
};

fn account(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@example.test")).unwrap()
}

fn limiter(bounds: Bounds) -> Arc<Limiter<u32>> {
    Limiter::new("example.test", bounds)
}

#[track_caller]
fn alone(turn: Option<Result<Turn<u32>, NoTurn>>) -> Permit<u32> {
    match turn {
        Some(Ok(Turn::Alone(permit))) => permit,
        Some(Ok(Turn::Served(_))) => panic!("served"),
        Some(Err(error)) => panic!("{error:?}"),
        None => panic!("waits"),
    }
}

#[tokio::test]
async fn a_login_goes_before_a_refresh_that_came_first() {
    let limiter = limiter(BOUNDS);
    let (a, b, c) = (account("a"), account("b"), account("c"));
    let first = alone(limiter.turn(Class::Refresh, &a).now_or_never());
    let _second = alone(limiter.turn(Class::Refresh, &a).now_or_never());
    let mut refresh = Box::pin(limiter.turn(Class::Refresh, &b));
    let mut login = Box::pin(limiter.turn(Class::Login, &c));
    assert!(refresh.as_mut().now_or_never().is_none());
    assert!(login.as_mut().now_or_never().is_none());
    first.end(Ending::Answered);
    assert!(refresh.as_mut().now_or_never().is_none());
    let login = alone(login.now_or_never());
    drop(login);
    alone(refresh.now_or_never());
}

#[tokio::test]
async fn who_goes_away_frees_the_place_in_line_and_the_turn() {
    let limiter = limiter(BOUNDS);
    let a = account("a");
    let first = alone(limiter.turn(Class::Login, &a).now_or_never());
    let _second = alone(limiter.turn(Class::Login, &a).now_or_never());
    let mut gone: Vec<_> = (0..4)
        .map(|_| Box::pin(limiter.turn(Class::Login, &a)))
        .collect();
    for turn in &mut gone {
        assert!(turn.as_mut().now_or_never().is_none());
    }
    let full = limiter.turn(Class::Login, &a).now_or_never();
    assert!(matches!(full, Some(Err(NoTurn::Full))));
    // One of them is called and goes away without having looked.
    first.end(Ending::Answered);
    drop(gone);
    assert_eq!(limiter.desk.lock().line.pressing(), 0);
    alone(limiter.turn(Class::Login, &a).now_or_never());
}

#[tokio::test]
async fn those_who_wait_go_together_and_who_finds_a_place_alone() {
    let limiter = limiter(BOUNDS);
    let mut parties = limiter.parties();
    let names = ["a", "b", "c", "d", "e", "f"].map(account);
    let [a, b, c, d, e, f] = &names;
    let first = alone(limiter.turn(Class::Login, a).now_or_never());
    let second = alone(limiter.turn(Class::Login, b).now_or_never());
    let mut waiting: Vec<_> = [c, d, e, f]
        .map(|name| Box::pin(limiter.turn(Class::Login, name)))
        .into();
    for turn in &mut waiting {
        assert!(turn.as_mut().now_or_never().is_none());
    }
    first.end(Ending::Answered);
    let party = parties.try_recv().unwrap();
    let riders: Vec<_> = party.riders.iter().map(|rider| &rider.account).collect();
    assert_eq!(riders, [c, d, e]);
    // One party at a time; the last waits for it though there is a place.
    second.end(Ending::Answered);
    assert!(parties.try_recv().is_err());
    for (answer, rider) in party.riders.into_iter().enumerate() {
        rider.serve(answer as u32);
    }
    party.permit.end(Ending::Answered);
    let last = alone(waiting.pop().unwrap().now_or_never());
    for (expected, turn) in waiting.into_iter().enumerate() {
        let served = turn.now_or_never();
        assert!(matches!(served, Some(Ok(Turn::Served(answer))) if answer as usize == expected));
    }
    drop(last);
    assert_eq!(limiter.desk.lock().under_way, 0);
}

#[tokio::test]
async fn a_party_that_is_disbanded_goes_one_by_one_in_its_old_order() {
    let limiter = limiter(BOUNDS);
    let mut parties = limiter.parties();
    let names = ["a", "b", "c", "d", "e"].map(account);
    let [a, b, c, d, e] = &names;
    let first = alone(limiter.turn(Class::Login, a).now_or_never());
    let _second = alone(limiter.turn(Class::Login, b).now_or_never());
    let mut third = Box::pin(limiter.turn(Class::Login, c));
    let mut fourth = Box::pin(limiter.turn(Class::Login, d));
    assert!(third.as_mut().now_or_never().is_none());
    assert!(fourth.as_mut().now_or_never().is_none());
    first.end(Ending::Answered);
    let mut later = Box::pin(limiter.turn(Class::Login, e));
    assert!(later.as_mut().now_or_never().is_none());
    limiter.disband(parties.try_recv().unwrap());
    assert!(later.as_mut().now_or_never().is_none());
    let third = alone(third.now_or_never());
    assert!(fourth.as_mut().now_or_never().is_none());
    drop(third);
    let fourth = alone(fourth.now_or_never());
    assert!(later.as_mut().now_or_never().is_none());
    drop(fourth);
    alone(later.now_or_never());
}

#[tokio::test]
async fn without_whoever_provides_for_parties_they_go_one_by_one() {
    let limiter = limiter(BOUNDS);
    let parties = limiter.parties();
    let a = account("a");
    let first = alone(limiter.turn(Class::Login, &a).now_or_never());
    let second = alone(limiter.turn(Class::Login, &a).now_or_never());
    let mut third = Box::pin(limiter.turn(Class::Login, &a));
    let mut fourth = Box::pin(limiter.turn(Class::Login, &a));
    assert!(third.as_mut().now_or_never().is_none());
    assert!(fourth.as_mut().now_or_never().is_none());
    drop(parties);
    drop((first, second));
    let _third = alone(third.now_or_never());
    alone(fourth.now_or_never());
}

#[tokio::test]
async fn a_party_that_nobody_fetches_for_ends_its_riders_wait() {
    let limiter = limiter(BOUNDS);
    let mut parties = limiter.parties();
    let a = account("a");
    let first = alone(limiter.turn(Class::Login, &a).now_or_never());
    let _second = alone(limiter.turn(Class::Login, &a).now_or_never());
    let mut waiting: Vec<_> = (0..2)
        .map(|_| Box::pin(limiter.turn(Class::Login, &a)))
        .collect();
    for turn in &mut waiting {
        assert!(turn.as_mut().now_or_never().is_none());
    }
    drop(first);
    drop(parties.try_recv().unwrap());
    for turn in waiting {
        assert!(matches!(turn.now_or_never(), Some(Err(NoTurn::Ending))));
    }
}

/// Places to spare, for what nobody waits for.
const WIDE: Bounds = Bounds {
    floor: 16,
    cap: 16,
    ..BOUNDS
};

#[tokio::test]
async fn what_nobody_waits_for_delays_no_login_and_no_refresh() {
    let limiter = limiter(WIDE);
    let a = account("a");
    let mut running: Vec<_> = (0..6)
        .map(|_| alone(limiter.turn(Class::Login, &a).now_or_never()))
        .collect();
    // Two of sixteen places, while less than half of them are taken.
    let mut background: Vec<_> = (0..4).map(|_| Box::pin(limiter.spare(&a))).collect();
    let mut began = background.iter_mut().map(|it| it.as_mut().now_or_never());
    let [first, second] = [(); 2].map(|()| began.next().unwrap().unwrap().unwrap());
    assert!(began.all(|it| it.is_none()));
    let mut waiting = background.split_off(2);
    // Whoever comes now does not wait behind them: there are places.
    for class in [Class::Login, Class::Refresh].repeat(4) {
        running.push(alone(limiter.turn(class, &a).now_or_never()));
    }
    // All are taken, and a place that gets free is for whoever waits first.
    let mut refresh = Box::pin(limiter.turn(Class::Refresh, &a));
    assert!(refresh.as_mut().now_or_never().is_none());
    drop(first);
    running.push(alone(refresh.now_or_never()));
    drop(second);
    for left in (0..running.len()).rev() {
        let began = waiting.iter_mut().map(|it| it.as_mut().now_or_never());
        let began: Vec<_> = began.flatten().collect();
        assert_eq!(began.is_empty(), left + 1 >= 8, "{left}");
        if !began.is_empty() {
            return;
        }
        running.pop();
    }
}

#[tokio::test]
async fn what_nobody_waits_for_goes_alone_and_fills_no_line() {
    let bounds = Bounds { cap: 1, ..BOUNDS };
    let limiter = limiter(bounds);
    let mut parties = limiter.parties();
    let names = ["a", "b", "c", "d", "e", "f"].map(account);
    let [a, b, c, d, e, f] = &names;
    let first = alone(limiter.turn(Class::Login, a).now_or_never());
    let mut background: Vec<_> = (0..4).map(|_| Box::pin(limiter.spare(b))).collect();
    for turn in &mut background {
        assert!(turn.as_mut().now_or_never().is_none());
    }
    let full = limiter.spare(b).now_or_never();
    assert!(matches!(full, Some(Err(NoTurn::Full))));
    let mut logins = [c, d, e, f].map(|name| Box::pin(limiter.turn(Class::Login, name)));
    for turn in &mut logins {
        assert!(turn.as_mut().now_or_never().is_none());
    }
    first.end(Ending::Answered);
    let party = parties.try_recv().unwrap();
    let riders: Vec<_> = party.riders.iter().map(|rider| &rider.account).collect();
    assert_eq!(riders, [c, d, e]);
    drop(party);
    let last = alone(logins[3].as_mut().now_or_never());
    assert!(background[0].as_mut().now_or_never().is_none());
    drop(last);
    let spare = background[0].as_mut().now_or_never();
    assert!(matches!(spare, Some(Ok(_))));
    assert!(parties.try_recv().is_err());
}
