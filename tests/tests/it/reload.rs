//! Rows 68 to 70: a newer plugin while people are logged in. Whatever happens to
//! its file, nobody loses a session or an answer, and what is no good is refused.

use muster_server::muster_plugin::{Digest, Phase, RollbackCause, Status};
use muster_test_plugins::{deed, marked};
use muster_tests::app::App;
use muster_tests::bystanders::Bystanders;
use muster_tests::client::{Client, Mechanism};
use muster_tests::muster::{ANYONE, Muster, Setup};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, Stage, items};
use muster_tests::{PATIENCE, within};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Looks often, and believes a new build after its first call.
const QUICK: &str = "[limits.plugin]\npoll = \"20ms\"\nprobation_calls = 1";

/// A host whose plugin is a file.
struct Scene {
    muster: Muster,
    path: PathBuf,
    files: TempDir,
    _app: Arc<App>,
}

impl Scene {
    async fn new(keys: &str, sections: &str) -> Scene {
        let app = Arc::new(App::start().await);
        let files = tempfile::tempdir().expect("a directory");
        let path = files.path().join("plugin.wasm");
        fs::write(&path, deed("honest")).expect("a file");
        let setup = Setup::new().with(sections).host_keys(keys).plugin(&path);
        let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
        Scene {
            muster: Muster::start(&setup).await,
            path,
            files,
            _app: app,
        }
    }

    /// The contacts of a user who logs in now.
    async fn roster(&self, user: &str) -> Vec<String> {
        roster(self.muster.xmpp(), user).await
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + 6 * PATIENCE;
        loop {
            let status = self.muster.plugin();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: {status:?}");
            // The file is polled, so there is nothing to be woken by.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_serving(&self, component: &[u8]) {
        let digest = Digest::of(component);
        let serving = |status: &Status| status.build.digest == digest;
        self.until("the new build serves", serving).await;
        assert_eq!(self.roster("john").await.len(), 1);
    }
}

async fn roster(xmpp: std::net::SocketAddr, user: &str) -> Vec<String> {
    let account = format!("{user}@{DOMAIN}");
    let mut client = Client::login(xmpp, &account, "any", None, Mechanism::Plain).await;
    let contacts = items(&client.roster().await);
    client.leave().await;
    contacts
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
}

/// Row 68.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_however_it_is_replaced() {
    let scene = Scene::new("", QUICK).await;
    let [first, second] = [1, 2].map(|number| marked(&deed("honest"), number));
    let beside = |name: &str| scene.files.path().join(name);

    // Renamed into place.
    write(&beside("new"), &first);
    fs::rename(beside("new"), &scene.path).expect("a file");
    scene.until_serving(&first).await;

    // Written in place, in two halves with a look or more in between. Half a
    // component is refused if it stays that long, and the rest is taken.
    let (half, rest) = second.split_at(second.len() / 2);
    write(&scene.path, half);
    let refused = |status: &Status| status.last_refusal.is_some();
    let status = scene.until("half of it is refused", refused).await;
    assert_eq!(status.build.digest, Digest::of(&first));
    let mut file = fs::OpenOptions::new().append(true).open(&scene.path);
    std::io::Write::write_all(file.as_mut().expect("a file"), rest).expect("written");
    scene.until_serving(&second).await;

    // A link that leads elsewhere from now on, by way of a directory, as
    // container platforms do it.
    for (name, bytes) in [("a", &first), ("b", &second)] {
        fs::create_dir(beside(name)).expect("a directory");
        write(&beside(name).join("plugin.wasm"), bytes);
    }
    let link = |to: &str| {
        std::os::unix::fs::symlink(to, beside("next")).expect("a link");
        fs::rename(beside("next"), beside("data")).expect("a link");
    };
    link("b");
    fs::remove_file(&scene.path).expect("a file");
    std::os::unix::fs::symlink("data/plugin.wasm", &scene.path).expect("a link");
    link("a");
    scene.until_serving(&first).await;

    // Gone: what serves goes on, and what comes back is taken.
    fs::remove_file(&scene.path).expect("a link");
    let gone = |status: &Status| {
        let refusal = status.last_refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.reason == "unreadable")
    };
    scene.until("it is gone", gone).await;
    assert_eq!(scene.roster("juliet").await.len(), 1);
    write(&scene.path, &second);
    scene.until_serving(&second).await;
    scene.muster.shutdown().await;
}

