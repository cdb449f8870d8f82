//! The clock, the passes and the news of a breaker; its states have tests of
//! their own.

use super::*;

const APP: &str = "https://app.example.com";

/// With breakers that let the next call through as a probe.
fn impatient() -> Breakers {
    let policy = BreakerPolicy {
        probe_interval: Duration::ZERO,
        ..BreakerPolicy::default()
    };
    breakers(Limits {
        plugin_breaker: policy,
        backend_breaker: policy,
        ..Limits::default()
    })
}

fn breakers(limits: Limits) -> Breakers {
    let origin = Origin::of_url(APP).unwrap();
    Breakers::new(&[origin], &limits, &Meter::new("example.test"))
}

fn state(breakers: &Breakers, name: &str) -> BreakerState {
    let all = breakers.status();
    all.iter().find(|one| one.name == name).unwrap().state
}

fn break_app(breakers: &Breakers) {
    let origin = Origin::of_url(APP).unwrap();
    for _ in 0..BreakerPolicy::default().failures {
        breakers.backend(&origin).unwrap().failure("timeout");
    }
}

#[test]
fn each_thing_has_a_breaker_of_its_own() {
    let breakers = breakers(Limits::default());
    for _ in 0..5 {
        breakers.fetch().unwrap().failure("trap");
    }
    let names: Vec<_> = breakers.status().into_iter().map(|it| it.name).collect();
    let app = "backend:https://app.example.com:443";
    assert_eq!(names, ["plugin:fetch", "plugin:handle", app]);
    assert_eq!(state(&breakers, "plugin:fetch"), BreakerState::Open);
    assert_eq!(state(&breakers, "plugin:handle"), BreakerState::Closed);
    assert_eq!(state(&breakers, app), BreakerState::Closed);
    assert!(breakers.handle().is_ok());
    let Err(refused) = breakers.fetch() else {
        panic!("it is open")
    };
    let second = Duration::from_secs(1);
    assert!(refused.retry_after > 4 * second && refused.retry_after <= 5 * second);
    let fetch = breakers.status().remove(0);
    let totals = (fetch.total_calls, fetch.total_failures, fetch.total_refused);
    assert_eq!(totals, (5, 5, 1));
    breakers.renew();
    assert_eq!(state(&breakers, "plugin:fetch"), BreakerState::Closed);
}

#[test]
fn a_pass_that_is_dropped_makes_room_for_the_next_probe() {
    let breakers = impatient();
    for _ in 0..5 {
        breakers.fetch().unwrap().failure("trap");
    }
    let probe = breakers.fetch().unwrap();
    assert_eq!(state(&breakers, "plugin:fetch"), BreakerState::Probing);
    drop(probe);
    assert_eq!(state(&breakers, "plugin:fetch"), BreakerState::Open);
    breakers.fetch().unwrap().success();
    assert_eq!(state(&breakers, "plugin:fetch"), BreakerState::Closed);
}

#[test]
fn whoever_waits_for_the_app_hears_of_its_return() {
    let breakers = impatient();
    let origin = Origin::of_url(APP).unwrap();
    let mut returns = breakers.returns();
    break_app(&breakers);
    assert!(!returns.has_changed().unwrap());
    // A probe finds it well.
    breakers.backend(&origin).unwrap().success();
    assert!(returns.has_changed().unwrap());
    returns.mark_unchanged();
    // It says so itself.
    break_app(&breakers);
    assert_eq!(breakers.app_is_back(), 1);
    assert!(returns.has_changed().unwrap());
    returns.mark_unchanged();
    assert!(breakers.backend(&origin).is_ok());
    // It says so, and nobody had noticed that it was away.
    assert_eq!(breakers.app_is_back(), 0);
    assert!(returns.has_changed().unwrap());
}
