//! The client itself: its connection, its session, and what it is told to do.

mod stanzas;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use muster_tests::client::{Client, Received, header, ns, show};
use muster_tests::managed::{SM, resume};
use muster_tests::stage::DOMAIN;
use muster_tests::wire::{End, Fate, SOUND, Wire};
use tokio::sync::{mpsc, oneshot};
use xmpp_parsers::minidom::Element;

use super::{Order, Sight};
use crate::chaos::plan::{Deed, USERS};
use crate::chaos::tale::Tale;
use crate::chaos::truth::{List, Truth, jid, name};

/// A connection on which nothing comes for so long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the client looks whether it is.
const TICK: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

/// The client itself.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) number: usize,
    pub(super) user: usize,
    pub(super) full_jid: String,
    pub(super) wire: Wire,
    pub(super) truth: Arc<Truth>,
    pub(super) tale: Arc<Tale>,
    pub(super) client: Option<Client>,
    pub(super) wanted: bool,
    /// When something came last.
    pub(super) heard: Instant,
    pub(super) interested: Arc<Mutex<Option<u64>>>,
    pub(super) session: Session,
    pub(super) cache: Cache,
    /// Messages that came, by id.
    pub(super) messages: HashSet<String>,
}

/// What ends with a session.
#[derive(Debug, Default)]
pub(super) struct Session {
    number: u64,
    previd: Option<String>,
    /// Stanzas of the host that were handled.
    handled: u32,
    acknowledged: u32,
    /// Stanzas that the host has not acknowledged.
    unacknowledged: VecDeque<String>,
    /// The id of the roster get that is not answered.
    asked: Option<String>,
    /// The roster, or its first push, has come.
    known: bool,
    /// No older version may be seen any more.
    newest: usize,
    looks: Vec<(String, oneshot::Sender<Option<Sight>>)>,
    available: BTreeSet<String>,
    serial: u64,
}

/// What a client keeps between sessions.
#[derive(Debug, Default)]
pub(super) struct Cache {
    view: List,
    version: Option<String>,
}

/// The connection has ended.
struct Gone;

