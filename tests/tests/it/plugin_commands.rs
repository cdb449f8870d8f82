//! `muster plugin` and `muster backend`: what a file is, whether it would be taken, what serves in
//! a running server, and what becomes of what it is told to do.

use std::path::Path;

use muster_test_plugins::{deed, marked};
use muster_tests::app::{Answer, App, closed_address};
use muster_tests::client::{Client, Mechanism};
use muster_tests::muster::{ANYONE, Muster, Setup, TOKEN};
use muster_tests::process::{Process, run};
use muster_tests::stage::DOMAIN;
use muster_tests::tls::{Files, Identity};
use serde_json::Value;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_muster-under-test"))
}

/// A component without imports and exports (Component Model, Binary.md).
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Runs `muster plugin …`; its exit code, what it said and what it complained about.
async fn plugin(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(binary(), &[&["plugin"], arguments].concat()).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test]
async fn the_builtin_plugin_is_inspected_and_found_valid() {
    let (code, said, _) = plugin(&["inspect", "builtin"]).await;
    assert_eq!(code, Some(0));
    for expected in ["typed contract 0.1.0", "sha256", "wasi:http/handler@0.3"] {
        assert!(said.contains(expected), "no {expected} in {said}");
    }
    let (code, said, _) = plugin(&["inspect", "builtin", "--json"]).await;
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!(told["accepted"], true);
    assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
    assert!(
        told["capabilities"]
            .as_array()
            .is_some_and(|all| all.contains(&"http".into()))
    );
    let (code, said, complained) = plugin(&["validate", "builtin"]).await;
    assert_eq!(code, Some(0), "{complained}");
    assert_eq!(said, "builtin: ok, typed contract 0.1.0\n");
}

#[tokio::test]
async fn what_would_be_refused_is_told_with_its_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let empty = file("empty.wasm", EMPTY_COMPONENT);
    let (code, said, _) = plugin(&["inspect", &empty]).await;
    assert_eq!(code, Some(0), "it can be looked at all the same");
    assert!(
        said.contains("refused: the component is no plugin of any kind: it exports nothing"),
        "{said}"
    );
    for (path, reason) in [
        (empty, "`wasi:http/incoming-handler@0.2`"),
        (file("page.wasm", b"<!doctype html>"), "not WebAssembly"),
        (file("nothing.wasm", b""), "empty"),
        (
            file("module.wasm", b"\0asm\x01\0\0\0"),
            "core WebAssembly module",
        ),
    ] {
        let (code, said, complained) = plugin(&["validate", &path]).await;
        assert_eq!(code, Some(65), "{path}: {complained}");
        assert!(complained.contains(reason), "{path}: {complained}");
        assert_eq!(said, "");
        let (code, said, _) = plugin(&["validate", &path, "--json"]).await;
        let told: Value = serde_json::from_str(&said).expect("one JSON object");
        assert_eq!((code, &told["valid"]), (Some(65), &false.into()));
        assert!(
            told["reason"]
                .as_str()
                .is_some_and(|it| it.contains(reason))
        );
    }
    let (code, _, complained) = plugin(&["inspect", "/nowhere/plugin.wasm"]).await;
    assert_eq!(code, Some(74), "{complained}");
}

/// Runs `muster …` against a running server with the right token.
async fn ask(process: &Process, arguments: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("http://{}", process.http());
    let all = [arguments, &["--url", &url, "--token", TOKEN]].concat();
    said(&run(binary(), &all).await)
}

fn said(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, error)
}

