//! The store against a model, across reopenings, at its bounds.

pub(super) mod faults;
mod rosters;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const JOHN: &str = "john@example.test";
const MARIE: &str = "marie@example.test";

fn open(directory: &Path) -> Store {
    Store::open(directory, StorageLimits::default()).unwrap()
}

fn bounded(directory: &Path, bound: impl FnOnce(&mut StorageLimits)) -> Store {
    let mut limits = StorageLimits::default();
    bound(&mut limits);
    Store::open(directory, limits).unwrap()
}

async fn keep(store: &Store, account: &str, message: &str) -> Result<Kept, StoreError> {
    let message = Bytes::copy_from_slice(message.as_bytes());
    store.keep(account, message, true).await
}

/// Everything that waits, taken out.
async fn take(store: &Store, account: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let waiting = store.waiting(account).await.unwrap();
        let Some(last) = waiting.last else { return all };
        all.extend(waiting.messages.iter().map(text));
        store.delivered(account, last).await.unwrap();
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn messages_wait_in_order_and_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for message in ["one", "two", "three"] {
        assert_eq!(keep(&store, JOHN, message).await, Ok(Kept::Kept));
    }
    keep(&store, MARIE, "another's").await.unwrap();
    store.close().await;
    assert_eq!(keep(&store, JOHN, "x").await, Err(StoreError::Unavailable));

    let store = open(directory.path());
    assert_eq!(store.count(JOHN).await, Ok(3));
    let waiting = store.waiting(JOHN).await.unwrap();
    assert_eq!(waiting.messages.len(), 3, "reading takes nothing out");
    assert_eq!(take(&store, JOHN).await, ["one", "two", "three"]);
    assert_eq!(store.count(JOHN).await, Ok(0));
    assert_eq!(take(&store, MARIE).await, ["another's"]);
}

#[tokio::test]
async fn what_came_after_the_reading_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    keep(&store, JOHN, "one").await.unwrap();
    let read = store.waiting(JOHN).await.unwrap();
    keep(&store, JOHN, "two").await.unwrap();
    store.delivered(JOHN, read.last.unwrap()).await.unwrap();
    assert_eq!(take(&store, JOHN).await, ["two"]);
}

#[tokio::test]
async fn a_long_backlog_comes_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let long = "x".repeat(40 * 1024);
    for number in 0..3 {
        keep(&store, JOHN, &format!("{number}{long}"))
            .await
            .unwrap();
    }
    let first = store.waiting(JOHN).await.unwrap();
    assert_eq!(first.messages.len(), 1, "two would be more than 64 KiB");
    assert_eq!(take(&store, JOHN).await.len(), 3);
}

