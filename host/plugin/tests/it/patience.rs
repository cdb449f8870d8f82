//! An app that fails for a moment, and one that asks to be left alone.

use std::time::{Duration, Instant};

use muster_plugin::{Candidate, FetchError, Limits, Plugin};
use muster_test_plugins::marked;

use crate::backend::Backend;
use crate::host::{builtin, engine, file, settings};

/// Breakers that stay out of it.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.backend_breaker.failures = 1_000;
    limits
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_a_moment_is_asked_once_more() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, limits()).await;
    for name in ["unavailable-once", "reset-once"] {
        let fetched = plugin.fetch(name, None).await;
        assert!(fetched.is_ok(), "{name}: {fetched:?}");
        assert_eq!(backend.count(name), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_more_than_twice_and_an_answer_only_once() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, limits()).await;
    for (name, expected, count) in [
        ("unavailable", FetchError::Status(503), 2),
        ("reset", FetchError::Unavailable, 2),
        ("short", FetchError::Unavailable, 2),
        ("broken", FetchError::Status(500), 1),
        ("limited", FetchError::Status(429), 1),
        ("missing", FetchError::NotFound, 1),
        ("nothing", FetchError::Status(204), 1),
        ("announced", FetchError::TooLarge, 1),
    ] {
        assert_eq!(plugin.fetch(name, None).await, Err(expected), "{name}");
        assert_eq!(backend.count(name), count, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_no_more_than_their_share() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, limits()).await;
    for _ in 0..50 {
        let fetched = plugin.fetch("reset", None).await;
        assert_eq!(fetched, Err(FetchError::Unavailable));
    }
    // Ten that there are at the start, and a fifth of the requests.
    assert_eq!(backend.count("reset"), 50 + 10 + 10 - 1);
    let none = Limits {
        retry_share: 0,
        ..limits()
    };
    let plugin = builtin(&backend, none).await;
    let fetched = plugin.fetch("unavailable", None).await;
    assert_eq!(fetched, Err(FetchError::Status(503)));
    assert_eq!(backend.count("unavailable"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_opens_ends_the_retries() {
    let backend = Backend::start().await;
    let mut limits = limits();
    limits.backend_breaker.failures = 1;
    let plugin = builtin(&backend, limits).await;
    let fetched = plugin.fetch("unavailable", None).await;
    assert_eq!(fetched, Err(FetchError::Status(503)));
    assert_eq!(backend.count("unavailable"), 1);
    assert!(plugin.holds_back());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_asks_for_it_is_left_alone_for_so_long() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, limits()).await;
    let fetched = plugin.fetch("tired-once", None).await;
    assert_eq!(fetched, Err(FetchError::Status(429)));
    assert!(plugin.holds_back());
    // There is time to wait for the end of it.
    let begun = Instant::now();
    assert!(plugin.fetch("john", None).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(!plugin.holds_back());
    // And here there is none.
    let fetched = plugin.fetch("tired", None).await;
    assert_eq!(fetched, Err(FetchError::Status(503)));
    let asked = backend.heads().len();
    let fetched = plugin.fetch("john", None).await;
    assert_eq!(fetched, Err(FetchError::Unavailable));
    assert_eq!(backend.heads().len(), asked, "the app hears nothing of it");
    plugin.app_is_back();
    assert!(plugin.fetch("john", None).await.is_ok());
}

/// A handler's own word counts as that of the app.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_asks_for_it_is_left_alone_for_so_long() {
    for component in [
        muster_test_plugins::handler_0_3(),
        muster_test_plugins::handler_0_2(),
    ] {
        let load = async |limits| {
            let backend = Backend::start().await;
            let settings = settings(&backend, limits);
            let candidate = Candidate::builtin(component);
            Plugin::load(engine(), candidate, settings).await.unwrap()
        };
        // There is no time to wait for the end of seven seconds.
        let plugin = load(limits()).await;
        let later = plugin.fetch("later", None).await;
        assert_eq!(later, Err(FetchError::Status(503)));
        assert!(plugin.holds_back());
        let refused = plugin.fetch("honest", None).await;
        assert_eq!(refused, Err(FetchError::Unavailable));
        plugin.app_is_back();
        assert!(!plugin.holds_back());
        assert!(plugin.fetch("honest", None).await.is_ok());
        // Another generation has not asked for it.
        let later = plugin.fetch("later", None).await;
        assert_eq!(later, Err(FetchError::Status(503)));
        let other = file(&marked(component, 1));
        plugin.swap(other).await.unwrap();
        assert!(plugin.fetch("honest", None).await.is_ok());
        plugin.shutdown(Duration::from_secs(1)).await;

        let plugin = load(Limits {
            longest_rest: Duration::from_millis(300),
            ..limits()
        })
        .await;
        let begun = Instant::now();
        let later = plugin.fetch("later", None).await;
        assert_eq!(later, Err(FetchError::Status(503)));
        assert!(plugin.fetch("honest", None).await.is_ok());
        assert!(begun.elapsed() >= Duration::from_millis(300));
        plugin.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_app_is_left_alone_for_longer_than_the_operator_wants() {
    let backend = Backend::start().await;
    let limits = Limits {
        longest_rest: Duration::from_millis(300),
        ..limits()
    };
    let plugin = builtin(&backend, limits).await;
    let fetched = plugin.fetch("tired", None).await;
    assert_eq!(fetched, Err(FetchError::Status(503)));
    let begun = Instant::now();
    assert!(plugin.fetch("john", None).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(5));
}
