//! One build after another: what is refused, what is lost (nothing), and what
//! is left of those that were replaced.

use std::collections::HashMap;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use muster_plugin::{
    Candidate, CandidateSource, Changes, Digest, Engine, EngineConfig, FetchError, Fetched, Limits,
    LoadError, Outcome, Phase, Plugin, PluginFault, Refresher, RollbackCause, RollbackError,
    SecretKey, Verification,
};
use muster_test_plugins::{deed, hostile, marked};
use tokio::sync::Semaphore;

use crate::backend::Backend;
use crate::handle::send;
use crate::host::{builtin, engine, file, quick, settings};

/// Over after one call.
fn short_probation() -> Limits {
    Limits {
        probation_calls: 1,
        ..Limits::default()
    }
}

async fn load(backend: &Backend, component: &[u8], limits: Limits) -> Plugin {
    let settings = settings(backend, limits);
    Plugin::load(engine(), file(component), settings)
        .await
        .unwrap()
}

fn is_roster(answer: &Result<Fetched, FetchError>) -> bool {
    matches!(answer, Ok(Fetched::Roster { contacts, .. }) if contacts.len() == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_changes_the_build_and_says_so() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    let before = plugin.status();
    assert_eq!(before.build.digest, Digest::of(muster_builtin::COMPONENT));
    assert_eq!(before.build.source, CandidateSource::Builtin);
    assert_eq!((before.phase, before.previous), (Phase::Serving, None));

    let component = marked(muster_builtin::COMPONENT, 1);
    let swapped = plugin.swap(file(&component)).await.unwrap();
    assert_eq!(swapped.digest, Digest::of(&component));
    assert_eq!(swapped.replaced, Some(before.build.digest));
    let after = plugin.status();
    assert!(after.generation > before.generation);
    assert_eq!(after.generation, swapped.generation);
    assert_eq!(after.build.digest, swapped.digest);
    assert_eq!(after.build.bytes, component.len());
    assert_eq!(after.build.kind.contract(), Some("0.1.0"));
    assert!(matches!(
        after.phase,
        Phase::Probation {
            calls_left: 100,
            ..
        }
    ));
    assert_eq!(after.previous.unwrap().digest, before.build.digest);
    assert!(is_roster(&plugin.fetch("john", None).await));

    let again = plugin.swap(file(&component)).await.unwrap();
    assert_eq!(again.replaced, None);
    assert_eq!(plugin.status().generation, after.generation);
    plugin.shutdown(Duration::from_secs(1)).await;
    let stopped = plugin.swap(file(muster_builtin::COMPONENT)).await;
    assert!(matches!(stopped, Err(LoadError::Stopped)));
}

/// The same bytes with other settings are another build, which comes and goes
/// with its settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_keeps_the_settings_that_it_was_tried_with() {
    let backend = Backend::start().await;
    let handler = muster_test_plugins::handler_0_3();
    let settings = settings(&backend, Limits::default());
    let plugin = Plugin::load(engine(), file(handler), settings.clone());
    let plugin = plugin.await.unwrap();
    let reads = async |plugin: &Plugin| {
        let answer = send(plugin, "GET", "/roster_admin/setting/page_size", "").await;
        let answer = answer.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status() == 200).then_some(text)
    };
    let with = |page_size: &str| {
        let mut config = settings.config.clone();
        config.push(("page_size".to_owned(), page_size.to_owned()));
        config
    };
    let none = plugin.identity();
    plugin.configure(with("50"));
    assert_eq!(reads(&plugin).await, None, "until a build is tried with it");
    let swapped = plugin.swap(file(handler)).await.unwrap();
    assert_eq!(swapped.replaced, Some(swapped.digest));
    assert_eq!(reads(&plugin).await.as_deref(), Some("50"));
    assert_ne!(plugin.identity(), none);
    plugin.configure(with("50"));
    let again = plugin.swap(file(handler)).await.unwrap();
    assert_eq!(again.replaced, None);

    // What is refused serves nobody; what is wanted is still wanted.
    plugin.configure(with("70"));
    plugin.swap(file(b"<html>")).await.unwrap_err();
    assert_eq!(reads(&plugin).await.as_deref(), Some("50"));
    plugin.swap(file(handler)).await.unwrap();
    assert_eq!(reads(&plugin).await.as_deref(), Some("70"));
    plugin.rollback().await.unwrap();
    assert_eq!(
        reads(&plugin).await,
        None,
        "the last that had proved itself"
    );
    assert_eq!(plugin.identity(), none);
    plugin.shutdown(Duration::from_secs(1)).await;
}

