//! Promise 1: what a peer costs that has not logged in, whatever it says.

use muster_tests::app::App;
use muster_tests::client::Client;
use muster_tests::muster::Setup;
use muster_tests::process::Process;
use muster_tests::stage::DOMAIN;
use std::path::Path;
use std::time::Duration;

/// As many as one address may have, at most.
const PEERS: u32 = 500;
const MEMORY_BYTES: usize = 64 * 1024;
const CPU: Duration = Duration::from_millis(10);

/// Each has an open stream, has failed to log in, and stays with a stanza that
/// is as large as it may be and never ends.
#[tokio::test]
async fn a_peer_that_has_not_logged_in_costs_little_and_reaches_nobody() {
    let app = App::start().await;
    let setup = Setup::for_app(&app).with(
        "[limits.xmpp]\nconnects_per_minute = 1000000\nlogin_failures = 1000000\n\
         [limits.xmpp.before_auth]\nbytes_per_second = \"1MiB\"\nstanzas_per_second = 1000",
    );
    let process = Process::start(Path::new(env!("CARGO_BIN_EXE_muster-under-test")), &setup).await;
    // The first few make the process as large as it gets.
    let _first = peers(&process, 20).await;
    let (memory, cpu) = (process.memory("VmRSS"), process.cpu());
    let peers = peers(&process, PEERS).await;
    let memory = process.memory("VmRSS").saturating_sub(memory) / PEERS as usize;
    let cpu = (process.cpu() - cpu) / PEERS;
    println!("{memory} bytes and {cpu:?} of CPU a connection");
    assert!(memory < MEMORY_BYTES, "{memory} bytes");
    assert!(cpu < CPU, "{cpu:?}");
    assert_eq!(app.requests().len(), 0, "the app is never asked");
    drop(peers);
}

async fn peers(process: &Process, count: u32) -> Vec<Client> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = Client::connect(process.xmpp(), DOMAIN).await;
        peer.open().await;
        peer.auth("PLAIN", b"\0\0").await;
        peer.element("a failure").await;
        let long = "x".repeat(7 * 1024);
        peer.send(format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{long}"
        ))
        .await;
        peers.push(peer);
    }
    peers
}
