//! The components that misbehave on every call do what they are for; other
//! tests count on it.

use bytes::Bytes;
use muster_plugin::{
    Candidate, CandidateSource, FetchError, Fetched, HandleError, LoadError, Plugin, PluginFault,
};

use crate::backend::Backend;
use crate::handle::send;
use crate::host::{engine, quick, settings};

async fn load(backend: &Backend, component: &[u8]) -> Result<Plugin, LoadError> {
    let source = CandidateSource::File("plugin.wasm".into());
    let candidate = Candidate::new(Bytes::copy_from_slice(component), source, None);
    Plugin::load(engine(), candidate, settings(backend, quick())).await
}

async fn deed(backend: &Backend, deed: &str) -> Plugin {
    load(backend, &muster_test_plugins::deed(deed))
        .await
        .unwrap()
}

fn is_one_contact(answer: &Result<Fetched, FetchError>) -> bool {
    matches!(answer, Ok(Fetched::Roster { contacts, .. }) if contacts.len() == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deed_is_done_whoever_is_asked_for() {
    let backend = Backend::start().await;
    let trapped = Err(FetchError::Plugin(PluginFault::Trap));
    assert_eq!(
        deed(&backend, "trap").await.fetch("john", None).await,
        trapped
    );
    let malformed = deed(&backend, "malformed").await.fetch("john", None).await;
    assert!(matches!(malformed, Err(FetchError::Malformed(_))));
    let never = deed(&backend, "never").await.fetch("john", None).await;
    assert_eq!(never, Err(FetchError::Timeout));
    for honest in ["honest", "slow", "trap-handle", "asks"] {
        let answer = deed(&backend, honest).await.fetch("john", None).await;
        assert!(is_one_contact(&answer), "{honest}: {answer:?}");
    }
    let missing = deed(&backend, "asks").await.fetch("missing", None).await;
    assert_eq!(missing, Err(FetchError::Status(404)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_one_refreshes_as_the_built_in_does() {
    let backend = Backend::start().await;
    let path = "/roster_admin/refresh";
    let plugin = deed(&backend, "honest").await;
    let response = send(&plugin, "POST", path, r#"["john","marie"]"#)
        .await
        .unwrap();
    let summary = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(summary.contains(r#""updated":1,"errors":1"#), "{summary}");
    let plugin = deed(&backend, "trap-handle").await;
    let trapped = send(&plugin, "POST", path, "[]").await.map(drop);
    assert_eq!(trapped, Err(HandleError::Plugin(PluginFault::Trap)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_its_start_is_not_loaded() {
    let backend = Backend::start().await;
    for start in ["trap-start", "spin-start"] {
        let refused = load(&backend, &muster_test_plugins::deed(start)).await;
        // On a busy machine its time may be over before its turn is.
        assert!(
            matches!(
                refused,
                Err(LoadError::Instantiate(_) | LoadError::SlowStart)
            ),
            "{start}: {refused:?}"
        );
    }
    let marked = muster_test_plugins::marked(muster_test_plugins::hostile(), 7);
    assert!(load(&backend, &marked).await.is_ok());
}
