//! Row 51 and what an operator writes about the app: its own authority, a client
//! certificate, a secret, redirects; and limits of one host.

use muster_tests::app::{Answer, App};
use muster_tests::client::Mechanism;
use muster_tests::front::Front;
use muster_tests::muster::{Muster, Setup, Summary};
use muster_tests::stage::{DOMAIN, Stage, items};
use muster_tests::tls::{Files, Identity};
use muster_tests::within;
use serde_json::json;
use std::sync::Arc;

/// The whole way: the app is behind TLS with a certificate of the operator's
/// own authority, wants to see the server's, and knows it by a token, which is
/// exchanged while the server runs.
#[tokio::test]
async fn an_app_behind_tls_knows_the_server_by_certificate_and_token() {
    let app = Arc::new(App::start().await);
    app.set_default_contacts(json!({"marie@example.test": {}}));
    let (theirs, ours) = (Identity::new(&["localhost"]), Identity::new(&["muster"]));
    let front = Front::start(app.address(), &theirs, Some(&ours)).await;
    let (their_files, our_files) = (Files::of(&theirs), Files::of(&ours));
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "the first\n").expect("a file");
    let url = format!("https://localhost:{}", front.port());
    let setup = Setup::new()
        .host(DOMAIN, "kind = \"any\"", &format!("{url}/contacts/%s"))
        .with_host_sections(&format!(
            "[[virtual_host.origin]]\nurl = \"{url}\"\nca_file = {:?}\n\
             client_certificate = {:?}\nclient_key = {:?}\nauthorization = {{ file = {token:?} }}\n",
            their_files.certificate(),
            our_files.certificate(),
            our_files.key(),
        ));
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    let told = |name: &str| {
        let requests = app.requests_for(&stage.user(name));
        let header = requests
            .last()
            .and_then(|request| request.header("authorization"));
        header.unwrap_or_default().to_owned()
    };
    assert_eq!(told("john"), "Bearer the first");

    let muster = stage.muster.as_ref().expect("its own");
    std::fs::write(&token, "the second").expect("a file");
    muster.reload();
    let mut marie = stage.bound("marie").await;
    marie.roster().await;
    assert_eq!(told("marie"), "Bearer the second");

    // What cannot be used leaves the one before.
    std::fs::write(&token, "no\nheader").expect("a file");
    muster.reload();
    let mut paul = stage.bound("paul").await;
    paul.roster().await;
    assert_eq!(told("paul"), "Bearer the second");
}

/// An app that is not who it should be gets no request.
#[tokio::test]
async fn an_app_of_another_authority_is_not_asked() {
    let app = Arc::new(App::start().await);
    let (theirs, other) = (Identity::new(&["localhost"]), Identity::new(&["localhost"]));
    let front = Front::start(app.address(), &theirs, None).await;
    let other = Files::of(&other);
    let url = format!("https://localhost:{}", front.port());
    let setup = Setup::new()
        .host(DOMAIN, "kind = \"any\"", &format!("{url}/contacts/%s"))
        .with_host_sections(&format!(
            "[[virtual_host.origin]]\nurl = \"{url}\"\nca_file = {:?}\n",
            other.certificate()
        ));
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    let mut john = stage.bound("john").await;
    let answer = john
        .iq("get", None, "<query xmlns='jabber:iq:roster'/>")
        .await;
    assert_eq!(answer.attr("type"), Some("error"));
    assert!(app.requests().is_empty());
}

/// A redirect is followed where both origins say so, and is an error of that
/// user elsewhere.
#[tokio::test]
async fn a_redirect_is_followed_to_a_listed_origin_only() {
    let (app, other) = (Arc::new(App::start().await), App::start().await);
    let stranger = App::start().await;
    let contacts = json!({"marie@example.test": {}});
    other.set_default_contacts(contacts.clone());
    stranger.set_default_contacts(contacts);
    let setup = Setup::for_app(&app).with_host_sections(&format!(
        "[[virtual_host.origin]]\nurl = \"http://{}\"\nredirects = 1\n\
         [[virtual_host.origin]]\nurl = \"http://{}\"\n",
        app.address(),
        other.address(),
    ));
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    let to = |app: &App| Answer::Redirect(format!("http://{}/contacts/somebody", app.address()));
    stage.answer("john", to(&other));
    let mut john = stage.bound("john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    assert_eq!(other.requests_for("somebody").len(), 1);

    stage.answer("john", to(&stranger));
    assert_eq!(stage.refresh(&["john"]).await, Summary::new("error", 0, 1));
    assert!(stranger.requests().is_empty());
}

/// `auth.kind = "http"` over TLS, with an authority of the operator's own.
#[tokio::test]
async fn a_login_is_asked_about_over_tls() {
    let app = Arc::new(App::start().await);
    app.set_password("john", "secret");
    let (theirs, other) = (Identity::new(&["localhost"]), Identity::new(&["localhost"]));
    let front = Front::start(app.address(), &theirs, None).await;
    let files = Files::of(&other);
    let auth = format!(
        "kind = \"http\"\nurl = \"https://localhost:{}/auth\"\nca_file = {:?}",
        front.port(),
        files.certificate()
    );
    let setup = Setup::new().host(DOMAIN, &auth, &app.roster_url());
    let stage = Stage::around(Arc::clone(&app), &setup).await;
    let attempt = async || {
        let mut client = stage.connect().await;
        client.open().await;
        client
            .authenticate("john", "secret", Mechanism::Plain)
            .await
    };
    attempt().await.expect_err("another authority");
    assert!(app.requests().is_empty(), "the password went to nobody");
    files.replace(&theirs);
    stage.muster.as_ref().expect("its own").reload();
    attempt().await.expect("the right authority");
    assert_eq!(app.requests().len(), 1);
}

/// One host's limits are its own.
#[tokio::test]
async fn a_limit_of_one_host_is_not_the_others() {
    let app = App::start().await;
    let many: serde_json::Map<_, _> = (0..20)
        .map(|n| (format!("u{n}@example.test"), json!({})))
        .collect();
    app.set_default_contacts(many.into());
    let setup = Setup::new()
        .host("narrow.test", "kind = \"any\"", &app.roster_url())
        .with_host_sections("[virtual_host.backend.limits]\ncontacts = 10\n")
        .host("wide.test", "kind = \"any\"", &app.roster_url());
    let muster = Muster::start(&setup).await;
    for (domain, answer) in [("narrow.test", "error"), ("wide.test", "result")] {
        let mut client = muster_tests::client::Client::connect(muster.xmpp(), domain).await;
        client.log_in("john", "x", Mechanism::Plain).await;
        let got = client
            .iq("get", None, "<query xmlns='jabber:iq:roster'/>")
            .await;
        assert_eq!(got.attr("type"), Some(answer), "{domain}");
    }
    within("the host to stop", muster.shutdown()).await;
}
