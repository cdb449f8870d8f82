//! One fetch through the sandbox beside the same work natively: HTTP over a
//! pooled connection, the document parsed, the contacts owned.
//!
//! `cargo bench -p muster-plugin --bench fetch` prints a table. The app runs
//! in a process of its own, so that the CPU time is the host's alone; it is
//! read from /proc, whose tick is 10 ms, over some thousand fetches.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and what fails ends it"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use muster_plugin::{
    EgressPolicy, Engine, EngineConfig, Limits, Plugin, Settings, Stubs, SystemResolver,
};

const FETCHES: usize = 4_000;
const AT_ONCE: usize = 32;

fn main() {
    if std::env::args().any(|arg| arg == "--app") {
        return app();
    }
    let mut app = App::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("{FETCHES} fetches, {AT_ONCE} at once; CPU and wall time of one fetch");
    println!(
        "{:>9} {:>12} {:>10} {:>10}",
        "contacts", "", "CPU µs", "wall µs"
    );
    for contacts in [20, 100] {
        let address = app.address;
        let native = runtime.block_on(native(address, contacts));
        row(contacts, "native", native);
        for workers in [1, 2] {
            let sandbox = runtime.block_on(sandbox(address, contacts, workers));
            row(contacts, &format!("{workers} store(s)"), sandbox);
        }
    }
    app.child.kill().unwrap();
    app.child.wait().unwrap();
}

fn row(contacts: usize, what: &str, (cpu, wall): (Duration, Duration)) {
    let each = |total: Duration| total.as_secs_f64() * 1e6 / FETCHES as f64;
    println!(
        "{contacts:>9} {what:>12} {:>10.0} {:>10.0}",
        each(cpu),
        each(wall)
    );
}

async fn native(address: SocketAddr, contacts: usize) -> (Duration, Duration) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    measure(move |_| {
        let client = client.clone();
        async move {
            let url = format!("http://{address}/contacts/{contacts}");
            let response = client.get(url.parse().unwrap()).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let parsed = muster_contract::parse_roster(&body, Some("john@example.test"), 10_000);
            let owned: Vec<_> = parsed
                .unwrap()
                .contacts
                .into_iter()
                .map(|contact| (contact.jid.into_owned(), contact.name.map(String::from)))
                .collect();
            owned.len()
        }
    })
    .await
}

async fn sandbox(address: SocketAddr, contacts: usize, workers: usize) -> (Duration, Duration) {
    let url = format!("http://{address}/contacts/%s");
    let settings = Settings {
        name: "example.test".to_owned(),
        config: vec![("http_roster_url".to_owned(), url.clone())],
        egress: EgressPolicy::for_url(&url).unwrap(),
        verification: muster_plugin::Verification::default(),
        resolver: Arc::new(SystemResolver),
        stubs: Stubs::Absent,
        limits: Limits {
            workers,
            ..Limits::default()
        },
    };
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let candidate = muster_plugin::Candidate::builtin(muster_builtin::COMPONENT);
    let plugin = Plugin::load(&engine, candidate, settings).await;
    let plugin = Arc::new(plugin.unwrap());
    measure(move |_| {
        let plugin = Arc::clone(&plugin);
        async move {
            match plugin.fetch(&contacts.to_string(), None).await.unwrap() {
                muster_plugin::Fetched::Roster { contacts, .. } => contacts.len(),
                muster_plugin::Fetched::Unchanged => 0,
            }
        }
    })
    .await
}

async fn measure<F>(work: impl Fn(usize) -> F + Clone + Send + 'static) -> (Duration, Duration)
where
    F: Future<Output = usize> + Send,
{
    let run = async |count: usize| {
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|n| {
                let work = work.clone();
                tokio::spawn(async move {
                    for _ in 0..count / AT_ONCE {
                        assert!(work(n).await > 0);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    };
    // Connections and memories first.
    run(FETCHES / 10).await;
    let (cpu, wall) = (cpu_time(), Instant::now());
    run(FETCHES).await;
    (cpu_time() - cpu, wall.elapsed())
}

/// User and system time of this process, in ticks of 10 ms (proc(5)).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(") ").next().unwrap();
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

struct App {
    child: Child,
    address: SocketAddr,
}

impl App {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--app")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        Self { child, address }
    }
}

/// The app: a thread a connection, as many contacts as the path says.
fn app() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        std::thread::spawn(move || serve(stream.unwrap()));
    }
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let path = text.split(' ').nth(1).unwrap();
        let contacts = path.rsplit('/').next().unwrap().parse().unwrap();
        let body = document(contacts);
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn document(contacts: usize) -> String {
    let entries: Vec<_> = (0..contacts)
        .map(|n| {
            format!(r#""user{n}@example.test":{{"name":"User {n}","groups":["Friends","Work"]}}"#)
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}
