//! Accepting connections: XMPP and HTTP listeners alike.
//!
//! Owns the accept loop and its manners: who is not admitted is closed at once;
//! when the process runs out of descriptors it waits, and recovers by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Slot};

/// How long to wait after an accept failed for want of a resource (EMFILE,
/// ENFILE, ENOBUFS, ENOMEM): the connection stays in the backlog meanwhile.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How often that is told in the log at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Accepts connections until `stop`; `serve` is called for each that is
/// admitted, and must not wait.
pub(crate) async fn accept(
    listener: TcpListener,
    name: &'static str,
    admission: Arc<Admission>,
    stop: CancellationToken,
    mut serve: impl FnMut(TcpStream, SocketAddr, Slot),
) {
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                metrics::counter!("muster_connections_total", "listener" => name).increment(1);
                let Some(slot) = admission.admit(peer.ip(), Instant::now()) else {
                    continue;
                };
                // Stanzas are small and answered at once: Nagle's algorithm
                // would hold them back for nothing.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "the connection ended before it began");
                    continue;
                }
                serve(stream, peer, slot);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                metrics::counter!("muster_accept_errors_total", "listener" => name).increment(1);
                if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    told = Some(Instant::now());
                    tracing::error!(listener = name, %error, "cannot accept connections; trying again");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The peer was gone before it was accepted: the next one may be fine.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
