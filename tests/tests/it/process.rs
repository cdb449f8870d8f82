//! L5: the built binary. The end of the process, in good order and without
//! warning, and a configuration that it must refuse.

use muster_tests::app::App;
use muster_tests::client::{Client, Mechanism, Received, error_of, show};
use muster_tests::muster::{Setup, Summary, refresh};
use muster_tests::process::{Process, run};
use muster_tests::stage::{DOMAIN, items};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// The server's own `main`, built along with the tests.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

async fn john(process: &Process) -> Client {
    let account = format!("john@{DOMAIN}");
    Client::login(process.xmpp(), &account, "x", None, Mechanism::Plain).await
}

/// Row 73.
#[tokio::test]
async fn sigterm_says_goodbye_and_ends_with_success() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    session.roster().await;
    let mut stranger = Client::connect(process.xmpp(), DOMAIN).await;
    stranger.open().await;
    let start = Instant::now();
    process.signal("TERM").await;
    session.stream_error(&["system-shutdown"]).await;
    stranger.stream_error(&["system-shutdown"]).await;
    let status = process.exit().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

/// Row 73: a request in flight is finished first.
#[tokio::test]
async fn sigterm_lets_a_refresh_finish() {
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    session.roster().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let gate = app.hold("john");
    let http = process.http();
    let caller = tokio::spawn(async move { refresh(http, DOMAIN, &["john"]).await });
    app.wait_for_requests("john", 2).await;
    process.signal("TERM").await;
    session.stream_error(&["system-shutdown"]).await;
    gate.open();
    let summary = muster_tests::within("the summary", caller)
        .await
        .expect("an answer, not a broken connection");
    assert_eq!(summary.updated + summary.errors, 1);
    assert_eq!(process.exit().await.code(), Some(0));
}

/// Row 73: a second signal ends at once.
#[tokio::test]
async fn a_second_signal_does_not_wait() {
    let app = App::start().await;
    let setup = Setup::for_app(&app).with("[limits]\ndrain = \"60s\"");
    let mut process = Process::start(binary(), &setup).await;
    let mut session = john(&process).await;
    session.roster().await;
    let _gate = app.hold("john");
    let http = process.http();
    let caller = tokio::spawn(async move {
        let mut connection = muster_tests::http::Connection::open(http).await;
        let token = format!("Bearer {}", muster_tests::muster::TOKEN);
        let fields = [
            ("Host", DOMAIN),
            ("Authorization", token.as_str()),
            ("Content-Type", "application/json"),
        ];
        let request =
            muster_tests::http::request("POST", "/roster_admin/refresh", &fields, b"[\"john\"]");
        connection.send(&request).await;
        connection.reply().await
    });
    app.wait_for_requests("john", 2).await;
    process.signal("TERM").await;
    session.stream_error(&["system-shutdown"]).await;
    process.signal("TERM").await;
    process.exit().await;
    assert!(
        caller.await.expect("the caller").is_none(),
        "no false answer"
    );
}

/// Row 71: what was asked before the death is asked again after it.
#[tokio::test]
async fn after_a_kill_the_next_roster_is_the_apps() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    assert_eq!(items(&session.roster().await), ["marie@example.test both"]);
    app.set_contacts("john", json!({"aaron@example.test": {}}));
    let gate = app.hold("john");
    let http = process.http();
    let caller = tokio::spawn(async move {
        let mut connection = muster_tests::http::Connection::open(http).await;
        let token = format!("Bearer {}", muster_tests::muster::TOKEN);
        let fields = [
            ("Host", DOMAIN),
            ("Authorization", token.as_str()),
            ("Content-Type", "application/json"),
        ];
        let request =
            muster_tests::http::request("POST", "/roster_admin/refresh", &fields, b"[\"john\"]");
        connection.send(&request).await;
        connection.reply().await
    });
    app.wait_for_requests("john", 2).await;
    let took = process.kill_and_restart(binary()).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(
        caller.await.expect("the caller").is_none(),
        "a broken connection, no false answer"
    );
    assert!(matches!(session.receive().await, Received::End));
    app.hold_no_more("john");
    gate.open();
    let mut session = john(&process).await;
    assert_eq!(items(&session.roster().await), ["aaron@example.test both"]);
    assert_eq!(
        refresh(process.http(), DOMAIN, &["john"]).await,
        Summary::new("ok", 1, 0)
    );
}

