//! Rows 7, 30 to 33 and 72: too many, too fast, too slow, and what is left for
//! everybody else. Bounds are small here, so that they are reached in no time.

use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism, Received, header};
use muster_tests::http::{Connection, exchange, request};
use muster_tests::muster::{Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage};
use muster_tests::tls::{Files, Identity, Trust};
use muster_tests::within;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// The request for the metrics.
fn scrape() -> Vec<u8> {
    let authorization = format!("Bearer {TOKEN}");
    request("GET", "/metrics", &[("Authorization", &authorization)], b"")
}

/// The sum of the samples whose line starts so.
fn sum(metrics: &str, start: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(start));
    let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// How often a limit was reached, in all of this process.
async fn reached(http: SocketAddr, limit: &str) -> f64 {
    let metrics = exchange(http, &scrape()).await.text();
    let start = format!("muster_limit_reached_total{{limit=\"{limit}\"}}");
    sum(&metrics, &start)
}

/// Waits until so many XMPP connections are open.
async fn until_open(http: SocketAddr, expected: f64) {
    let open = async {
        loop {
            let metrics = exchange(http, &scrape()).await.text();
            if sum(&metrics, "muster_connections{kind=\"xmpp\"}") == expected {
                return;
            }
        }
    };
    within(&format!("{expected} connections"), open).await;
}

/// Connects `count` times without a word.
async fn silent(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let connected = within("a connection", TcpStream::connect(address)).await;
        open.extend(connected.ok());
    }
    open
}

/// Whether the server closes the connection before it has said anything.
async fn is_closed(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(
        within("the end of a connection", socket.read(&mut byte)).await,
        Ok(0) | Err(_)
    )
}

/// Logs in, or is turned away at the door.
async fn can_log_in(stage: &Stage, name: &str) -> bool {
    let mut client = stage.connect().await;
    client.send_header(&header(DOMAIN)).await;
    if matches!(client.receive().await, Received::End) {
        return false;
    }
    client.element("stream features").await;
    let login = client.authenticate(name, "x", Mechanism::Plain).await;
    login.expect("everybody may log in");
    client.open().await;
    client.bind(None).await;
    true
}

/// Row 31: each bound turns the next one away, counts it, and has room again
/// once somebody leaves.
#[tokio::test]
async fn who_is_one_too_many_is_turned_away_at_the_door() {
    for (key, sections) in [
        ("limits.xmpp.connections", "connections = 3"),
        (
            "limits.xmpp.connections_per_address",
            "connections_per_address = 3",
        ),
        ("limits.xmpp.unauthenticated", "unauthenticated = 3"),
    ] {
        let stage = Stage::own(&format!("[limits.xmpp]\n{sections}")).await;
        let before = reached(stage.http(), key).await;
        let silent = silent(stage.xmpp(), 3).await;
        assert!(!can_log_in(&stage, "john").await, "{key}");
        assert!(reached(stage.http(), key).await > before, "{key}");
        drop(silent);
        let room = async { while !can_log_in(&stage, "john").await {} };
        within("room for one more", room).await;
    }
}

/// Row 31: who has logged in is none of the silent ones.
#[tokio::test]
async fn sessions_do_not_count_as_connections_that_have_not_logged_in() {
    let stage = Stage::own("[limits.xmpp]\nunauthenticated = 1").await;
    let mut sessions = Vec::new();
    for name in ["john", "marie", "aaron"] {
        sessions.push(stage.bound(name).await);
    }
    for session in &mut sessions {
        session.settle().await;
    }
}

/// Row 31: churn.
#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away() {
    let stage = Stage::own("[limits.xmpp]\nconnects_per_minute = 20").await;
    let mut john = stage.bound("john").await;
    let key = "limits.xmpp.connects_per_minute";
    let before = reached(stage.http(), key).await;
    for _ in 0..100 {
        drop(TcpStream::connect(stage.xmpp()).await);
    }
    let turned_away = async { while reached(stage.http(), key).await < before + 70.0 {} };
    within("most of them to be turned away", turned_away).await;
    john.settle().await;
}

/// The same for HTTP.
#[tokio::test]
async fn http_connections_have_bounds_of_their_own() {
    let stage = Stage::own("[limits.http]\nconnections_per_address = 3").await;
    let mut idle = silent(stage.http(), 3).await;
    let mut one_more = TcpStream::connect(stage.http()).await.expect("a backlog");
    assert!(is_closed(&mut one_more).await);
    let mut john = stage.bound("john").await;
    john.settle().await;
    idle.clear();
    let answered = async {
        loop {
            let mut connection = Connection::open(stage.http()).await;
            connection.send(&request("GET", "/healthz", &[], b"")).await;
            if connection.reply().await.is_some() {
                return;
            }
        }
    };
    within("room for one more", answered).await;
    assert!(reached(stage.http(), "limits.http.connections_per_address").await >= 1.0);
}

