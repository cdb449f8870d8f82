//! What a run plays in: the app, the host in a process, the plugin's file. Owns
//! the faults of all three, and that they end.

use super::app::{ANSWER, Caller};
use super::plan::{Build, Jolt, USERS};
use super::tale::Tale;
use super::truth::name;
use muster_test_plugins::{deed, marked};
use muster_tests::app::{App, Fault};
use muster_tests::http::{Connection, Reply, request};
use muster_tests::muster::{ANYONE, Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::DOMAIN;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Deadlines that a run of half a minute meets again and again.
const CONFIG: &str = r#"
[limits]
drain = "3s"
[limits.backend]
timeout = "1500ms"
[limits.backend.breaker]
probe_interval = "1s"
[limits.refresh]
recovery_interval = "1s"
[limits.plugin]
poll = "200ms"
handle_timeout = "10s"
drain = "2s"
probation = "5s"
[limits.plugin.breaker]
probe_interval = "1s"
[limits.xmpp]
connects_per_minute = 1000000
sessions_per_minute = 1000000
login_failures = 1000000
resume_timeout = "10s"
idle_ping = "3s"
ping_timeout = "4s"
[limits.http]
connects_per_minute = 1000000
"#;

/// The app, the host and the plugin of a run.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) app: Arc<App>,
    process: Mutex<Process>,
    pub(super) xmpp: SocketAddr,
    pub(super) http: SocketAddr,
    plugin: PathBuf,
    /// What is in the file, and which good build was there last.
    file: Mutex<(Build, u32)>,
    files: TempDir,
    /// Answers go wrong until the latest of these ends.
    faults: AtomicUsize,
    tale: Arc<Tale>,
}

impl Scene {
    pub(super) async fn open(app: Arc<App>, tale: Arc<Tale>) -> Scene {
        let files = tempfile::tempdir().expect("a directory");
        let plugin = files.path().join("plugin.wasm");
        std::fs::write(&plugin, component(Build::Good(0))).expect("a file");
        let setup = Setup::new()
            .plugin(&plugin)
            .host(DOMAIN, ANYONE, &app.roster_url())
            .roster_keys("stale_after = \"500ms\"")
            .with(CONFIG);
        let ip = own_address();
        let (xmpp, http) = (SocketAddr::new(ip, 15_222), SocketAddr::new(ip, 15_280));
        let process = Process::start_at(xmpp, http, binary(), &setup).await;
        Scene {
            app,
            process: Mutex::new(process),
            xmpp,
            http,
            plugin,
            file: Mutex::new((Build::Good(0), 0)),
            files,
            faults: AtomicUsize::new(0),
            tale,
        }
    }

    /// Answers go wrong for one user in so many, for so long.
    pub(super) async fn spoil(&self, fault: Fault, one_in: usize, time: Duration) {
        let number = 1 + self.faults.fetch_add(1, Ordering::SeqCst);
        let affected = (0..USERS).filter(|user| (user + number).is_multiple_of(one_in));
        let affected: Vec<String> = affected.map(name).collect();
        for user in &affected {
            self.app.set_fault_for(user, Some(fault));
        }
        tokio::time::sleep(time).await;
        for user in &affected {
            self.app.set_fault_for(user, None);
        }
    }

    /// Nobody listens at the app's address for so long.
    pub(super) async fn deafen(&self, time: Duration) {
        self.app.close().await;
        tokio::time::sleep(time).await;
        self.app.reopen().await;
    }

    /// Puts another file into the place of the plugin, or has the operator go
    /// back.
    pub(super) async fn exchange(&self, build: Build) {
        if build == Build::RollBack {
            // What serves then need not be what is in the file.
            self.file.lock().await.0 = build;
            let path = format!("/admin/plugins/{DOMAIN}/rollback");
            let reply = self.ask("POST", &path).await;
            let said = reply.map(|reply| reply.text()).unwrap_or_default();
            return self.tale.note(format!("rollback: {said}"));
        }
        let mut file = self.file.lock().await;
        self.put(&mut file, build);
    }

    fn put(&self, file: &mut (Build, u32), build: Build) {
        let beside = self.files.path().join("next");
        std::fs::write(&beside, component(build)).expect("a file");
        std::fs::rename(&beside, &self.plugin).expect("a file");
        file.0 = build;
        if let Build::Good(number) = build {
            file.1 = number;
        }
        self.tale.note(format!("the plugin's file is {build:?}"));
        self.tale.count("plugin files");
    }

