//! Loading plugins for tests.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use muster_plugin::{
    AllowedOrigin, CacheConfig, Candidate, CandidateSource, Changes, EgressPolicy, Engine,
    EngineConfig, FetchError, Limits, Outcome, Plugin, Refresher, Settings, Stubs, SystemResolver,
    Verification,
};

use crate::backend::Backend;

/// One engine for all tests: it has a thread of its own.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        // Kept over runs: the tests load the same few components again and
        // again.
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
        let config = EngineConfig {
            cache: Some(CacheConfig {
                directory,
                bytes: 256 << 20,
            }),
            ..EngineConfig::default()
        };
        Engine::new(&config).unwrap()
    })
}

/// Answers every entry as an online user with one new contact.
pub(crate) struct Refreshing;

impl Refresher for Refreshing {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        let outcome = |username: String| Outcome {
            online: true,
            result: match username.as_str() {
                "marie" => Err(muster_plugin::Failure::Fetch(FetchError::Unavailable)),
                _ => Ok(Changes {
                    added: 1,
                    ..Changes::default()
                }),
            },
            username,
        };
        Box::pin(async move { usernames.into_iter().map(outcome).collect() })
    }
}

pub(crate) fn settings(backend: &Backend, limits: Limits) -> Settings {
    let url = format!("http://{}/contacts/%s", backend.address);
    Settings {
        name: "example.test".to_owned(),
        config: vec![
            ("http_roster_url".to_owned(), url.clone()),
            ("domain".to_owned(), "example.test".to_owned()),
            ("authority".to_owned(), backend.address.to_string()),
        ],
        egress: EgressPolicy::for_url(&url).unwrap(),
        verification: Verification::default(),
        resolver: Arc::new(SystemResolver),
        stubs: Stubs::Absent,
        limits,
    }
}

/// The settings of a virtual host of that name, whose plugin may reach these
/// origins and has stubs of files and sockets.
pub(crate) fn reaching(name: &str, origins: Vec<AllowedOrigin>) -> Settings {
    crate::counted::counters();
    Settings {
        name: name.to_owned(),
        config: vec![("domain".to_owned(), name.to_owned())],
        egress: EgressPolicy { origins },
        resolver: Arc::new(SystemResolver),
        stubs: Stubs::DenyAll,
        verification: Verification::default(),
        limits: Limits {
            workers: 1,
            ..Limits::default()
        },
    }
}

/// The prying plugin with these settings.
pub(crate) async fn prying(settings: Settings) -> Plugin {
    Plugin::load(
        engine(),
        Candidate::builtin(muster_test_plugins::prying()),
        settings,
    )
    .await
    .unwrap()
}

pub(crate) async fn builtin(backend: &Backend, limits: Limits) -> Plugin {
    let settings = settings(backend, limits);
    Plugin::load(
        engine(),
        Candidate::builtin(muster_builtin::COMPONENT),
        settings,
    )
    .await
    .unwrap()
}

pub(crate) async fn hostile(backend: &Backend, limits: Limits) -> Plugin {
    let settings = settings(backend, limits);
    Plugin::load(
        engine(),
        Candidate::builtin(muster_test_plugins::hostile()),
        settings,
    )
    .await
    .unwrap()
}

/// A component as if it came from a file.
pub(crate) fn file(component: &[u8]) -> Candidate {
    let source = CandidateSource::File("plugin.wasm".into());
    Candidate::new(Bytes::copy_from_slice(component), source, None)
}

/// Deadlines that a test can wait for.
pub(crate) fn quick() -> Limits {
    Limits {
        call: Duration::from_millis(1_000),
        handle_call: Duration::from_millis(3_000),
        ..Limits::default()
    }
}

/// What a hostile guest saw.
pub(crate) async fn seen(plugin: &Plugin, deed: &str) -> String {
    match plugin.fetch(deed, None).await {
        Err(FetchError::Malformed(text)) => text,
        other => panic!("{deed}: {other:?}"),
    }
}
