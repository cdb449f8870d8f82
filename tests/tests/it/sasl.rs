//! Rows 14 and 16 to 20: proving who one is (RFC 6120, section 6).

use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, ScramExchange, decode, failure_of, ns};
use muster_tests::muster::Setup;
use muster_tests::stage::{DESERTED, DOMAIN, LISTED, LISTED_USERS, Stage};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MECHANISMS: [Mechanism; 3] = [
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
];

/// A stream to the domain with listed users.
async fn listed() -> Client {
    let mut client = Client::connect(Stage::shared().await.xmpp(), LISTED).await;
    client.open().await;
    client
}

#[tokio::test]
async fn every_mechanism_lets_the_right_password_in() {
    for mechanism in MECHANISMS {
        for (user, password) in LISTED_USERS {
            let mut client = listed().await;
            client
                .authenticate(user, password, mechanism)
                .await
                .expect("a login");
            client.open().await;
            client.bind(None).await;
            assert_eq!(client.bare(), format!("{user}@{LISTED}"));
        }
    }
}

#[tokio::test]
async fn the_strongest_mechanism_is_offered_first() {
    let stage = Stage::shared().await;
    let offered = |features: &xmpp_parsers::minidom::Element| -> Vec<String> {
        let mechanisms = features
            .get_child("mechanisms", ns::SASL)
            .expect("mechanisms");
        mechanisms
            .children()
            .map(|mechanism| mechanism.text())
            .collect()
    };
    let mut client = Client::connect(stage.xmpp(), LISTED).await;
    assert_eq!(
        offered(&client.open().await),
        MECHANISMS.map(Mechanism::name)
    );
    // Where nobody stored anything, SCRAM has nothing to go by.
    let mut client = Client::connect(stage.xmpp(), DOMAIN).await;
    assert_eq!(offered(&client.open().await), ["PLAIN"]);
}

/// Row 16.
#[tokio::test]
async fn nobody_acts_for_somebody_else() {
    for authzid in [
        "marie@listed.test",
        "marie",
        "john@example.test",
        "john@listed.test/phone",
    ] {
        let mut client = listed().await;
        client
            .auth("PLAIN", format!("{authzid}\0john\0secret").as_bytes())
            .await;
        assert_eq!(
            failure_of(&client.element("a failure").await),
            "invalid-authzid",
            "{authzid}"
        );
        let exchange = ScramExchange::new(
            Mechanism::ScramSha256,
            &format!("n,a={authzid},"),
            "john",
            "secret",
        );
        client
            .auth("SCRAM-SHA-256", exchange.first().as_bytes())
            .await;
        assert_eq!(
            failure_of(&client.element("a failure").await),
            "invalid-authzid",
            "{authzid}"
        );
    }
    let mut client = listed().await;
    client
        .auth("PLAIN", b"john@listed.test\0john\0secret")
        .await;
    assert_eq!(
        client.element("success").await.name(),
        "success",
        "one may act for oneself"
    );
}

/// Row 17: what a stranger sees does not depend on whether the account exists.
#[tokio::test]
async fn an_unknown_account_looks_like_a_wrong_password() {
    for mechanism in MECHANISMS {
        for user in ["john", "nobody"] {
            let mut client = listed().await;
            let failure = client
                .authenticate(user, "wrong", mechanism)
                .await
                .expect_err("no login");
            assert_eq!(
                failure_of(&failure),
                "not-authorized",
                "{user} with {mechanism:?}"
            );
        }
    }
}

/// Row 17: the salt of an account that does not exist is as constant, and as
/// plausible, as that of one that does.
#[tokio::test]
async fn the_challenge_for_an_unknown_account_is_plausible() {
    let parameters = async |user: &str| {
        let mut client = listed().await;
        let exchange = ScramExchange::new(Mechanism::ScramSha256, "n,,", user, "x");
        client
            .auth("SCRAM-SHA-256", exchange.first().as_bytes())
            .await;
        let challenge = decode(&client.element("a challenge").await);
        let field = |name: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name))
                .expect("the field")
                .to_owned()
        };
        (field("s="), field("i="))
    };
    let (john, nobody, other) = (
        parameters("john").await,
        parameters("nobody").await,
        parameters("no1").await,
    );
    assert_eq!(parameters("nobody").await, nobody);
    assert_ne!(nobody.0, other.0);
    assert_eq!((john.0.len(), &john.1), (nobody.0.len(), &nobody.1));
}