    /// Something befalls the process.
    pub(super) async fn jolt(&self, jolt: Jolt, caller: &Caller) {
        let mut process = self.process.lock().await;
        self.tale.note(format!("the process: {jolt:?}"));
        match jolt {
            Jolt::Suspend(time) => {
                process.signal("STOP").await;
                tokio::time::sleep(Duration::from_millis(time.into())).await;
                process.signal("CONT").await;
                self.tale.count("suspensions");
            }
            Jolt::HangUp => {
                process.signal("HUP").await;
                self.tale.count("SIGHUPs");
            }
            Jolt::Kill | Jolt::Terminate => self.end(&mut process, jolt, caller).await,
        }
    }

    /// Ends the process, and starts it with a plugin with which it can.
    async fn end(&self, process: &mut Process, jolt: Jolt, caller: &Caller) {
        caller.dies();
        if jolt == Jolt::Kill {
            process.kill().await;
            self.tale.count("kills");
        } else {
            let start = Instant::now();
            process.signal("TERM").await;
            let status = process.exit().await;
            self.tale.took("stops", start.elapsed());
            if status.code() != Some(0) {
                self.tale.broken(format!("SIGTERM ended with {status}"));
            }
            self.tale.count("stops");
        }
        // Kept as it is until the process has read it.
        let mut file = self.file.lock().await;
        if !starts(file.0) {
            let number = file.1;
            self.put(&mut file, Build::Good(number));
        }
        let took = process.restart(binary()).await;
        drop(file);
        self.tale.took("starts", took);
        self.tale.note("the process is there again");
        caller.dies();
    }

    /// Ends all faults: the app answers, the plugin is a good one.
    pub(super) async fn mend(&self) {
        self.app.reopen().await;
        self.app.set_fault(None);
        for user in 0..USERS {
            self.app.set_fault_for(&name(user), None);
        }
        let mut file = self.file.lock().await;
        if !matches!(file.0, Build::Good(_)) {
            let number = file.1 + 1;
            self.put(&mut file, Build::Good(number));
        }
        drop(file);
        let reply = self.ask("POST", "/roster_admin/ping").await;
        if reply.is_none_or(|reply| reply.status != 200) {
            self.tale
                .broken("the app says that it is back, and is not answered");
        }
    }

    /// The host in the end: it lives, and nothing in it has panicked.
    pub(super) async fn close(self) {
        let metrics = self.ask("GET", "/metrics").await;
        match metrics {
            Some(metrics) if !metrics.text().contains("muster_panics_total 0") => {
                self.tale.broken("something in the host has panicked");
            }
            Some(_) => {}
            None => self.tale.broken("the host does not answer in the end"),
        }
        let process = self.process.into_inner();
        let log = process.log();
        for line in log.lines().filter(|line| line.contains("panicked")) {
            if !line.contains("plugin=") {
                self.tale.broken(format!("in the log: {line}"));
            }
        }
    }

    /// The last lines of the host's log.
    pub(super) async fn log(&self) -> String {
        let log = self.process.lock().await.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    async fn ask(&self, method: &str, path: &str) -> Option<Reply> {
        let authorization = format!("Bearer {TOKEN}");
        let fields = [("Host", DOMAIN), ("Authorization", authorization.as_str())];
        let mut connection = Connection::try_open(self.http).await.ok()?;
        connection.send(&request(method, path, &fields, b"")).await;
        let reply = tokio::time::timeout(ANSWER, connection.first_reply());
        reply.await.ok()?
    }
}

/// Whether a process starts with such a plugin.
fn starts(build: Build) -> bool {
    match build {
        Build::Good(_) => true,
        Build::Hostile(deed) => !deed.ends_with("-start"),
        Build::Broken | Build::Half | Build::RollBack => false,
    }
}

fn component(build: Build) -> Vec<u8> {
    match build {
        Build::Good(number) => marked(muster_builtin::COMPONENT, number),
        Build::Half => {
            let whole = muster_builtin::COMPONENT;
            whole[..whole.len() / 2].to_vec()
        }
        Build::Hostile(name) => deed(name),
        Build::Broken | Build::RollBack => b"no component".to_vec(),
    }
}

/// A loopback address of this process alone, so that the ports of a host that
/// starts again are nobody else's meanwhile.
fn own_address() -> IpAddr {
    static RUNS: AtomicUsize = AtomicUsize::new(1);
    let [high, low] = u16::try_from(std::process::id() % 0xFFFF)
        .unwrap_or_default()
        .to_be_bytes();
    let run = u8::try_from(100 + RUNS.fetch_add(1, Ordering::Relaxed) % 100).unwrap_or_default();
    IpAddr::V4(Ipv4Addr::new(127, run, high, low.max(1)))
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}
