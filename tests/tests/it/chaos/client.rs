//! One client of one user: it comes back whenever it loses its connection, by
//! resuming its session (XEP-0198) if it can, and knows of its roster only what
//! it was told: the result of its roster get, and pushes.
//!
//! Owns the client's side of stream and stream management, its view, and what
//! it can tell about a single stanza: that it is its own, and true once.

mod device;

use self::device::{Cache, Device, Session};
use super::plan::Deed;
use super::tale::Tale;
use super::truth::{List, Truth, jid};
use muster_tests::wire::Wire;
use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

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