impl Device {
    pub(super) async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut tick = tokio::time::interval(TICK);
        let mut next = tokio::time::Instant::now();
        loop {
            let connecting = self.wanted && self.client.is_none();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                received = hear(&mut self.client) => self.received(received).await,
                () = tokio::time::sleep_until(next), if connecting => {
                    let established = tokio::time::timeout(PATIENCE, self.establish()).await;
                    if !matches!(established, Ok(Ok(()))) {
                        self.lost("while it was made");
                    }
                    next = tokio::time::Instant::now() + PAUSE;
                }
                _ = tick.tick() => self.tick().await,
            }
        }
    }

    async fn tick(&mut self) {
        if self.client.is_none() {
            return;
        }
        if self.heard.elapsed() > PATIENCE {
            return self.lost("for silence");
        }
        self.say_aside(&format!("<r xmlns='{SM}'/>")).await;
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Look(answer) => self.look(answer).await,
            Order::Do(Deed::Come) => self.wanted = true,
            Order::Do(Deed::Leave) => {
                self.wanted = false;
                self.say_aside("</stream:stream>").await;
                // Closed, so that what was said last arrives.
                drop(self.client.take());
                self.forget();
                self.lost("by leaving");
            }
            Order::Do(Deed::Vanish) => {
                self.wanted = false;
                self.forget();
                self.lost("by vanishing");
            }
            Order::Do(Deed::Cut) => {
                self.say_aside("<message to='u0@example.test'><bo").await;
                self.lost("in the midst of a stanza");
            }
            Order::Do(Deed::HalfOpen) => {
                self.wire.break_now(End::Dead);
                self.lost("on one side only");
            }
            Order::Do(Deed::Doom(bytes)) => self.wire.next(Fate {
                down: bytes.into(),
                ..SOUND
            }),
            Order::Do(Deed::Stall(time)) => {
                self.wire.stall(Duration::from_millis(time.into()));
            }
            Order::Do(Deed::Ask) => {
                if self.client.is_some() && self.session.known {
                    self.ask().await;
                }
            }
            Order::Do(Deed::Say(other)) => {
                let id = self.fresh("message");
                let to = jid(other % USERS);
                let message =
                    format!("<message type='chat' to='{to}' id='{id}'><body>{id}</body></message>");
                if self.client.is_some() {
                    self.say(message).await;
                }
            }
        }
    }

    /// The connection is gone; the session may not be.
    fn lost(&mut self, how: &str) {
        if let Some(client) = self.client.take() {
            self.tale
                .note(format!("client {} lost its connection {how}", self.number));
            client.vanish();
        }
        for (_, look) in self.session.looks.drain(..) {
            let _ = look.send(None);
        }
    }

    /// The session is gone, too.
    fn forget(&mut self) {
        self.session.previd = None;
        self.is_interested(None);
    }

    fn is_interested(&self, session: Option<u64>) {
        let interested = self.interested.lock();
        *interested.unwrap_or_else(PoisonError::into_inner) = session;
    }

    /// Logs in, and goes on with the session that there was, or begins one.
    async fn establish(&mut self) -> Result<(), Gone> {
        let connected = Client::try_connect(self.wire.address(), DOMAIN).await;
        let mut client = connected.map_err(|_| Gone)?;
        open(&mut client).await?;
        let plain = format!("\0{}\0any", name(self.user));
        client.auth("PLAIN", plain.as_bytes()).await;
        let outcome = element(&mut client).await?;
        if outcome.name() != "success" {
            self.tale
                .note(format!("client {}: {}", self.number, show(&outcome)));
            return Err(Gone);
        }
        open(&mut client).await?;
        if let Some(previd) = self.session.previd.clone() {
            client.send(resume(&previd, self.session.handled)).await;
            let answer = element(&mut client).await?;
            if answer.name() == "resumed" {
                return self.resumed(client, &answer).await;
            }
            self.forget();
        }
        self.begin(client).await
    }

    async fn resumed(&mut self, client: Client, answer: &Element) -> Result<(), Gone> {
        self.tale.count("resumptions");
        self.tale.note(format!(
            "client {} resumed session {}",
            self.number, self.session.number
        ));
        self.acknowledged(answer);
        self.client = Some(client);
        self.heard = Instant::now();
        for stanza in self.session.unacknowledged.clone() {
            self.say_aside(&stanza).await;
        }
        Ok(())
    }

    /// Binds, and asks for the roster.
    async fn begin(&mut self, mut client: Client) -> Result<(), Gone> {
        let resource = self.full_jid.rsplit('/').next().unwrap_or_default();
        client
            .send(format!(
                "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
                ns::BIND
            ))
            .await;
        let bound = element(&mut client).await?;
        if bound.attr("type") != Some("result") {
            self.tale
                .note(format!("client {}: {}", self.number, show(&bound)));
            return Err(Gone);
        }
        client
            .send(format!("<enable xmlns='{SM}' resume='true'/>"))
            .await;
        let enabled = element(&mut client).await?;
        self.session = Session {
            number: self.session.number + 1,
            previd: enabled.attr("id").map(str::to_owned),
            serial: self.session.serial,
            ..Session::default()
        };
        self.client = Some(client);
        self.heard = Instant::now();
        self.tale.count("logins");
        self.tale.note(format!(
            "client {} (u{}) began session {}",
            self.number, self.user, self.session.number
        ));
        self.ask().await;
        self.say("<presence/>".to_owned()).await;
        Ok(())
    }

    async fn ask(&mut self) {
        let id = self.fresh("roster");
        let version = self.cache.version.clone().unwrap_or_default();
        self.session.asked = Some(id.clone());
        self.say(format!(
            "<iq type='get' id='{id}'><query xmlns='{}' ver='{version}'/></iq>",
            ns::ROSTER
        ))
        .await;
    }

    async fn look(&mut self, answer: oneshot::Sender<Option<Sight>>) {
        if self.client.is_none() {
            let _ = answer.send(None);
            return;
        }
        // Takes the same way as pushes do.
        let id = self.fresh("look");
        let to = self.full_jid.clone();
        self.session.looks.push((id.clone(), answer));
        self.say(format!(
            "<message to='{to}' id='{id}' type='chat'><body>?</body></message>"
        ))
        .await;
    }
}

/// What comes next; nothing without a connection.
async fn hear(client: &mut Option<Client>) -> Received {
    match client {
        Some(client) => client.hear().await,
        None => std::future::pending().await,
    }
}

/// A new stream, as far as its features.
async fn open(client: &mut Client) -> Result<(), Gone> {
    client.send_header(&header(DOMAIN)).await;
    element(client).await.map(drop)
}

async fn element(client: &mut Client) -> Result<Element, Gone> {
    loop {
        match client.hear().await {
            Received::Element(element) => return Ok(*element),
            Received::Open(_) => {}
            Received::Close | Received::End => return Err(Gone),
        }
    }
}
