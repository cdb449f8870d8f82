//! The first calls of a new build, beside the one before: who is to blame, and
//! that no caller pays for it.

use std::time::{Duration, Instant};

use muster_plugin::{
    Digest, FetchError, Fetched, HandleError, Limits, Phase, Plugin, PluginFault, RollbackCause,
};
use muster_test_plugins::{deed, marked};

use crate::backend::Backend;
use crate::handle::send;
use crate::host::{engine, file, quick, settings};

async fn asks(backend: &Backend, limits: Limits) -> Plugin {
    Plugin::load(engine(), file(&deed("asks")), settings(backend, limits))
        .await
        .unwrap()
}

fn is_roster(answer: &Result<Fetched, FetchError>) -> bool {
    matches!(answer, Ok(Fetched::Roster { contacts, .. }) if contacts.len() == 1)
}

/// Which build serves, and why the last one does not.
fn outcome(plugin: &Plugin) -> (Digest, Option<RollbackCause>) {
    let status = plugin.status();
    let cause = status.last_rollback.map(|rolled_back| rolled_back.cause);
    (status.build.digest, cause)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_traps_is_given_up_at_once_and_no_caller_sees_it() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let before = outcome(&plugin).0;
    plugin.swap(file(&deed("trap"))).await.unwrap();
    assert_eq!(outcome(&plugin), (Digest::of(&deed("trap")), None));
    let started = Instant::now();
    assert!(is_roster(&plugin.fetch("john", None).await));
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(outcome(&plugin), (before, Some(RollbackCause::Fault)));
    assert_eq!(plugin.status().phase, Phase::Serving);
    let rolled_back = plugin.status().last_rollback.unwrap();
    assert_eq!(rolled_back.from, Digest::of(&deed("trap")));
    // Many at once, some of them in the very store that dies.
    plugin.swap(file(&deed("trap"))).await.unwrap();
    let calls = (0..50).map(|_| plugin.fetch("john", None));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(is_roster), "{answers:?}");
    assert_eq!(outcome(&plugin), (before, Some(RollbackCause::Fault)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_misreads_the_app_is_given_up_at_the_third_time() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let before = outcome(&plugin).0;
    plugin.swap(file(&deed("malformed"))).await.unwrap();
    for time in 1..=3 {
        assert_eq!(plugin.status().last_rollback, None, "{time}");
        assert!(is_roster(&plugin.fetch("john", None).await));
    }
    assert_eq!(outcome(&plugin), (before, Some(RollbackCause::Regressions)));
}

/// Nobody pays for a handler that asks to be left alone where the build before
/// did not: not when it says so, and not afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_wants_to_be_left_alone_is_given_up_at_the_third_time() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let before = outcome(&plugin).0;
    let resting = muster_test_plugins::handler_0_3();
    plugin.swap(file(resting)).await.unwrap();
    for time in 1..=3 {
        assert_eq!(plugin.status().last_rollback, None, "{time}");
        assert!(is_roster(&plugin.fetch("later", None).await), "{time}");
    }
    assert_eq!(outcome(&plugin), (before, Some(RollbackCause::Regressions)));
    assert!(!plugin.holds_back());
}

/// Callers of a build that hangs get no answer in time, and whether the build
/// before would have had one is found out afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_hangs_is_given_up_at_the_third_time() {
    let backend = Backend::start().await;
    let limits = Limits {
        call: Duration::from_millis(300),
        ..quick()
    };
    let plugin = asks(&backend, limits).await;
    let before = outcome(&plugin).0;
    plugin.swap(file(&deed("never"))).await.unwrap();
    let mut tries = 0;
    while plugin.status().build.digest != before {
        let answer = plugin.fetch("john", None).await;
        assert!(is_roster(&answer) || answer == Err(FetchError::Timeout));
        tries += 1;
        assert!(tries < 20, "it is never given up");
    }
    assert!(tries >= 3, "{tries}");
    assert_eq!(outcome(&plugin), (before, Some(RollbackCause::Regressions)));
    assert!(is_roster(&plugin.fetch("john", None).await));
}

/// What both builds say is the app's doing, or the user's.
#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_held_against_nobody() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let component = marked(&deed("asks"), 1);
    plugin.swap(file(&component)).await.unwrap();
    for user in ["missing", "broken", "missing", "limited", "broken"] {
        assert!(matches!(
            plugin.fetch(user, None).await,
            Err(FetchError::Status(_))
        ));
    }
    assert_eq!(outcome(&plugin), (Digest::of(&component), None));
    let Phase::Probation {
        calls_left,
        regressions,
        ..
    } = plugin.status().phase
    else {
        panic!("still watched")
    };
    assert_eq!((calls_left, regressions), (95, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn enough_good_calls_end_it_and_so_does_time() {
    let backend = Backend::start().await;
    let limits = Limits {
        probation_calls: 3,
        ..Limits::default()
    };
    let plugin = asks(&backend, limits).await;
    let first = outcome(&plugin).0;
    plugin.swap(file(&deed("honest"))).await.unwrap();
    for _ in 0..3 {
        assert!(matches!(plugin.status().phase, Phase::Probation { .. }));
        assert!(is_roster(&plugin.fetch("john", None).await));
    }
    assert_eq!(plugin.status().phase, Phase::Serving);
    assert_eq!(plugin.status().previous.unwrap().digest, first);

    let limits = Limits {
        probation: Duration::from_millis(20),
        ..Limits::default()
    };
    let plugin = asks(&backend, limits).await;
    plugin.swap(file(&deed("trap"))).await.unwrap();
    while plugin.status().phase != Phase::Serving {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Too late to be given up by itself.
    let trapped = plugin.fetch("john", None).await;
    assert_eq!(trapped, Err(FetchError::Plugin(PluginFault::Trap)));
    plugin.rollback().await.unwrap();
    assert!(is_roster(&plugin.fetch("john", None).await));
}

/// The way back leads to the last build that has proved itself, not to the one
/// that happened to be there.
#[tokio::test(flavor = "multi_thread")]
async fn two_builds_in_a_row_fall_back_to_the_last_good_one() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let good = outcome(&plugin).0;
    plugin.swap(file(&deed("malformed"))).await.unwrap();
    plugin.swap(file(&deed("trap"))).await.unwrap();
    assert_eq!(plugin.status().previous.unwrap().digest, good);
    assert!(is_roster(&plugin.fetch("john", None).await));
    assert_eq!(outcome(&plugin), (good, Some(RollbackCause::Fault)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_traps_before_it_asks_is_answered_by_the_build_before() {
    let backend = Backend::start().await;
    let plugin = asks(&backend, Limits::default()).await;
    let good = outcome(&plugin).0;
    plugin.swap(file(&deed("trap-handle"))).await.unwrap();
    let path = "/roster_admin/refresh";
    let answer = send(&plugin, "POST", path, "[\"john\"]").await.unwrap();
    let summary = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(summary.contains("\"updated\":1"), "{summary}");
    assert_eq!(outcome(&plugin), (good, Some(RollbackCause::Fault)));
    // With nobody who stands by, it is an error.
    let alone = Plugin::load(
        engine(),
        file(&deed("trap-handle")),
        settings(&backend, Limits::default()),
    );
    let answer = send(&alone.await.unwrap(), "POST", path, "[]").await;
    assert_eq!(
        answer.map(drop),
        Err(HandleError::Plugin(PluginFault::Trap))
    );
}
