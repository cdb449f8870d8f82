//! The built-in plugin against an app that answers well, badly or not at all.

use std::time::{Duration, Instant};

use muster_plugin::{FetchError, Fetched, Limits, Subscription};

use crate::backend::Backend;
use crate::host::{builtin, quick};

#[tokio::test(flavor = "multi_thread")]
async fn contacts_arrive_with_their_validator() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    let Ok(Fetched::Roster {
        contacts,
        validator,
        skipped,
    }) = plugin.fetch("john", None).await
    else {
        panic!("no roster");
    };
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].jid, "marie@example.test");
    assert_eq!(contacts[0].name.as_deref(), Some("Marie"));
    assert_eq!(contacts[0].groups, ["Friends"]);
    assert_eq!(contacts[0].subscription, Subscription::Both);
    assert_eq!(skipped, 0);
    assert_eq!(validator.as_deref(), Some("\"v1\""));

    let again = plugin.fetch("john", validator.as_deref()).await;
    assert_eq!(again, Ok(Fetched::Unchanged));

    let heads = backend.heads();
    assert!(
        heads[0].starts_with("get /contacts/john http/1.1\r\n"),
        "{}",
        heads[0]
    );
    let host = format!("\r\nhost: {}\r\n", backend.address);
    assert!(heads[0].contains(&host), "{}", heads[0]);
    assert!(!heads[0].contains("accept-encoding"), "{}", heads[0]);
    assert!(!heads[0].contains("transfer-encoding"), "{}", heads[0]);
    assert!(
        heads[1].contains("\r\nif-none-match: \"v1\"\r\n"),
        "{}",
        heads[1]
    );
    plugin.shutdown(Duration::from_secs(1)).await;
}

/// One worker, and time for an unoptimised host.
fn one_store() -> Limits {
    Limits {
        workers: 1,
        turn: Duration::from_secs(5),
        call: Duration::from_secs(30),
        ..Limits::default()
    }
}

/// The plugin's small blocks run out; none may be handed out twice.
#[tokio::test(flavor = "multi_thread")]
async fn long_names_of_many_contacts_stay_apart() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, one_store()).await;
    for _ in 0..3 {
        let Ok(Fetched::Roster { mut contacts, .. }) = plugin.fetch("heavy", None).await else {
            panic!("no roster");
        };
        contacts.sort_by(|one, other| one.name.cmp(&other.name));
        let expected = (0..3_000).map(|n| (format!("user{n}@example.test"), format!("{n:0400}")));
        let found = contacts.into_iter();
        let found = found.map(|contact| (contact.jid, contact.name.unwrap()));
        assert!(found.eq(expected));
    }
}

/// The predecessor opened a new TCP connection for each fetch.
#[tokio::test(flavor = "multi_thread")]
async fn fetches_share_connections() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    for _ in 0..50 {
        plugin.fetch("john", None).await.unwrap();
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_answer_is_its_error() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    let malformed = || FetchError::Malformed(String::new());
    let table = [
        ("missing", FetchError::NotFound),
        ("gone", FetchError::NotFound),
        ("broken", FetchError::Status(500)),
        ("limited", FetchError::Status(429)),
        ("nothing", FetchError::Status(204)),
        ("redirect", FetchError::Status(302)),
        ("html", malformed()),
        ("null", malformed()),
        ("array", malformed()),
        ("truncated", malformed()),
        ("many", FetchError::TooLarge),
        ("headers", FetchError::TooLarge),
        ("announced", FetchError::TooLarge),
        ("endless", FetchError::TooLarge),
        ("short", FetchError::Unavailable),
        ("reset", FetchError::Unavailable),
        (".", FetchError::Denied),
        ("..", FetchError::Denied),
    ];
    for (user, expected) in table {
        let got = match plugin.fetch(user, None).await {
            Err(FetchError::Malformed(_)) => malformed(),
            Err(error) => error,
            Ok(fetched) => panic!("{user}: {fetched:?}"),
        };
        assert_eq!(got, expected, "{user}");
    }
    assert!(plugin.fetch("john", None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_does_not_finish_is_a_timeout_within_the_deadline() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, quick()).await;
    let started = Instant::now();
    let (silent, drip, john) = tokio::join!(
        plugin.fetch("silent", None),
        plugin.fetch("drip", None),
        plugin.fetch("john", None),
    );
    assert_eq!(silent, Err(FetchError::Timeout));
    assert_eq!(drip, Err(FetchError::Timeout));
    assert!(john.is_ok());
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_unavailable() {
    let backend = Backend::start().await;
    let mut settings = crate::host::settings(&backend, Limits::default());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/%s", free.local_addr().unwrap());
    drop(free);
    settings.egress = muster_plugin::EgressPolicy::for_url(&url).unwrap();
    settings.config = vec![("http_roster_url".to_owned(), url)];
    let engine = crate::host::engine();
    let candidate = muster_plugin::Candidate::builtin(muster_builtin::COMPONENT);
    let plugin = muster_plugin::Plugin::load(engine, candidate, settings)
        .await
        .unwrap();
    let refused = plugin.fetch("john", None).await;
    assert_eq!(refused, Err(FetchError::Unavailable));
}

/// Usernames that would change the request are sent as one path segment.
#[tokio::test(flavor = "multi_thread")]
async fn a_username_is_one_path_segment() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    for user in [
        "a#b",
        "a;b=c",
        "a/../b",
        "@evil",
        ":80",
        "a\\b",
        "http://x/",
        "a b",
        "a?b",
    ] {
        let before = backend.heads().len();
        let _ = plugin.fetch(user, None).await;
        let heads = backend.heads().split_off(before);
        let [head] = heads.as_slice() else {
            panic!("{user}: {heads:?}");
        };
        let target = head.split(' ').nth(1).unwrap();
        let segment = target.strip_prefix("/contacts/").expect(target);
        let plain = |c: char| c.is_ascii_alphanumeric() || "%-._~;=@:!$&'()*+,".contains(c);
        assert!(segment.chars().all(plain), "{user}: {target}");
    }
    for user in ["", ".", ".."] {
        let before = backend.heads().len();
        assert_eq!(plugin.fetch(user, None).await, Err(FetchError::Denied));
        assert_eq!(backend.heads().len(), before, "{user:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_replaced_while_calls_go_on() {
    let backend = Backend::start().await;
    let limits = Limits {
        calls_per_store: 3,
        workers: 2,
        ..Limits::default()
    };
    let plugin = std::sync::Arc::new(builtin(&backend, limits).await);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let plugin = std::sync::Arc::clone(&plugin);
            tokio::spawn(async move { plugin.fetch("twenty", None).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}
