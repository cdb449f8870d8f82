//! Rows 18 and 20 under TLS: logins that are bound to their channel (RFC 5802
//! §6, RFC 9266, RFC 5929 §4, XEP-0440).

use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, ScramExchange, decode, failure_of, ns};
use muster_tests::muster::{Muster, Setup};
use muster_tests::stage::DOMAIN;
use muster_tests::tls::{Files, Identity, TLS12, TLS13, Trust};
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;
use tokio::runtime::Runtime;
use xmpp_parsers::minidom::Element;

const SASL_CB: &str = "urn:xmpp:sasl-cb:0";

/// A host with a certificate and a listed user.
struct Scene {
    muster: Muster,
    identity: Identity,
    _files: Files,
    _app: App,
}

impl Scene {
    fn shared() -> &'static Scene {
        static SHARED: OnceLock<(Scene, Runtime)> = OnceLock::new();
        let start = || {
            let runtime = Runtime::new().expect("a runtime");
            (runtime.block_on(Scene::new()), runtime)
        };
        let started = || std::thread::spawn(start).join().expect("the host starts");
        &SHARED.get_or_init(started).0
    }

    async fn new() -> Scene {
        let app = App::start().await;
        let identity = Identity::new(&[DOMAIN]);
        let files = Files::of(&identity);
        let auth = "kind = \"static\"\nusers = { john = \"secret\" }";
        let setup = Setup::new().host(DOMAIN, auth, &app.roster_url());
        let setup = setup.certificate(&files).encrypted();
        Scene {
            muster: Muster::start(&setup).await,
            identity,
            _files: files,
            _app: app,
        }
    }

    fn trust(&self) -> Trust {
        Trust::only_in(&[&self.identity])
    }

    /// A stream under TLS, and its features.
    async fn opened(&self, trust: &Trust) -> (Client, Element) {
        let mut client = Client::connect_starttls(self.muster.xmpp(), DOMAIN, trust).await;
        let features = client.open().await;
        (client, features)
    }

    /// As [`Scene::opened`], on the port where TLS comes first.
    async fn opened_directly(&self) -> Client {
        let address = self.muster.xmpp_tls();
        let client = Client::connect_tls(address, DOMAIN, &self.trust()).await;
        let mut client = client.expect("a handshake");
        client.open().await;
        client
    }
}

/// What the client sees of its channel, by the two types.
fn exporter(client: &Client) -> Vec<u8> {
    let tls = client.tls().expect("TLS");
    let material = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
    let material: [u8; 32] = material.expect("an exporter");
    material.to_vec()
}

fn end_point(client: &Client) -> Vec<u8> {
    let chain = client.tls().and_then(|tls| tls.peer_certificates());
    let certificate = chain.and_then(<[_]>::first).expect("a certificate");
    Sha256::digest(certificate).to_vec()
}

fn offered(features: &Element) -> Vec<String> {
    let mechanisms = features.get_child("mechanisms", ns::SASL);
    let mechanisms = mechanisms.expect("mechanisms").children();
    mechanisms.map(|mechanism| mechanism.text()).collect()
}

fn types(features: &Element) -> Vec<String> {
    let feature = features.get_child("sasl-channel-binding", SASL_CB);
    let types = feature.into_iter().flat_map(Element::children);
    let named = |child: &Element| child.attr("type").expect("a type").to_owned();
    types.map(named).collect()
}

/// Runs SCRAM with `-PLUS` to its end; the last element.
async fn bound(client: &mut Client, kind: Mechanism, name: &str, seen: &[u8]) -> Element {
    let exchange = ScramExchange::new(kind, &format!("p={name},,"), "john", "secret");
    let mut exchange = exchange.bound_to(seen);
    let mechanism = format!("{}-PLUS", kind.name());
    client.auth(&mechanism, exchange.first().as_bytes()).await;
    let challenge = client.element("a challenge").await;
    assert_eq!(challenge.name(), "challenge", "{challenge:?}");
    let answer = exchange.answer(&decode(&challenge));
    client.respond(answer.as_bytes()).await;
    let outcome = client.element("the outcome of SASL").await;
    if outcome.name() == "success" {
        assert!(exchange.verifies(&decode(&outcome)), "the host's signature");
    }
    outcome
}

#[tokio::test]
async fn a_login_can_be_bound_to_its_channel() {
    let scene = Scene::shared();
    for kind in [Mechanism::ScramSha256, Mechanism::ScramSha1] {
        for name in ["tls-exporter", "tls-server-end-point"] {
            let (starttls, _) = scene.opened(&scene.trust()).await;
            for mut client in [starttls, scene.opened_directly().await] {
                let seen = match name {
                    "tls-exporter" => exporter(&client),
                    _ => end_point(&client),
                };
                let outcome = bound(&mut client, kind, name, &seen).await;
                assert_eq!(outcome.name(), "success", "{kind:?} {name}");
                client.open().await;
                client.bind(None).await;
                assert_eq!(client.bare(), format!("john@{DOMAIN}"));
            }
        }
    }
}