/// Row 68.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_once_and_the_old_one_serves() {
    let keys = format!(
        "plugin = {{ sha256 = \"{}\" }}",
        Digest::of(&deed("honest"))
    );
    let unpinned = Scene::new("", QUICK).await;
    let pinned = Scene::new(&keys, QUICK).await;
    let table: [(&Scene, &str, Vec<u8>); 5] = [
        (&unpinned, "not_wasm", b"garbage".to_vec()),
        (&unpinned, "core_module", b"\0asm\x01\0\0\0".to_vec()),
        (&unpinned, "empty", Vec::new()),
        (&unpinned, "self_test", deed("trap-test")),
        (&pinned, "digest", marked(&deed("honest"), 3)),
    ];
    for (scene, reason, bytes) in table {
        let before = scene.muster.plugin().generation;
        write(&scene.path, &bytes);
        let refused = |status: &Status| {
            let refusal = status.last_refusal.as_ref();
            refusal.is_some_and(|refusal| refusal.reason == reason)
        };
        let status = scene.until(reason, refused).await;
        assert_eq!(status.generation, before, "{reason}");
        assert_eq!(scene.roster("john").await.len(), 1, "{reason}");
    }
    // A hundred megabytes, of which none is read.
    let file = fs::File::create(&unpinned.path).expect("a file");
    file.set_len(100 << 20).expect("a sparse file");
    let refused = |status: &Status| {
        let refusal = status.last_refusal.as_ref();
        refusal.is_some_and(|refusal| refusal.reason == "too_large")
    };
    unpinned.until("too large", refused).await;
    assert_eq!(unpinned.roster("john").await.len(), 1);
    // What was refused is not tried again by itself, and a newer time alone
    // does not make it new.
    let ago = unpinned.muster.plugin().last_refusal.expect("refused").ago;
    let digest = unpinned.muster.plugin().build.digest;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let status = unpinned.muster.plugin();
    assert!(status.last_refusal.expect("refused").ago > ago);
    assert_eq!(status.build.digest, digest);
    for scene in [unpinned, pinned] {
        scene.muster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_waits_for_another_file_or_for_somebody_who_asks() {
    let scene = Scene::new("", "[limits.plugin]\npoll = \"20ms\"").await;
    let (good, bad) = (Digest::of(&deed("honest")), deed("trap"));
    write(&scene.path, &bad);
    let taken = |status: &Status| status.build.digest == Digest::of(&bad);
    scene.until("the bad one serves", taken).await;
    // The first who logs in gets the contacts nevertheless.
    assert_eq!(scene.roster("john").await.len(), 1);
    let status = scene.muster.plugin();
    assert_eq!(status.build.digest, good);
    let rolled_back = status.last_rollback.expect("rolled back");
    assert_eq!(rolled_back.cause, RollbackCause::Fault);
    assert!(rolled_back.ago < Duration::from_secs(60));
    // Written again, but the same.
    write(&scene.path, &bad);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.muster.plugin().build.digest, good);
    let swapped = scene.muster.reload_plugin(DOMAIN).await.expect("taken");
    assert_eq!(swapped.replaced, Some(good));
    assert!(taken(&scene.muster.plugin()));
    assert!(matches!(
        scene.muster.plugin().phase,
        Phase::Probation { .. }
    ));
    assert!(scene.muster.reload_plugin("example.org").await.is_err());
    scene.muster.shutdown().await;
}

