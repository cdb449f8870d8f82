//! What carries a client's stream: moves bytes or frames between a socket and
//! the session machine.
//!
//! Owns the sockets, the size of the buffers around them and the manner of
//! their end. Knows nothing of what the bytes say, nor who the client is.

pub(crate) mod bosh;
mod stream;
mod tls;
pub(crate) mod websocket;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use muster_xmpp::DomainPart;
use muster_xmpp::session::Session;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use self::tls::Upgrade;
use crate::tls::Tls;

use self::bosh::Bosh;
use self::websocket::WebSocket;

/// Bytes of output above which nothing more is taken out of the mailbox: a
/// client that does not read fills its mailbox, and is closed by its bounds.
pub(crate) const OUTPUT_HIGH_WATER: usize = 64 * 1024;

/// How long the peer may take to read the last words of a stream and to close
/// its side.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The peer is gone, or the socket failed: nothing more to be done with it.
#[derive(Debug)]
pub(crate) struct HungUp;

/// What carries a client's stream.
pub(crate) enum Transport {
    /// Bare TCP (RFC 6120, section 3).
    Tcp(TcpStream),
    /// TCP on its way to TLS (RFC 6120, section 5).
    Upgrade(Upgrade),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// An HTTP connection that was upgraded (RFC 7395).
    WebSocket(Box<WebSocket>),
    /// HTTP requests (XEP-0124).
    Bosh(Box<Bosh>),
    /// Nothing any more: the peer is gone, and the session lives on.
    Gone,
}

impl Transport {
    /// What it is, in the metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Transport::Tcp(_) | Transport::Upgrade(_) => "tcp",
            Transport::Tls(_) => "tls",
            Transport::WebSocket(_) => "websocket",
            Transport::Bosh(_) => "bosh",
            Transport::Gone => "parked",
        }
    }

    /// Writes what the session wants to say and, if `read`, reads what comes.
    /// Ready when the session has something new, or has room for mail again.
    pub(crate) fn transfer(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        read: bool,
    ) -> Poll<Result<(), HungUp>> {
        match self {
            Transport::Tcp(socket) => stream::transfer(cx, socket, session, read),
            Transport::Tls(stream) => stream::transfer(cx, stream, session, read),
            Transport::Upgrade(upgrade) => {
                let secured = std::task::ready!(upgrade.poll(cx))?;
                session.secured(secured.bindings);
                *self = Transport::Tls(Box::new(secured.stream));
                Poll::Ready(Ok(()))
            }
            Transport::WebSocket(socket) => socket.transfer(cx, session, read),
            Transport::Bosh(requests) => requests.transfer(cx, session, read),
            Transport::Gone => Poll::Pending,
        }
    }

    /// Writes `last_words` and shakes hands; until that is done nothing is
    /// transferred. The session learns of it by
    /// [`Session::secured`]; a handshake that fails is a peer that hung up.
    pub(crate) fn start_tls(
        &mut self,
        tls: Arc<Tls>,
        domain: Option<DomainPart>,
        last_words: Bytes,
    ) {
        *self = match std::mem::replace(self, Transport::Upgrade(Upgrade::Over)) {
            Transport::Tcp(socket) => {
                Transport::Upgrade(Upgrade::new(socket, tls, domain, last_words))
            }
            other => other,
        };
    }

    /// Writes what the session said last, and ends the connection in a way by
    /// which the peer gets to read it.
    pub(crate) async fn finish(&mut self, session: &mut Session) {
        let finished = tokio::time::timeout(LAST_WORDS, async {
            match self {
                Transport::Tcp(socket) => stream::finish(socket, session).await,
                Transport::Tls(stream) => stream::finish(stream, session).await,
                // Nothing can be said in the midst of a handshake.
                Transport::Upgrade(_) => Ok(()),
                Transport::WebSocket(socket) => socket.finish(session).await,
                Transport::Bosh(requests) => requests.finish(session).await,
                Transport::Gone => Ok(()),
            }
        });
        if !matches!(finished.await, Ok(Ok(()))) {
            tracing::debug!("the peer did not take the end of its stream");
        }
    }
}
