//! Many users in one request: the optional export, and plugins without it.

use std::time::Duration;

use http::Method;
use muster_plugin::{Candidate, FetchError, Fetched, Limits, ManyError, Plugin};

use crate::backend::Backend;
use crate::host::{engine, hostile, settings};

/// The built-in plugin, which asks for many users at this path.
async fn asking_at(backend: &Backend, path: &str, limits: Limits) -> Plugin {
    let mut settings = settings(backend, limits);
    let url = format!("http://{}/{path}", backend.address);
    settings.config.push(("http_rosters_url".to_owned(), url));
    for allowed in &mut settings.egress.origins {
        allowed.methods.push(Method::POST);
    }
    let candidate = Candidate::builtin(muster_builtin::COMPONENT);
    Plugin::load(engine(), candidate, settings).await.unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_answered_and_asked_for_in_one_request() {
    let backend = Backend::start().await;
    let plugin = asking_at(&backend, "for-all", Limits::default()).await;
    let users = names(&["now", "john", "unknown", "empty", "odd"]);
    let told = plugin.fetch_many(&users).await.unwrap();
    let [now, john, unknown, empty, odd] = <[_; 5]>::try_from(told).unwrap();
    assert_eq!(now, Err(FetchError::Unavailable));
    let Ok(Fetched::Roster {
        contacts,
        validator,
        skipped: 0,
    }) = john
    else {
        panic!("{john:?}");
    };
    assert_eq!(contacts[0].jid, "marie@example.test");
    assert_eq!(validator, None);
    assert_eq!(unknown, Err(FetchError::NotFound));
    assert!(matches!(empty, Ok(Fetched::Roster { contacts, .. }) if contacts.is_empty()));
    assert!(matches!(odd, Err(FetchError::Malformed(_))), "{odd:?}");
    let heads = backend.heads();
    assert!(
        heads[0].starts_with("post /for-all http/1.1\r\n"),
        "{}",
        heads[0]
    );
    let json = "\r\ncontent-type: application/json\r\n";
    assert!(heads[0].contains(json), "{}", heads[0]);
    let asked = r#"["now","john","unknown","empty","odd"]"#;
    assert_eq!(backend.bodies(), [asked]);
    plugin.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_whole_is_one() {
    let backend = Backend::start().await;
    let malformed = || FetchError::Malformed(String::new());
    for (path, expected) in [
        ("missing", FetchError::Status(404)),
        ("broken", FetchError::Status(500)),
        ("limited", FetchError::Status(429)),
        ("null", malformed()),
        ("html", malformed()),
        ("truncated", malformed()),
        ("reset", FetchError::Unavailable),
        ("huge-for-all", FetchError::TooLarge),
    ] {
        let mut limits = Limits {
            batch_bytes: 4 << 20,
            ..Limits::default()
        };
        limits.backend_breaker.failures = 1_000;
        let plugin = asking_at(&backend, path, limits).await;
        let told = match plugin.fetch_many(&names(&["john"])).await {
            Err(ManyError::Fetch(FetchError::Malformed(_))) => malformed(),
            Err(ManyError::Fetch(error)) => error,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(told, expected, "{path}");
        assert_eq!(backend.count(path), 1, "a POST is not sent again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_the_export_says_so() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    let told = plugin.fetch_many(&names(&["john"])).await;
    assert_eq!(told, Err(ManyError::Unsupported));
}
