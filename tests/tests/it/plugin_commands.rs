//! `muster plugin inspect` and `validate`: what a file is, and whether it would be taken.

use std::path::Path;

use muster_tests::process::run;
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
    for expected in ["muster:roster@0.1.0", "sha256", "wasi:http/handler@0.3"] {
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
    assert_eq!(said, "builtin: ok\n");
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
    assert!(said.contains("refused: the component does not export `muster:roster/roster`"));
    for (path, reason) in [
        (empty, "does not export"),
        (file("page.wasm", b"<!doctype html>"), "not WebAssembly"),
        (file("nothing.wasm", b""), "empty"),
        (file("module.wasm", b"\0asm\x01\0\0\0"), "wasm32-wasip2"),
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