/// The label, the component, and what it must be beside.
type Refused = (&'static str, Vec<u8>, Verification);

fn refused() -> Vec<Refused> {
    let any = Verification::default;
    let builtin = muster_builtin::COMPONENT;
    let pinned = Verification {
        sha256: Some(Digest::of(builtin)),
        ..any()
    };
    let signed = Verification {
        trusted_keys: vec![SecretKey::generate().unwrap().public().unwrap()],
        ..any()
    };
    let fixture = |username: &str| Verification {
        self_test_user: Some(username.to_owned()),
        ..any()
    };
    let replaced = |from: &str, to: &str| {
        let text = exchanged(builtin, from.as_bytes(), to.as_bytes());
        assert!(text != builtin, "{from}");
        text
    };
    vec![
        ("empty", Vec::new(), any()),
        ("not_wasm", b"<html>".to_vec(), any()),
        ("core_module", b"\0asm\x01\0\0\0".to_vec(), any()),
        ("malformed", builtin[..builtin.len() / 2].to_vec(), any()),
        ("malformed", builtin[..builtin.len() - 1].to_vec(), any()),
        ("too_large", vec![0; 3 << 20], any()),
        ("missing_export", b"\0asm\x0d\0\x01\0".to_vec(), any()),
        (
            "contract",
            replaced("muster:roster/roster@0.1.0", "muster:roster/roster@0.2.0"),
            any(),
        ),
        (
            "denied_import",
            replaced("wasi:cli/exit@", "wasi:cli/evil@"),
            any(),
        ),
        ("digest", marked(builtin, 2), pinned),
        ("unsigned", marked(builtin, 3), signed),
        ("instantiate", deed("trap-start"), any()),
        ("instantiate", deed("spin-start"), any()),
        ("self_test", deed("trap-test"), any()),
        ("self_test", deed("never-test"), any()),
        ("self_test_user", marked(builtin, 4), fixture("missing")),
        ("self_test_user", deed("malformed"), fixture("john")),
    ]
}

/// Of the same length, so that nothing else changes.
fn exchanged(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_changes_nothing_and_is_named() {
    let backend = Backend::start().await;
    for (reason, component, verification) in refused() {
        let limits = Limits {
            component_bytes: 2 << 20,
            ..quick()
        };
        let settings = muster_plugin::Settings {
            verification,
            ..settings(&backend, limits)
        };
        let first = Candidate::builtin(muster_builtin::COMPONENT);
        let plugin = Plugin::load(engine(), first, settings).await.unwrap();
        let before = plugin.status();
        let error = plugin.swap(file(&component)).await.unwrap_err();
        assert_eq!(error.label(), reason, "{error}");
        assert!(!error.remedy().is_empty());
        let after = plugin.status();
        assert_eq!(after.generation, before.generation, "{reason}");
        assert_eq!(after.phase, Phase::Serving);
        let refusal = after.last_refusal.unwrap();
        assert_eq!(refusal.reason, reason);
        assert_eq!(refusal.digest, Some(Digest::of(&component)));
        assert!(refusal.message.starts_with(&error.to_string()));
        assert!(is_roster(&plugin.fetch("john", None).await), "{reason}");
        plugin.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_build_is_taken() {
    let backend = Backend::start().await;
    let key = SecretKey::generate().unwrap();
    let component = marked(muster_builtin::COMPONENT, 1);
    let settings = muster_plugin::Settings {
        verification: Verification {
            trusted_keys: vec![key.public().unwrap()],
            self_test_user: Some("john".to_owned()),
            ..Verification::default()
        },
        ..settings(&backend, Limits::default())
    };
    let first = Candidate::builtin(muster_builtin::COMPONENT);
    let plugin = Plugin::load(engine(), first, settings).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plugin.wasm");
    std::fs::write(&path, &component).unwrap();
    let read = || Candidate::read(&path, 64 << 20).unwrap();
    assert!(matches!(
        plugin.swap(read()).await,
        Err(LoadError::Unsigned)
    ));
    let signature = key.sign(Digest::of(&component)).unwrap().to_string();
    std::fs::write(muster_plugin::signature_path(&path), signature).unwrap();
    let swapped = plugin.swap(read()).await.unwrap();
    assert_eq!(swapped.digest, Digest::of(&component));
    assert_eq!(backend.heads().len(), 1, "the user of the self-test");
}

/// Calls each for another user, from many tasks, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
    done: Arc<AtomicUsize>,
}

impl Load {
    fn start(plugin: &Arc<Plugin>, tasks: usize) -> Load {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let caller = |task| {
            let (plugin, stop, done) = (Arc::clone(plugin), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let user = format!("user-{task}-{}", asked.len());
                    let answer = plugin.fetch(&user, None).await;
                    assert!(is_roster(&answer), "{user}: {answer:?}");
                    asked.push(user);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                asked
            })
        };
        let tasks = (0..tasks).map(caller).collect();
        Load { stop, tasks, done }
    }

    /// Waits for so many further calls.
    async fn calls(&self, count: usize) {
        let target = self.done.load(Ordering::Relaxed) + count;
        while self.done.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whom it has asked for.
    async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        for task in self.tasks {
            asked.extend(task.await.unwrap());
        }
        asked
    }
}

/// Swaps under full load: each call succeeds, and the app is asked once for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_swaps_under_load_lose_and_double_no_call() {
    let backend = Backend::start().await;
    let builds = [1, 2, 3].map(|number| marked(muster_builtin::COMPONENT, number));
    let plugin = Arc::new(builtin(&backend, Limits::default()).await);
    let load = Load::start(&plugin, 64);
    for turn in 0..100 {
        let swapped = plugin.swap(file(&builds[turn % 3])).await.unwrap();
        assert!(swapped.replaced.is_some());
        load.calls(64).await;
    }
    let asked = load.end().await;
    let mut requests: HashMap<String, usize> = HashMap::new();
    for head in backend.heads() {
        let path = head.split(' ').nth(1).unwrap();
        let user = path.rsplit('/').next().unwrap().to_owned();
        *requests.entry(user).or_default() += 1;
    }
    assert!(asked.len() > 100 * 64);
    assert_eq!(requests.len(), asked.len(), "no request that nobody made");
    for user in &asked {
        assert_eq!(requests.get(user), Some(&1), "{user}");
    }
    assert!(plugin.status().last_rollback.is_none());
    println!("{} calls over 100 swaps", asked.len());
}

/// What is still under way when the drain is over is asked of the next build.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlives_its_generation_is_made_again() {
    let backend = Backend::start().await;
    let limits = Limits {
        drain: Duration::from_millis(100),
        // Longer than a busy machine needs to compile the next build.
        call: Duration::from_secs(120),
        ..short_probation()
    };
    let plugin = Arc::new(builtin(&backend, limits).await);
    let slow = tokio::spawn({
        let plugin = Arc::clone(&plugin);
        async move { plugin.fetch("slow", None).await }
    });
    backend.requests(1).await;
    let component = marked(muster_builtin::COMPONENT, 1);
    plugin.swap(file(&component)).await.unwrap();
    // Ends the probation, and so begins the drain.
    assert!(is_roster(&plugin.fetch("john", None).await));
    backend.requests(2).await;
    backend.release(2);
    assert!(is_roster(&slow.await.unwrap()));
    let slow = |head: &String| head.starts_with("get /contacts/slow ");
    assert_eq!(backend.heads().iter().filter(|head| slow(head)).count(), 2);
}

