//! Row 46: more requests than can be worked on wait, and more than can wait are
//! told to come back; none is left without an answer.

use muster_tests::http::{Connection, Reply};
use muster_tests::muster::{Summary, admin_request};
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::{Value, json};

const CALLERS: usize = 50;

#[tokio::test]
async fn fifty_batches_at_once_are_all_answered() {
    let stage =
        Stage::own("[limits.refresh]\nrequests = 2\nwaiting = 4\nwait_timeout = \"60s\"").await;
    let _john = stage.online("john").await;
    let gate = stage.app.hold("john");
    let mut names: Vec<Value> = (0..9_999).map(|n| json!(format!("user{n}"))).collect();
    names.push(json!("john"));
    let body = Value::from(names).to_string();
    let request = admin_request(DOMAIN, ("POST", "refresh"), &[], body.as_bytes());
    let (refusals, mut refused) = tokio::sync::mpsc::channel(CALLERS);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (http, request, refusals) = (stage.http(), request.clone(), refusals.clone());
        callers.spawn(async move {
            let mut caller = Connection::open(http).await;
            caller.send(&request).await;
            let reply = caller.first_reply().await.expect("an answer");
            if reply.status == 429 {
                let _ = refusals.send(()).await;
            }
            reply
        });
    }
    for _ in 0..CALLERS - 6 {
        muster_tests::within("a refusal", refused.recv()).await;
    }
    gate.open();
    stage.app.hold_no_more("john");
    let replies: Vec<Reply> = muster_tests::within("the others", callers.join_all()).await;
    let (done, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|it| it.status == 200);
    assert_eq!((done.len(), refused.len()), (6, CALLERS - 6));
    for reply in done {
        assert_eq!(Summary::of(reply), Summary::new("ok", 10_000, 0));
    }
    for reply in refused {
        assert_eq!(reply.status, 429);
        assert_eq!(reply.json()["status"], "error");
        let later = reply.header("retry-after").expect("when to come back");
        assert!(later.parse::<u32>().is_ok(), "{later}");
    }
    // It was nobody's fault, and it is over.
    stage.refreshed(&["john"]).await;
}
