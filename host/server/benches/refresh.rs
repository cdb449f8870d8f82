//! A refresh of 1, 100 and 1,000 users who are online: from the app's POST to
//! the push at every client.
//!
//! `cargo bench --bench refresh` prints a table. The app and
//! the clients run in a process of their own, so that the CPU time is the
//! server's alone; it is read from /proc, whose tick is 10 ms.
//!
//! Each user has 100 contacts, and in each round one of them gets another
//! name; a push that does not come, or a user who does not count as updated,
//! ends the bench.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its table, and what fails ends it"
)]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use muster_server::{Server, config::Config};

const CONTACTS: usize = 100;

/// Users who are online, and how often all of them are refreshed.
const CASES: [(usize, usize); 3] = [(1, 1_000), (100, 50), (1_000, 10)];

/// Nothing here takes as long on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    if std::env::args().any(|arg| arg == "--peer") {
        return peer();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("users of {CONTACTS} contacts, one contact changed; for each refreshed user");
    println!("{:>9} {:>10} {:>10}", "users", "CPU µs", "wall µs");
    let storage = tempfile::tempdir().unwrap();
    for (users, rounds) in CASES {
        let mut peer = Peer::start();
        let server = runtime
            .block_on(Server::start(config(peer.address, storage.path())))
            .unwrap();
        let (xmpp, http) = (server.xmpp_addresses()[0], server.http_addresses()[0]);
        peer.tell(&format!("{xmpp} {http} {users} {rounds}"));
        assert_eq!(peer.line(), "ready");
        let (cpu, wall) = (cpu_time(), Instant::now());
        peer.tell("go");
        assert_eq!(peer.line(), "done");
        let each = |total: Duration| total.as_secs_f64() * 1e6 / (users * rounds) as f64;
        let (cpu, wall) = (each(cpu_time() - cpu), each(wall.elapsed()));
        println!("{users:>9} {cpu:>10.0} {wall:>10.0}");
        peer.end();
        runtime.block_on(server.shutdown());
    }
}

fn config(app: SocketAddr, storage: &Path) -> Config {
    let text = format!(
        r#"
        xmpp = {{ listen = ["127.0.0.1:0"], require_tls = false }}
        http = {{ listen = ["127.0.0.1:0"] }}
        admin = {{ allow_unauthenticated = true }}
        [[virtual_host]]
        domain = "example.test"
        auth = {{ kind = "any" }}
        roster = {{ http_roster_url = "http://{app}/contacts/%s" }}
        "#
    );
    Config::parse(&text, &storage.join("bench.toml")).unwrap()
}

/// User and system time of this process, in ticks of 10 ms (proc(5)).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(") ").next().unwrap();
    let times = fields.split(' ').skip(11).take(2);
    let ticks: u64 = times.map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The other process, as this one sees it.
struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Peer {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .arg("--peer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let address = line(&mut output).parse().unwrap();
        Self {
            child,
            input,
            output,
            address,
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn line(&mut self) -> String {
        line(&mut self.output)
    }

    /// Ends the process; its clients are gone then.
    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

fn line(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// The other process: the app and the clients.
fn peer() {
    let round = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let of_app = Arc::clone(&round);
    std::thread::spawn(move || app(&listener, &of_app));

    let mut stdin = std::io::stdin().lock();
    let order = line(&mut stdin);
    let order: Vec<&str> = order.split(' ').collect();
    let (xmpp, http): (SocketAddr, SocketAddr) =
        (order[0].parse().unwrap(), order[1].parse().unwrap());
    let (users, rounds): (usize, usize) = (order[2].parse().unwrap(), order[3].parse().unwrap());
    let mut clients: Vec<_> = (0..users).map(|user| Client::log_in(xmpp, user)).collect();
    let mut admin = connect(http);
    println!("ready");
    assert_eq!(line(&mut stdin), "go");
    for _ in 0..rounds {
        round.fetch_add(1, Ordering::Relaxed);
        refresh(&mut admin, users);
        for client in &mut clients {
            client.expect("</item></query></iq>");
        }
    }
    println!("done");
    // The clients stay until the server's time was read.
    line(&mut stdin);
}

/// POSTs all users and reads the summary.
fn refresh(admin: &mut TcpStream, users: usize) {
    let names: Vec<String> = (0..users).map(|user| format!("\"u{user}\"")).collect();
    let body = format!("[{}]", names.join(","));
    let length = body.len();
    let head = format!(
        "POST /roster_admin/refresh HTTP/1.1\r\nhost: example.test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    admin.write_all((head + &body).as_bytes()).unwrap();
    let answer = read_until(admin, "}");
    assert!(answer.contains(&format!("\"updated\":{users}")), "{answer}");
}

/// One client, logged in, its roster read.
struct Client(TcpStream);

impl Client {
    fn log_in(server: SocketAddr, user: usize) -> Self {
        let header = "<stream:stream to='example.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        let plain = base64(format!("\0u{user}\0secret").as_bytes());
        let mut client = Self(connect(server));
        client.exchange(header, "</stream:features>");
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        );
        client.exchange(&auth, "<success");
        client.exchange(header, "</stream:features>");
        client.exchange(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            "</iq>",
        );
        client.exchange(
            "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
            "</query></iq>",
        );
        client
    }

    fn exchange(&mut self, request: &str, end: &str) {
        self.0.write_all(request.as_bytes()).unwrap();
        self.expect(end);
    }

    fn expect(&mut self, end: &str) {
        read_until(&mut self.0, end);
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until `end` has come. What follows it is read away as well: nothing
/// does, since both sides take turns.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 16 * 1024];
    while !text.contains(end) {
        let read = stream.read(&mut buffer).expect("the answer comes in time");
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The app: a thread a connection.
fn app(listener: &TcpListener, round: &Arc<AtomicUsize>) {
    for stream in listener.incoming() {
        let round = Arc::clone(round);
        std::thread::spawn(move || serve(stream.unwrap(), &round));
    }
}

fn serve(mut stream: TcpStream, round: &AtomicUsize) {
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
        head.clear();
        let body = document(round.load(Ordering::Relaxed));
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A list whose first contact is named after the round.
fn document(round: usize) -> String {
    let contact = |n: usize| {
        let name = if n == 0 { round } else { n };
        format!(r#""contact{n}@example.test":{{"name":"Contact {name}","groups":["Friends"]}}"#)
    };
    let contacts: Vec<_> = (0..CONTACTS).map(contact).collect();
    format!("{{{}}}", contacts.join(","))
}
