//! A panic in the task of one session, and in the holder of a lock, in a server
//! that runs otherwise.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use muster_xmpp::{BareJid, ResourcePart};
use tempfile::TempDir;

use super::Server;
use crate::config::Config;
use crate::mailbox::mailbox;
use crate::registration::Registration;
use crate::services::Services;
use crate::telemetry::Metrics;

const CONFIG: &str = r#"
[xmpp]
listen = ["127.0.0.1:0"]
require_tls = false
[http]
listen = ["127.0.0.1:0"]
[admin]
tokens = ["dG9rZW4gb2YgdGhlIHRlc3Rz"]
[[virtual_host]]
domain = "example.test"
[virtual_host.auth]
kind = "any"
[virtual_host.roster]
plugin = "builtin"
http_roster_url = "http://127.0.0.1:9/%s"
"#;

async fn server() -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::parse(CONFIG, &directory.path().join("muster.toml"));
    let server = Server::start(config.unwrap()).await.unwrap();
    (server, directory)
}

fn account(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@example.test")).unwrap()
}

fn bind(services: &Arc<Services>, account: &BareJid) -> Registration {
    let resource = ResourcePart::new("phone").unwrap().into_owned();
    let (mailbox, _) = mailbox(services.mailbox_limits);
    Registration::new(services, account, &resource, mailbox).unwrap()
}

fn bound(services: &Services, account: &BareJid) -> usize {
    services.sessions.look(account.as_str(), <[_]>::len)
}

fn panics() -> f64 {
    let all = Metrics::install().counted();
    let mut lines = all.lines();
    let line = lines.find_map(|line| line.strip_prefix("muster_panics_total "));
    line.map_or(0.0, |count| count.parse().unwrap())
}

/// Row 75: the session is gone as if it had left, and nobody else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_session_task_ends_that_session_alone() {
    let (server, _directory) = server().await;
    let services = &server.services;
    let (john, marie) = (account("john"), account("marie"));
    let bystander = bind(services, &marie);
    let before = panics();
    let doomed = server.tasks.spawn({
        let (services, john) = (Arc::clone(services), john.clone());
        async move {
            let _bound = bind(&services, &john);
            assert_eq!(bound(&services, &john), 1);
            tokio::task::yield_now().await;
            panic!("for the test");
        }
    });
    assert!(doomed.await.unwrap_err().is_panic());
    assert_eq!(bound(services, &john), 0);
    assert!(services.rosters.find(john.as_str()).is_none());
    assert_eq!(bound(services, &marie), 1);
    assert!(panics() > before);
    // The name is free again, and the server stops in good order.
    drop(bind(services, &john));
    drop(bystander);
    assert!(server.shutdown().await);
}

/// Row 75: whoever comes to the same lock next finds it free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_under_a_lock_leaves_the_lock_usable() {
    let (server, _directory) = server().await;
    let services = &server.services;
    let john = account("john");
    let session = bind(services, &john);
    let user = Arc::clone(session.user());
    let under_the_shards = || {
        services
            .sessions
            .look(john.as_str(), |_| panic!("for the test"))
    };
    let under_the_users = || {
        let _state = user.state();
        panic!("for the test")
    };
    let holders: [&dyn Fn(); 2] = [&under_the_shards, &under_the_users];
    for holder in holders {
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(holder));
        assert!(panicked.is_err());
        assert_eq!(bound(services, &john), 1);
        assert!(user.snapshot().is_none());
    }
    drop(session);
    assert_eq!(bound(services, &john), 0);
    assert!(server.shutdown().await);
}