/// Row 30: silence and a drip end after the time to log in, in all, and nobody
/// else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_silent_and_the_slow_leave_in_time() {
    let stage = Stage::own("[limits.xmpp]\nauth_timeout = \"3s\"").await;
    let bystanders = Bystanders::assemble(&stage, 20).await;
    let start = Instant::now();
    let silent = silent(stage.xmpp(), 300).await;
    let mut waiting = tokio::task::JoinSet::new();
    for mut socket in silent {
        waiting.spawn(async move {
            let mut said = String::new();
            let _ = socket.read_to_string(&mut said).await;
            said
        });
    }
    for _ in 0..20 {
        let mut socket = TcpStream::connect(stage.xmpp()).await.expect("a listener");
        waiting.spawn(async move {
            let (mut read, mut write) = socket.split();
            let mut said = String::new();
            let drip = async {
                for byte in header(DOMAIN).bytes() {
                    let _ = write.write_all(&[byte]).await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            tokio::select! {
                _ = read.read_to_string(&mut said) => said,
                () = drip => "the drip came to its end".to_owned(),
            }
        });
    }
    while let Some(said) = within("everybody to be sent away", waiting.join_next()).await {
        let said = said.expect("a task");
        assert!(said.contains("<connection-timeout "), "{said}");
    }
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    bystanders.dismiss().await;
}

/// An account that logs in again and again waits; nobody else does, and it is
/// let in.
#[tokio::test]
async fn an_account_that_comes_too_often_waits_and_is_let_in() {
    let stage = Stage::own("[limits.xmpp]\nsessions_per_minute = 3\nlogin_delay = \"1s\"").await;
    let key = "limits.xmpp.sessions_per_minute";
    let before = reached(stage.http(), key).await;
    for _ in 0..3 {
        stage.bound("john").await;
    }
    assert_eq!(reached(stage.http(), key).await, before);
    let start = Instant::now();
    let mut john = stage.bound("john").await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(reached(stage.http(), key).await > before);
    let mut marie = stage.bound("marie").await;
    marie.settle().await;
    john.settle().await;
}

/// Row 33: who does not read is given up once too much waits, in the clear and
/// under TLS; who writes does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_given_up_and_nobody_waits_for_it() {
    let identity = Identity::new(&[DOMAIN]);
    let files = Files::of(&identity);
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app)
        .certificate(&files)
        .with("[limits.xmpp]\nmailbox_messages = 100")
        .with(
            "[limits.xmpp.after_auth]\nbytes_per_second = \"1GiB\"\nstanzas_per_second = 1000000",
        );
    let stage = Stage::around(app, &setup).await;
    let trust = Trust::only_in(&[&identity]);
    for tls in [false, true] {
        let mut john = stage.online("john").await;
        // Holds its connection and reads nothing of it from here on.
        let mut deaf = if tls {
            Client::connect_starttls(stage.xmpp(), DOMAIN, &trust).await
        } else {
            stage.connect().await
        };
        deaf.log_in("marie", "x", Mechanism::Plain).await;
        deaf.available().await;
        let overflows = "muster_mailbox_overflows_total";
        let before = sum(&exchange(stage.http(), &scrape()).await.text(), overflows);
        let body = "x".repeat(60_000);
        let message = format!("<message to='{}'><body>{body}</body></message>", deaf.jid());
        let mut slowest = Duration::ZERO;
        let given_up = async {
            // The systems of both sides take some megabytes before anything
            // waits in the server.
            loop {
                for _ in 0..20 {
                    john.send(&message).await;
                }
                let start = Instant::now();
                john.settle().await;
                slowest = slowest.max(start.elapsed());
                let metrics = exchange(stage.http(), &scrape()).await.text();
                if sum(&metrics, overflows) > before {
                    return;
                }
            }
        };
        within("the deaf one to be given up", given_up).await;
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
        drop(deaf);
        john.leave().await;
    }
}

fn resident_kib(process: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("a size")
}

fn descriptors(process: &Process) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", process.id())).expect("a process");
    folder.count()
}