/// Row 69: people log in, and talk, while one build follows another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_lose_no_session_and_no_answer() {
    let app = Arc::new(App::start().await);
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("plugin.wasm");
    let builds = [4, 5, 6].map(|number| marked(&deed("asks"), number));
    write(&path, &builds[0]);
    let keys = "plugin = { reload = \"manual\" }";
    let setup = Setup::new().with(QUICK).host_keys(keys).plugin(&path);
    let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
    app.set_default_contacts(json!({}));
    let muster = Muster::start(&setup).await;
    let xmpp = muster.xmpp();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let logins: Vec<_> = (0..8)
        .map(|task| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while !*stopped.borrow() {
                    let contacts = roster(xmpp, &format!("user-{task}-{count}")).await;
                    assert_eq!(contacts.len(), 1, "a login got another answer");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let stage = Stage::on(Arc::clone(&app), muster);
    let bystanders = Bystanders::assemble(&stage, 20).await;
    for turn in 1..=30 {
        write(&path, &builds[turn % 3]);
        let swapped = stage.muster().reload_plugin(DOMAIN).await;
        assert!(swapped.expect("taken").replaced.is_some());
    }
    stop.send_replace(true);
    let mut count = 0;
    for login in logins {
        count += within("a login", login)
            .await
            .expect("every login succeeds");
    }
    assert!(count > 0);
    assert!(stage.muster().plugin().last_rollback.is_none());
    println!(
        "{count} logins over 30 swaps, p99 {:?}",
        bystanders.dismiss().await
    );
    stage.shutdown().await;
}

/// The server's own `main`, built along with the tests.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// A component that a host would take, and inside it a core module with one
/// function, which nobody calls: so many loops, each with a thousand parameters
/// and as many results. Two bytes of a loop make a thousand values in the
/// compiler.
fn bomb(loops: usize) -> Vec<u8> {
    const VALUES: u32 = 1_000;
    fn number(mut number: u32, out: &mut Vec<u8>) {
        loop {
            let byte = u8::try_from(number & 0x7f).expect("seven bits");
            number >>= 7;
            out.push(byte | if number > 0 { 0x80 } else { 0 });
            if number == 0 {
                return;
            }
        }
    }
    fn section(id: u8, content: &[u8], out: &mut Vec<u8>) {
        out.push(id);
        number(u32::try_from(content.len()).expect("a short section"), out);
        out.extend(content);
    }
    // One type: a thousand i32 to a thousand i32.
    let mut types = vec![1, 0x60];
    for _ in ["parameters", "results"] {
        number(VALUES, &mut types);
        types.extend(std::iter::repeat_n(0x7f, 1_000));
    }
    let mut body = vec![0];
    for local in 0..VALUES {
        body.push(0x20);
        number(local, &mut body);
    }
    // loop (type 0) end
    body.extend([0x03, 0, 0x0b].repeat(loops));
    body.push(0x0b);
    let mut code = vec![1];
    number(u32::try_from(body.len()).expect("a short body"), &mut code);
    code.extend(&body);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &types, &mut module);
    section(3, &[1, 0], &mut module);
    section(10, &code, &mut module);
    let mut component = deed("honest");
    section(1, &module, &mut component);
    component
}

async fn metric(process: &Process, wanted: &str) -> bool {
    use muster_tests::{http, muster::TOKEN};
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", authorization.as_str())];
    let scrape = http::request("GET", "/metrics", &fields, b"");
    let metrics = http::exchange(process.http(), &scrape).await.text();
    metrics.lines().any(|line| line.starts_with(wanted))
}

/// Row 68: whatever a component makes the compiler do ends with the process
/// that compiles it, and people log in meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_for_the_compiler_goes_off_aside() {
    for (bounds, reason) in [
        (
            "compile_timeout = \"4s\"\ncompile_memory_bytes = \"16GiB\"",
            "compile_timeout",
        ),
        (
            "compile_timeout = \"60s\"\ncompile_memory_bytes = \"512MiB\"",
            "compile_memory",
        ),
    ] {
        goes_off_aside(bounds, reason).await;
    }
}

async fn goes_off_aside(bounds: &str, reason: &str) {
    let app = App::start().await;
    let files = tempfile::tempdir().expect("a directory");
    let path = files.path().join("plugin.wasm");
    write(&path, &deed("honest"));
    let sections = format!("[limits.plugin]\npoll = \"50ms\"\n{bounds}");
    let setup = Setup::new().with(&sections).plugin(&path);
    let setup = setup.host(DOMAIN, ANYONE, &app.roster_url());
    let mut process = Process::start(binary(), &setup).await;
    let code = process.directory().join("data/plugin-cache");
    assert_eq!(fs::read_dir(&code).expect("the cache").count(), 1);
    write(&path, &bomb(40_000));
    let started = Instant::now();
    let mut logins = 0;
    let refused = format!("muster_plugin_swaps_total{{vhost=\"{DOMAIN}\",outcome=\"{reason}\"}}");
    while !metric(&process, &refused).await {
        assert_eq!(roster(process.xmpp(), "john").await.len(), 1);
        logins += 1;
        let late = started.elapsed() > Duration::from_secs(120);
        assert!(!late, "it is not refused: {}", process.log());
    }
    assert!(logins > 0, "{:?}", started.elapsed());
    // A good one is taken afterwards, on SIGHUP.
    write(&path, &marked(&deed("honest"), 9));
    process.signal("HUP").await;
    let swapped = format!("muster_plugin_swaps_total{{vhost=\"{DOMAIN}\",outcome=\"swapped\"}}");
    let deadline = Instant::now() + 6 * PATIENCE;
    while !metric(&process, &swapped).await {
        assert!(Instant::now() < deadline, "it is not taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(fs::read_dir(&code).expect("the cache").count(), 2);
    process.signal("TERM").await;
    assert!(process.exit().await.success());
}