/// Lets a refresh go on when it is told to.
struct Held {
    began: Semaphore,
    go: Semaphore,
}

/// The same, in the plugin's hands.
struct Handed(Arc<Held>);

impl Refresher for Handed {
    fn refresh(
        &self,
        usernames: Vec<String>,
    ) -> Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + '_>> {
        Box::pin(async move {
            self.0.began.add_permits(1);
            self.0.go.acquire().await.unwrap().forget();
            let outcome = |username| Outcome {
                username,
                online: true,
                result: Ok(Changes::default()),
            };
            usernames.into_iter().map(outcome).collect()
        })
    }
}

/// A refresh that the app has asked for is done once, by the build that began it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_finishes_where_it_began() {
    let backend = Backend::start().await;
    let limits = Limits {
        drain: Duration::from_millis(50),
        ..short_probation()
    };
    let plugin = Arc::new(load(&backend, hostile(), limits).await);
    let held = Arc::new(Held {
        began: Semaphore::new(0),
        go: Semaphore::new(0),
    });
    let request = Request::post("http://127.0.0.1/refresh")
        .body(Bytes::new())
        .unwrap();
    let refresh = tokio::spawn({
        let (plugin, held) = (Arc::clone(&plugin), Arc::clone(&held));
        async move { plugin.handle(request, Arc::new(Handed(held))).await }
    });
    held.began.acquire().await.unwrap().forget();
    plugin.swap(file(&marked(hostile(), 1))).await.unwrap();
    assert!(is_roster(&plugin.fetch("honest", None).await));
    while plugin.status().draining > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    held.go.add_permits(1);
    let answer = refresh.await.unwrap().unwrap();
    assert!(!answer.body().is_empty());
    assert_eq!(held.began.available_permits(), 0, "asked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_can_go_back_once() {
    let backend = Backend::start().await;
    let plugin = load(&backend, &deed("honest"), short_probation()).await;
    assert_eq!(plugin.rollback().await, Err(RollbackError::NoPrevious));
    let (first, second) = (Digest::of(&deed("honest")), Digest::of(hostile()));
    plugin.swap(file(hostile())).await.unwrap();
    assert!(is_roster(&plugin.fetch("honest", None).await));
    // The one before is retired by now, and its build is kept.
    let status = plugin.status();
    assert_eq!(status.phase, Phase::Serving);
    assert_eq!(status.previous.unwrap().digest, first);
    let back = plugin.rollback().await.unwrap();
    assert_eq!((back.digest, back.replaced), (first, Some(second)));
    assert!(is_roster(&plugin.fetch("john", None).await));
    let status = plugin.status();
    assert_eq!(status.previous, None);
    let rolled_back = status.last_rollback.unwrap();
    assert_eq!(rolled_back.cause, RollbackCause::Operator);
    assert_eq!((rolled_back.from, rolled_back.to), (second, first));
    assert_eq!(plugin.rollback().await, Err(RollbackError::NoPrevious));
    // The same build may be tried again.
    plugin.swap(file(hostile())).await.unwrap();
    plugin.shutdown(Duration::from_secs(1)).await;
    assert_eq!(plugin.rollback().await, Err(RollbackError::Stopped));
    let stopped = plugin.fetch("john", None).await;
    assert_eq!(stopped, Err(FetchError::Plugin(PluginFault::Stopped)));
}