async fn login(process: &Process, name: &str) -> Client {
    let account = format!("{name}@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

/// Row 32: a client that sends without end is read at its rate: it waits, the
/// server hardly works, and nobody else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_read_at_its_rate_and_costs_little() {
    let app = App::start().await;
    let setup = Setup::for_app(&app)
        .with("[limits.xmpp.after_auth]\nbytes_per_second = \"64KiB\"\nburst = \"2s\"");
    let process = Process::start(binary(), &setup).await;
    let mut john = login(&process, "john").await;
    let mut marie = login(&process, "marie").await;
    for flood in [
        "<message to='marie@example.test'/>",
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        let mut attacker = login(&process, "attacker").await;
        let chunk = flood.repeat(64 * 1024 / flood.len());
        let (before, start) = (process.cpu(), Instant::now());
        let mut taken = 0;
        let sending = async {
            // As far as the client's system takes it: a hundred megabytes if
            // it does.
            while taken < 100 << 20 {
                attacker.send(&chunk).await;
                taken += chunk.len();
            }
        };
        let stuck = tokio::time::timeout(Duration::from_secs(3), sending).await;
        assert!(stuck.is_err(), "the server took all of it");
        // What the systems of both sides keep in their buffers is not read.
        assert!(taken < 20 << 20, "{taken}");
        let (worked, took) = (process.cpu() - before, start.elapsed());
        assert!(worked < took / 2, "{worked:?} of {took:?}");
        let trip = Instant::now();
        john.settle().await;
        assert!(
            trip.elapsed() < Duration::from_secs(1),
            "{:?}",
            trip.elapsed()
        );
        attacker.vanish();
    }
    marie.settle().await;
    assert!(reached(process.http(), "limits.xmpp.after_auth.burst").await >= 2.0);
}

/// Row 31: many connections of one address leave nothing behind.
#[tokio::test]
async fn a_crowd_leaves_nothing_behind() {
    let app = App::start().await;
    let setup = Setup::for_app(&app).with("[limits.xmpp]\nconnects_per_minute = 1000000");
    let process = Process::start(binary(), &setup).await;
    login(&process, "john").await.leave().await;
    // The first crowd makes the process as large as it gets.
    let mut start = (0, 0.0);
    for round in 0..3 {
        let mut crowd = silent(process.xmpp(), 2_000).await;
        until_open(process.http(), 1_000.0).await;
        let last = crowd.last_mut().expect("a crowd");
        assert!(is_closed(last).await, "one address has its fill");
        drop(crowd);
        until_open(process.http(), 0.0).await;
        let now = (descriptors(&process), resident_kib(&process));
        if round == 0 {
            start = now;
        }
        // Connections of the scrapes before may still be on their way out.
        assert!(
            now.0 <= start.0 + 5,
            "{} descriptors, not {}",
            now.0,
            start.0
        );
        assert!(now.1 < start.1 * 1.1, "{} KiB, not {}", now.1, start.1);
    }
    login(&process, "john").await.leave().await;
}

/// Row 72: with few descriptors clients cannot take those of the operator.
#[tokio::test]
async fn with_few_descriptors_the_operator_still_gets_an_answer() {
    let app = App::start().await;
    let process = Process::start_with_descriptors(binary(), &Setup::for_app(&app), 256).await;
    let crowd = silent(process.xmpp(), 300).await;
    let mut more = silent(process.xmpp(), 1).await;
    assert!(is_closed(&mut more[0]).await);
    assert!(reached(process.http(), "limits.xmpp.connections").await >= 1.0);
    let metrics = exchange(process.http(), &scrape()).await.text();
    assert_eq!(sum(&metrics, "muster_accept_errors_total"), 0.0);
    assert!(descriptors(&process) < 256);
    drop(crowd);
    until_open(process.http(), 0.0).await;
    login(&process, "john").await.roster().await;
}

/// Row 72: when there is none left accepting pauses, without spinning, and goes
/// on by itself.
#[tokio::test]
async fn accepting_goes_on_by_itself_after_a_want_of_descriptors() {
    let app = App::start().await;
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut john = login(&process, "john").await;
    // Open before there are none, like the operator's own tools.
    let mut http = Connection::open(process.http()).await;
    http.send(&scrape()).await;
    http.reply().await.expect("the metrics");
    process.limit_descriptors(descriptors(&process) + 3).await;
    let crowd = silent(process.xmpp(), 50).await;
    let mut errors = 0.0;
    let failing = async {
        while errors < 3.0 {
            http.send(&scrape()).await;
            let metrics = http.reply().await.expect("the metrics").text();
            errors = sum(&metrics, "muster_accept_errors_total");
        }
    };
    let start = Instant::now();
    within("accepting to fail", failing).await;
    let most = start.elapsed().as_secs_f64() / 0.05 + 10.0;
    assert!(errors < most, "{errors} attempts in {:?}", start.elapsed());
    john.settle().await;
    drop(crowd);
    login(&process, "marie").await;
}
