//! A wire that breaks: forwards the bytes of TCP connections until it is told
//! not to, or until so many have passed.
//!
//! It knows nothing of what passes. A broken wire is cut, so that both ends
//! notice, or goes dead, so that neither does.

use crate::within;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// Bytes that pass from the client.
    pub up: usize,
    /// Bytes that pass to the client.
    pub down: usize,
    /// Whether its ends notice when one of both is used up.
    pub end: End,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sockets are closed.
    Cut,
    /// Nothing passes any more, and nobody is told.
    Dead,
}

/// A wire that never breaks by itself.
pub const SOUND: Fate = Fate {
    up: usize::MAX,
    down: usize::MAX,
    end: End::Cut,
};

/// A wire to one address. It ends when this is dropped, and all its
/// connections with it.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    fates: Mutex<VecDeque<Fate>>,
    /// Connections that have broken so far; waited upon by tests.
    broken: watch::Sender<usize>,
    /// Dead connections that the host has given up.
    given_up: watch::Sender<usize>,
    /// What was asked of the connections there are: a serial number, and what.
    orders: watch::Sender<(usize, Order)>,
}

/// What is asked of the connections there are.
#[derive(Debug, Clone, Copy)]
enum Order {
    Break(End),
    /// Nothing passes for so long; then everything does.
    Stall(Duration),
}

impl Wire {
    /// Listens on a free loopback port.
    pub async fn to(target: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a loopback port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            fates: Mutex::default(),
            broken: watch::Sender::new(0),
            given_up: watch::Sender::new(0),
            orders: watch::Sender::new((0, Order::Break(End::Cut))),
        });
        let accepting = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Wire {
            address,
            shared,
            accepting,
        }
    }

    /// Where the wire begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of the next connection that has no fate yet; the default
    /// is [`SOUND`].
    pub fn next(&self, fate: Fate) {
        let fates = self.shared.fates.lock();
        fates
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(fate);
    }

    /// Breaks every connection there is.
    pub fn break_now(&self, end: End) {
        self.order(Order::Break(end));
    }

    /// Holds everything back that is on its way, for so long.
    pub fn stall(&self, time: Duration) {
        self.order(Order::Stall(time));
    }

    fn order(&self, what: Order) {
        self.shared
            .orders
            .send_modify(|order| *order = (order.0 + 1, what));
    }

    /// Connections that have broken so far.
    pub fn broken(&self) -> watch::Receiver<usize> {
        self.shared.broken.subscribe()
    }
}

impl Wire {
    /// Waits until the host has given up so many dead connections.
    pub async fn given_up(&self, count: usize) {
        let mut given_up = self.shared.given_up.subscribe();
        let enough = given_up.wait_for(|given_up| *given_up >= count);
        within("the host to give up", enough)
            .await
            .expect("the wire is there");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    // Ends with the wire.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let fates = shared.fates.lock();
        let fate = fates.unwrap_or_else(PoisonError::into_inner).pop_front();
        let orders = shared.orders.subscribe();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Nobody listens: the client's connection ends.
            let Ok(far) = TcpStream::connect(target).await else {
                return;
            };
            forward(near, far, fate.unwrap_or(SOUND), orders, &shared).await;
        });
    }
}

async fn forward(
    near: TcpStream,
    far: TcpStream,
    fate: Fate,
    mut orders: watch::Receiver<(usize, Order)>,
    shared: &Shared,
) {
    for socket in [&near, &far] {
        socket.set_nodelay(true).expect("a TCP socket");
    }
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    let end = {
        let up = pass(&mut near_read, &mut far_write, fate.up);
        let down = pass(&mut far_read, &mut near_write, fate.down);
        tokio::pin!(up, down);
        loop {
            tokio::select! {
                () = &mut up => break fate.end,
                () = &mut down => break fate.end,
                order = orders.changed() => {
                    let what = orders.borrow_and_update().1;
                    match (order, what) {
                        (Ok(()), Order::Stall(time)) => tokio::time::sleep(time).await,
                        (Ok(()), Order::Break(end)) => break end,
                        (Err(_), _) => break End::Cut,
                    }
                }
            }
        }
    };
    shared.broken.send_modify(|count| *count += 1);
    if end == End::Dead {
        // Nobody hears what still comes from the host, and the client's side
        // stays open.
        let mut nobody = tokio::io::sink();
        let _ = tokio::io::copy(&mut far_read, &mut nobody).await;
        shared.given_up.send_modify(|count| *count += 1);
        std::future::pending::<()>().await;
    }
}

/// Passes up to `bytes` on; ends when they are used up or an end closes.
async fn pass(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut bytes: usize) {
    let mut buffer = [0; 4096];
    while bytes > 0 {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let passed = read.min(bytes);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        bytes -= passed;
    }
}
