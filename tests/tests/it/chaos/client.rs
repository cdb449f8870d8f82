//! One client of one user: it comes back whenever it loses its connection, by
//! resuming its session (XEP-0198) if it can, and knows of its roster only what
//! it was told: the result of its roster get, and pushes.
//!
//! Owns the client's side of stream and stream management, its view, and what
//! it can tell about a single stanza: that it is its own, and true once.

use super::plan::Deed;
use super::tale::Tale;
use super::truth::{List, Truth, jid, name};
use muster_tests::client::{Client, Received, header, is_push, ns, show};
use muster_tests::managed::{SM, resume};
use muster_tests::stage::{DOMAIN, item};
use muster_tests::wire::{End, Fate, SOUND, Wire};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use xmpp_parsers::minidom::Element;

/// A connection on which nothing comes for so long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the client looks whether it is.
const TICK: Duration = Duration::from_secs(1);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

/// What a client is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Do(Deed),
    /// To tell what it sees once all that is on its way has arrived; nothing
    /// while there is no connection.
    Look(oneshot::Sender<Option<Sight>>),
}

/// What a client sees.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    /// Which of its sessions this is.
    pub(super) session: u64,
    /// The version of the roster; `None` if there is none yet.
    pub(super) version: Option<usize>,
    pub(super) view: List,
    /// Full JIDs of those who are available.
    pub(super) available: BTreeSet<String>,
}

/// A client, for those who order it about.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) number: usize,
    pub(super) user: usize,
    pub(super) full_jid: String,
    orders: mpsc::Sender<Order>,
    /// The session in which it has asked for its roster, if there is one.
    session: Arc<Mutex<Option<u64>>>,
}

impl Handle {
    /// Starts the client, which is offline until it is told to come.
    pub(super) async fn start(
        number: usize,
        user: usize,
        host: SocketAddr,
        truth: Arc<Truth>,
        tale: Arc<Tale>,
    ) -> Handle {
        let (orders, taken) = mpsc::channel(64);
        let session = Arc::new(Mutex::new(None));
        let full_jid = format!("{}/c{number}", jid(user));
        let device = Device {
            number,
            user,
            full_jid: full_jid.clone(),
            wire: Wire::to(host).await,
            truth,
            tale,
            client: None,
            wanted: false,
            heard: Instant::now(),
            interested: Arc::clone(&session),
            session: Session::default(),
            cache: Cache::default(),
            messages: HashSet::new(),
        };
        tokio::spawn(device.live(taken));
        Handle {
            number,
            user,
            full_jid,
            orders,
            session,
        }
    }

    /// Has the client do something, soon.
    pub(super) async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }

    /// What the client sees; nothing while it has no connection.
    pub(super) async fn look(&self) -> Option<Sight> {
        let (answer, sight) = oneshot::channel();
        self.order(Order::Look(answer)).await;
        sight.await.ok().flatten()
    }

    /// The session in which pushes are due, if there is one.
    pub(super) fn session(&self) -> Option<u64> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client itself.
#[derive(Debug)]
struct Device {
    number: usize,
    user: usize,
    full_jid: String,
    wire: Wire,
    truth: Arc<Truth>,
    tale: Arc<Tale>,
    client: Option<Client>,
    wanted: bool,
    /// When something came last.
    heard: Instant,
    interested: Arc<Mutex<Option<u64>>>,
    session: Session,
    cache: Cache,
    /// Messages that came, by id.
    messages: HashSet<String>,
}

/// What ends with a session.
#[derive(Debug, Default)]
struct Session {
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
struct Cache {
    view: List,
    version: Option<String>,
}

/// The connection has ended.
struct Gone;

impl Device {
    async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
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
                let to = jid(other % super::plan::USERS);
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

    async fn received(&mut self, received: Received) {
        self.heard = Instant::now();
        match received {
            Received::Element(element) => self.take(&element).await,
            Received::Open(_) => {}
            Received::Close | Received::End => self.lost("by the other side"),
        }
    }

    async fn take(&mut self, element: &Element) {
        match (element.ns().as_str(), element.name()) {
            (SM, "r") => {
                let handled = self.session.handled;
                self.say_aside(&format!("<a xmlns='{SM}' h='{handled}'/>"))
                    .await;
            }
            (SM, "a") => self.acknowledged(element),
            (ns::CLIENT, name) => {
                self.session.handled = self.session.handled.wrapping_add(1);
                match name {
                    "iq" => self.iq(element).await,
                    "message" => self.message(element),
                    _ => self.presence(element),
                }
            }
            // How a stream ends.
            _ => self
                .tale
                .note(format!("client {}: {}", self.number, show(element))),
        }
    }

    async fn iq(&mut self, iq: &Element) {
        let id = iq.attr("id").unwrap_or_default().to_owned();
        match iq.attr("type") {
            Some("set") if is_push(iq) => {
                self.pushed(iq);
                self.say(format!("<iq type='result' id='{id}'/>")).await;
            }
            Some("get") => {
                self.say(format!("<iq type='result' id='{id}' to='{DOMAIN}'/>"))
                    .await;
            }
            Some("result" | "error") if self.session.asked.as_ref() == Some(&id) => {
                self.answered(iq);
            }
            _ => {}
        }
    }

