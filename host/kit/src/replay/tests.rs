//! A day of a plugin, replayed into builds that are the same and into one that
//! is not.

use std::collections::BTreeMap;

use http::{Method, Response, StatusCode};
use muster_plugin::{EngineConfig, Tap};

use super::*;
use crate::record::{Bounds, Eyes, Recorder, Together};
use crate::stage::{Answer, Answering, App};

/// An app by target, which answers for many as for each.
struct Fixed(BTreeMap<String, String>);

impl Fixed {
    fn of_many(&self, asked: &Bytes) -> String {
        let users: Vec<String> = serde_json::from_slice(asked).unwrap();
        let lists = users.iter().filter_map(|user| {
            let list = self.0.get(&format!("/contacts/{user}"))?;
            Some(format!("{user:?}: {list}"))
        });
        format!("{{{}}}", lists.collect::<Vec<_>>().join(", "))
    }
}

impl App for Fixed {
    fn accepts(&self, _: &Origin) -> bool {
        true
    }

    fn answer(&self, request: Request<Bytes>) -> Answering {
        let body = match request.uri().path() {
            "/contacts" => Some(self.of_many(request.body())),
            path => self.0.get(path).cloned(),
        };
        let is_there = body.is_some();
        let mut response = Response::new(Bytes::from(body.unwrap_or_default()));
        if !is_there {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        Box::pin(std::future::ready(Answer::Response(response)))
    }
}

/// What a build before the built-in plugin would have made of the same day: one
/// that knew no key `subscription`, so that everybody was a mutual contact.
fn of_an_older_build(mut recording: Recording) -> Recording {
    let alone = recording.fetches.iter_mut().map(|it| &mut it.result);
    let together = recording
        .batches
        .iter_mut()
        .flat_map(|it| match &mut it.result {
            Together::Each(found) => found.iter_mut(),
            Together::Error(_) => [].iter_mut(),
        });
    for found in alone.chain(together) {
        if let Found::List(list) = found {
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
        rosters_url: Some("http://app.test/contacts".to_owned()),
        origins: vec![(
            "http://app.test".to_owned(),
            vec!["GET".to_owned(), "POST".to_owned()],
        )],
        deny_all_stubs: false,
    }
}

/// Fetches of sixty users, and of sixty more in three requests; of them every
/// tenth has a contact that the older build saw otherwise.
async fn day(engine: &Engine) -> Recorder {
    let mut app = BTreeMap::new();
    for user in 0..120 {
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
    for first in [60, 80, 100] {
        let users = (first..first + 20).map(|user| format!("user{user}"));
        let users: Vec<_> = users.chain(["nobody".to_owned()]).collect();
        let lists = live.plugin.fetch_many(&users).await.unwrap();
        assert_eq!(lists.iter().filter(|list| list.is_ok()).count(), 20);
    }
    live.plugin.listen_no_more(&tap);
    live.end().await;
    drop(tap);
    Arc::into_inner(recorder).unwrap()
}

async fn plugin(engine: &Engine, stage: Arc<Stage>) -> Plugin {
    let mut egress = EgressPolicy::for_url(&about().url).unwrap();
    for allowed in &mut egress.origins {
        allowed.methods.push(Method::POST);
    }
    let settings = Settings {
        name: "example.test".to_owned(),
        config: vec![
            ("http_roster_url".to_owned(), about().url),
            (
                "http_rosters_url".to_owned(),
                about().rosters_url.unwrap_or_default(),
            ),
            ("domain".to_owned(), "example.test".to_owned()),
        ],
        egress,
        resolver: stage,
        stubs: Stubs::Absent,
        verification: Verification::default(),
        limits: limits(TIMEOUT),
    };
    let builtin = Candidate::builtin(muster_builtin::COMPONENT);
    Plugin::load(engine, builtin, settings).await.unwrap()
}

/// Every user with the list that was found, alone or among others.
fn lists_of(recording: &Recording) -> impl Iterator<Item = (&String, &Vec<Listed>)> {
    let alone = recording
        .fetches
        .iter()
        .map(|it| (&it.username, &it.result));
    let together = recording.batches.iter().flat_map(|it| match &it.result {
        Together::Each(found) => it.usernames.iter().zip(found),
        Together::Error(error) => panic!("{error}"),
    });
    alone
        .chain(together)
        .filter_map(|(user, found)| match found {
            Found::List(list) => Some((user, list)),
            _ => None,
        })
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
        assert_eq!(same.calls, 61 + 63);

        let expected: Vec<_> = lists_of(&recording)
            .filter_map(|(user, list)| {
                let changed = list.iter().find(|it| it.subscription == "to")?;
                Some((user.clone(), changed.clone()))
            })
            .collect();
        assert_eq!(expected.len(), 6 + 6);
        let builtin = Candidate::builtin(muster_builtin::COMPONENT);
        let replayed = replay(
            &engine,
            builtin,
            of_an_older_build(recording),
            no_settings(),
        );
        let replayed = replayed.await.unwrap();
        assert_eq!(replayed.counts(), (0, 12, 0), "{replayed}");
        assert_eq!(replayed.users.len(), 12);
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
        assert_eq!(replayed.as_json()["changed"], 12);
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

#[tokio::test]
async fn a_batch_that_nobody_recorded_cannot_be_compared() {
    let engine = engine();
    let recorder = day(&engine).await;
    let recording = recorder.recording(about(), String::new(), &no_settings(), &Eyes::Operator);
    let mut without = recording.clone();
    let first = without.batches[0].begun;
    let asked = without.exchanges.iter().position(|it| it.at > first);
    without.exchanges.remove(asked.unwrap());
    // A build that asks for one at a time, as this one does where it is told no
    // address for many.
    let mut alone = recording;
    alone.about.rosters_url = None;
    for (recording, users, asked) in [
        (without, 21, "POST /contacts"),
        (alone, 60, "GET /contacts/user60"),
    ] {
        let builtin = Candidate::builtin(muster_builtin::COMPONENT);
        let replaying = replay(&engine, builtin, recording, no_settings());
        let replayed = replaying.await.unwrap();
        assert_eq!(replayed.users.len(), users, "{replayed}");
        let missed = Verdict::NotRecorded {
            asked: asked.to_owned(),
        };
        assert_eq!(replayed.users.get("user60"), Some(&missed));
    }
}
