//! TLS: how streams come by it, whose certificate they are shown, newer
//! certificates while sessions go on, and what must not get through.

use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, Received, failure_of, header, ns};
use muster_tests::http::{Connection, request};
use muster_tests::muster::{ANYONE, Muster, Setup, TOKEN};
use muster_tests::process::Process;
use muster_tests::stage::{DOMAIN, items};
use muster_tests::tls::{Files, Identity, TLS12, TLS13, Trust};
use muster_tests::within;
use serde_json::json;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// The second virtual host.
const OTHER: &str = "other.test";

/// A host with certificates for two domains, and everything around it.
struct Scene {
    muster: Muster,
    first: Identity,
    other: Identity,
    files: Files,
    _others_files: Files,
    app: App,
}

impl Scene {
    /// One for all tests that leave its certificates alone.
    fn shared() -> &'static Scene {
        static SHARED: OnceLock<(Scene, Runtime)> = OnceLock::new();
        let start = || {
            let runtime = Runtime::new().expect("a runtime");
            (runtime.block_on(Scene::new("")), runtime)
        };
        let shared = SHARED.get_or_init(|| {
            let started = std::thread::spawn(start).join();
            started.expect("the shared host starts")
        });
        &shared.0
    }

    /// `sections` as in the configuration.
    async fn new(sections: &str) -> Scene {
        let app = App::start().await;
        app.set_contacts("john", json!({"marie@example.test": {}}));
        let (first, other) = (Identity::new(&[DOMAIN]), Identity::new(&[OTHER]));
        let (files, others_files) = (Files::of(&first), Files::of(&other));
        let setup = Setup::for_app(&app)
            .certificate(&files)
            .host(OTHER, ANYONE, &app.roster_url())
            .certificate(&others_files)
            .encrypted()
            .with(sections);
        Scene {
            muster: Muster::start(&setup).await,
            first,
            other,
            files,
            _others_files: others_files,
            app,
        }
    }

    fn trust(&self) -> Trust {
        Trust::only_in(&[&self.first])
    }

    async fn john(&self) -> Client {
        let mut john = Client::connect_starttls(self.muster.xmpp(), DOMAIN, &self.trust()).await;
        john.log_in("john", "any", Mechanism::Plain).await;
        john
    }

    async fn metric(&self, name: &str) -> f64 {
        let reply = self.https("GET", "/metrics", b"").await;
        let text = reply.text();
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    async fn https(&self, method: &str, path: &str, body: &[u8]) -> muster_tests::http::Reply {
        let trust = Trust::only_in(&[&self.first, &self.other]).protocols(&["h2", "http/1.1"]);
        let connection = Connection::open_tls(self.muster.https(), OTHER, &trust).await;
        let mut connection = connection.expect("a handshake");
        let token = format!("Bearer {TOKEN}");
        let fields = [
            ("Host", DOMAIN),
            ("Authorization", token.as_str()),
            ("Content-Type", "application/json"),
        ];
        connection.send(&request(method, path, &fields, body)).await;
        connection.reply().await.expect("a reply")
    }
}

/// Row 14: before TLS nothing but TLS is on offer, and PLAIN is refused.
#[tokio::test]
async fn before_tls_there_is_no_login() {
    let scene = Scene::shared();
    let mut client = Client::connect(scene.muster.xmpp(), DOMAIN).await;
    let features = client.open().await;
    let starttls = features.get_child("starttls", ns::TLS).expect("STARTTLS");
    assert!(starttls.has_child("required", ns::TLS));
    assert!(!features.has_child("mechanisms", ns::SASL));
    for (mechanism, initial) in [
        ("PLAIN", "\0john\0any"),
        ("SCRAM-SHA-256", "n,,n=john,r=abc"),
    ] {
        client.auth(mechanism, initial.as_bytes()).await;
        let failure = client.element("a failure").await;
        assert_eq!(failure_of(&failure), "encryption-required");
    }
    // The connection is not spoiled.
    client.starttls(b"", &scene.trust()).await.expect("TLS");
    client.log_in("john", "any", Mechanism::Plain).await;
}

#[tokio::test]
async fn starttls_leads_to_a_roster() {
    let scene = Scene::shared();
    for version in [&TLS13, &TLS12] {
        let trust = scene.trust().only(version);
        let mut john = Client::connect_starttls(scene.muster.xmpp(), DOMAIN, &trust).await;
        let features = john.open().await;
        assert!(!features.has_child("starttls", ns::TLS), "it is there");
        john.authenticate("john", "any", Mechanism::Plain)
            .await
            .expect("john");
        john.open().await;
        john.bind(None).await;
        assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    }
}