/// From a key to a signed plugin that serves, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_plugin_is_rolled_out_and_back() {
    let app = App::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| {
        directory
            .path()
            .join(name)
            .to_str()
            .expect("UTF-8")
            .to_owned()
    };
    let (key, file) = (path("plugin.key"), path("plugin.wasm"));

    let (code, line, _) = plugin(&["keygen", "--out", &key]).await;
    assert_eq!(code, Some(0));
    assert!(line.starts_with("trusted_keys = [\"ed25519:"), "{line}");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read(&key).expect("a key");
    let (code, _, complained) = plugin(&["keygen", "--out", &key]).await;
    assert_eq!(code, Some(74), "it is not overwritten: {complained}");
    assert_eq!(std::fs::read(&key).expect("a key"), secret);

    let sign = async || {
        let (code, told, complained) = plugin(&["sign", &file, "--key", &key]).await;
        assert_eq!(code, Some(0), "{complained}");
        assert!(
            told.starts_with(&format!("{file}.sig: signature of ")),
            "{told}"
        );
    };
    std::fs::write(&file, deed("honest")).expect("a file");
    sign().await;
    let section = format!("[virtual_host.plugin]\nreload = \"manual\"\n{line}");
    let setup = Setup::new()
        .plugin(file.as_ref())
        .host(DOMAIN, ANYONE, &app.roster_url())
        .with_host_sections(&section);
    let process = Process::start(binary(), &setup).await;

    let (code, told, complained) = ask(&process, &["plugin", "status"]).await;
    assert_eq!(code, Some(0), "{complained}");
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines[0].starts_with("VIRTUAL HOST  GENERATION  PHASE"),
        "{told}"
    );
    assert!(
        lines[1].starts_with("example.test  1           serving"),
        "{told}"
    );
    let (_, told, _) = ask(&process, &["plugin", "status", DOMAIN, "--json"]).await;
    let first: Value = serde_json::from_str(&told).expect("one JSON object");

    // A build that nobody has signed is refused, the same one signed is taken.
    std::fs::write(&file, marked(&deed("honest"), 2)).expect("a file");
    let (code, told, complained) = ask(&process, &["plugin", "reload", DOMAIN]).await;
    assert_eq!((code, told.as_str()), (Some(65), ""), "{complained}");
    assert!(complained.contains("(signature)"), "{complained}");
    sign().await;
    let (code, told, complained) = ask(&process, &["plugin", "reload", DOMAIN]).await;
    assert_eq!(code, Some(0), "{complained}");
    assert!(
        told.starts_with("example.test: the new build serves (generation 2"),
        "{told}"
    );

    let (code, told, _) = ask(&process, &["plugin", "status", DOMAIN]).await;
    assert_eq!(code, Some(0));
    for expected in [
        "probation",
        "previous",
        "refused",
        "plugin:fetch",
        "backend:http:",
    ] {
        assert!(told.contains(expected), "no {expected} in {told}");
    }
    let (code, told, _) = ask(&process, &["plugin", "rollback", DOMAIN, "--json"]).await;
    assert_eq!(code, Some(0));
    let back: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!(back["plugin"]["sha256"], first["sha256"]);
    let (code, _, complained) = ask(&process, &["plugin", "rollback", DOMAIN]).await;
    assert_eq!(code, Some(1), "{complained}");
    assert!(complained.contains("no previous build"), "{complained}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_back_is_asked_again() {
    let app = App::start().await;
    let setup = Setup::for_app(&app).with("[limits.backend.breaker]\nprobe_interval = \"1h\"");
    let process = Process::start(binary(), &setup).await;
    for number in 0..5 {
        let user = format!("user{number}");
        app.set_answer(&user, Answer::Status(500));
        let jid = format!("{user}@{DOMAIN}");
        let mut client = Client::login(process.xmpp(), &jid, "x", None, Mechanism::Plain).await;
        client
            .iq("get", None, "<query xmlns='jabber:iq:roster'/>")
            .await;
    }
    let (code, told, complained) = ask(&process, &["backend", "status"]).await;
    assert_eq!(code, Some(0), "{complained}");
    let lines: Vec<_> = told.lines().collect();
    let heads: Vec<_> = lines[0].split("  ").filter(|it| !it.is_empty()).collect();
    let expected = [
        "VIRTUAL HOST",
        "BREAKER",
        "STATE",
        "FOR",
        "FAILED",
        "NEXT PROBE",
    ];
    assert_eq!(
        heads.iter().map(|it| it.trim()).collect::<Vec<_>>(),
        expected
    );
    assert!(
        lines[1].contains("open") && lines[1].contains("5 of 5"),
        "{told}"
    );
    let (code, told, _) = ask(&process, &["backend", "reset", DOMAIN]).await;
    let closed = "example.test: circuit breakers closed: 1\n";
    assert_eq!((code, told.as_str()), (Some(0), closed));
    let (code, told, _) = ask(&process, &["backend", "reset", "--json"]).await;
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!(told["resets"][0]["closed"], 0);
    let (_, told, _) = ask(&process, &["backend", "status", DOMAIN, "--json"]).await;
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    assert_eq!(told["backends"][0]["breakers"][0]["state"], "closed");
}

/// What goes wrong on the way is told, and by the exit code too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_say_why_they_cannot_reach_or_do() {
    let app = App::start().await;
    let process = Process::start(binary(), &Setup::for_app(&app)).await;
    let (code, _, complained) = ask(&process, &["plugin", "status", "nobody.test"]).await;
    assert_eq!(code, Some(64));
    assert!(complained.contains("it has: example.test"), "{complained}");
    let url = format!("http://{}", process.http());
    let nobody = format!("http://{}", closed_address().await);
    for (url, token, code, expected) in [
        (&url, "wrong", 77, "the token is missing or wrong"),
        (&nobody, TOKEN, 69, "cannot be reached"),
        (&"ftp://x".to_owned(), TOKEN, 64, "http://"),
    ] {
        let arguments = ["plugin", "status", "--url", url, "--token", token];
        let (found, out, complained) = said(&run(binary(), &arguments).await);
        assert_eq!(found, Some(code), "{complained}");
        assert!(complained.contains(expected), "{complained}");
        assert_eq!(out, "");
    }
}

/// By https with a certificate of one's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_trust_the_authorities_that_they_are_told_to() {
    let app = App::start().await;
    let files = Files::of(&Identity::new(&[DOMAIN, "localhost"]));
    let setup = Setup::for_app(&app).certificate(&files).encrypted();
    let muster = Muster::start(&setup).await;
    let url = format!("https://localhost:{}", muster.https().port());
    let base = ["backend", "status", "--url", &url, "--token", TOKEN];
    let (code, _, complained) = said(&run(binary(), &base).await);
    assert_eq!(code, Some(69), "{complained}");
    assert!(complained.contains("certificate"), "{complained}");
    let authority = files.certificate().display().to_string();
    let trusting = [&base[..], &["--ca-file", &authority]].concat();
    let (code, told, complained) = said(&run(binary(), &trusting).await);
    assert_eq!(code, Some(0), "{complained}");
    assert!(told.contains("backend:http"), "{told}");
    let none = [&base[..], &["--ca-file", "/nowhere.pem"]].concat();
    let (code, _, complained) = said(&run(binary(), &none).await);
    assert_eq!(code, Some(74), "{complained}");
}