    fn pushed(&mut self, push: &Element) {
        self.tale.count("pushes");
        if push.attr("from").is_some_and(|from| from != jid(self.user)) {
            self.broken(&format!("a push from somebody: {}", show(push)));
        }
        let query = push.get_child("query", ns::ROSTER).expect("a push");
        for entry in query.children() {
            let contact = entry.attr("jid").unwrap_or_default().to_owned();
            let removed = entry.attr("subscription") == Some("remove");
            let now = (!removed).then(|| item(entry));
            if !self.truth.was_ever(self.user, &contact, now.as_deref()) {
                self.broken(&format!("a push of what never was: {}", show(push)));
            }
            match now {
                Some(now) => self.cache.view.insert(contact, now),
                None => self.cache.view.remove(&contact),
            };
        }
        self.cache.version = query.attr("ver").map(str::to_owned);
        self.session.known = true;
    }

    fn answered(&mut self, answer: &Element) {
        self.session.asked = None;
        self.is_interested(Some(self.session.number));
        if answer.attr("type") == Some("error") {
            self.tale.count("roster gets that failed");
            self.tale
                .note(format!("client {} got no roster", self.number));
            // What there is comes by pushes.
            if !self.session.known {
                self.cache = Cache::default();
            }
            return;
        }
        if let Some(query) = answer.get_child("query", ns::ROSTER) {
            let items = query.children();
            let view = items.map(|it| (it.attr("jid").unwrap_or_default().to_owned(), item(it)));
            self.cache.view = view.collect();
            self.cache.version = query.attr("ver").map(str::to_owned);
        }
        self.session.known = true;
        if let Some(version) = self.version() {
            self.tale.note(format!(
                "client {} got version {version} of u{}",
                self.number, self.user
            ));
        }
    }

    /// Which version the view is. None may be half of one, or older than one
    /// that this session has seen.
    fn version(&mut self) -> Option<usize> {
        if !self.session.known {
            return None;
        }
        let version = self.truth.version_of(self.user, &self.cache.view);
        match version {
            None => {
                let difference = self.truth.difference(self.user, &self.cache.view);
                self.broken(&format!("a view that the app never told: {difference}"));
            }
            Some(version) if version < self.session.newest => {
                let newest = self.session.newest;
                self.broken(&format!("version {version} after version {newest}"));
            }
            Some(version) => self.session.newest = version,
        }
        version
    }

    fn message(&mut self, message: &Element) {
        let id = message.attr("id").unwrap_or_default();
        let looks = &mut self.session.looks;
        if let Some(at) = looks.iter().position(|(look, _)| look == id) {
            let (_, answer) = looks.swap_remove(at);
            let sight = Sight {
                session: self.session.number,
                version: self.version(),
                view: self.cache.view.clone(),
                available: self.session.available.clone(),
            };
            let _ = answer.send(Some(sight));
        } else if message.attr("type") != Some("error") && id.starts_with("message") {
            self.tale.count("messages");
            // A kill may repeat what was kept for somebody who was away.
            let kept = message.children().any(|child| child.name() == "delay");
            let sender = message.attr("from").unwrap_or_default();
            if !self.messages.insert(format!("{sender} {id}")) && !kept {
                self.tale
                    .note(format!("client {} got {id} twice", self.number));
                self.tale.count("messages that came twice");
            }
        }
    }

    fn presence(&mut self, presence: &Element) {
        let Some(from) = presence.attr("from") else {
            return;
        };
        match presence.attr("type") {
            None => self.session.available.insert(from.to_owned()),
            Some("unavailable") => self.session.available.remove(from),
            Some(_) => false,
        };
    }

    /// Says a stanza, again if need be.
    async fn say(&mut self, stanza: String) {
        self.say_aside(&stanza).await;
        self.session.unacknowledged.push_back(stanza);
    }

    /// Says something that is not counted.
    async fn say_aside(&mut self, text: &str) {
        if let Some(client) = &mut self.client {
            client.send(text).await;
        }
    }

    fn acknowledged(&mut self, element: &Element) {
        let handled = element.attr("h").and_then(|h| h.parse::<u32>().ok());
        let handled = handled.unwrap_or(self.session.acknowledged);
        let news = handled.wrapping_sub(self.session.acknowledged) as usize;
        if news > self.session.unacknowledged.len() {
            return self.broken(&format!("more than was said: {}", show(element)));
        }
        self.session.unacknowledged.drain(..news);
        self.session.acknowledged = handled;
    }

    fn broken(&self, promise: &str) {
        let (number, user, session) = (self.number, self.user, self.session.number);
        self.tale.broken(format!(
            "client {number} (u{user}, session {session}): {promise}"
        ));
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.session.serial += 1;
        format!("{prefix}-{}-{}", self.number, self.session.serial)
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
