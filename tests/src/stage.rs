//! What most tests stand on: an app, a host in front of it, and users that no
//! other test has.
//!
//! Starting a host costs more than most tests do, so they share one
//! ([`Stage::shared`]), which lives on threads of its own until the process
//! ends. A stage adds a number to every name, so that "john" is somebody else in
//! each test. A test that needs its own limits or means to break the host starts
//! one for itself ([`Stage::own`]).

use crate::app::{Answer, App};
use crate::client::{Client, Mechanism};
use crate::muster::{ANYONE, Muster, Setup, Summary, refresh};
use crate::{app, http, within};
use serde_json::{Map, Value};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use xmpp_parsers::minidom::Element;

/// The domain of every stage that has not another.
pub const DOMAIN: &str = "example.test";
/// A second domain of the shared host, with listed users.
pub const LISTED: &str = "listed.test";
/// A third domain of the shared host, whose app does not listen.
pub const DESERTED: &str = "deserted.test";
/// The users of [`LISTED`] and their passwords.
pub const LISTED_USERS: [(&str, &str); 2] = [("john", "secret"), ("marie", "geheim=,ä")];

/// An app, a host and a set of names.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The app of [`DOMAIN`].
    pub app: Arc<App>,
    /// The host, if it is this stage's own.
    pub muster: Option<Arc<Muster>>,
    xmpp: SocketAddr,
    http: SocketAddr,
    domain: &'static str,
    tag: String,
}

struct Shared {
    app: Arc<App>,
    muster: Arc<Muster>,
    /// Keeps both running.
    _runtime: tokio::runtime::Runtime,
}

