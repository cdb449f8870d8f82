//! What the sandbox costs a fetch, and where it costs it.
//!
//! `cargo bench --bench fetch` prints CPU time of the host
//! for one fetch: the median of some rounds, in which the variants take turns,
//! so that what else the machine does meets all of them. The app runs in a
//! process of its own.
//!
//! Each line of the table is a part of the work more than the line before:
//!
//! - `no-op`: a call that the guest answers at once;
//! - `http`: the request goes through the gate, and the app says 304;
//! - `parse`: the app sends a document of N entries, of which no contact
//!   comes, because each has a name that is no text;
//! - `fetch`: the same document with N contacts in it.
//!
//! And each column is a way to do it:
//!
//! - `bare`: hyper's client, the body collected, `muster-contract` on it, the
//!   contacts owned. No gate, no limit, no check: the least that a program
//!   without a sandbox could do, and less than Muster may;
//! - `native`: what the host does with or without a sandbox, in the very code
//!   that serves a plugin ([`muster_plugin::native`]): deadlines, the egress
//!   gate, the pooled client, the caps, the contacts owned, the acceptance of
//!   each, the metrics. Only the parser is called in place of a plugin;
//! - `1-store`, `2-stores`: [`Plugin::fetch`] with so many worker stores.
//!
//! `times` is the dearer of the last two by `native`.
//!
//! Names of parts as arguments leave out the others. `--component=FILE`
//! measures another plugin than the built-in one, `--only=WAY` one way alone
//! (for a profiler), and `--fetches=N` makes shorter or longer rounds.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints its table, and what fails ends it"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use muster_plugin::native::Native;
use muster_plugin::{
    Candidate, CandidateSource, EgressPolicy, Engine, EngineConfig, FetchError, Fetched, Limits,
    Plugin, Settings, Stubs, SystemResolver, Verification,
};
use muster_plugin_bindings::v0_1::muster::roster::types;
use rustix::time::{ClockId, clock_gettime};

mod app;

/// Fetches of one way in one round unless the arguments say otherwise, and at once.
const FETCHES: usize = 3_200;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 7;

fn main() {
    if std::env::args().any(|arg| arg == "--app") {
        return app::serve();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| arguments.iter().find_map(|text| text.strip_prefix(name));
    let component = option("--component=").map_or_else(
        || Bytes::from_static(muster_builtin::COMPONENT),
        |file| std::fs::read(file).unwrap().into(),
    );
    let fetches = option("--fetches=").map_or(FETCHES, |n| n.parse().unwrap());
    let only: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let app = app::App::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    println!("CPU µs of the host for one fetch, {AT_ONCE} at once");
    println!(
        "{:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "contacts", "", "bare", "native", "1-store", "2-stores", "times"
    );
    let ways = Ways::new(
        app.address,
        component,
        fetches,
        option("--only=").map(str::to_owned),
    );
    let ways = runtime.block_on(ways);
    for contacts in [20, 100] {
        for part in [Part::Nothing, Part::Http, Part::Parse, Part::Fetch] {
            if only.is_empty() || only.iter().any(|name| *name == part.name()) {
                runtime.block_on(row(&ways, part, contacts));
            }
        }
    }
}

/// How much of a fetch is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Http,
    Parse,
    Fetch,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no-op",
            Self::Http => "http",
            Self::Parse => "parse",
            Self::Fetch => "fetch",
        }
    }

    /// The user whose document the app makes accordingly.
    fn user(self, contacts: usize) -> String {
        match self {
            Self::Nothing => "missing".to_owned(),
            Self::Http | Self::Fetch => contacts.to_string(),
            Self::Parse => format!("odd-{contacts}"),
        }
    }

    /// A validator that the app knows makes it say 304.
    fn known(self) -> Option<&'static str> {
        (self == Self::Http).then_some("\"1\"")
    }

    /// Whether the answer is what this part of the work ends with.
    fn expects(self, answer: &Result<Fetched, FetchError>, contacts: usize) -> bool {
        match answer {
            Err(FetchError::NotFound) => self == Self::Nothing,
            Ok(Fetched::Unchanged) => self == Self::Http,
            Ok(Fetched::Roster {
                contacts: found,
                skipped,
                ..
            }) => match self {
                Self::Parse => found.is_empty() && *skipped as usize == contacts,
                Self::Fetch => found.len() == contacts,
                Self::Nothing | Self::Http => false,
            },
            Err(_) => false,
        }
    }
}

/// The ways to do it, each with its connections and stores.
struct Ways {
    app: SocketAddr,
    /// In one round.
    fetches: usize,
    /// The way that is not left out, if not all are taken.
    only: Option<String>,
    bare: Client<HttpConnector, Empty<Bytes>>,
    native: Arc<Native>,
    /// The built-in plugin, with one store and with two.
    plugins: [Arc<Plugin>; 2],
    /// Those of a plugin that answers at once.
    idlers: [Arc<Plugin>; 2],
}

impl Ways {
    async fn new(app: SocketAddr, component: Bytes, fetches: usize, only: Option<String>) -> Self {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        // The hostile plugin does not know most users, and says so at once.
        let idler = Bytes::from_static(muster_test_plugins::hostile());
        let load = async |component: &Bytes, workers| {
            let source = CandidateSource::File("bench.wasm".into());
            let candidate = Candidate::new(component.clone(), source, None);
            let plugin = Plugin::load(&engine, candidate, settings(app, workers)).await;
            Arc::new(plugin.unwrap())
        };
        Self {
            app,
            fetches,
            only,
            bare: Client::builder(TokioExecutor::new()).build_http(),
            native: Arc::new(Native::new(settings(app, 1)).unwrap()),
            plugins: [load(&component, 1).await, load(&component, 2).await],
            idlers: [load(&idler, 1).await, load(&idler, 2).await],
        }
    }

