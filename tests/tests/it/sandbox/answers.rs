//! Deeds of `handle`: what becomes of a request under `/roster_admin/`.

use std::time::Instant;

use super::arena::{Arena, HOSTILE, Slowest, TIMEOUT, figure};

/// Each fails by itself, at once.
const FAILING: [(&str, &str); 18] = [
    ("trap", "trap"),
    ("panic", "trap"),
    ("exit", "trap"),
    ("spin", "turn_limit"),
    ("spin-later", "turn_limit"),
    // Touching so much memory may take its whole turn.
    ("grow", ""),
    ("recurse", "stack_overflow"),
    ("handles", ""),
    ("tasks", ""),
    ("hoard-fields", ""),
    ("million", ""),
    ("error", ""),
    ("big", ""),
    ("endless", ""),
    ("short", ""),
    ("informational", ""),
    ("switching", ""),
    ("redirect", ""),
];

/// Each waits for ever.
const NEVER_ENDING: [&str; 4] = ["never", "sleep", "block", "stalled"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_mean_harm() {
    let arena = Arena::open().await;
    whatever_it_does_the_caller_gets_an_answer(&arena).await;
    too_many_requests_at_once_are_told_so(&arena).await;
    only_fields_about_the_answer_come_of_it(&arena).await;
    there_is_nothing_to_see_but_the_call(&arena).await;
    arena.close().await;
}

async fn whatever_it_does_the_caller_gets_an_answer(arena: &Arena) {
    let mut slowest = Slowest::default();
    for (deed, kind) in FAILING {
        let label = format!("kind=\"{kind}");
        let before = arena.count("muster_plugin_traps_total", &label).await;
        let began = Instant::now();
        let reply = arena.post(deed, "").await;
        slowest.took(deed, began.elapsed());
        assert_eq!(reply.status, 502, "{deed}: {}", reply.text());
        assert_eq!(reply.json()["status"], "error", "{deed}");
        if !kind.is_empty() {
            let after = arena.count("muster_plugin_traps_total", &label).await;
            assert!(after > before, "{deed}");
            let words = ["WARN", HOSTILE, "the plugin failed in `handle`", kind];
            assert!(arena.told(&words) > 0, "{deed}");
        }
        assert_eq!(arena.post("ok", "").await.text(), "ok", "after {deed}");
    }
    // The path is handed in as text.
    let long = "a".repeat(997 - "/roster_admin/".len());
    assert_eq!(
        arena.post(&long, "").await.status,
        502,
        "a spin in its allocator"
    );
    figure(4, &format!("{} failing requests: {slowest}", FAILING.len()));
    let began = Instant::now();
    let stuck = NEVER_ENDING.map(|deed| arena.post(deed, ""));
    let stuck = futures_util::future::join_all(stuck).await;
    let took = began.elapsed();
    let never = NEVER_ENDING.len();
    figure(
        4,
        &format!("{never} requests that never end: answered after {took:.1?}, of {TIMEOUT:?}"),
    );
    assert!(took < TIMEOUT * 3, "{took:?}");
    for (deed, reply) in NEVER_ENDING.iter().zip(stuck) {
        assert_eq!(reply.status, 504, "{deed}");
        assert_eq!(reply.json()["status"], "error", "{deed}");
    }
    let told = arena.told(&["WARN", HOSTILE, "the plugin failed to answer a request"]);
    assert!(told >= FAILING.len(), "{told}");
}

/// More requests than may be handled at once: told so, and when to come back.
async fn too_many_requests_at_once_are_told_so(arena: &Arena) {
    let replies = futures_util::future::join_all((0..100).map(|_| arena.post("spin", ""))).await;
    let count = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    assert_eq!(count(502) + count(429) + count(504), 100);
    assert!(count(429) > 0);
    let refused = replies.iter().find(|reply| reply.status == 429);
    assert!(refused.is_some_and(|reply| reply.header("retry-after").is_some()));
    arena.assert_serving("a hundred spins").await;
}

/// The plugin answers the app; it does not speak for the server to browsers and
/// proxies.
async fn only_fields_about_the_answer_come_of_it(arena: &Arena) {
    let reply = arena.post("browser", "").await;
    assert_eq!((reply.status, reply.text()), (200, "ok".to_owned()));
    let names: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for name in &names {
        let known = [
            "content-type",
            "content-length",
            "date",
            "transfer-encoding",
        ];
        assert!(known.contains(name), "{names:?}");
    }
    assert_eq!(reply.header("content-type"), Some("text/plain"));
    let refused = arena.post("connection", "").await.text();
    assert!(!refused.contains("taken"), "{refused}");
    let split = arena.post("split", "").await.text();
    assert_eq!(split, ["HeaderError::InvalidSyntax"; 3].join(" "));
    let many = arena.post("many-headers", "").await;
    assert_eq!(many.status, 200);
    assert!(many.headers.len() < 10, "{}", many.headers.len());
    assert_eq!(arena.post("nothing", "").await.status, 204);
    assert_eq!(arena.post("strange", "").await.status, 599);
    // Nobody's token, cookie or connection.
    let seen = arena.post("headers", "").await.text();
    for name in ["authorization", "cookie", "host", "connection"] {
        assert!(!seen.split(' ').any(|it| it == name), "{seen}");
    }
}

/// What the sandbox itself refuses is told as JSON, like all that the host says.
async fn there_is_nothing_to_see_but_the_call(arena: &Arena) {
    for (deed, seen) in [
        ("environment", "0 0"),
        ("stdin", "\"0\""),
        ("random", "\"65536\""),
        ("fields", "refused"),
        ("hoard-requests method", "refused"),
        ("hoard-requests authority", "refused"),
        ("hoard-requests path", "refused"),
    ] {
        let reply = arena.post("do", deed).await;
        assert!(reply.text().contains(seen), "{deed}: {}", reply.text());
    }
}
