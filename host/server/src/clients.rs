//! A client's connection, from the socket to a stream: what carries it, and who
//! can read along.
//!
//! Owns the handshake of those who speak TLS from the first byte on (XEP-0368).
//! From the listeners, to [`Connection`].

use std::sync::Arc;

use muster_xmpp::session::{Channel, Encryption, Framing};
use tokio::net::TcpStream;

use crate::admission::Slot;
use crate::connection::Connection;
use crate::services::Services;
use crate::tls::{Purpose, Tls};
use crate::transport::Transport;

/// How a stream begins, by the listener.
#[derive(Clone)]
pub(crate) enum Beginning {
    /// In the clear (RFC 6120, section 5), with TLS on offer if there is a
    /// certificate.
    Plain,
    /// Under TLS.
    Tls(Arc<Tls>),
}

/// Serves one client until its stream ends.
pub(crate) async fn serve(
    socket: TcpStream,
    slot: Slot,
    beginning: Beginning,
    services: Arc<Services>,
) {
    let mut entropy = [0; 32];
    if let Err(error) = getrandom::fill(&mut entropy) {
        return tracing::error!(%error, "no random numbers for a new stream; it is closed");
    }
    let (transport, encryption) = match beginning {
        Beginning::Plain if services.tls.is_some() => {
            (Transport::Tcp(socket), Encryption::StartTls)
        }
        Beginning::Plain => (Transport::Tcp(socket), Encryption::None),
        Beginning::Tls(tls) => {
            // Boxed: the task of an idle client need not keep room for it.
            let secured = Box::pin(tls.accept_until(&services.stop, socket, Purpose::Direct));
            let Some(secured) = secured.await else { return };
            (
                Transport::Tls(Box::new(secured.stream)),
                Encryption::Tls(secured.bindings),
            )
        }
    };
    let channel = Channel {
        framing: Framing::Stream,
        encryption,
    };
    Connection::new(transport, channel, slot, services, entropy)
        .run()
        .await;
}