    fn takes(&self, way: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == way)
    }
}

async fn row(ways: &Ways, part: Part, contacts: usize) {
    let mut rounds: [Vec<Duration>; 4] = Default::default();
    // The first round makes connections and memories, and does not count.
    for round in 0..=ROUNDS {
        let times = [
            bare(ways, part, contacts).await,
            native(ways, part, contacts).await,
            sandbox(ways, part, contacts, 0).await,
            sandbox(ways, part, contacts, 1).await,
        ];
        if round > 0 {
            for (all, time) in rounds.iter_mut().zip(times) {
                all.extend(time);
            }
        }
    }
    let [bare, native, one, two] = rounds.map(|all| median(all, ways.fetches));
    let text = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1}"));
    let times = native.map(|native| one.into_iter().chain(two).fold(0.0, f64::max) / native);
    println!(
        "{contacts:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>6}",
        part.name(),
        text(bare),
        text(native),
        text(one),
        text(two),
        times.map_or("-".to_owned(), |times| format!("{times:.2}")),
    );
}

/// Microseconds for one fetch.
fn median(mut rounds: Vec<Duration>, fetches: usize) -> Option<f64> {
    rounds.sort();
    let middle = rounds.get(rounds.len() / 2)?;
    Some(middle.as_secs_f64() * 1e6 / fetches as f64)
}

async fn bare(ways: &Ways, part: Part, contacts: usize) -> Option<Duration> {
    if part == Part::Nothing || !ways.takes("bare") {
        return None;
    }
    let (client, app) = (ways.bare.clone(), ways.app);
    let time = measure(ways.fetches, move || {
        let client = client.clone();
        async move {
            let url = format!("http://{app}/contacts/{}", part.user(contacts));
            let mut request = Request::get(url).header(header::ACCEPT, "application/json");
            if let Some(known) = part.known() {
                request = request.header(header::IF_NONE_MATCH, known);
            }
            let request = request.body(Empty::new()).unwrap();
            let response = client.request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            if part != Part::Http {
                let list = parse(&body).unwrap();
                assert_eq!(list.contacts.len() + list.skipped as usize, contacts);
            }
        }
    });
    Some(time.await)
}

async fn native(ways: &Ways, part: Part, contacts: usize) -> Option<Duration> {
    if part == Part::Nothing || !ways.takes("native") {
        return None;
    }
    let (native, app) = (Arc::clone(&ways.native), ways.app);
    let time = measure(ways.fetches, move || {
        let native = Arc::clone(&native);
        async move {
            let url = format!("http://{app}/contacts/{}", part.user(contacts));
            let known = part.known().map(HeaderValue::from_static);
            let answer = native.fetch(url.parse().unwrap(), known, parse).await;
            assert!(part.expects(&answer, contacts), "{answer:?}");
        }
    });
    Some(time.await)
}

async fn sandbox(ways: &Ways, part: Part, contacts: usize, which: usize) -> Option<Duration> {
    if !ways.takes(["1-store", "2-stores"][which]) {
        return None;
    }
    let plugins = match part {
        Part::Nothing => &ways.idlers,
        Part::Http | Part::Parse | Part::Fetch => &ways.plugins,
    };
    let plugin = Arc::clone(&plugins[which]);
    let time = measure(ways.fetches, move || {
        let plugin = Arc::clone(&plugin);
        async move {
            let answer = plugin.fetch(&part.user(contacts), part.known()).await;
            assert!(part.expects(&answer, contacts), "{answer:?}");
        }
    });
    Some(time.await)
}

/// The parser's contacts, owned, in the types that a plugin returns.
fn parse(body: &[u8]) -> Result<types::ContactList, types::FetchError> {
    let parsed = muster_contract::parse_roster(body, 10_000);
    let parsed = parsed.map_err(|error| types::FetchError::Malformed(error.to_string()))?;
    let contacts = parsed.contacts.into_iter().map(|contact| types::Contact {
        jid: contact.jid.into_owned(),
        name: contact.name.map(Into::into),
        groups: contact.groups.into_iter().map(Into::into).collect(),
        subscription: match contact.subscription {
            muster_contract::Subscription::None => types::Subscription::None,
            muster_contract::Subscription::To => types::Subscription::To,
            muster_contract::Subscription::From => types::Subscription::From,
            muster_contract::Subscription::Both => types::Subscription::Both,
        },
    });
    Ok(types::ContactList {
        contacts: contacts.collect(),
        validator: None,
        skipped: parsed.skipped,
    })
}

fn settings(app: SocketAddr, workers: usize) -> Settings {
    let url = format!("http://{app}/contacts/%s");
    Settings {
        name: "example.test".to_owned(),
        config: vec![
            ("http_roster_url".to_owned(), url.clone()),
            ("domain".to_owned(), "example.test".to_owned()),
        ],
        egress: EgressPolicy::for_url(&url).unwrap(),
        verification: Verification::default(),
        resolver: Arc::new(SystemResolver),
        stubs: Stubs::Absent,
        limits: Limits {
            workers,
            ..Limits::default()
        },
    }
}

/// CPU time of this process for all fetches.
async fn measure<F>(fetches: usize, work: impl Fn() -> F + Clone + Send + 'static) -> Duration
where
    F: Future<Output = ()> + Send,
{
    let before = cpu_time();
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let work = work.clone();
            tokio::spawn(async move {
                for _ in 0..fetches / AT_ONCE {
                    work().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    cpu_time() - before
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}