/// Whoever compiles in the process itself gets a bound at least for the wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_compilation_that_takes_too_long_is_given_up() {
    let backend = Backend::start().await;
    let engine = Engine::new(&EngineConfig::default()).unwrap();
    let limits = Limits {
        compile: Duration::from_millis(1),
        ..Limits::default()
    };
    let settings = settings(&backend, limits);
    let first = Candidate::builtin(muster_builtin::COMPONENT);
    let refused = Plugin::load(&engine, first, settings).await.unwrap_err();
    assert!(matches!(refused, LoadError::CompileTimeout(_)), "{refused}");
}

fn resident_pages() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A thousand swaps leave nothing behind.
#[test]
fn a_thousand_swaps_take_no_memory() {
    // In a process of its own: other tests take memory too.
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "swap::a_thousand_swaps_alone"])
        .args(["--ignored", "--nocapture"])
        .status();
    assert!(measured.unwrap().success());
}

/// Machine code comes from the cache after the first round, and each time it is
/// loaded anew.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a_thousand_swaps_take_no_memory runs it alone"]
async fn a_thousand_swaps_alone() {
    let backend = Backend::start().await;
    let limits = Limits {
        probation_calls: 1,
        workers: 2,
        ..Limits::default()
    };
    let builds: Vec<_> = (10..15)
        .map(|number| marked(&deed("honest"), number))
        .collect();
    let plugin = load(&backend, &deed("honest"), limits).await;
    let swap = async |turn: usize| {
        plugin.swap(file(&builds[turn % 5])).await.unwrap();
        assert!(is_roster(&plugin.fetch("john", None).await));
    };
    // So many that the allocator has what it takes once, in all its arenas.
    for turn in 0..1_000 {
        swap(turn).await;
    }
    let (before, started) = (resident_pages(), Instant::now());
    for turn in 0..1_000 {
        swap(turn).await;
    }
    let took = started.elapsed();
    while plugin.status().draining > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = resident_pages();
    println!("{before} pages, and {after} after 1,000 swaps in {took:?}");
    assert!(after < before + before / 20, "{before} -> {after} pages");
}