/// Row 18: without TLS there is no channel to bind to. A client that could bind
/// but was offered nothing says `y`, which is fine.
#[tokio::test]
async fn channel_binding_that_was_not_offered_cannot_be_used() {
    let mut client = listed().await;
    for binding in [
        "p=tls-exporter,,",
        "p=tls-unique,,",
        "p=tls-server-end-point,,",
    ] {
        let exchange = ScramExchange::new(Mechanism::ScramSha256, binding, "john", "secret");
        client
            .auth("SCRAM-SHA-256", exchange.first().as_bytes())
            .await;
        let failure = failure_of(&client.element("a failure").await);
        assert!(
            ["malformed-request", "not-authorized"].contains(&failure.as_str()),
            "{failure}"
        );
    }
    let mut exchange = ScramExchange::new(Mechanism::ScramSha256, "y,,", "john", "secret");
    client
        .auth("SCRAM-SHA-256", exchange.first().as_bytes())
        .await;
    let answer = exchange.answer(&decode(&client.element("a challenge").await));
    client.respond(answer.as_bytes()).await;
    assert_eq!(client.element("success").await.name(), "success");
}

#[tokio::test]
async fn a_proof_that_was_bent_is_no_proof() {
    for bend in [
        |answer: String| answer.replace("c=biws", "c=eSws"),
        |answer: String| answer.replacen("r=", "r=x", 1),
        |answer: String| answer.split(",p=").next().expect("a part").to_owned(),
        |answer: String| format!("{answer}AAAA"),
        |_| String::new(),
    ] {
        let mut client = listed().await;
        let mut exchange = ScramExchange::new(Mechanism::ScramSha256, "n,,", "john", "secret");
        client
            .auth("SCRAM-SHA-256", exchange.first().as_bytes())
            .await;
        let answer = exchange.answer(&decode(&client.element("a challenge").await));
        client.respond(bend(answer).as_bytes()).await;
        let failure = failure_of(&client.element("a failure").await);
        assert!(
            ["malformed-request", "not-authorized", "incorrect-encoding"]
                .contains(&failure.as_str())
        );
    }
}

/// Row 19: the stream, never the account, pays for wrong guesses.
#[tokio::test]
async fn the_sixth_failure_ends_the_stream_and_locks_nobody_out() {
    let mut client = listed().await;
    for attempt in 1..=6 {
        let failure = client
            .authenticate("john", "wrong", Mechanism::Plain)
            .await
            .expect_err("no login");
        assert_eq!(failure_of(&failure), "not-authorized", "attempt {attempt}");
    }
    client.stream_error(&["policy-violation"]).await;
    let mut client = listed().await;
    for _ in 1..6 {
        client
            .authenticate("john", "wrong", Mechanism::Plain)
            .await
            .expect_err("no login");
    }
    client
        .authenticate("john", "secret", Mechanism::ScramSha1)
        .await
        .expect("the right password");
}

/// Row 19: slower, not locked out.
#[tokio::test]
async fn who_fails_too_often_waits_and_is_let_in() {
    const DELAY: Duration = Duration::from_millis(400);
    let app = Arc::new(App::start().await);
    let setup = Setup::for_app(&app)
        .with("[limits.xmpp]\nlogin_failures = 3\nlogin_delay = \"400ms\"")
        .host(
            LISTED,
            "kind = \"static\"\nusers = { john = \"secret\" }",
            &app.roster_url(),
        );
    let stage = Stage::around(app, &setup).await;
    let mut client = Client::connect(stage.xmpp(), LISTED).await;
    client.open().await;
    for _ in 0..3 {
        client
            .authenticate("john", "wrong", Mechanism::Plain)
            .await
            .expect_err("no login");
    }
    let asked = Instant::now();
    client
        .authenticate("john", "secret", Mechanism::ScramSha256)
        .await
        .expect("the right password is still right");
    assert!(asked.elapsed() >= DELAY, "the attempt was not delayed");
    stage.shutdown().await;
}

/// Row 20.
#[tokio::test]
async fn malformed_exchanges_are_refused_by_their_names() {
    let auth = |mechanism: &str, text: &str| {
        format!(
            "<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>",
            ns::SASL
        )
    };
    for (element, condition) in [
        (auth("PLAIN", "%%%"), "incorrect-encoding"),
        (auth("PLAIN", "AGpvaG4Ac2VjcmV0A"), "incorrect-encoding"),
        (auth("PLAIN", "="), "malformed-request"),
        (auth("PLAIN", "am9obg=="), "malformed-request"),
        (auth("SCRAM-SHA-256", "am9obg=="), "malformed-request"),
        (
            auth("SCRAM-SHA-256-PLUS", "biwsbj1qb2huLHI9eA=="),
            "invalid-mechanism",
        ),
        (auth("EXTERNAL", "="), "invalid-mechanism"),
        (auth("", "="), "invalid-mechanism"),
        (
            format!("<response xmlns='{}'>AAAA</response>", ns::SASL),
            "malformed-request",
        ),
        (format!("<abort xmlns='{}'/>", ns::SASL), "aborted"),
    ] {
        let mut client = listed().await;
        client.send(&element).await;
        assert_eq!(
            failure_of(&client.element("a failure").await),
            condition,
            "{element}"
        );
        client
            .authenticate("john", "secret", Mechanism::Plain)
            .await
            .expect("another try is allowed");
    }
}