/// XEP-0368: the protocol is named or not; another one is not spoken.
#[tokio::test]
async fn direct_tls_is_for_those_who_mean_xmpp() {
    let scene = Scene::shared();
    let address = scene.muster.xmpp_tls();
    for (protocols, agreed) in [
        (&["xmpp-client"][..], Some(&b"xmpp-client"[..])),
        (&["h2", "xmpp-client"], Some(b"xmpp-client")),
        (&[], None),
    ] {
        let trust = scene.trust().protocols(protocols);
        let john = Client::connect_tls(address, DOMAIN, &trust).await;
        let mut john = john.expect("a handshake");
        assert_eq!(john.tls().expect("TLS").alpn_protocol(), agreed);
        john.log_in("john", "any", Mechanism::Plain).await;
        assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    }
    let trust = scene.trust().protocols(&["h2", "http/1.1"]);
    let refused = Client::connect_tls(address, DOMAIN, &trust).await;
    let told = refused.expect_err("another protocol").to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}

/// Each client trusts one certificate only, so that a handshake proves which
/// one it was shown.
#[tokio::test]
async fn each_domain_has_its_certificate() {
    let scene = Scene::shared();
    let (starttls, direct) = (scene.muster.xmpp(), scene.muster.xmpp_tls());
    let https = scene.muster.https();
    for (domain, identity) in [(DOMAIN, &scene.first), (OTHER, &scene.other)] {
        let trust = Trust::only_in(&[identity]);
        Client::connect_starttls(starttls, domain, &trust).await;
        // Who does not say whom it wants in TLS has said so in its stream.
        Client::connect_starttls(starttls, domain, &trust.clone().anonymous()).await;
        Client::connect_tls(direct, domain, &trust)
            .await
            .expect("TLS");
        Connection::open_tls(https, domain, &trust)
            .await
            .expect("TLS");
    }
    let anonymous = scene.trust().anonymous();
    Client::connect_tls(direct, DOMAIN, &anonymous)
        .await
        .expect("the first host's");
    Client::connect_tls(direct, OTHER, &Trust::only_in(&[&scene.other]).anonymous())
        .await
        .expect_err("the first host's");
}

/// Row 13: what came along with `<starttls/>` is not taken for something that
/// came under TLS.
#[tokio::test]
async fn nothing_pipelined_before_tls_survives() {
    let scene = Scene::shared();
    let auth = format!(
        "<auth xmlns='{}' mechanism='PLAIN'>AGpvaG4AYW55</auth>",
        ns::SASL
    );
    let stream = header(DOMAIN);
    for injected in [&auth, &stream, &format!("{stream}{auth}"), "<auth xmlns='"] {
        let mut client = Client::connect(scene.muster.xmpp(), DOMAIN).await;
        client.open().await;
        let secured = client.starttls(injected.as_bytes(), &scene.trust()).await;
        secured.expect("the handshake is the first that is read after it");
        let features = client.open().await;
        assert!(
            features.has_child("mechanisms", ns::SASL),
            "nobody is logged in"
        );
        client
            .authenticate("marie", "any", Mechanism::Plain)
            .await
            .expect("the only login");
        client.open().await;
        client.bind(None).await;
        assert_eq!(client.bare(), "marie@example.test");
    }
}

/// Row 15: a handshake that stands still is ended, by STARTTLS and direct, for
/// XMPP and HTTPS.
#[tokio::test]
async fn silence_in_a_handshake_is_ended() {
    let scene = Scene::new("[limits.tls]\nhandshake_timeout = \"200ms\"").await;
    let start = Instant::now();
    for address in [scene.muster.xmpp_tls(), scene.muster.https()] {
        let mut socket = TcpStream::connect(address).await.expect("a connection");
        // The header of a record that never comes.
        socket.write_all(&[22, 3, 1, 2, 0]).await.expect("sent");
        let mut rest = Vec::new();
        let end = within("the end", socket.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "{rest:?} {end:?}");
    }
    let mut client = Client::connect(scene.muster.xmpp(), DOMAIN).await;
    client.open().await;
    client
        .send(format!("<starttls xmlns='{}'/>", ns::TLS))
        .await;
    assert_eq!(client.element("leave").await.name(), "proceed");
    assert!(matches!(client.receive().await, Received::End));
    assert!(
        start.elapsed() >= Duration::from_millis(600),
        "three deadlines"
    );
    let timeouts = "muster_tls_handshakes_total{purpose=\"starttls\",outcome=\"timeout\"}";
    assert!(scene.metric(timeouts).await >= 1.0);
}

