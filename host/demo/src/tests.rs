//! The app over real HTTP, with a listener in Muster's place.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::*;

/// Tokens and bodies.
type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// Plays Muster: remembers each request's token and body.
struct FakeMuster {
    address: SocketAddr,
    seen: Seen,
}

impl FakeMuster {
    async fn start() -> Self {
        let seen = Seen::default();
        let answer = async |State(seen): State<Seen>, headers: HeaderMap, body: Bytes| {
            let token = headers["authorization"].to_str().unwrap().to_owned();
            seen.lock()
                .unwrap()
                .push((token, serde_json::from_slice(&body).unwrap()));
            r#"{"status":"ok","message":"roster update complete","updated":2,"errors":0}"#
        };
        let router = axum::Router::new().route("/roster_admin/refresh", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = axum::serve(listener, router.with_state(Arc::clone(&seen)));
        tokio::spawn(serve.into_future());
        Self { address, seen }
    }

    fn seen(&self) -> Vec<(String, Value)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn app(muster: SocketAddr, database: Option<PathBuf>) -> App {
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        refresh_url: format!("http://{muster}/roster_admin/refresh"),
        token: "a-token".into(),
        domain: "example.test".into(),
        database,
    };
    App::start(options).await.unwrap()
}

struct Answer {
    status: StatusCode,
    etag: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn send(
    app: &App,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Answer {
    let uri = format!("http://{}{path}", app.address());
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .request(request.body(Full::<Bytes>::from(body)).unwrap())
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        etag: head
            .headers
            .get("etag")
            .map(|etag| etag.to_str().unwrap().to_owned()),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

async fn get(app: &App, path: &str) -> Answer {
    send(app, Method::GET, path, &[], String::new()).await
}

async fn post_json(app: &App, path: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json")];
    send(app, Method::POST, path, &headers, body.to_string()).await
}

#[tokio::test]
async fn befriending_changes_both_lists_and_tells_muster() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;

    let wish = json!({ "user": "john", "contact": "aaron", "group": "Work" });
    let answer = post_json(&app, "/befriend", wish).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["updated"], 2);
    assert_eq!(
        muster.seen(),
        [("Bearer a-token".to_owned(), json!(["john", "aaron"]))]
    );

    let john = get(&app, "/contacts/john").await.json();
    let entry = json!({ "name": "Aaron", "groups": ["Work"], "subscription": "both" });
    assert_eq!(john["aaron@example.test"], entry);
    let aaron = get(&app, "/contacts/aaron").await.json();
    assert_eq!(aaron["john@example.test"]["groups"], json!([]));
    app.shutdown().await;
}

#[tokio::test]
async fn unfriending_and_renaming_tell_whose_lists_changed() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;

    let wish = json!({ "user": "john", "contact": "marie", "name": "M." });
    assert_eq!(
        post_json(&app, "/rename", wish).await.status,
        StatusCode::OK
    );
    let john = get(&app, "/contacts/john").await.json();
    assert_eq!(john["marie@example.test"]["name"], "M.");

    let wish = json!({ "user": "john", "contact": "marie" });
    assert_eq!(
        post_json(&app, "/unfriend", wish.clone()).await.status,
        StatusCode::OK
    );
    assert_eq!(get(&app, "/contacts/john").await.json(), json!({}));
    assert_eq!(get(&app, "/contacts/marie").await.json(), json!({}));
    assert_eq!(
        post_json(&app, "/unfriend", wish).await.status,
        StatusCode::NOT_FOUND
    );

    let told: Vec<_> = muster.seen().into_iter().map(|(_, users)| users).collect();
    assert_eq!(told, [json!(["john"]), json!(["john", "marie"])]);
    app.shutdown().await;
}

#[tokio::test]
async fn a_known_list_is_not_sent_again() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;
    let etag = get(&app, "/contacts/john").await.etag.unwrap();

    let known = [("if-none-match", etag.as_str())];
    let again = send(&app, Method::GET, "/contacts/john", &known, String::new()).await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );

    post_json(
        &app,
        "/befriend",
        json!({ "user": "john", "contact": "romeo" }),
    )
    .await;
    let changed = send(&app, Method::GET, "/contacts/john", &known, String::new()).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.etag.unwrap(), etag);
    app.shutdown().await;
}

#[tokio::test]
async fn passwords_are_checked() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;
    for Account {
        username, password, ..
    } in ACCOUNTS
    {
        let login = |password: &str| json!({ "username": username, "password": password });
        assert_eq!(
            post_json(&app, "/auth", login(password)).await.status,
            StatusCode::OK
        );
        assert_eq!(
            post_json(&app, "/auth", login("")).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let nobody = json!({ "username": "nobody", "password": "" });
    assert_eq!(
        post_json(&app, "/auth", nobody).await.status,
        StatusCode::UNAUTHORIZED
    );
    app.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_not_told_to_muster() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;
    assert_eq!(
        get(&app, "/contacts/nobody").await.status,
        StatusCode::NOT_FOUND
    );
    let befriend = |user: &str, contact: &str| json!({ "user": user, "contact": contact });
    let unknown = post_json(&app, "/befriend", befriend("john", "nobody")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let oneself = post_json(&app, "/befriend", befriend("john", "john")).await;
    assert_eq!(oneself.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(muster.seen().is_empty());
    app.shutdown().await;
}

#[tokio::test]
async fn without_muster_the_change_stays_and_the_caller_is_told() {
    // The listener is gone when the port is known.
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let app = app(nobody, None).await;
    let answer = post_json(
        &app,
        "/befriend",
        json!({ "user": "john", "contact": "aaron" }),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["message"], "Muster cannot be reached");
    let john = get(&app, "/contacts/john").await.json();
    assert_eq!(john["aaron@example.test"]["name"], "Aaron");
    app.shutdown().await;
}

#[tokio::test]
async fn a_database_file_outlives_the_app() {
    let muster = FakeMuster::start().await;
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("demo.sqlite");
    let first = app(muster.address, Some(database.clone())).await;
    post_json(
        &first,
        "/befriend",
        json!({ "user": "john", "contact": "romeo" }),
    )
    .await;
    first.shutdown().await;

    let second = app(muster.address, Some(database)).await;
    let john = get(&second, "/contacts/john").await.json();
    assert_eq!(john.as_object().unwrap().len(), 2);
    second.shutdown().await;
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let muster = FakeMuster::start().await;
    let app = app(muster.address, None).await;
    let page = get(&app, "/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("befriend") && !page.body.contains("://"));
    assert_eq!(
        get(&app, "/users").await.json().as_array().unwrap().len(),
        5
    );
    app.shutdown().await;
}
