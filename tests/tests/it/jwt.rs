//! Logins with a token of the app in place of a password: by PLAIN and by
//! OAUTHBEARER (RFC 7628). Rows 16, 17, 19 and 20 for tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, decode, failure_of, ns};
use muster_tests::muster::Setup;
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const AUTH: &str = "kind = \"jwt\"\nalgorithm = \"HS256\"\n\
    key = \"0123456789abcdef0123456789abcdef\"\nissuer = \"https://app.example.com\"\n\
    username_claim = \"user.name\"";

/// A host whose users come with tokens.
async fn stage(sections: &str) -> Stage {
    let app = Arc::new(App::start().await);
    let setup = Setup::new().host(DOMAIN, AUTH, &app.roster_url());
    Stage::around(app, &setup.with(sections)).await
}

async fn opened(stage: &Stage) -> Client {
    let mut client = Client::connect(stage.xmpp(), DOMAIN).await;
    client.open().await;
    client
}

/// What the app's backend does: a few lines in any language.
fn token(claims: &Value) -> String {
    let part = |value: &Value| BASE64.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key does");
    mac.update(message.as_bytes());
    format!("{message}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock").as_secs()
}

/// Good for a minute.
fn token_of(user: &str) -> String {
    let issuer = "https://app.example.com";
    token(&json!({"iss": issuer, "user": {"name": user}, "exp": now() + 60}))
}

fn bearer(gs2: &str, token: &str) -> Vec<u8> {
    format!("{gs2}\x01host={DOMAIN}\x01port=5222\x01auth=Bearer {token}\x01\x01").into_bytes()
}

#[tokio::test]
async fn a_token_is_a_login() {
    let stage = stage("").await;
    let mut client = Client::connect(stage.xmpp(), DOMAIN).await;
    let features = client.open().await;
    let mechanisms = features.get_child("mechanisms", ns::SASL).expect("a list");
    let offered = mechanisms.children().map(|mechanism| mechanism.text());
    assert!(offered.eq(["OAUTHBEARER", "PLAIN"]));
    client
        .authenticate("john", &token_of("john"), Mechanism::Plain)
        .await
        .expect("a login");
    client.open().await;
    client.bind(None).await;
    assert_eq!(client.bare(), format!("john@{DOMAIN}"));

    for gs2 in ["n,,", "y,,", &format!("n,a=marie@{DOMAIN},")] {
        let mut client = opened(&stage).await;
        let message = bearer(gs2, &token_of(&format!("marie@{DOMAIN}")));
        client.auth("OAUTHBEARER", &message).await;
        assert_eq!(client.element("success").await.name(), "success", "{gs2}");
        client.open().await;
        client.bind(None).await;
        assert_eq!(client.bare(), format!("marie@{DOMAIN}"));
    }
}

/// Every refusal looks the same: nobody learns anything of a token.
#[tokio::test]
async fn a_token_that_is_not_good_is_refused_without_a_reason() {
    let stage = stage("").await;
    let issuer = "https://app.example.com";
    let name = json!({"name": "john"});
    for refused in [
        "secret".to_owned(),
        format!("{}A", token_of("john")),
        token(&json!({"iss": issuer, "user": name, "exp": now() - 3600})),
        token(&json!({"iss": issuer, "user": name, "nbf": now() + 3600, "exp": now() + 7200})),
        token(&json!({"iss": issuer, "user": name})),
        token(&json!({"iss": "somebody", "user": name, "exp": now() + 60})),
        token(&json!({"iss": issuer, "sub": "john", "exp": now() + 60})),
        token_of("john@other.test"),
    ] {
        let mut client = opened(&stage).await;
        let plain = client.authenticate("john", &refused, Mechanism::Plain);
        assert_eq!(
            failure_of(&plain.await.expect_err("no login")),
            "not-authorized"
        );
        client.auth("OAUTHBEARER", &bearer("n,,", &refused)).await;
        let told = client.element("the error").await;
        assert_eq!(told.name(), "challenge", "{refused}");
        assert_eq!(decode(&told), "{\"status\":\"invalid_token\"}");
        client.respond(b"\x01").await;
        assert_eq!(
            failure_of(&client.element("a failure").await),
            "not-authorized"
        );
    }
    // Somebody else's token.
    let mut client = opened(&stage).await;
    let johns = token_of("john");
    let plain = client.authenticate("marie", &johns, Mechanism::Plain);
    assert_eq!(
        failure_of(&plain.await.expect_err("no login")),
        "not-authorized"
    );
    let other = bearer(&format!("n,a=marie@{DOMAIN},"), &token_of("john"));
    client.auth("OAUTHBEARER", &other).await;
    assert_eq!(
        failure_of(&client.element("a failure").await),
        "invalid-authzid"
    );
}

