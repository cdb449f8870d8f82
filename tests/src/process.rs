//! The built binary as a process of its own, for what only a process shows:
//! signals, exit codes, a death without warning.

use crate::app::closed_address;
use crate::muster::Setup;
use crate::{PATIENCE, http, within};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A host in a process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    xmpp: SocketAddr,
    http: SocketAddr,
    directory: TempDir,
}

impl Process {
    /// Writes the configuration, starts `binary` with it on free ports and waits
    /// until it says that it is ready.
    pub async fn start(binary: &Path, setup: &Setup) -> Process {
        Process::start_by(Command::new(binary), setup).await
    }

    /// The same at these addresses.
    pub async fn start_at(
        xmpp: SocketAddr,
        http: SocketAddr,
        binary: &Path,
        setup: &Setup,
    ) -> Process {
        Process::spawned(Command::new(binary), xmpp, http, setup).await
    }

    /// The same by a command that takes the arguments of the binary.
    async fn start_by(command: Command, setup: &Setup) -> Process {
        let (xmpp, http) = (closed_address().await, closed_address().await);
        Process::spawned(command, xmpp, http, setup).await
    }

    async fn spawned(
        command: Command,
        xmpp: SocketAddr,
        http: SocketAddr,
        setup: &Setup,
    ) -> Process {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("muster.toml");
        std::fs::write(&config, setup.clone().listen(xmpp, http).text()).expect("a file");
        let mut process = Process {
            child: spawn(command, &config, &log_file(&directory)),
            xmpp,
            http,
            directory,
        };
        process.wait_until_ready().await;
        process
    }

    /// The same with so many file descriptors, at most.
    pub async fn start_with_descriptors(
        binary: &Path,
        setup: &Setup,
        descriptors: usize,
    ) -> Process {
        // The shell's `ulimit` sets both the soft and the hard limit.
        Process::start_within(&format!("ulimit -n {descriptors} &&"), "", binary, setup).await
    }

    /// The same by a shell (bash) that becomes the server: `before` is what it
    /// does first, `streams` where it redirects.
    pub async fn start_within(
        before: &str,
        streams: &str,
        binary: &Path,
        setup: &Setup,
    ) -> Process {
        let script = format!("{before} exec \"$0\" \"$@\" {streams}");
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(binary);
        Process::start_by(command, setup).await
    }

    /// Lowers the number of file descriptors that the running process may have.
    pub async fn limit_descriptors(&self, descriptors: usize) {
        let arguments = [
            "--pid".to_owned(),
            self.id().to_string(),
            format!("--nofile={descriptors}:"),
        ];
        let status = Command::new("prlimit").args(arguments).status().await;
        assert!(status.expect("prlimit runs").success());
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Where clients connect.
    pub fn xmpp(&self) -> SocketAddr {
        self.xmpp
    }

    /// Where the app and the operator connect.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// What it has said on standard error since its first start.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(log_file(&self.directory)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its memory (`VmRSS`), or the most that it was (`VmHWM`) since
    /// [`Self::forget_peak`], in bytes.
    pub fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(field));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<usize>().ok())
            .expect("a number of KiB")
            << 10
    }

    /// Its user and system time.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        let stat = stat.expect("the process runs");
        // The name in parentheses may hold spaces.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
        // Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
        Duration::from_millis((ticks(12) + ticks(13)) * 10)
    }

    /// Begins the peak of its memory anew (proc(5), `clear_refs`).
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").expect("a child's memory");
    }

    /// Where its configuration and its storage are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the process runs").to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end of the process.
    pub async fn exit(&mut self) -> ExitStatus {
        let exit = tokio::time::timeout(3 * PATIENCE, self.child.wait()).await;
        exit.expect("the process ends")
            .expect("a child of this process")
    }

    /// Kills it without warning and starts it again with the same file; returns
    /// how long it took until it was ready.
    pub async fn kill_and_restart(&mut self, binary: &Path) -> Duration {
        self.kill().await;
        self.restart(binary).await
    }

    /// The same with another configuration.
    pub async fn kill_and_restart_with(&mut self, binary: &Path, setup: &Setup) {
        self.kill().await;
        let text = setup.clone().listen(self.xmpp, self.http).text();
        std::fs::write(self.directory.path().join("muster.toml"), text).expect("a file");
        self.restart(binary).await;
    }

    /// Kills it without warning.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the process runs");
    }

    /// Starts it again after its end, with the same file; returns how long it
    /// took until it was ready.
    pub async fn restart(&mut self, binary: &Path) -> Duration {
        let start = Instant::now();
        let config = self.directory.path().join("muster.toml");
        self.child = spawn(Command::new(binary), &config, &log_file(&self.directory));
        self.wait_until_ready().await;
        start.elapsed()
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + 9 * PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                let log = self.log();
                panic!("the host ended with {status} before it was ready:\n{log}");
            }
            if tokio::net::TcpStream::connect(self.http).await.is_ok() {
                let request = http::request("GET", "/readyz", &[], b"");
                let mut connection = http::Connection::open(self.http).await;
                connection.send(&request).await;
                // It accepts before it serves: plugins are compiled in between.
                let reply = tokio::time::timeout_at(deadline.into(), connection.first_reply());
                if matches!(reply.await, Ok(Some(reply)) if reply.status == 200) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "the host is not ready in time");
            // There is no event to wait for: nobody listens yet.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs `binary` to its end and returns what it said.
pub async fn run(binary: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    within("the command to end", output)
        .await
        .expect("the binary runs")
}

fn log_file(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}

fn spawn(mut command: Command, config: &Path, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log);
    command
        .stderr(log.expect("a file for the log"))
        .arg("serve")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary runs")
}
