//! HTTP requests into plugins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use muster_plugin::{HandleError, Limits, Plugin, PluginFault};

use crate::backend::Backend;
use crate::host::{Refreshing, builtin, hostile, quick};

pub(crate) async fn send(
    plugin: &Plugin,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Response<Bytes>, HandleError> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:5280{path}"))
        .header("content-type", "application/json")
        .header("authorization", "Bearer secret")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    plugin.handle(request, Arc::new(Refreshing)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_answered_with_the_summary() {
    let backend = Backend::start().await;
    let plugin = builtin(&backend, Limits::default()).await;
    let path = "/roster_admin/refresh";
    let table = [
        ("POST", path, r#"["john","marie"]"#, 200),
        ("POST", path, "[]", 200),
        ("POST", path, r#"{"a":1}"#, 400),
        ("POST", path, "", 400),
        ("POST", "/roster_admin/refresh/john", "", 200),
        ("GET", "/roster_admin/refresh/john", "", 405),
        ("POST", "/roster_admin/other", "[]", 404),
    ];
    for (method, path, body, status) in table {
        let response = send(&plugin, method, path, body).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path} {body}");
    }
    let response = send(&plugin, "POST", path, r#"["john","marie"]"#)
        .await
        .unwrap();
    let summary = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(summary.contains("\"updated\":1"), "{summary}");
    assert!(summary.contains("\"errors\":1"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_name_and_the_next_request_works() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, quick()).await;
    let table = [
        ("/trap", HandleError::Plugin(PluginFault::Trap)),
        ("/spin", HandleError::Plugin(PluginFault::TurnLimit)),
        ("/never", HandleError::Timeout(Duration::from_secs(3))),
        ("/error", HandleError::Refused),
        ("/big", HandleError::TooLarge),
    ];
    for (path, expected) in table {
        let failed = send(&plugin, "POST", path, "").await.map(|r| r.status());
        assert_eq!(failed, Err(expected), "{path}");
    }
    let response = send(&plugin, "POST", "/ok", "").await.unwrap();
    assert_eq!(response.body(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_does_not_reach_the_plugin() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    let response = send(&plugin, "POST", "/headers", "").await.unwrap();
    let names = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(names.contains("content-type"), "{names}");
    assert!(!names.contains("authorization"), "{names}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_reach_the_plugin_as_they_are() {
    let backend = Backend::start().await;
    let plugin = hostile(&backend, Limits::default()).await;
    let response = send(&plugin, "POST", "/outcomes", "").await.unwrap();
    let outcomes = String::from_utf8(response.body().to_vec()).unwrap();
    assert!(outcomes.contains("added: 1"), "{outcomes}");
    assert!(outcomes.contains("FetchError::Unavailable"), "{outcomes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_bound_are_told_so() {
    let backend = Backend::start().await;
    let limits = Limits {
        handle_calls: 1,
        ..quick()
    };
    let plugin = hostile(&backend, limits).await;
    let (first, second) = tokio::join!(
        send(&plugin, "POST", "/never", ""),
        send(&plugin, "POST", "/ok", ""),
    );
    assert!(matches!(first, Err(HandleError::Timeout(_))));
    assert!(matches!(second, Err(HandleError::Overloaded)));
}
