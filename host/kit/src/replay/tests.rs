//! A day of a plugin, replayed into builds that are the same and into one that
//! is not.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use muster_plugin::{EngineConfig, Tap};

use super::*;
use crate::record::{Bounds, Eyes, Recorder};
use crate::stage::{Answer, Answering, App};

/// An app by target.
struct Fixed(BTreeMap<String, String>);

impl App for Fixed {
    fn accepts(&self, _: &Origin) -> bool {
        true
    }

    fn answer(&self, request: Request<Bytes>) -> Answering {
        let body = self.0.get(request.uri().path());
        let mut response = Response::new(Bytes::from(body.cloned().unwrap_or_default()));
        if body.is_none() {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        Box::pin(std::future::ready(Answer::Response(response)))
    }
}

/// What a build before the built-in plugin would have made of the same day: one
/// that knew no key `subscription`, so that everybody was a mutual contact.
fn of_an_older_build(mut recording: Recording) -> Recording {
    for fetch in &mut recording.fetches {
        if let Found::List(list) = &mut fetch.result {
            for contact in list {
                contact.subscription = "both".to_owned();
            }
        }
    }
    recording
}

fn engine() -> Engine {
    let directory = std::env::temp_dir().join("muster-kit-tests");
    let config = EngineConfig {
        cache: Some(muster_plugin::CacheConfig {
            directory,
            bytes: 256 << 20,
        }),
        ..EngineConfig::default()
    };
    Engine::new(&config).unwrap()
}

fn no_settings() -> record::Settings {
    record::Settings::default()
}

fn about() -> About {
    About {
        domain: "example.test".to_owned(),
        url: "http://app.test/contacts/%s".to_owned(),
        origins: vec![("http://app.test".to_owned(), vec!["GET".to_owned()])],
        deny_all_stubs: false,
    }
}

/// Fetches of sixty users, of whom every tenth has a contact that the older
/// build saw otherwise.
async fn day(engine: &Engine) -> Recorder {
    let mut app = BTreeMap::new();
    for user in 0..60 {
        let subscription = if user % 10 == 0 { "to" } else { "both" };
        let body = format!(
            "{{\"marie{user}@example.test\": {{\"name\": \"Marie {user}\", \
             \"subscription\": \"{subscription}\"}}, \
             \"aaron@example.test\": {{\"groups\": [\"Work\"]}}}}"
        );
        app.insert(format!("/contacts/user{user}"), body);
    }
    let live = Replayer {
        plugin: plugin(engine, Stage::new(Arc::new(Fixed(app)))).await,
        tape: Tape::new(Vec::new(), record::Settings::default()),
        domain: BareJid::new("example.test").unwrap(),
    };
    let bounds = Bounds {
        fetches: 1_000,
        bytes: 1 << 20,
    };
    let recorder = Arc::new(Recorder::new(bounds, || {}));
    let tap: Arc<dyn Tap> = Arc::clone(&recorder) as _;
    live.plugin.listen(&tap);
    for user in 0..60 {
        let username = format!("user{user}");
        live.plugin.fetch(&username, None).await.unwrap();
    }
    live.plugin.fetch("nobody", None).await.unwrap_err();
    live.plugin.listen_no_more(&tap);
    live.end().await;
    drop(tap);
    Arc::into_inner(recorder).unwrap()
}

async fn plugin(engine: &Engine, stage: Arc<Stage>) -> Plugin {
    let settings = Settings {
        name: "example.test".to_owned(),
        config: vec![
            ("http_roster_url".to_owned(), about().url),
            ("domain".to_owned(), "example.test".to_owned()),
        ],
        egress: EgressPolicy::for_url(&about().url).unwrap(),
        resolver: stage,
        stubs: Stubs::Absent,
        verification: Verification::default(),
        limits: limits(TIMEOUT),
    };
    let builtin = Candidate::builtin(muster_builtin::COMPONENT);
    Plugin::load(engine, builtin, settings).await.unwrap()
}

#[tokio::test]
async fn a_day_replayed_shows_exactly_the_changed_contacts() {
    let engine = engine();
    let recorder = day(&engine).await;
    for eyes in [Eyes::Operator, Eyes::Anybody { keep: Vec::new() }] {
        let recording = recorder.recording(about(), String::new(), &no_settings(), &eyes);
        // Through the file.
        let text = serde_json::to_string(&recording).unwrap();
        let recording: Recording = serde_json::from_str(&text).unwrap();

        let builtin = Candidate::builtin(muster_builtin::COMPONENT);
        let same = replay(&engine, builtin, recording.clone(), no_settings());
        let same = same.await.unwrap();
        assert!(same.is_same(), "{same}");
        assert_eq!(same.calls, 61);

        let expected: Vec<_> = recording
            .fetches
            .iter()
            .filter_map(|fetch| match &fetch.result {
                Found::List(list) => {
                    let changed = list.iter().find(|it| it.subscription == "to")?;
                    Some((fetch.username.clone(), changed.clone()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(expected.len(), 6);
        let builtin = Candidate::builtin(muster_builtin::COMPONENT);
        let replayed = replay(
            &engine,
            builtin,
            of_an_older_build(recording),
            no_settings(),
        );
        let replayed = replayed.await.unwrap();
        assert_eq!(replayed.counts(), (0, 6, 0), "{replayed}");
        assert_eq!(replayed.users.len(), 6);
        for (user, contact) in expected {
            let Some(Verdict::Changed { differences }) = replayed.users.get(&user) else {
                panic!("{user}: {replayed}");
            };
            assert_eq!(differences.len(), 1);
            assert_eq!(differences[0].change, "changed");
            let name = contact.name.unwrap();
            let line = format!("{} {name:?}", contact.jid);
            assert_eq!(differences[0].contact, format!("{line} to []"));
            assert_eq!(differences[0].was, Some(format!("{line} both []")));
        }
        assert_eq!(replayed.as_json()["changed"], 6);
    }
}

#[tokio::test]
async fn what_nobody_recorded_cannot_be_compared() {
    let engine = engine();
    let recorder = day(&engine).await;
    let mut recording = recorder.recording(about(), String::new(), &no_settings(), &Eyes::Operator);
    recording
        .exchanges
        .retain(|it| it.target != "/contacts/user7");
    let builtin = Candidate::builtin(muster_builtin::COMPONENT);
    let replayed = replay(&engine, builtin, recording, no_settings())
        .await
        .unwrap();
    let missed = Verdict::NotRecorded {
        asked: "GET /contacts/user7".to_owned(),
    };
    assert_eq!(
        replayed.users,
        BTreeMap::from([("user7".to_owned(), missed)])
    );
}
