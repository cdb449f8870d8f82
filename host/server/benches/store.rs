//! What the store does in a second: keeping messages one after the other and
//! from many senders at once, handing a backlog over, reading.
//!
//! `cargo bench --bench store`. The file is in the directory
//! for temporary files (`TMPDIR`), whose disk decides most of it.

#![allow(clippy::unwrap_used, reason = "what fails in a bench ends it")]

use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use futures_util::future::join_all;
use muster_server::config::StorageLimits;
use muster_server::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const ACCOUNT: &str = "juliet@example.test";

/// A store in a directory that is gone with it, without bounds.
struct Scene {
    runtime: Runtime,
    store: Store,
    _directory: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let limits = StorageLimits {
            offline_messages: usize::MAX,
            offline_bytes: usize::MAX,
            ..StorageLimits::default()
        };
        Scene {
            runtime: Runtime::new().unwrap(),
            store: Store::open(directory.path(), limits).unwrap(),
            _directory: directory,
        }
    }

    /// Keeps a message of some 300 bytes for each account, all at once.
    async fn keep(&self, accounts: &[String]) {
        let keep = accounts
            .iter()
            .map(|account| self.store.keep(account, message(), true));
        for kept in join_all(keep).await {
            kept.unwrap();
        }
    }
}

fn message() -> Bytes {
    let body = "x".repeat(100);
    format!(
        "<message from=\"romeo@example.test/balcony\" to=\"{ACCOUNT}\" id=\"4711\" type=\"chat\">\
         <body>{body}</body><delay xmlns=\"urn:xmpp:delay\" from=\"example.test\" \
         stamp=\"2000-02-29T00:00:00Z\"/></message>"
    )
    .into()
}

/// As many senders as that, each of whom waits for its message to be durable.
#[divan::bench(args = [1, 16, 256])]
fn keep(bencher: Bencher, senders: usize) {
    let scene = Scene::new();
    let accounts: Vec<_> = (0..senders)
        .map(|number| format!("user-{number}@example.test"))
        .collect();
    bencher
        .counter(ItemsCount::new(senders))
        .bench_local(|| scene.runtime.block_on(scene.keep(&accounts)));
}

/// A login with as many messages waiting: read, taken out, and seen to be all.
#[divan::bench(args = [0, 1, 100], sample_count = 30)]
fn take(bencher: Bencher, messages: usize) {
    let scene = Scene::new();
    let accounts = vec![ACCOUNT.to_owned(); messages];
    bencher
        .counter(ItemsCount::new(messages.max(1)))
        .with_inputs(|| scene.runtime.block_on(scene.keep(&accounts)))
        .bench_local_values(|()| {
            scene.runtime.block_on(async {
                while let Some(last) = scene.store.waiting(ACCOUNT).await.unwrap().last {
                    scene.store.delivered(ACCOUNT, last).await.unwrap();
                }
            });
        });
}

#[divan::bench]
fn read_vcard(bencher: Bencher) {
    let scene = Scene::new();
    let xml = format!(
        "<vCard xmlns=\"vcard-temp\"><FN>{}</FN></vCard>",
        "x".repeat(2_000)
    );
    scene
        .runtime
        .block_on(scene.store.set_vcard(ACCOUNT, Some(&xml)))
        .unwrap();
    bencher.bench_local(|| scene.runtime.block_on(scene.store.vcard(ACCOUNT)).unwrap());
}
