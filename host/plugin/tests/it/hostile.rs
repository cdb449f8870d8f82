//! A plugin that does what it must not do: what comes of it, and what the
//! calls beside it notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_plugin::{Candidate, EgressPolicy, FetchError, Fetched, Limits, Plugin, PluginFault};

use crate::backend::Backend;
use crate::host::{engine, hostile, quick, seen, settings};

/// Small enough to be reached quickly.
fn small() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        workers: 1,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_name_and_the_next_call_works() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, small()).await;
    let table = [
        ("trap", PluginFault::Trap),
        ("spin", PluginFault::TurnLimit),
        ("grow", PluginFault::ResourceLimit),
        ("recurse", PluginFault::StackOverflow),
    ];
    for (deed, fault) in table {
        let failed = plugin.fetch(deed, None).await;
        assert_eq!(failed, Err(FetchError::Plugin(fault)), "{deed}");
        assert!(plugin.fetch("honest", None).await.is_ok(), "after {deed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_handles_and_of_fields_end() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, small()).await;
    let failed = plugin.fetch("handles", None).await;
    assert!(matches!(failed, Err(FetchError::Plugin(_))), "{failed:?}");
    assert_eq!(seen(&plugin, "fields").await, "refused");
    assert_eq!(plugin.fetch("flood", None).await, Ok(Fetched::Unchanged));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spin_is_over_soon() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, small()).await;
    let started = Instant::now();
    let failed = plugin.fetch("spin", None).await;
    assert_eq!(failed, Err(FetchError::Plugin(PluginFault::TurnLimit)));
    // Two turns of 100 ms, on a machine that may be busy.
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Fifty calls wait in one store when a fifty-first traps.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beside_a_trap_are_made_again_and_succeed() {
    let backend = Backend::start().await;
    let plugin = Arc::new(hostile(&backend, small()).await);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let plugin = Arc::clone(&plugin);
            tokio::spawn(async move { plugin.fetch("get /slow", None).await })
        })
        .collect();
    backend.requests(50).await;
    let trapped = plugin.fetch("trap", None).await;
    assert_eq!(trapped, Err(FetchError::Plugin(PluginFault::Trap)));
    backend.release(200);
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(FetchError::Status(200)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_end_are_timeouts_and_hold_nobody_up() {
    let backend = Backend::start().await;
    let limits = Limits {
        workers: 1,
        ..quick()
    };
    let plugin = hostile(&backend, limits).await;
    for deed in ["never", "forget", "block"] {
        let started = Instant::now();
        let stuck = plugin.fetch(deed, None).await;
        assert_eq!(stuck, Err(FetchError::Timeout), "{deed}");
        assert!(started.elapsed() < Duration::from_secs(3), "{deed}");
        assert!(plugin.fetch("honest", None).await.is_ok(), "after {deed}");
    }
    plugin.shutdown(Duration::from_secs(5)).await;
    let stopped = plugin.fetch("honest", None).await;
    assert_eq!(stopped, Err(FetchError::Plugin(PluginFault::Stopped)));
}

/// A stuck call ends its store, and the calls beside it finish first.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beside_a_stuck_one_finish() {
    let backend = Backend::start().await;
    let limits = Limits {
        workers: 1,
        ..quick()
    };
    let plugin = Arc::new(hostile(&backend, limits).await);
    let never = tokio::spawn({
        let plugin = Arc::clone(&plugin);
        async move { plugin.fetch("never", None).await }
    });
    // So that this call is under way when the other one's time is over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let slow = tokio::spawn({
        let plugin = Arc::clone(&plugin);
        async move { plugin.fetch("get /slow", None).await }
    });
    backend.requests(1).await;
    assert_eq!(never.await.unwrap(), Err(FetchError::Timeout));
    backend.release(1);
    assert_eq!(slow.await.unwrap(), Err(FetchError::Status(200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_cleaned_and_bounded() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    assert_eq!(plugin.fetch("many", None).await, Err(FetchError::TooLarge));
    let Ok(Fetched::Roster {
        contacts, skipped, ..
    }) = plugin.fetch("lie", None).await
    else {
        panic!("no roster");
    };
    assert_eq!((contacts.len(), skipped), (1, 2));
    assert_eq!(contacts[0].name.as_deref(), Some("Marie"));
    assert_eq!(contacts[0].groups, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_empty_and_a_fetch_cannot_refresh() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    assert_eq!(seen(&plugin, "environment").await, "0 0");
    assert_eq!(seen(&plugin, "refresh").await, "Err(Failure::Overloaded)");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_configured_origin_is_asked() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    let port = backend.address.port();
    let table = [
        "GET http 169.254.169.254 /latest/meta-data/".to_owned(),
        format!("GET http [::ffff:127.0.0.1]:{port} /"),
        format!("GET http 2130706433:{port} /"),
        format!("GET http x@127.0.0.1:{port} /"),
        format!("GET http localhost:{port} /"),
        format!("GET https 127.0.0.1:{port} /"),
        "GET http 127.0.0.1:1 /".to_owned(),
        "POST http ORIGIN /".to_owned(),
        "BREW http ORIGIN /".to_owned(),
        "GET ftp ORIGIN /".to_owned(),
        "GET http ORIGIN http://evil.example.com/".to_owned(),
    ];
    for deed in table {
        let seen = seen(&plugin, &format!("send {deed}")).await;
        let refused = [
            "ErrorCode::HttpRequestDenied",
            "ErrorCode::HttpProtocolError",
            "invalid",
        ];
        assert!(refused.contains(&seen.as_str()), "{deed}: {seen}");
    }
    assert_eq!(backend.connections(), 0);
    assert_eq!(
        seen(&plugin, "send GET http ORIGIN /").await,
        "answered 200"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_to_loopback_is_not_dialled() {
    let backend = Backend::start().await;
    let mut settings = settings(&backend, Limits::default());
    // localhost is written down, but only for loopback: this policy names a
    // host that the resolver knows and the operator has not marked private.
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let url = format!("http://{name}:{}/%s", backend.address.port());
    let Ok(policy) = EgressPolicy::for_url(&url) else {
        return;
    };
    settings.egress = policy;
    let authority = format!("{name}:{}", backend.address.port());
    settings.config = vec![("authority".to_owned(), authority)];
    let plugin = Plugin::load(
        engine(),
        Candidate::builtin(muster_test_plugins::hostile()),
        settings,
    )
    .await
    .unwrap();
    let seen = seen(&plugin, "send GET http ORIGIN /").await;
    assert!(!seen.starts_with("answered"), "{seen}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_connection_are_not_the_guests() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    for header in [
        "host evil.example.com",
        "authorization Bearer x",
        "te trailers",
        "trailer authorization",
        "transfer-encoding chunked",
        "connection close",
    ] {
        let seen = seen(&plugin, &format!("header {header}")).await;
        assert_eq!(seen, "refused HeaderError::Forbidden", "{header}");
    }
    let split = seen(&plugin, "header x-a bCRLFhost: evil.example.com").await;
    assert_eq!(split, "refused HeaderError::InvalidSyntax");
    seen(&plugin, "header accept-encoding gzip").await;
    seen(&plugin, "header x-mine yes").await;
    let heads = backend.heads();
    assert_eq!(heads.len(), 2);
    assert!(!heads[0].contains("accept-encoding"), "{}", heads[0]);
    assert!(heads[1].contains("\r\nx-mine: yes\r\n"), "{}", heads[1]);
}