#[tokio::test]
async fn what_can_be_bound_to_is_offered() {
    let scene = Scene::shared();
    let all = [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    ];
    let (_, features) = scene.opened(&scene.trust().only(&TLS13)).await;
    assert_eq!(offered(&features), all);
    assert_eq!(types(&features), ["tls-exporter", "tls-server-end-point"]);
    // The exporter of TLS 1.2 is safe with an extension alone that not every
    // client has.
    let (mut client, features) = scene.opened(&scene.trust().only(&TLS12)).await;
    assert_eq!(offered(&features), all);
    assert_eq!(types(&features), ["tls-server-end-point"]);
    let seen = end_point(&client);
    let outcome = bound(
        &mut client,
        Mechanism::ScramSha256,
        "tls-server-end-point",
        &seen,
    )
    .await;
    assert_eq!(outcome.name(), "success");
}

/// Somebody in between has a TLS connection to either side, and passes on what
/// the client says.
#[tokio::test]
async fn somebody_in_between_gets_nowhere() {
    let scene = Scene::shared();
    let (victim, _) = scene.opened(&scene.trust()).await;
    let forged = Sha256::digest(&Identity::new(&[DOMAIN]).der).to_vec();
    for (name, seen) in [
        ("tls-exporter", exporter(&victim)),
        ("tls-server-end-point", forged),
        ("tls-exporter", end_point(&victim)),
        ("tls-exporter", Vec::new()),
    ] {
        let (mut client, _) = scene.opened(&scene.trust()).await;
        let outcome = bound(&mut client, Mechanism::ScramSha256, name, &seen).await;
        assert_eq!(failure_of(&outcome), "not-authorized", "{name}");
        // The password was right.
        let exchange = client.authenticate("john", "secret", Mechanism::ScramSha256);
        exchange.await.expect("another try is allowed");
    }
}

/// Row 18: `-PLUS` was offered, and a client that can bind did not see it.
#[tokio::test]
async fn a_stripped_list_of_mechanisms_is_noticed() {
    let scene = Scene::shared();
    for kind in [Mechanism::ScramSha256, Mechanism::ScramSha1] {
        for (name, gs2, condition) in [
            (kind.name().to_owned(), "y,,", Some("not-authorized")),
            (
                kind.name().to_owned(),
                "p=tls-exporter,,",
                Some("malformed-request"),
            ),
            (
                format!("{}-PLUS", kind.name()),
                "y,,",
                Some("malformed-request"),
            ),
            (
                format!("{}-PLUS", kind.name()),
                "n,,",
                Some("malformed-request"),
            ),
            (
                format!("{}-PLUS", kind.name()),
                "p=tls-unique,,",
                Some("malformed-request"),
            ),
            (
                format!("{}-PLUS", kind.name()),
                "p=,,",
                Some("malformed-request"),
            ),
            (kind.name().to_owned(), "n,,", None),
        ] {
            let (mut client, _) = scene.opened(&scene.trust()).await;
            let exchange = ScramExchange::new(kind, gs2, "john", "secret");
            client.auth(&name, exchange.first().as_bytes()).await;
            let answer = client.element("an answer").await;
            match condition {
                Some(condition) => assert_eq!(failure_of(&answer), condition, "{name} {gs2}"),
                None => assert_eq!(answer.name(), "challenge"),
            }
        }
    }
}

/// Row 20.
#[tokio::test]
async fn exchanges_that_are_bound_are_as_robust_as_the_others() {
    let scene = Scene::shared();
    let auth = |text: &str| {
        format!(
            "<auth xmlns='{}' mechanism='SCRAM-SHA-256-PLUS'>{text}</auth>",
            ns::SASL
        )
    };
    let (mut client, _) = scene.opened(&scene.trust()).await;
    for (text, condition) in [("%%%", "incorrect-encoding"), ("=", "malformed-request")] {
        client.send(auth(text)).await;
        assert_eq!(failure_of(&client.element("a failure").await), condition);
    }
    let gs2 = "p=tls-exporter,,";
    let exchange = ScramExchange::new(Mechanism::ScramSha256, gs2, "john", "secret");
    client
        .auth("SCRAM-SHA-256-PLUS", exchange.first().as_bytes())
        .await;
    assert_eq!(client.element("a challenge").await.name(), "challenge");
    client.send(format!("<abort xmlns='{}'/>", ns::SASL)).await;
    assert_eq!(failure_of(&client.element("a failure").await), "aborted");
    let seen = exporter(&client);
    let outcome = bound(&mut client, Mechanism::ScramSha256, "tls-exporter", &seen).await;
    assert_eq!(outcome.name(), "success");
    client.open().await;
    client.send(auth("AAAA")).await;
    client.stream_error(&["not-authorized"]).await;

    let (mut client, _) = scene.opened(&scene.trust()).await;
    client
        .auth("SCRAM-SHA-256-PLUS", &vec![b'x'; 1024 * 1024])
        .await;
    client.stream_error(&["policy-violation"]).await;
}