/// Row 20.
#[tokio::test]
async fn an_exchange_can_be_aborted() {
    let mut client = listed().await;
    let exchange = ScramExchange::new(Mechanism::ScramSha1, "n,,", "john", "secret");
    client
        .auth("SCRAM-SHA-1", exchange.first().as_bytes())
        .await;
    assert_eq!(client.element("a challenge").await.name(), "challenge");
    client.send(format!("<abort xmlns='{}'/>", ns::SASL)).await;
    assert_eq!(failure_of(&client.element("a failure").await), "aborted");
    client
        .authenticate("john", "secret", Mechanism::ScramSha1)
        .await
        .expect("another try is allowed");
}

/// Row 20.
#[tokio::test]
async fn a_huge_initial_response_ends_the_stream() {
    let mut client = listed().await;
    client.auth("PLAIN", &vec![b'x'; 1024 * 1024]).await;
    client.stream_error(&["policy-violation"]).await;
}

/// Row 20 (RFC 6120, section 6.4.6).
#[tokio::test]
async fn who_is_logged_in_cannot_log_in_again() {
    let mut client = listed().await;
    client
        .authenticate("john", "secret", Mechanism::Plain)
        .await
        .expect("a login");
    client.open().await;
    client.auth("PLAIN", b"\0marie\0geheim").await;
    client
        .stream_error(&["not-authorized", "unsupported-stanza-type"])
        .await;
    let stage = Stage::shared().await;
    let mut client = stage.bound("john").await;
    client.auth("PLAIN", b"\0marie\0any").await;
    client
        .stream_error(&["not-authorized", "unsupported-stanza-type"])
        .await;
}

/// An initial response may come in the second message (RFC 6120, section 6.4.2).
#[tokio::test]
async fn the_initial_response_may_be_asked_for() {
    let mut client = listed().await;
    client
        .send(format!("<auth xmlns='{}' mechanism='PLAIN'/>", ns::SASL))
        .await;
    let challenge = client.element("an empty challenge").await;
    assert_eq!(
        (challenge.name(), challenge.text().as_str()),
        ("challenge", "")
    );
    client.respond(b"\0john\0secret").await;
    assert_eq!(client.element("success").await.name(), "success");
}

/// A user of one domain is nobody in another.
#[tokio::test]
async fn accounts_belong_to_their_domain() {
    let stage = Stage::shared().await;
    let mut client = Client::connect(stage.xmpp(), DESERTED).await;
    client.open().await;
    client
        .authenticate("anybody", "x", Mechanism::Plain)
        .await
        .expect("open to everyone");
    let failure = listed()
        .await
        .authenticate("anybody", "x", Mechanism::Plain)
        .await
        .expect_err("not listed");
    assert_eq!(failure_of(&failure), "not-authorized");
}

/// `auth.kind = "http"`: a fault of the app is told as such, never as a wrong
/// password.
#[tokio::test]
async fn the_app_can_be_asked_about_a_password() {
    let app = Arc::new(App::start().await);
    let auth = format!(
        "kind = \"http\"\nurl = \"{}\"\ntimeout = \"300ms\"",
        app.auth_url()
    );
    let setup = Setup::new().host(DOMAIN, &auth, &app.roster_url());
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    app.set_password("john", "secret \"ä");
    let attempt = async |password: &str| {
        let mut client = stage.connect().await;
        client.open().await;
        client
            .authenticate("john", password, Mechanism::Plain)
            .await
    };
    attempt("secret \"ä").await.expect("the right password");
    assert_eq!(
        failure_of(&attempt("wrong").await.expect_err("a wrong one")),
        "not-authorized"
    );
    app.set_auth_status(Some(403));
    assert_eq!(
        failure_of(&attempt("secret \"ä").await.expect_err("forbidden")),
        "not-authorized"
    );
    for status in [500, 404, 302, 204, 201] {
        app.set_auth_status(Some(status));
        let failure = attempt("secret \"ä").await.expect_err("the app is broken");
        assert_eq!(failure_of(&failure), "temporary-auth-failure", "{status}");
    }
    let asked = app
        .requests()
        .into_iter()
        .filter(|request| request.path == "/auth")
        .collect::<Vec<_>>();
    assert!(
        asked.iter().all(|request| request.method == "POST"),
        "{asked:?}"
    );
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    drop(app);
}