#[tokio::test]
async fn the_bounds_of_a_user_refuse_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = bounded(directory.path(), |limits| {
        limits.offline_messages = 2;
        limits.offline_bytes = 10;
        limits.vcard_bytes = 5;
        limits.private_bytes = 8;
        limits.blocklist_entries = 2;
    });
    let full = Err(StoreError::OverLimit(Bound::Offline));
    keep(&store, JOHN, "1").await.unwrap();
    assert_eq!(keep(&store, JOHN, "0123456789").await, full);
    keep(&store, JOHN, "2").await.unwrap();
    assert_eq!(keep(&store, JOHN, "3").await, full);
    keep(&store, MARIE, "hers").await.unwrap();
    assert_eq!(take(&store, JOHN).await, ["1", "2"]);
    keep(&store, JOHN, "4").await.unwrap();

    store.set_vcard(JOHN, Some("12345")).await.unwrap();
    let refused = store.set_vcard(JOHN, Some("123456")).await;
    assert_eq!(refused, Err(StoreError::OverLimit(Bound::VcardBytes)));
    assert_eq!(store.vcard(JOHN).await.unwrap().as_deref(), Some("12345"));

    store
        .set_private(JOHN, "a", "x", Some("12345"))
        .await
        .unwrap();
    let refused = store.set_private(JOHN, "a", "y", Some("1234")).await;
    assert_eq!(refused, Err(StoreError::OverLimit(Bound::PrivateBytes)));
    store
        .set_private(JOHN, "a", "x", Some("1234"))
        .await
        .unwrap();
    store
        .set_private(JOHN, "a", "y", Some("1234"))
        .await
        .unwrap();

    store.block(JOHN, ["a", "b", "a"]).await.unwrap();
    store.block(JOHN, ["b"]).await.unwrap();
    let refused = store.block(JOHN, ["c"]).await;
    assert_eq!(refused, Err(StoreError::OverLimit(Bound::BlocklistEntries)));
    assert_eq!(store.blocklist(JOHN).await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn everybodys_bound_counts_what_is_taken_out_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = bounded(directory.path(), |limits| limits.total_bytes = 10);
    let full = Err(StoreError::OverLimit(Bound::TotalBytes));
    keep(&store, JOHN, "12345").await.unwrap();
    store.set_vcard(MARIE, Some("12345")).await.unwrap();
    assert_eq!(keep(&store, MARIE, "1").await.err(), full.err());
    assert_eq!(store.set_private(JOHN, "a", "b", Some("1")).await, full);
    assert_eq!(store.block(JOHN, ["1"]).await, full);
    assert_eq!(take(&store, JOHN).await, ["12345"]);
    store.block(JOHN, ["1", "2"]).await.unwrap();
    store
        .set_private(JOHN, "a", "b", Some("345"))
        .await
        .unwrap();
    assert_eq!(keep(&store, JOHN, "6").await.err(), full.err());
    store.unblock(JOHN, ["1"]).await.unwrap();
    keep(&store, JOHN, "6").await.unwrap();
    store.forget(JOHN).await.unwrap();
    store.set_vcard(MARIE, Some("1234567890")).await.unwrap();
}

#[tokio::test]
async fn strangers_reach_the_bound_and_fill_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = bounded(directory.path(), |limits| limits.offline_messages = 2);
    let send = || store.keep("nobody@example.test", Bytes::from_static(b"spam"), false);
    for _ in 0..2 {
        assert_eq!(send().await, Ok(Kept::Stranger));
    }
    assert_eq!(send().await, Err(StoreError::OverLimit(Bound::Offline)));
    assert!(take(&store, "nobody@example.test").await.is_empty());

    store.remember("nobody@example.test").await.unwrap();
    assert_eq!(send().await, Ok(Kept::Kept), "an account from now on");
    let waiting = store.waiting("nobody@example.test").await.unwrap();
    assert!(waiting.remembered && waiting.messages.len() == 1);
}

#[tokio::test]
async fn forgetting_takes_out_one_account_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for account in [JOHN, MARIE, "john@example.test.example"] {
        keep(&store, account, "m").await.unwrap();
        store.set_vcard(account, Some("v")).await.unwrap();
        store
            .set_private(account, "a", "b", Some("p"))
            .await
            .unwrap();
        store.block(account, ["x@example.test"]).await.unwrap();
        store.remember(account).await.unwrap();
    }
    store.forget(JOHN).await.unwrap();
    let waiting = store.waiting(JOHN).await.unwrap();
    assert!(waiting.messages.is_empty() && !waiting.remembered);
    assert_eq!(store.vcard(JOHN).await.unwrap(), None);
    assert_eq!(store.private(JOHN, "a", "b").await.unwrap(), None);
    assert!(store.blocklist(JOHN).await.unwrap().is_empty());
    for account in [MARIE, "john@example.test.example"] {
        assert_eq!(store.count(account).await, Ok(1));
        assert!(store.vcard(account).await.unwrap().is_some());
        assert!(store.private(account, "a", "b").await.unwrap().is_some());
        assert_eq!(store.blocklist(account).await.unwrap(), ["x@example.test"]);
    }
}

