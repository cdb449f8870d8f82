//! Storms: everybody comes at once, or everybody is refreshed at once, and the
//! app has only so many places and fails for some.
//!
//! Small here. `MUSTER_STORM=5000 cargo test --test it storm -- --nocapture
//! --test-threads 1` is the size of `docs/reliability.md`, and prints what was
//! measured. The server is a process of its own, so that its CPU can be told.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use muster_tests::busy::{Beyond, BusyApp, Fate, Terms};
use muster_tests::client::{Client, Mechanism, error_of, is_push};
use muster_tests::http::request;
use muster_tests::metrics::Metrics;
use muster_tests::muster::{ANYONE, Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, items};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the app of all storms is like.
const TERMS: Terms = Terms {
    latency: Duration::from_millis(20),
    places: 64,
    beyond: Beyond::Waits,
    together: false,
};

/// Sessions that are set up side by side: that is not what is measured.
const AT_ONCE: usize = 50;

/// For a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

fn users(small: usize) -> Vec<String> {
    let count = std::env::var("MUSTER_STORM").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(small);
    (0..count).map(|user| format!("u{user}")).collect()
}

struct Storm {
    app: BusyApp,
    process: Process,
    users: Vec<String>,
    cpu: Duration,
}

impl Storm {
    async fn new(terms: Terms, users: Vec<String>) -> Storm {
        let app = BusyApp::start(terms).await;
        let setup = Setup::new().host(DOMAIN, ANYONE, &app.roster_url());
        let setup = match terms.together {
            true => setup.roster_keys(&format!("http_rosters_url = \"{}\"", app.rosters_url())),
            false => setup,
        };
        // Of the size that is measured, silence must not take the most of it; a
        // busy machine needs the time that there is by default.
        let timeout = match std::env::var_os("MUSTER_STORM") {
            Some(_) => "2s",
            None => "5s",
        };
        let setup = setup.with(&format!(
            "[limits.xmpp]\nconnections_per_address = 20000\nconnects_per_minute = 1000000\n\
             unauthenticated = 20000\nidle_ping = \"1h\"\n\
             [limits.backend]\ntimeout = \"{timeout}\"\n\
             [limits.refresh]\nrecovery_interval = \"1s\"\n\
             [limits.plugin]\nhandle_timeout = \"10m\"\nturn = \"1s\"",
        ));
        let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
        let process = Process::start(binary, &setup).await;
        Storm {
            app,
            cpu: cpu_of(&process),
            process,
            users,
        }
    }

    /// A bound session for each user, in their order.
    async fn sessions(&self) -> Vec<Client> {
        let logins = self.users.iter().map(|user| async move {
            let account = format!("{user}@{DOMAIN}");
            let login = Client::login(self.process.xmpp(), &account, "x", None, Mechanism::Plain);
            let mut client = login.await;
            client.set_patience(PATIENCE);
            client
        });
        let logins = futures_util::stream::iter(logins);
        logins.buffered(AT_ONCE).collect().await
    }

    /// Users whom the app fails, and the others.
    fn failed(&self) -> Vec<bool> {
        let users = self.users.iter();
        users
            .map(|user| self.app.fate(user) != Fate::Well)
            .collect()
    }

    async fn metric(&self, name: &str) -> f64 {
        Metrics::scrape(self.process.http()).await.sum(name, &[])
    }

    /// What happened since the last word; the app's counts of it.
    async fn tell(&mut self, what: &str, took: Duration, mut each: Vec<Duration>) -> [usize; 4] {
        each.sort();
        let at = |percent: usize| each.get(each.len() * percent / 100);
        let now = cpu_of(&self.process);
        let cpu = now - std::mem::replace(&mut self.cpu, now);
        let counts = self.app.take_counts();
        let [busiest, gets, posts, refused] = counts;
        let retries = self.metric("muster_egress_retries_total").await;
        eprintln!(
            "{what}: {} users in {took:.2?}, p50 {:.2?}, p99 {:.2?}; the app saw {busiest} at once, \
             {gets} GET, {posts} POST, refused {refused}; retries so far {retries}; {cpu:.2?} of CPU",
            self.users.len(),
            at(50).unwrap_or(&took),
            at(99).unwrap_or(&took),
        );
        counts
    }
}

/// The user and system time of a process.
fn cpu_of(process: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()));
    let stat = stat.unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    // 100 of them are a second on every Linux.
    Duration::from_millis(ticks * 10)
}

/// All ask for their roster in one moment; what each gets, and after what time.
async fn all_ask(clients: &mut [Client]) -> Vec<(Result<Vec<String>, String>, Duration)> {
    let start = Instant::now();
    let asked = clients.iter_mut().map(|client| async move {
        let answer = client.roster().await;
        let answer = match answer.attr("type") {
            Some("result") => Ok(items(&answer)),
            _ => Err(error_of(&answer)),
        };
        (answer, start.elapsed())
    });
    futures_util::future::join_all(asked).await
}

