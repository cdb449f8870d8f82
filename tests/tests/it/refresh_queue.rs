//! Rows 45 and 46: more requests than can be worked on wait, and more than can wait are
//! told to come back; none is left without an answer.

use muster_tests::http::{Connection, Reply};
use muster_tests::muster::{Summary, admin_request};
use muster_tests::stage::{DOMAIN, Stage};
use serde_json::{Value, json};
use std::time::Duration;

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

/// Row 45: who waits for a turn and hangs up leaves the queue, and nothing is
/// done for who is not there any more.
#[tokio::test]
async fn a_caller_who_hangs_up_in_the_queue_leaves_it() {
    let stage =
        Stage::own("[limits.refresh]\nrequests = 1\nwaiting = 1\nwait_timeout = \"60s\"").await;
    let _sessions = (stage.online("john").await, stage.online("marie").await);
    let fields = [("Content-Type", "application/json")];
    let request = |name: &str| {
        let body = json!([stage.user(name)]).to_string();
        admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes())
    };
    let gate = stage.app.hold("john");
    let mut working = Connection::open(stage.http()).await;
    working.send(&request("john")).await;
    stage.app.wait_for_requests("john", 2).await;
    // The only place in the queue: taken, given up, taken again.
    for _ in 0..3 {
        let waiting = queued(&stage, &request("marie")).await;
        muster_tests::within("the queue to be full", async {
            while unanswered(&stage, &request("marie")).await.is_some() {}
        })
        .await;
        drop(waiting);
    }
    drop(queued(&stage, &request("marie")).await);
    stage.app.hold_no_more("john");
    gate.open();
    let reply = working.reply().await.expect("an answer");
    assert_eq!(Summary::of(&reply), Summary::new("ok", 1, 0));
    let asked = stage.app.requests_for("marie").len();
    assert_eq!(asked, 1, "the login's: nobody who hung up was worked for");
    stage.refreshed(&["marie"]).await;
}

/// A caller who waits in the queue, once there is a place.
async fn queued(stage: &Stage, request: &[u8]) -> Connection {
    muster_tests::within("a place in the queue", async {
        loop {
            if let Some(waiting) = unanswered(stage, request).await {
                return waiting;
            }
        }
    })
    .await
}

/// A caller who asks; nobody if the answer is there soon, since it is a refusal.
async fn unanswered(stage: &Stage, request: &[u8]) -> Option<Connection> {
    let mut caller = Connection::open(stage.http()).await;
    caller.send(request).await;
    let reply = tokio::time::timeout(Duration::from_millis(300), caller.first_reply()).await;
    match reply {
        Ok(reply) => {
            assert_eq!(reply.expect("an answer").status, 429);
            None
        }
        Err(_) => Some(caller),
    }
}
