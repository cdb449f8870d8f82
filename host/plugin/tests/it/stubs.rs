//! Files and sockets: not there, or there as stubs with nothing behind them.

use muster_plugin::{Candidate, Capability, LoadError, Plugin, Stubs, inspect};

use crate::host::{engine, prying, reaching, seen};

#[tokio::test(flavor = "multi_thread")]
async fn without_stubs_the_import_is_refused_by_name_with_the_remedy() {
    let mut settings = reaching("absent.example.test", Vec::new());
    settings.stubs = Stubs::Absent;
    let Err(error) = Plugin::load(
        engine(),
        Candidate::builtin(muster_test_plugins::prying()),
        settings,
    )
    .await
    else {
        panic!("loaded");
    };
    let LoadError::StubbedImport { name } = &error else {
        panic!("{error}");
    };
    assert!(name.starts_with("wasi:filesystem/") || name.starts_with("wasi:sockets/"));
    let told = error.to_string();
    assert!(
        told.contains(name) && told.contains("deny_all_stubs = true"),
        "{told}"
    );
}

#[test]
fn stubs_are_marked_where_a_plugin_is_inspected() {
    let inspection = inspect(muster_test_plugins::prying(), usize::MAX).unwrap();
    assert!(inspection.accept(Stubs::DenyAll).is_ok());
    assert!(inspection.accept(Stubs::Absent).is_err());
    assert!(inspection.capabilities().contains(&Capability::Stub));
    let stubs = inspection.imports.iter();
    let stubs = stubs.filter(|import| import.capability == Some(Capability::Stub));
    let names: Vec<_> = stubs.map(|import| import.name.as_str()).collect();
    for package in ["wasi:filesystem/", "wasi:sockets/"] {
        assert!(
            names.iter().any(|name| name.starts_with(package)),
            "{names:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_stubs_there_is_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plugin = prying(reaching("stubs.example.test", Vec::new())).await;
    let files = seen(&plugin, "files").await;
    assert!(!files.contains("done"), "{files}");
    assert_eq!(files.split(' ').count(), 7, "{files}");
    let deed = format!("sockets {}", listener.local_addr().unwrap());
    let sockets = seen(&plugin, &deed).await;
    assert!(!sockets.contains("done"), "{sockets}");
    assert_eq!(sockets.split(' ').count(), 5, "{sockets}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody has connected");
    assert!(!std::path::Path::new("/tmp/muster-prying").exists());
}