/// Row 20.
#[tokio::test]
async fn exchanges_with_tokens_are_as_robust_as_the_others() {
    let stage = stage("").await;
    let auth = |text: &str| {
        format!(
            "<auth xmlns='{}' mechanism='OAUTHBEARER'>{text}</auth>",
            ns::SASL
        )
    };
    let mut client = opened(&stage).await;
    for (text, condition) in [("%%%", "incorrect-encoding"), ("=", "malformed-request")] {
        client.send(auth(text)).await;
        assert_eq!(failure_of(&client.element("a failure").await), condition);
    }
    let long = "x".repeat(4 * 1024 + 1);
    client.auth("OAUTHBEARER", &bearer("n,,", &long)).await;
    assert_eq!(
        failure_of(&client.element("a failure").await),
        "malformed-request"
    );
    client.auth("OAUTHBEARER", &bearer("n,,", "wrong")).await;
    assert_eq!(client.element("the error").await.name(), "challenge");
    client.send(format!("<abort xmlns='{}'/>", ns::SASL)).await;
    assert_eq!(failure_of(&client.element("a failure").await), "aborted");
    // The first message in the answer to an empty challenge.
    client
        .send(format!(
            "<auth xmlns='{}' mechanism='OAUTHBEARER'/>",
            ns::SASL
        ))
        .await;
    assert_eq!(client.element("an empty challenge").await.text(), "");
    client.respond(&bearer("n,,", &token_of("john"))).await;
    assert_eq!(client.element("success").await.name(), "success");
    client.open().await;
    client
        .auth("OAUTHBEARER", &bearer("n,,", &token_of("john")))
        .await;
    client.stream_error(&["not-authorized"]).await;

    let mut client = opened(&stage).await;
    client.auth("OAUTHBEARER", &vec![b'x'; 1024 * 1024]).await;
    client.stream_error(&["policy-violation"]).await;
}

/// Row 19: a refused token counts, also where the client hears of it and does
/// not wait for the failure; and nobody is locked out.
#[tokio::test]
async fn who_guesses_tokens_waits() {
    const DELAY: Duration = Duration::from_millis(400);
    let stage = stage("[limits.xmpp]\nlogin_failures = 3\nlogin_delay = \"400ms\"").await;
    for _ in 0..2 {
        let mut client = opened(&stage).await;
        client.auth("OAUTHBEARER", &bearer("n,,", "wrong")).await;
        assert_eq!(client.element("the error").await.name(), "challenge");
        client.vanish();
    }
    let mut client = opened(&stage).await;
    let plain = client.authenticate("john", "wrong", Mechanism::Plain);
    plain.await.expect_err("no login");
    for _ in 0..2 {
        let mut client = opened(&stage).await;
        let asked = Instant::now();
        client
            .auth("OAUTHBEARER", &bearer("n,,", &token_of("john")))
            .await;
        assert_eq!(client.element("success").await.name(), "success");
        assert!(asked.elapsed() >= DELAY, "the attempt was not delayed");
    }
}

/// Keys are changed without a restart, and nobody who is there is thrown out.
#[tokio::test]
async fn a_new_key_counts_from_the_next_login_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, SECRET).expect("a file");
    let auth = format!(
        "kind = \"jwt\"\nalgorithm = \"HS256\"\nkey_file = {path:?}\nusername_claim = \"user.name\""
    );
    let app = Arc::new(App::start().await);
    let setup = Setup::new().host(DOMAIN, &auth, &app.roster_url());
    let stage = Stage::around(app, &setup).await;
    let token = token_of("john");
    let mut there = opened(&stage).await;
    let login = there.authenticate("john", &token, Mechanism::Plain);
    login.await.expect("a login");
    there.open().await;
    there.bind(None).await;

    std::fs::write(&path, SECRET.replace('0', "1")).expect("a file");
    stage.muster.as_ref().expect("its own host").reload();
    let mut late = opened(&stage).await;
    let login = late.authenticate("john", &token, Mechanism::Plain);
    assert_eq!(
        failure_of(&login.await.expect_err("an old key")),
        "not-authorized"
    );
    let pong = there.iq("get", None, "<ping xmlns='urn:xmpp:ping'/>").await;
    assert_eq!(pong.attr("type"), Some("result"));

    // What cannot be used changes nothing.
    std::fs::write(&path, "short").expect("a file");
    stage.muster.as_ref().expect("its own host").reload();
    let login = late.authenticate("john", &token, Mechanism::Plain);
    assert_eq!(
        failure_of(&login.await.expect_err("an old key")),
        "not-authorized"
    );
    std::fs::write(&path, SECRET).expect("a file");
    stage.muster.as_ref().expect("its own host").reload();
    let login = late.authenticate("john", &token, Mechanism::Plain);
    login.await.expect("the old key is back");
}