/// Row 15: the place of a handshake that was ended is free again.
#[tokio::test]
async fn an_ended_handshake_frees_its_place() {
    let sections =
        "[limits.tls]\nhandshake_timeout = \"200ms\"\n[limits.xmpp]\nunauthenticated = 1";
    let scene = Scene::new(sections).await;
    let mut silent = Client::connect(scene.muster.xmpp_tls(), DOMAIN).await;
    let mut second = Client::connect(scene.muster.xmpp_tls(), DOMAIN).await;
    assert!(matches!(second.receive().await, Received::End), "no place");
    assert!(matches!(silent.receive().await, Received::End));
    until_shown(scene.muster.xmpp(), &scene.first).await;
}

/// A ClientHello of TLS 1.1 with its usual suites: the answer is the alert
/// `protocol_version` (RFC 8446, section 6.2), not a handshake.
#[tokio::test]
async fn old_versions_are_refused() {
    let scene = Scene::shared();
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x0a, 0x00, 0x2f, 1, 0]);
    // Groups, formats of points, signatures: nothing else is missing.
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ];
    let extensions = extensions.concat();
    body.extend([0, u8::try_from(extensions.len()).expect("short")]);
    body.extend(extensions);
    let mut message = vec![1, 0, 0, u8::try_from(body.len()).expect("short")];
    message.extend(body);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).expect("short")];
    record.extend(message);

    let mut socket = TcpStream::connect(scene.muster.xmpp_tls())
        .await
        .expect("a connection");
    socket.write_all(&record).await.expect("sent");
    let mut answer = Vec::new();
    let _ = within("an alert", socket.read_to_end(&mut answer)).await;
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    assert_eq!(answer.get(5..7), Some(&[2, 70][..]), "{answer:?}");
}

/// What is no TLS at all, and a client that goes away: the next one is served.
#[tokio::test]
async fn nonsense_in_place_of_a_handshake_disturbs_nobody() {
    let scene = Scene::shared();
    for nonsense in [
        &header(DOMAIN).into_bytes()[..],
        &[0; 4096],
        &[22, 3, 1, 0xff, 0xff],
    ] {
        let mut socket = TcpStream::connect(scene.muster.xmpp_tls())
            .await
            .expect("a connection");
        let _ = socket.write_all(nonsense).await;
        socket.shutdown().await.expect("a socket");
        let mut answer = Vec::new();
        let _ = within("the end", socket.read_to_end(&mut answer)).await;
        assert!(
            answer.is_empty() || answer.first() == Some(&21),
            "{answer:?}"
        );
    }
    let direct = Client::connect_tls(scene.muster.xmpp_tls(), DOMAIN, &scene.trust()).await;
    direct
        .expect("a handshake")
        .log_in("john", "any", Mechanism::Plain)
        .await;
}

#[tokio::test]
async fn a_stream_under_tls_ends_with_a_notice() {
    let scene = Scene::shared();
    let mut john = scene.john().await;
    john.send("</stream:stream>").await;
    assert!(matches!(john.receive().await, Received::Close));
    assert!(john.ends_properly().await, "close_notify");
}

#[tokio::test]
async fn a_stop_waits_for_no_handshake() {
    let scene = Scene::new("[limits]\ndrain = \"60s\"").await;
    let mut john = scene.john().await;
    let mut silent = Client::connect(scene.muster.xmpp_tls(), DOMAIN).await;
    let mut half = Client::connect(scene.muster.xmpp(), DOMAIN).await;
    half.open().await;
    half.send(format!("<starttls xmlns='{}'/>", ns::TLS)).await;
    assert_eq!(half.element("leave").await.name(), "proceed");
    let Scene { muster, .. } = scene;
    let stop = tokio::spawn(muster.shutdown());
    john.stream_error(&["system-shutdown"]).await;
    assert!(matches!(silent.receive().await, Received::End));
    assert!(matches!(half.receive().await, Received::End));
    within("the stop", stop).await.expect("no panic");
}

/// Tries until the host lets a client in and shows it `identity`.
async fn until_shown(address: std::net::SocketAddr, identity: &Identity) {
    let trust = Trust::only_in(&[identity]);
    let shown = async {
        loop {
            let mut client = Client::connect(address, DOMAIN).await;
            client.send_header(&header(DOMAIN)).await;
            let Received::Open(_) = client.receive().await else {
                continue;
            };
            client.element("features").await;
            if client.starttls(b"", &trust).await.is_ok() {
                return;
            }
        }
    };
    within("the newer certificate", shown).await;
}

/// Changed files are taken by themselves, by whichever way they changed; a
/// session goes on.
#[tokio::test]
async fn a_changed_certificate_is_taken_while_a_session_goes_on() {
    let scene = Scene::new("[limits.tls]\ncertificate_poll = \"20ms\"").await;
    let mut john = scene.john().await;
    let newer = Identity::new(&[DOMAIN]);
    scene.files.replace(&newer);
    until_shown(scene.muster.xmpp(), &newer).await;
    let newest = Identity::new(&[DOMAIN]);
    scene.files.write(&newest.certificate, &newest.key);
    until_shown(scene.muster.xmpp(), &newest).await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
}

