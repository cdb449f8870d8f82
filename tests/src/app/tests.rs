//! The app does what it is told, or no test that leans on it means anything.

use super::*;
use crate::http;
use serde_json::json;

async fn get(app: &App, user: &str, fields: &str) -> Option<http::Reply> {
    let request = format!("GET /contacts/{user} HTTP/1.1\r\nHost: app\r\n{fields}\r\n");
    let mut connection = http::Connection::open(app.address()).await;
    connection.send(request.as_bytes()).await;
    connection.reply().await
}

#[tokio::test]
async fn contacts_come_with_a_validator_that_saves_the_body() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let first = get(&app, "john", "").await.expect("a reply");
    assert_eq!(
        (first.status, first.text()),
        (200, r#"{"marie@example.test":{}}"#.to_owned())
    );
    let etag = first.header("etag").expect("a validator").to_owned();
    let second = get(&app, "john", &format!("If-None-Match: {etag}\r\n"))
        .await
        .expect("a reply");
    assert_eq!((second.status, second.body.len()), (304, 0));
    app.set_contacts("john", json!({}));
    let third = get(&app, "john", &format!("If-None-Match: {etag}\r\n"))
        .await
        .expect("a reply");
    assert_eq!((third.status, third.text()), (200, "{}".to_owned()));
    assert_eq!(app.requests_for("john").len(), 3);
    assert_eq!(app.connections(), 3);
}

#[tokio::test]
async fn a_gate_holds_the_answer_of_the_time_of_arrival() {
    let app = App::start().await;
    app.set_contacts("john", json!({"old@example.test": {}}));
    let gate = app.hold("john");
    let held = async {
        app.wait_for_requests("john", 1).await;
        app.set_contacts("john", json!({}));
        gate.open();
    };
    let (reply, ()) = tokio::join!(get(&app, "john", ""), held);
    assert_eq!(reply.expect("a reply").text(), r#"{"old@example.test":{}}"#);
}

#[tokio::test]
async fn faults_are_faulty() {
    let app = App::start().await;
    app.set_answer("short", Answer::wrong_length("{}", 1));
    app.set_answer("long", Answer::wrong_length("{}", 10));
    app.set_answer(
        "reset",
        Answer::Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
    );
    app.set_answer(
        "elsewhere",
        Answer::Redirect("http://elsewhere.test/".to_owned()),
    );
    app.set_answer("flood", Answer::Flood(200_000));
    assert_eq!(get(&app, "short", "").await.expect("a reply").text(), "{");
    assert!(get(&app, "long", "").await.is_none());
    assert!(get(&app, "reset", "").await.is_none());
    let elsewhere = get(&app, "elsewhere", "").await.expect("a reply");
    assert_eq!(elsewhere.header("location"), Some("http://elsewhere.test/"));
    assert_eq!(
        get(&app, "flood", "").await.expect("a reply").body.len(),
        200_000
    );
}

#[tokio::test]
async fn passwords_are_judged() {
    let app = App::start().await;
    app.set_password("john", "secret");
    let ask = async |password: &str| {
        let body = json!({"username": "john", "password": password}).to_string();
        http::post(app.address(), "/auth", &[], body.as_bytes())
            .await
            .status
    };
    assert_eq!(ask("secret").await, 200);
    assert_eq!(ask("wrong").await, 401);
    app.set_auth_status(Some(500));
    assert_eq!(ask("secret").await, 500);
}