/// What the model is told and the store as well.
#[derive(Clone, Debug)]
enum Step {
    Keep(usize, String),
    Take(usize),
    Vcard(usize, Option<String>),
    Private(usize, String, Option<String>),
    Block(usize, Vec<String>),
    Unblock(usize, Vec<String>),
    UnblockAll(usize),
    Forget(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let account = 0..3_usize;
    let word = "[abc]{1,2}";
    prop_oneof![
        4 => (account.clone(), word).prop_map(|(a, m)| Step::Keep(a, m)),
        2 => account.clone().prop_map(Step::Take),
        1 => (account.clone(), proptest::option::of(word)).prop_map(|(a, v)| Step::Vcard(a, v)),
        2 => (account.clone(), word, proptest::option::of(word)).prop_map(|(a, n, v)| Step::Private(a, n, v)),
        2 => (account.clone(), proptest::collection::vec(word, 0..3)).prop_map(|(a, j)| Step::Block(a, j)),
        1 => (account.clone(), proptest::collection::vec(word, 0..3)).prop_map(|(a, j)| Step::Unblock(a, j)),
        1 => account.clone().prop_map(Step::UnblockAll),
        1 => account.prop_map(Step::Forget),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Model {
    messages: Vec<String>,
    vcard: Option<String>,
    private: BTreeMap<String, String>,
    blocked: std::collections::BTreeSet<String>,
}

/// Names of which one begins with another, so that neighbours are told apart.
const ACCOUNTS: [&str; 3] = ["a@a", "a@aa", "aa@a"];

async fn play(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut models: [Model; 3] = Default::default();
    for step in steps {
        match step {
            Step::Keep(a, message) => {
                keep(&store, ACCOUNTS[a], &message).await.unwrap();
                models[a].messages.push(message);
            }
            Step::Take(a) => {
                let expected = std::mem::take(&mut models[a].messages);
                assert_eq!(take(&store, ACCOUNTS[a]).await, expected);
            }
            Step::Vcard(a, xml) => {
                store.set_vcard(ACCOUNTS[a], xml.as_deref()).await.unwrap();
                models[a].vcard = xml;
            }
            Step::Private(a, name, xml) => {
                let set = store.set_private(ACCOUNTS[a], "ns", &name, xml.as_deref());
                set.await.unwrap();
                match xml {
                    Some(xml) => drop(models[a].private.insert(name, xml)),
                    None => drop(models[a].private.remove(&name)),
                }
            }
            Step::Block(a, jids) => {
                let block = store.block(ACCOUNTS[a], jids.iter().map(String::as_str));
                block.await.unwrap();
                models[a].blocked.extend(jids);
            }
            Step::Unblock(a, jids) => {
                let unblock = store.unblock(ACCOUNTS[a], jids.iter().map(String::as_str));
                unblock.await.unwrap();
                models[a].blocked.retain(|jid| !jids.contains(jid));
            }
            Step::UnblockAll(a) => {
                store.unblock_all(ACCOUNTS[a]).await.unwrap();
                models[a].blocked.clear();
            }
            Step::Forget(a) => {
                store.forget(ACCOUNTS[a]).await.unwrap();
                models[a] = Model::default();
            }
            Step::Reopen => {
                store.close().await;
                store = open(directory.path());
            }
        }
        for (account, model) in ACCOUNTS.iter().zip(&models) {
            let count = store.count(account).await.unwrap();
            assert_eq!(count, model.messages.len() as u64);
            assert_eq!(store.vcard(account).await.unwrap(), model.vcard);
            let blocked: Vec<_> = model.blocked.iter().cloned().collect();
            assert_eq!(store.blocklist(account).await.unwrap(), blocked);
            for (name, xml) in &model.private {
                let found = store.private(account, "ns", name).await.unwrap();
                assert_eq!(found.as_ref(), Some(xml));
            }
        }
    }
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_does_what_a_map_in_memory_does(steps in proptest::collection::vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps));
    }
}

/// Many callers share a commit, and each is told of its own message.
#[tokio::test]
async fn a_group_is_refused_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = bounded(directory.path(), |limits| limits.offline_messages = 10);
    let calls = (0..50).map(|number| {
        let store = store.clone();
        async move { keep(&store, JOHN, &number.to_string()).await }
    });
    let outcomes = futures_util::future::join_all(calls).await;
    let kept = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(kept, 10);
    assert_eq!(take(&store, JOHN).await.len(), 10);
}
