//! Row 44: HTTP that is said slowly, or not at all. Each connection goes in its
//! time; clients log in meanwhile, and the app is answered.

use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::http::{Connection, Reply, request};
use muster_tests::metrics::Metrics;
use muster_tests::muster::{Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Of a head and of a body, in place of 10 s and 30 s.
const TIMES: &str = "[limits.http]\nheader_timeout = \"2s\"\nbody_timeout = \"3s\"\n\
    [limits.xmpp]\nconnects_per_minute = 1000000";
/// Between two bytes of a drip.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of one connection, and when.
struct End {
    reply: Option<Reply>,
    after: Duration,
}

/// Says the head of a request byte by byte, and the rest of it never.
async fn drips_a_head(http: SocketAddr) -> End {
    let head = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(10_000)
    );
    let connection = Connection::open(http).await;
    drip(connection, head.into_bytes()).await
}

/// Says a head, and then a body byte by byte.
async fn drips_a_body(http: SocketAddr) -> End {
    let mut connection = Connection::open(http).await;
    let head = format!(
        "POST /roster_admin/refresh HTTP/1.1\r\nHost: {DOMAIN}\r\n\
         Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: 10000\r\n\r\n"
    );
    connection.send(head.as_bytes()).await;
    drip(connection, vec![b' '; 10_000]).await
}

async fn drip(mut connection: Connection, bytes: Vec<u8>) -> End {
    let start = Instant::now();
    let mut bytes = bytes.chunks(1);
    let reply = loop {
        match tokio::time::timeout(PAUSE, connection.first_reply()).await {
            Ok(reply) => break reply,
            Err(_) => {
                connection
                    .send(bytes.next().expect("the host waits for ever"))
                    .await
            }
        }
    };
    End {
        reply,
        after: start.elapsed(),
    }
}

/// Asks once, and keeps the connection.
async fn rests(http: SocketAddr) -> End {
    let mut connection = Connection::open(http).await;
    connection.send(&request("GET", "/healthz", &[], b"")).await;
    assert_eq!(connection.reply().await.expect("an answer").status, 200);
    let start = Instant::now();
    assert!(connection.is_closed().await);
    End {
        reply: None,
        after: start.elapsed(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_callers_leave_in_time_and_nobody_notices() {
    let app = Arc::new(App::start().await);
    let process = Process::start(binary(), &Setup::for_app(&app).with(TIMES)).await;
    let stage = Stage::at(app, process.xmpp(), process.http());
    let bystanders = Bystanders::assemble(&stage, 200).await;
    let mut heads = JoinSet::new();
    let mut bodies = JoinSet::new();
    let mut idle = JoinSet::new();
    for _ in 0..50 {
        heads.spawn(drips_a_head(stage.http()));
        bodies.spawn(drips_a_body(stage.http()));
    }
    for _ in 0..500 {
        idle.spawn(rests(stage.http()));
    }
    // Both doors are open to everybody else.
    let _john = stage.online("john").await;
    stage.refreshed(&["john"]).await;
    for end in heads.join_all().await {
        assert!(end.reply.is_none_or(|reply| reply.status == 408));
        assert_in_time(end.after, Duration::from_secs(2));
    }
    for end in bodies.join_all().await {
        // Who still sends when the server closes may lose the answer to a reset.
        assert!(end.reply.is_none_or(|reply| reply.status == 408));
        assert_in_time(end.after, Duration::from_secs(3));
    }
    for end in idle.join_all().await {
        assert_in_time(end.after, Duration::from_secs(2));
    }
    let metrics = Metrics::scrape(stage.http()).await;
    for (limit, connections) in [("header_timeout", 50.0), ("body_timeout", 50.0)] {
        let label = format!("limit=\"limits.http.{limit}\"");
        let reached = metrics.sum("muster_limit_reached_total", &[&label]);
        assert_eq!(reached, connections, "{limit}");
        let told = format!("limit=\"limits.http.{limit}\"");
        assert!(process.log().contains(&told), "{}", process.log());
    }
    let p99 = bystanders.dismiss().await;
    println!("bystanders: p99 {p99:?}");
    assert!(p99 < Duration::from_secs(2), "{p99:?}");
}

/// The deadline itself, and what a busy machine adds.
fn assert_in_time(after: Duration, deadline: Duration) {
    assert!(after > deadline / 2, "{after:?}");
    assert!(after < deadline + Duration::from_secs(5), "{after:?}");
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}
