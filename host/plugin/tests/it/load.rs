//! What is not a plugin is refused, with the reason.

use bytes::Bytes;
use muster_plugin::{Candidate, CandidateSource, Limits, LoadError, Plugin};

use crate::backend::Backend;
use crate::host::{engine, settings};

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

async fn refused(bytes: &[u8], limits: Limits) -> LoadError {
    let backend = Backend::start().await;
    let source = CandidateSource::File("plugin.wasm".into());
    let candidate = Candidate::new(Bytes::copy_from_slice(bytes), source, None);
    match Plugin::load(engine(), candidate, settings(&backend, limits)).await {
        Ok(_) => panic!("loaded"),
        Err(error) => error,
    }
}

/// A component that imports one empty instance (Component Model, Binary.md).
fn importing(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let mut bytes = COMPONENT.to_vec();
    // Type section: one instance type without declarations.
    bytes.extend([7, 3, 1, 0x42, 0]);
    // Import section: one import of an instance of that type.
    bytes.extend([10, length + 5, 1, 0, length]);
    bytes.extend(name.as_bytes());
    bytes.extend([5, 0]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_named() {
    let limits = Limits::default;
    assert!(matches!(refused(b"", limits()).await, LoadError::Empty));
    assert!(matches!(
        refused(b"<html>", limits()).await,
        LoadError::NotWasm
    ));
    assert!(matches!(
        refused(MODULE, limits()).await,
        LoadError::CoreModule
    ));
    let half = &muster_builtin::COMPONENT[..muster_builtin::COMPONENT.len() / 2];
    assert!(matches!(
        refused(half, limits()).await,
        LoadError::Malformed(_)
    ));
    let small = Limits {
        component_bytes: 1_000,
        ..limits()
    };
    let too_large = refused(muster_builtin::COMPONENT, small).await;
    assert!(matches!(
        too_large,
        LoadError::TooLarge { limit: 1_000, .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_import_is_named() {
    for name in [
        "wasi:filesystem/types@0.2.6",
        "wasi:filesystem/preopens@0.3.0",
        "wasi:sockets/tcp@0.2.6",
        "wasi:sockets/ip-name-lookup@0.2.6",
        "example:evil/thing",
    ] {
        let error = refused(&importing(name), Limits::default()).await;
        assert!(error.to_string().contains(name), "{error}");
        let stub = name.starts_with("wasi:");
        assert_eq!(
            stub,
            matches!(error, LoadError::StubbedImport { .. }),
            "{error}"
        );
        assert_eq!(
            !stub,
            matches!(error, LoadError::DeniedImport { .. }),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_cannot_be_asked_is_told_what_is_missing() {
    let error = refused(COMPONENT, Limits::default()).await;
    assert!(matches!(error, LoadError::Unaskable { .. }), "{error}");
    let text = error.to_string();
    for name in [
        "exports nothing",
        "muster:roster/roster",
        "wasi:http/handler@0.3",
        "wasi:http/incoming-handler@0.2",
    ] {
        assert!(text.contains(name), "{text}");
    }
}
