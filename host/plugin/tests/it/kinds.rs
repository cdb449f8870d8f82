//! The kinds of plugin in one table each: what a fetch comes to, what a request
//! comes to, and what a handler that misbehaves costs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use muster_plugin::{
    Candidate, FetchError, Fetched, HandleError, Kind, Limits, Outcome, Plugin, PluginFault,
    Refresher, Stubs, inspect,
};

use crate::backend::Backend;
use crate::handle::send;
use crate::host::{engine, quick, settings};

/// The plain handlers, and what they are.
fn handlers() -> [(Kind, &'static [u8]); 2] {
    [
        (Kind::Http03, muster_test_plugins::handler_0_3()),
        (Kind::Http02, muster_test_plugins::handler_0_2()),
    ]
}

/// All that asks the app for what it is asked: some of each kind.
fn all() -> [(Kind, &'static [u8]); 4] {
    let [new, old] = handlers();
    let contract = Kind::Contract("0.1.0".to_owned());
    let spin = (Kind::Http03, muster_test_plugins::spin());
    [(contract, muster_builtin::COMPONENT), new, old, spin]
}

async fn load(component: &'static [u8], backend: &Backend, limits: Limits) -> Plugin {
    let settings = settings(backend, limits);
    Plugin::load(engine(), Candidate::builtin(component), settings)
        .await
        .unwrap()
}

/// Small enough to be reached quickly, also where others keep the machine busy.
fn small() -> Limits {
    Limits {
        memory_bytes: 16 << 20,
        workers: 1,
        turn: Duration::from_millis(50),
        call: Duration::from_secs(3),
        response_bytes: 256 << 10,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_tells_its_kind() {
    let backend = Backend::start().await;
    for (kind, component) in all() {
        let inspection = inspect(component, usize::MAX).unwrap();
        assert_eq!(inspection.kind.as_ref(), Some(&kind));
        assert_eq!(inspection.accept(Stubs::Absent).unwrap(), &kind);
        let plugin = load(component, &backend, Limits::default()).await;
        assert_eq!(plugin.status().build.kind, kind);
    }
}

/// Whatever the kind, the same answer of the app comes to the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_comes_to_the_same_in_every_kind() {
    let malformed = || FetchError::Malformed(String::new());
    for (kind, component) in all() {
        let backend = Backend::start().await;
        let plugin = load(component, &backend, quick()).await;
        let Ok(Fetched::Roster {
            contacts,
            validator,
            skipped: 0,
        }) = plugin.fetch("john", None).await
        else {
            panic!("{kind}: no roster");
        };
        assert_eq!(contacts[0].jid, "marie@example.test", "{kind}");
        assert_eq!(contacts[0].name.as_deref(), Some("Marie"), "{kind}");
        assert_eq!(contacts[0].groups, ["Friends"], "{kind}");
        assert_eq!(validator.as_deref(), Some("\"v1\""), "{kind}");
        let again = plugin.fetch("john", validator.as_deref()).await;
        assert_eq!(again, Ok(Fetched::Unchanged), "{kind}");
        let heads = backend.heads();
        assert!(heads[0].starts_with("get /contacts/john "), "{}", heads[0]);
        assert!(heads[1].contains("if-none-match: \"v1\""), "{}", heads[1]);

        for (user, expected) in [
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
            ("silent", FetchError::Timeout),
            (".", FetchError::Denied),
            ("..", FetchError::Denied),
        ] {
            let got = match plugin.fetch(user, None).await {
                Err(FetchError::Malformed(_)) => malformed(),
                Err(error) => error,
                Ok(fetched) => panic!("{kind}: {user}: {fetched:?}"),
            };
            assert_eq!(got, expected, "{kind}: {user}");
        }
        let Ok(Fetched::Roster { contacts, .. }) = plugin.fetch("heavy", None).await else {
            panic!("{kind}: no heavy roster");
        };
        assert_eq!(contacts.len(), 3_000, "{kind}");
        plugin.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_answers_by_itself_is_judged() {
    for (kind, component) in handlers() {
        let backend = Backend::start().await;
        let plugin = load(component, &backend, Limits::default()).await;
        for (user, expected) in [
            ("unchanged", FetchError::Status(304)),
            ("teapot", FetchError::Status(418)),
            ("many", FetchError::TooLarge),
            ("error", FetchError::Timeout),
        ] {
            let answer = plugin.fetch(user, None).await;
            assert_eq!(answer, Err(expected), "{kind}: {user}");
        }
        let page = plugin.fetch("page", None).await;
        assert!(
            matches!(page, Err(FetchError::Malformed(_))),
            "{kind}: {page:?}"
        );
        let known = plugin.fetch("unchanged", Some("\"v1\"")).await;
        assert_eq!(known, Ok(Fetched::Unchanged), "{kind}");
        let Ok(Fetched::Roster { validator, .. }) = plugin.fetch("vague", None).await else {
            panic!("{kind}: no roster");
        };
        assert_eq!(validator, None, "{kind}: which of the two?");
        assert_eq!(backend.connections(), 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misdeed_costs_its_own_call() {
    for (kind, component) in handlers() {
        let backend = Backend::start().await;
        let plugin = load(component, &backend, small()).await;
        let fault = |fault| Err(FetchError::Plugin(fault));
        for (user, expected) in [
            ("trap", fault(PluginFault::Trap)),
            ("spin", fault(PluginFault::TurnLimit)),
            ("grow", fault(PluginFault::ResourceLimit)),
            ("recurse", fault(PluginFault::StackOverflow)),
            ("flood", fault(PluginFault::ResourceLimit)),
            ("never", Err(FetchError::Timeout)),
            ("torrent", Err(FetchError::TooLarge)),
            ("unfinished", Err(FetchError::Unavailable)),
            ("trap-late", fault(PluginFault::Trap)),
            (
                "lying",
                Err(match kind {
                    Kind::Http02 => FetchError::Unavailable,
                    _ => FetchError::TooLarge,
                }),
            ),
            (
                "mute",
                match kind {
                    Kind::Http02 => fault(PluginFault::Unanswered),
                    _ => Err(FetchError::Timeout),
                },
            ),
        ] {
            let started = Instant::now();
            let answer = plugin.fetch(user, None).await;
            assert_eq!(answer, expected, "{kind}: {user}");
            assert!(started.elapsed() < Duration::from_secs(9), "{kind}: {user}");
            let next = plugin.fetch("honest", None).await;
            assert!(next.is_ok(), "{kind}: after {user}: {next:?}");
        }
    }
}

/// A call that hangs, and one that traps, beside others.
#[tokio::test(flavor = "multi_thread")]
async fn calls_beside_a_misdeed_succeed() {
    for (kind, component) in handlers() {
        let backend = Backend::start().await;
        let plugin = Arc::new(load(component, &backend, Limits::default()).await);
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let plugin = Arc::clone(&plugin);
                tokio::spawn(async move { plugin.fetch("slow", None).await })
            })
            .collect();
        backend.requests(20).await;
        let trapped = plugin.fetch("trap", None).await;
        assert_eq!(
            trapped,
            Err(FetchError::Plugin(PluginFault::Trap)),
            "{kind}"
        );
        backend.release(100);
        for call in calls {
            assert!(call.await.unwrap().is_ok(), "{kind}");
        }
    }
}

/// Of a kind that takes one call a store, so many run and the others wait.
#[tokio::test(flavor = "multi_thread")]
async fn lone_calls_are_bounded_and_end_with_their_caller() {
    let backend = Backend::start().await;
    let limits = Limits {
        lone_calls: 2,
        ..Limits::default()
    };
    let plugin = load(muster_test_plugins::handler_0_2(), &backend, limits).await;
    let plugin = Arc::new(plugin);
    let call = || {
        let plugin = Arc::clone(&plugin);
        tokio::spawn(async move { plugin.fetch("slow", None).await })
    };
    let (first, second, third) = (call(), call(), call());
    backend.requests(2).await;
    assert_eq!(backend.heads().len(), 2, "the third waits");
    // Who gives up frees the place.
    first.abort();
    backend.requests(1).await;
    backend.release(3);
    let ended = [second.await.unwrap(), third.await.unwrap()];
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_calls_finish_and_cuts_what_hangs() {
    for (kind, component) in handlers() {
        let backend = Backend::start().await;
        let plugin = Arc::new(load(component, &backend, Limits::default()).await);
        let slow = tokio::spawn({
            let plugin = Arc::clone(&plugin);
            async move { plugin.fetch("slow", None).await }
        });
        backend.requests(1).await;
        let stopping = plugin.shutdown(Duration::from_secs(20));
        let (answer, ()) = tokio::join!(
            async {
                backend.release(1);
                slow.await.unwrap()
            },
            stopping
        );
        assert!(answer.is_ok(), "{kind}: {answer:?}");
        let stopped = plugin.fetch("honest", None).await;
        assert_eq!(
            stopped,
            Err(FetchError::Plugin(PluginFault::Stopped)),
            "{kind}"
        );

        let plugin = Arc::new(load(component, &backend, Limits::default()).await);
        let hanging = tokio::spawn({
            let plugin = Arc::clone(&plugin);
            async move { plugin.fetch("slow", None).await }
        });
        backend.requests(1).await;
        let started = Instant::now();
        plugin.shutdown(Duration::ZERO).await;
        let cut = hanging.await.unwrap();
        assert_eq!(cut, Err(FetchError::Plugin(PluginFault::Stopped)), "{kind}");
        assert!(started.elapsed() < Duration::from_secs(3), "{kind}");
    }
}

/// Keeps who is to be refreshed; nobody's app answers.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Refresher for Asked {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        self.0.lock().unwrap().extend(usernames.iter().cloned());
        let outcomes = usernames.into_iter().map(|username| Outcome {
            result: match username.as_str() {
                "marie" => Err(muster_plugin::Failure::Fetch(FetchError::NotFound)),
                _ => Ok(muster_plugin::Changes::default()),
            },
            username,
            online: true,
        });
        Box::pin(std::future::ready(outcomes.collect()))
    }
}

async fn post(
    plugin: &Plugin,
    path: &str,
    body: &str,
) -> (Result<Response<Bytes>, HandleError>, Vec<String>) {
    let asked = Arc::new(Asked::default());
    let request = Request::post(format!("http://127.0.0.1:5280/roster_admin/{path}"))
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let refresher: Arc<dyn Refresher> = Arc::clone(&asked) as _;
    let answer = plugin.handle(request, refresher).await;
    let usernames = asked.0.lock().unwrap().clone();
    (answer, usernames)
}

/// Every kind refreshes whom the app names, and answers the same summary.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_comes_to_the_same_in_every_kind() {
    for (kind, component) in all() {
        let backend = Backend::start().await;
        let limits = Limits {
            refresh_usernames: 3,
            ..quick()
        };
        let mut settings = settings(&backend, limits);
        settings
            .config
            .push(("max_names".to_owned(), "3".to_owned()));
        let plugin = Plugin::load(engine(), Candidate::builtin(component), settings)
            .await
            .unwrap();
        for (path, body, status, asked) in [
            (
                "refresh",
                r#"["john","marie","john"]"#,
                200,
                &["john", "marie", "john"][..],
            ),
            ("refresh/john", "", 200, &["john"]),
            ("refresh", "[]", 200, &[]),
            ("refresh", r#"["a","b","c","d"]"#, 413, &[]),
            ("other", "", 404, &[]),
        ] {
            let (answer, usernames) = post(&plugin, path, body).await;
            let answer = answer.unwrap();
            assert_eq!(answer.status(), status, "{kind}: {path} {body}");
            assert_eq!(usernames, asked, "{kind}: {path} {body}");
        }
        let (answer, _) = post(&plugin, "refresh", r#"["john","marie"]"#).await;
        let answer = answer.unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "application/json",
            "{kind}"
        );
        assert_eq!(
            answer.body(),
            r#"{"status":"ok","message":"roster update complete; errors: 1 not known to the app","updated":1,"errors":1}"#,
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_answers_the_app_is_passed_on_within_bounds() {
    for (kind, component) in handlers() {
        let backend = Backend::start().await;
        let plugin = load(component, &backend, quick()).await;
        let answer = send(&plugin, "POST", "/roster_admin/no", "").await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (422, &b"no"[..])
        );
        let answer = send(&plugin, "GET", "/roster_admin/browser", "")
            .await
            .unwrap();
        let names: Vec<_> = answer.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["content-type"], "{kind}");
        let answer = send(&plugin, "GET", "/roster_admin/headers", "")
            .await
            .unwrap();
        let names = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(!names.contains("authorization"), "{kind}: {names}");
        for (path, expected) in [
            ("no-list", HandleError::Wish),
            ("redirect", HandleError::Refused),
            ("error", HandleError::Refused),
            ("unfinished", HandleError::Refused),
            ("torrent", HandleError::TooLarge),
            ("trap", HandleError::Plugin(PluginFault::Trap)),
            ("trap-late", HandleError::Plugin(PluginFault::Trap)),
            ("spin", HandleError::Plugin(PluginFault::TurnLimit)),
            ("never", HandleError::Timeout(Duration::from_secs(3))),
        ] {
            let (answer, usernames) = post(&plugin, path, "[\"john\"]").await;
            assert_eq!(
                answer.map(|it| it.status()),
                Err(expected),
                "{kind}: {path}"
            );
            assert_eq!(usernames, [""; 0], "{kind}: {path}");
        }
    }
}

/// A build of another kind takes over, and the one before stands by.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_follow_one_another() {
    let backend = Backend::start().await;
    let plugin = load(muster_builtin::COMPONENT, &backend, Limits::default()).await;
    for (kind, component) in handlers() {
        plugin.swap(crate::host::file(component)).await.unwrap();
        assert_eq!(plugin.status().build.kind, kind);
        assert!(plugin.fetch("john", None).await.is_ok(), "{kind}");
        // On probation, a trap is answered by the build before.
        assert!(plugin.fetch("trap", None).await.is_ok(), "{kind}");
        assert_eq!(
            plugin.status().build.kind,
            Kind::Contract("0.1.0".to_owned()),
            "{kind} was given up for it"
        );
    }
}
