//! What a shadow keeps is bounded, and it hears of many users at once.

use http::StatusCode;
use muster_plugin::{EngineConfig, Limits, Verification};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::record::About;
use crate::replay::Difference;

fn changed(bytes: usize) -> Verdict {
    let difference = Difference {
        change: "added".to_owned(),
        contact: "x".repeat(bytes),
        was: None,
    };
    Verdict::Changed {
        differences: vec![difference],
    }
}

#[test]
fn what_is_found_is_bounded_in_users_and_bytes() {
    let bounds = Bounds {
        waiting: 1,
        bytes: 10_000,
        users: 2,
    };
    let mut findings = Findings::default();
    let mut add = |user: &str, verdict| findings.add(user, verdict, bounds);
    assert_eq!(add("john", changed(4_000)), None);
    // In place of the one before.
    assert_eq!(add("john", changed(6_000)), None);
    assert_eq!(add("marie", changed(6_000)), Some(Full::Bytes));
    assert_eq!(add("marie", changed(1_000)), None);
    assert_eq!(add("paul", changed(1)), Some(Full::Users));
    assert_eq!(add("paul", Verdict::Same), None);
    assert_eq!(add("john", changed(10)), None);
    assert_eq!(add("marie", changed(8_000)), None);
    assert_eq!(findings.report.users.len(), 2);
    assert_eq!(findings.report.calls, 6);
}

/// A shadow of the built-in plugin, and what it has told.
async fn begun(bounds: Bounds) -> (Arc<Shadow>, Work, UnboundedReceiver<Event>) {
    let engine = Engine::new(&EngineConfig {
        cache: Some(muster_plugin::CacheConfig {
            directory: std::env::temp_dir().join("muster-kit-tests"),
            bytes: 256 << 20,
        }),
        ..EngineConfig::default()
    });
    let methods = ["GET", "POST"].map(str::to_owned).to_vec();
    let terms = Terms {
        name: "shadow.example.test".to_owned(),
        about: About {
            domain: "example.test".to_owned(),
            url: "http://app.test/contacts/%s".to_owned(),
            rosters_url: Some("http://app.test/contacts".to_owned()),
            origins: vec![("http://app.test".to_owned(), methods)],
            deny_all_stubs: false,
        },
        settings: Settings::default(),
        verification: Verification::default(),
        limits: Limits::default(),
    };
    let (told, events) = unbounded_channel();
    let tell = move |event| {
        let _ = told.send(event);
    };
    let candidate = Candidate::builtin(muster_builtin::COMPONENT);
    let begun = Shadow::begin(&engine.unwrap(), candidate, terms, bounds, tell).await;
    let (shadow, work) = begun.unwrap();
    (shadow, work, events)
}

/// The app has told two users' lists in one answer; the build that serves has
/// made nothing of the second.
fn hear(shadow: &Shadow) {
    let users = ["john", "marie"].map(str::to_owned);
    let begun = shadow.begins(&["john", "marie"]);
    let asked = serde_json::to_vec(&users).unwrap();
    let request = Request::post("http://app.test/contacts").body(Bytes::from(asked));
    let body = r#"{"john": {}, "marie": {"aaron@example.test": {}}}"#;
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = StatusCode::OK;
    shadow.answered(request.unwrap(), answer);
    let empty = || Fetched::Roster {
        contacts: Vec::new(),
        validator: None,
        skipped: 0,
    };
    shadow.fetched_many(begun, &users, &Ok(vec![Ok(empty()), Ok(empty())]));
}

#[tokio::test]
async fn many_users_at_once_are_compared_each_for_itself() {
    let bounds = Bounds {
        waiting: 1,
        bytes: 1 << 20,
        users: 10,
    };
    let (shadow, work, mut events) = begun(bounds).await;
    hear(&shadow);
    // There is room for one call, and nobody has taken it yet.
    hear(&shadow);
    let stop = CancellationToken::new();
    let working = tokio::spawn(work.run(stop.clone()));
    for expected in [
        Event::Full(Full::Waiting),
        Event::LeftOut(2),
        Event::Compared("same"),
        Event::Compared("changed"),
    ] {
        assert_eq!(events.recv().await, Some(expected));
    }
    stop.cancel();
    working.await.unwrap();
    let report = shadow.report();
    assert_eq!(report.left_out, 2);
    assert_eq!(report.users.keys().collect::<Vec<_>>(), ["marie"]);
    assert_eq!(report.counts(), (1, 0, 0), "{report}");
}

#[tokio::test]
async fn what_waits_and_what_was_answered_is_bounded_in_bytes() {
    let bounds = Bounds {
        waiting: 10,
        bytes: 10,
        users: 10,
    };
    let (shadow, work, mut events) = begun(bounds).await;
    hear(&shadow);
    let full = Event::Full(Full::Bytes);
    for expected in [full, full, Event::LeftOut(2)] {
        assert_eq!(events.recv().await, Some(expected));
    }
    assert_eq!(shadow.report().left_out, 2);
    let stop = CancellationToken::new();
    stop.cancel();
    work.run(stop).await;
}