/// A bad certificate is told and not taken; a good one after it is.
#[tokio::test]
async fn a_bad_certificate_leaves_the_one_before() {
    let scene = Scene::new("[limits.tls]\ncertificate_poll = \"20ms\"").await;
    let refused = "muster_certificate_reloads_total{outcome=\"refused\"}";
    let newer = Identity::new(&[DOMAIN]);
    let half = &newer.certificate[..newer.certificate.len() / 2];
    for (certificate, key) in [(half, &newer.key), (&newer.certificate, &scene.first.key)] {
        let before = scene.metric(refused).await;
        scene.files.write(certificate, key);
        let told = async {
            while scene.metric(refused).await <= before {
                tokio::task::yield_now().await;
            }
        };
        within("a word about the bad certificate", told).await;
        scene.john().await;
    }
    scene.files.write(&newer.certificate, &newer.key);
    until_shown(scene.muster.xmpp(), &newer).await;
}

/// Kubernetes mounts secrets as links to links, and swaps one of them.
#[tokio::test]
async fn a_swapped_link_is_a_changed_certificate() {
    let app = App::start().await;
    let (old, new) = (Identity::new(&[DOMAIN]), Identity::new(&[DOMAIN]));
    let (old_files, new_files) = (Files::of(&old), Files::of(&new));
    let mount = tempfile::tempdir().expect("a directory");
    let link = |target: &Path, name: &str| {
        let path = mount.path().join(name);
        std::os::unix::fs::symlink(target, &path).expect("a link");
        path
    };
    let directory = |files: &Files| files.key().parent().expect("a directory").to_owned();
    let data = link(&directory(&old_files), "..data");
    let mounted = Files::at(mount.path());
    link(Path::new("..data/crt"), "crt");
    link(Path::new("..data/key"), "key");
    let setup = Setup::for_app(&app)
        .certificate(&mounted)
        .encrypted()
        .with("[limits.tls]\ncertificate_poll = \"20ms\"");
    let muster = Muster::start(&setup).await;
    until_shown(muster.xmpp(), &old).await;
    let newer = link(&directory(&new_files), "..data_tmp");
    std::fs::rename(newer, data).expect("a link");
    until_shown(muster.xmpp(), &new).await;
}

/// SIGHUP: at once, without losing a session.
#[tokio::test]
async fn sighup_reads_the_certificates_again() {
    let app = App::start().await;
    let (old, new) = (Identity::new(&[DOMAIN]), Identity::new(&[DOMAIN]));
    let files = Files::of(&old);
    let setup = Setup::for_app(&app)
        .certificate(&files)
        .encrypted()
        .with("[limits.tls]\ncertificate_poll = \"1h\"");
    let process = Process::start(Path::new(env!("CARGO_BIN_EXE_muster-under-test")), &setup).await;
    let trust = Trust::only_in(&[&old]);
    let mut john = Client::connect_starttls(process.xmpp(), DOMAIN, &trust).await;
    john.log_in("john", "any", Mechanism::Plain).await;
    files.replace(&new);
    process.signal("HUP").await;
    until_shown(process.xmpp(), &new).await;
    john.roster().await;
}

#[tokio::test]
async fn the_http_side_is_there_by_https_too() {
    let scene = Scene::shared();
    let mut john = scene.john().await;
    john.roster().await;
    let reply = scene.https("GET", "/healthz", b"").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok\n"));
    scene.app.set_contacts(
        "john",
        json!({"aaron@example.test": {}, "marie@example.test": {}}),
    );
    let reply = scene
        .https("POST", "/roster_admin/refresh", b"[\"john\"]")
        .await;
    assert_eq!(reply.json()["updated"], 1, "{}", reply.text());
    assert_eq!(john.push().await.attr("jid"), Some("aaron@example.test"));
    let trust = scene.trust().protocols(&["xmpp-client"]);
    let refused = Connection::open_tls(scene.muster.https(), DOMAIN, &trust).await;
    refused.expect_err("another protocol");
}

/// The certificates of the tests end in the year 4096.
#[tokio::test]
async fn the_end_of_a_certificate_is_a_metric() {
    let scene = Scene::shared();
    let name = format!("muster_certificate_expiry_timestamp_seconds{{domain=\"{OTHER}\"}}");
    let seconds = scene.metric(&name).await;
    assert!(
        (67_090_000_000.0..67_120_000_000.0).contains(&seconds),
        "{seconds}"
    );
}
