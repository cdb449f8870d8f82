//! From TCP to TLS in the midst of a connection (RFC 6120, section 5.4.3).
//!
//! Owns the order: everything that was said before leaves first, then comes
//! the handshake. Nothing that is read on the way reaches the session.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use muster_xmpp::DomainPart;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::HungUp;
use crate::tls::{Purpose, Secured, Tls};

/// A connection on its way to TLS.
pub(crate) enum Upgrade {
    /// The rest of the plaintext, and the handshake.
    Under(Pin<Box<dyn Future<Output = Result<Secured<TcpStream>, HungUp>> + Send>>),
    /// It failed, or has been taken out.
    Over,
}

impl Upgrade {
    pub(super) fn new(
        mut socket: TcpStream,
        tls: Arc<Tls>,
        domain: Option<DomainPart>,
        last_words: Bytes,
    ) -> Self {
        Self::Under(Box::pin(async move {
            socket.write_all(&last_words).await.map_err(|_| HungUp)?;
            let secured = tls.accept(socket, Purpose::StartTls, domain.as_deref());
            secured.await.map_err(|_| HungUp)
        }))
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Secured<TcpStream>, HungUp>> {
        let Self::Under(handshake) = self else {
            return Poll::Ready(Err(HungUp));
        };
        let secured = ready!(handshake.as_mut().poll(cx));
        *self = Self::Over;
        Poll::Ready(secured)
    }
}