impl Stage {
    /// A stage on the host that all tests share.
    pub async fn shared() -> Stage {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        static STAGES: AtomicUsize = AtomicUsize::new(1);
        let start = || {
            std::thread::spawn(start_shared)
                .join()
                .expect("the shared host starts")
        };
        let shared = SHARED.get_or_init(start);
        Stage {
            app: Arc::clone(&shared.app),
            muster: None,
            xmpp: shared.muster.xmpp(),
            http: shared.muster.http(),
            domain: DOMAIN,
            tag: format!("-{}", STAGES.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A stage with a host of its own, with these additional sections.
    pub async fn own(sections: &str) -> Stage {
        let app = Arc::new(App::start().await);
        let setup = Setup::for_app(&app).with(sections);
        Stage::around(app, &setup).await
    }

    /// A stage with a host of its own, whose [`DOMAIN`] belongs to `app`.
    pub async fn around(app: Arc<App>, setup: &Setup) -> Stage {
        Stage::on(app, Muster::start(setup).await)
    }

    /// A stage on this host, whose [`DOMAIN`] belongs to `app`.
    pub fn on(app: Arc<App>, muster: Muster) -> Stage {
        let (xmpp, http) = (muster.xmpp(), muster.http());
        Stage {
            muster: Some(Arc::new(muster)),
            ..Stage::at(app, xmpp, http)
        }
    }

    /// A stage on a host that listens here, whose [`DOMAIN`] belongs to `app`.
    pub fn at(app: Arc<App>, xmpp: SocketAddr, http: SocketAddr) -> Stage {
        Stage {
            app,
            muster: None,
            xmpp,
            http,
            domain: DOMAIN,
            tag: String::new(),
        }
    }

    /// Another virtual host of the same host.
    #[must_use]
    pub fn with_domain(&self, domain: &'static str) -> Stage {
        Stage {
            domain,
            ..self.clone()
        }
    }

    /// The same host for other users.
    #[must_use]
    pub fn with_tag(&self, tag: &str) -> Stage {
        Stage {
            tag: tag.to_owned(),
            ..self.clone()
        }
    }

    /// The host, if it is the stage's own.
    ///
    /// # Panics
    /// If others share it.
    pub fn muster(&self) -> &Muster {
        self.muster.as_ref().expect("a host of its own")
    }

    /// Where clients connect.
    pub fn xmpp(&self) -> SocketAddr {
        self.xmpp
    }

    /// Where the app and the operator connect.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The username that stands for `name` on this stage.
    pub fn user(&self, name: &str) -> String {
        format!("{name}{}", self.tag)
    }

    /// The bare JID that stands for `name` on this stage.
    pub fn jid(&self, name: &str) -> String {
        format!("{}@{}", self.user(name), self.domain)
    }

    /// Gives a user these contacts. Keys without an `@` are names on this stage.
    pub fn contacts(&self, name: &str, contacts: Value) {
        let Value::Object(contacts) = contacts else {
            panic!("contacts are an object, not {contacts}");
        };
        let full = |key: String| {
            if key.contains('@') {
                key
            } else {
                self.jid(&key)
            }
        };
        let contacts: Map<String, Value> = contacts
            .into_iter()
            .map(|(key, value)| (full(key), value))
            .collect();
        self.app
            .set_contacts(&self.user(name), Value::Object(contacts));
    }

    /// What the app answers for a user from now on.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.app.set_answer(&self.user(name), answer);
    }

    /// Makes all of these each other's only contacts.
    pub fn befriend(&self, names: &[&str]) {
        for name in names {
            let others = names.iter().filter(|other| *other != name);
            let contacts: Map<String, Value> = others
                .map(|other| ((*other).to_owned(), Value::Object(Map::new())))
                .collect();
            self.contacts(name, Value::Object(contacts));
        }
    }

    /// A connection that has not said anything yet.
    pub async fn connect(&self) -> Client {
        Client::connect(self.xmpp, self.domain).await
    }

    /// A bound session that has neither asked for its roster nor sent presence.
    pub async fn bound(&self, name: &str) -> Client {
        Client::login(self.xmpp, &self.jid(name), "any", None, Mechanism::Plain).await
    }

    /// The same with a resource of the test's choice.
    pub async fn bound_as(&self, name: &str, resource: &str) -> Client {
        Client::login(
            self.xmpp,
            &self.jid(name),
            "any",
            Some(resource),
            Mechanism::Plain,
        )
        .await
    }

    /// A bound session that has its roster and is available.
    pub async fn online(&self, name: &str) -> Client {
        let mut client = self.bound(name).await;
        client.roster().await;
        client.available().await;
        client
    }

    /// A bound session that is available but never asked for its roster.
    pub async fn online_without_roster(&self, name: &str) -> Client {
        let mut client = self.bound(name).await;
        client.available().await;
        client
    }

    /// Asks the HTTP side something that it answers by itself. Whatever was sent
    /// to it before had time to be read, though that is no proof that it was.
    pub async fn ping_http(&self) {
        let reply = http::exchange(self.http, &http::request("GET", "/healthz", &[], b"")).await;
        assert_eq!(reply.status, 200);
    }

    /// Waits until the last session of a user that has closed its stream is no
    /// longer bound. The proof is a message that comes back undeliverable: it is
    /// not to be kept.
    pub async fn until_offline(&self, name: &str) {
        let mut witness = self.bound("witness").await;
        loop {
            let id = witness.fresh("offline");
            let to = self.jid(name);
            witness
                .send(format!(
                    "<message to='{to}' id='{id}'><body>?</body>\
                     <no-store xmlns='urn:xmpp:hints'/></message>"
                ))
                .await;
            let back = witness.settle().await;
            if back.iter().any(|stanza| stanza.attr("id") == Some(&id)) {
                return;
            }
        }
    }

    /// Asks for a refresh of these users of this stage.
    pub async fn refresh(&self, names: &[&str]) -> Summary {
        let users: Vec<String> = names.iter().map(|name| self.user(name)).collect();
        refresh(self.http, self.domain, &users).await
    }

    /// The same, and every one of them must succeed.
    pub async fn refreshed(&self, names: &[&str]) {
        let summary = self.refresh(names).await;
        assert_eq!(summary, Summary::new("ok", names.len() as u64, 0));
    }

    /// Ends a host of this stage's own in good order.
    pub async fn shutdown(self) {
        let muster = self.muster.expect("a host of one's own");
        let muster = Arc::into_inner(muster).expect("nobody else holds the host");
        within("the host to stop", muster.shutdown()).await;
    }
}

fn start_shared() -> Shared {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (app, muster) = runtime.block_on(async {
        let app = Arc::new(App::start().await);
        let deserted = app::closed_address().await;
        let users = LISTED_USERS.map(|(user, password)| format!("{user} = \"{password}\""));
        let listed = format!("kind = \"static\"\nusers = {{ {} }}", users.join(", "));
        // All tests come from one address, and some have their app fail on purpose.
        let setup = Setup::for_app(&app)
            .with("[limits.xmpp]\nlogin_failures = 1000000\nconnects_per_minute = 1000000")
            .with("[limits.backend.breaker]\nfailures = 1000000")
            .host(LISTED, &listed, &app.roster_url())
            .host(DESERTED, ANYONE, &format!("http://{deserted}/contacts/%s"));
        (Arc::clone(&app), Arc::new(Muster::start(&setup).await))
    });
    Shared {
        app,
        muster,
        _runtime: runtime,
    }
}

/// A roster, or the items of one: `jid subscription "name" [groups]`, sorted.
pub fn items(roster: &Element) -> Vec<String> {
    let query = roster.children().find(|child| child.name() == "query");
    let Some(query) = query else {
        return Vec::new();
    };
    let mut items: Vec<String> = query.children().map(item).collect();
    items.sort();
    items
}

/// One item: `jid subscription "name" [groups]`.
pub fn item(item: &Element) -> String {
    let mut text = item.attr("jid").unwrap_or("?").to_owned();
    text.push(' ');
    text.push_str(item.attr("subscription").unwrap_or("none"));
    if let Some(name) = item.attr("name") {
        text.push_str(&format!(" {name:?}"));
    }
    let mut groups: Vec<String> = item.children().map(Element::text).collect();
    groups.sort();
    if !groups.is_empty() {
        text.push_str(&format!(" {groups:?}"));
    }
    text
}