/// What clients keep at the server is there again after a death without warning.
#[tokio::test]
async fn what_clients_keep_survives_a_kill() {
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    let (vcard, private) = (
        "<vCard xmlns='vcard-temp'><FN>John</FN></vCard>",
        "<query xmlns='jabber:iq:private'><a xmlns='urn:a'>kept</a></query>",
    );
    let block = "<block xmlns='urn:xmpp:blocking'><item jid='marie@example.test'/></block>";
    for payload in [vcard, private, block] {
        let reply = session.iq("set", None, payload).await;
        assert_eq!(reply.attr("type"), Some("result"));
    }
    process.kill_and_restart(binary()).await;
    let mut session = john(&process).await;
    for (payload, kept) in [
        ("<vCard xmlns='vcard-temp'/>", "John"),
        (
            "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>",
            "kept",
        ),
        (
            "<blocklist xmlns='urn:xmpp:blocking'/>",
            "marie@example.test",
        ),
    ] {
        let reply = show(&session.iq("get", None, payload).await);
        assert!(reply.contains(kept), "{reply}");
    }
    session
        .send("<message to='marie@example.test' id='m'><body>hi</body></message>")
        .await;
    let refusal = session
        .expect("a refusal", |it| it.attr("id") == Some("m"))
        .await;
    assert_eq!(error_of(&refusal), "cancel/not-acceptable");
}

/// Every fault at once, each with its place, and exit code 64 (EX_USAGE).
#[tokio::test]
async fn a_bad_configuration_is_refused_with_all_its_faults() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("muster.toml");
    let text = "[xmpp]\nlisten = [\"127.0.0.1:0\"]\nrequire_tls = false\nlistn = 1\n[http]\nlisten = [\"nowhere\"]\n\
        [admin]\ntokens = []\n[[virtual_host]]\ndomain = \"example.test\"\n[virtual_host.auth]\nkind = \"psychic\"\n\
        [virtual_host.roster]\nhttp_roster_url = \"ftp://127.0.0.1/contacts\"\n";
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8");
    for arguments in [vec!["check-config", path], vec!["serve", "--config", path]] {
        let output = run(binary(), &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        for expected in [
            "listn",
            "nowhere",
            "tokens",
            "psychic",
            "http_roster_url",
            &format!("{path}:4:"),
        ] {
            assert!(
                said.contains(expected),
                "{arguments:?}: no {expected} in {said}"
            );
        }
    }
}

/// Row 38 and the rules between keys: nothing insecure beyond loopback.
#[tokio::test]
async fn what_is_only_for_loopback_is_refused_elsewhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("muster.toml");
    let good = Setup::new()
        .host(DOMAIN, "kind = \"any\"", "http://127.0.0.1:1/%s")
        .text();
    let http_listen = "[http]\nlisten = [\"127.0.0.1:0\"]";
    let check = async |text: &str| {
        std::fs::write(&file, text).expect("a file");
        run(binary(), &["check-config", file.to_str().expect("UTF-8")])
            .await
            .status
            .code()
    };
    assert_eq!(check(&good).await, Some(0));
    let open = good.replace("tokens = [", "allow_unauthenticated = true\ntokens = [");
    assert_eq!(check(&open).await, Some(0));
    for bad in [
        open.replace(http_listen, "[http]\nlisten = [\"0.0.0.0:0\"]"),
        open.replace(http_listen, "[http]\nlisten = [\"[::]:0\"]"),
        good.replace(
            &format!("tokens = [\"{}\"]", muster_tests::muster::TOKEN),
            "tokens = []",
        ),
        good.replace(
            "[xmpp]\nlisten = [\"127.0.0.1:0\"]",
            "[xmpp]\nlisten = [\"0.0.0.0:0\"]",
        ),
    ] {
        assert_ne!(bad, good);
        assert_eq!(check(&bad).await, Some(64), "{bad}");
    }
}

/// `muster refresh` prints the outcome of each user and ends with failure if one failed.
#[tokio::test]
async fn the_refresh_command_reports_each_user() {
    let app = App::start().await;
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let mut session = john(&process).await;
    session.roster().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let url = format!("http://{}", process.http());
    let token = muster_tests::muster::TOKEN;
    let output = run(
        binary(),
        &["refresh", "john", "--url", &url, "--token", token],
    )
    .await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("john: updated: 1 added"), "{said}");
    session.push().await;
    app.set_contacts("john", json!({}));
    let tried = [
        "refresh",
        "john",
        "nobody",
        "--dry-run",
        "--url",
        &url,
        "--token",
        token,
    ];
    let output = run(binary(), &tried).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let expected = "john: would be updated: 0 added, 0 changed, 1 removed\n  - marie@example.test\nnobody: offline\n";
    assert_eq!(said, expected);
    let output = run(binary(), &[&tried[..], &["--json"]].concat()).await;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        said["users"][0]["contacts"]["removed"],
        json!(["marie@example.test"])
    );
    assert!(session.settle().await.is_empty(), "nothing was pushed");
    app.set_answer("john", muster_tests::app::Answer::Status(500));
    let output = run(
        binary(),
        &["refresh", "john", "--url", &url, "--token", token],
    )
    .await;
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let output = run(
        binary(),
        &["refresh", "john", "--url", &url, "--token", "wrong"],
    )
    .await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert_eq!(said, "muster: the token is missing or wrong\n");
}