async fn pushed_to(clients: &mut [Client]) -> Vec<usize> {
    let settled = clients.iter_mut().map(|client| async move {
        let came = client.settle().await;
        came.iter().filter(|element| is_push(element)).count()
    });
    futures_util::future::join_all(settled).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_the_roster_and_the_app_no_more_than_it_bears() {
    for terms in [
        TERMS,
        Terms {
            together: true,
            ..TERMS
        },
    ] {
        let mut storm = Storm::new(terms, users(300)).await;
        let mut clients = storm.sessions().await;
        storm.tell("sessions", Duration::ZERO, vec![]).await;
        let start = Instant::now();
        let answers = all_ask(&mut clients).await;
        let took = start.elapsed();
        for (answer, _) in &answers {
            assert_eq!(
                answer.as_deref(),
                Ok(&["contact0@example.test both".to_owned()][..])
            );
        }
        let [busiest, gets, posts, refused] = storm.app.take_counts();
        assert!(busiest <= 64, "{busiest}");
        assert_eq!(refused, 0);
        match terms.together {
            false => assert_eq!((gets, posts), (storm.users.len(), 0)),
            true => assert!(
                posts > 0 && gets + posts < storm.users.len() / 2,
                "{gets} {posts}"
            ),
        }
        eprintln!("the app saw {busiest} at once, {gets} GET, {posts} POST");
        let each = answers.into_iter().map(|(_, took)| took).collect();
        let what = format!("logins, together {}", terms.together);
        storm.tell(&what, took, each).await;
    }
}

/// The limit finds what the app bears; who was refused meanwhile gets the
/// contacts pushed.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_refuses_what_is_too_much_is_asked_less() {
    let terms = Terms {
        places: 16,
        beyond: Beyond::IsRefused,
        ..TERMS
    };
    let mut storm = Storm::new(terms, users(300)).await;
    let mut clients = storm.sessions().await;
    let start = Instant::now();
    let answers = all_ask(&mut clients).await;
    let took = start.elapsed();
    let each = answers.iter().map(|(_, took)| *took).collect();
    for (client, (answer, _)) in clients.iter_mut().zip(&answers) {
        if answer.is_err() {
            client.push().await;
        }
    }
    let refused = answers.iter().filter(|(answer, _)| answer.is_err()).count();
    eprintln!(
        "refused at first: {refused}; all in {:.2?}",
        start.elapsed()
    );
    let [_, _, _, refusals] = storm
        .tell("an app of 16 places that refuses", took, each)
        .await;
    assert!(refusals > 0, "it was asked for no more than it bears");
    let limit = storm.metric("muster_fetch_limit").await;
    assert!((8.0..64.0).contains(&limit), "{limit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_of_the_answers_fails_and_everybody_converges() {
    for together in [false, true] {
        let terms = Terms { together, ..TERMS };
        let mut storm = Storm::new(terms, users(200)).await;
        storm.app.set_faulty(30);
        let failed = storm.failed();
        let mut clients = storm.sessions().await;
        storm.tell("sessions", Duration::ZERO, vec![]).await;
        let start = Instant::now();
        let answers = all_ask(&mut clients).await;
        let took = start.elapsed();
        for (((answer, _), failed), user) in answers.iter().zip(&failed).zip(&storm.users) {
            assert_eq!(answer.is_err(), *failed, "{user}: {answer:?}");
            let error = answer.as_ref().err();
            assert!(
                error.is_none_or(|error| error.starts_with("wait/")),
                "{error:?}"
            );
        }
        let each = answers.into_iter().map(|(_, took)| took).collect();
        let what = format!("logins, 30 % fail, together {together}");
        storm.tell(&what, took, each).await;
        // Nobody does anything for it.
        storm.app.set_faulty(0);
        let start = Instant::now();
        for (client, failed) in clients.iter_mut().zip(&failed) {
            if *failed {
                client.push().await;
            }
        }
        storm
            .tell("  and all have it", start.elapsed(), vec![])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_of_all_counts_exactly_and_pushes_nothing_for_the_failed() {
    for together in [false, true] {
        let terms = Terms { together, ..TERMS };
        let mut storm = Storm::new(terms, users(200)).await;
        let mut clients = storm.sessions().await;
        for (answer, _) in all_ask(&mut clients).await {
            assert_eq!(answer.map(|items| items.len()), Ok(1));
        }
        storm.app.set_contacts(2);
        storm.app.set_faulty(30);
        let failed = storm.failed();
        storm.tell("sessions", Duration::ZERO, vec![]).await;
        let errors = failed.iter().filter(|failed| **failed).count();
        let start = Instant::now();
        let summary = refresh(&storm).await;
        let took = start.elapsed();
        assert_eq!(
            summary["updated"],
            json!(failed.len() - errors),
            "{summary}"
        );
        assert_eq!(summary["errors"], json!(errors), "{summary}");
        let pushes = pushed_to(&mut clients).await;
        for ((pushes, failed), user) in pushes.iter().zip(&failed).zip(&storm.users) {
            assert_eq!(*pushes, usize::from(!failed), "{user}");
        }
        let what = format!("refresh, {errors} fail, together {together}");
        storm.tell(&what, took, vec![]).await;
        storm.app.set_faulty(0);
        let start = Instant::now();
        let summary = refresh(&storm).await;
        assert_eq!(summary["updated"], json!(failed.len()), "{summary}");
        let took = start.elapsed();
        let pushes = pushed_to(&mut clients).await;
        for ((pushes, failed), user) in pushes.iter().zip(&failed).zip(&storm.users) {
            assert_eq!(*pushes, usize::from(*failed), "{user}");
        }
        storm.tell("  and once more", took, vec![]).await;
    }
}

/// Asks for a refresh of all, and waits for the answer as long as it takes.
async fn refresh(storm: &Storm) -> Value {
    let authorization = format!("Bearer {TOKEN}");
    let fields = [
        ("Host", DOMAIN),
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
        ("Connection", "close"),
    ];
    let body = json!(storm.users).to_string();
    let request = request("POST", "/roster_admin/refresh", &fields, body.as_bytes());
    let mut socket = TcpStream::connect(storm.process.http())
        .await
        .expect("an answer");
    socket.write_all(&request).await.expect("an answer");
    let mut reply = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut reply));
    read.await.expect("in time").expect("an answer");
    let reply = String::from_utf8(reply).expect("an answer");
    let (_, body) = reply.split_once("\r\n\r\n").expect("an answer");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{reply}"))
}
