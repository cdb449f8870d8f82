//! One handshake: from a connected socket to an encrypted stream, within a deadline.
//!
//! Owns the order (the client's first message, the choice of the certificate, the rest), what a
//! login may be bound to afterwards, and the count of outcomes. Does not own the socket's limits.

use std::io;

use jid::DomainRef;
use muster_xmpp::session::ChannelBindings;
use rustls::server::Acceptor;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use super::Tls;
use super::context::{Context, Purpose};

/// Why there is no encrypted stream. Reach: the connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The client was silent, or slow.
    #[error("the handshake took too long")]
    Timeout,
    /// The client went away.
    #[error("the connection ended in the handshake: {0}")]
    Closed(io::Error),
    /// Client and server do not agree, or the client does not speak TLS.
    #[error("the handshake was refused: {0}")]
    Refused(io::Error),
}

impl HandshakeError {
    fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed(_) => "closed",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        // What rustls objects to comes as `InvalidData`.
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Refused(error),
            _ => Self::Closed(error),
        }
    }
}

/// An encrypted stream.
pub(crate) struct Secured<S> {
    pub(crate) stream: TlsStream<S>,
    /// What a login over it may be bound to. The exporter's value is there with TLS 1.3 only:
    /// with TLS 1.2 an extended master secret would have to be proved (RFC 9266 §4.2), which
    /// rustls does not tell.
    pub(crate) bindings: ChannelBindings,
}

impl Tls {
    /// Shakes hands as the server. `domain` is what the client has said before about whom it
    /// wants to reach.
    ///
    /// # Errors
    /// There is no encrypted stream, and `stream` is closed. It is counted and logged already.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        purpose: Purpose,
        domain: Option<&DomainRef>,
    ) -> Result<Secured<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let secured =
            tokio::time::timeout(self.handshake_timeout, self.shake(stream, purpose, domain));
        let secured = match secured.await {
            Ok(secured) => secured,
            Err(_) => Err(HandshakeError::Timeout),
        };
        let outcome = match &secured {
            Ok(_) => "success",
            Err(error) => {
                tracing::debug!(purpose = purpose.name(), %error, "no TLS");
                error.name()
            }
        };
        metrics::counter!(
            "muster_tls_handshakes_total",
            "purpose" => purpose.name(),
            "outcome" => outcome
        )
        .increment(1);
        secured
    }

    async fn shake<S>(
        &self,
        stream: S,
        purpose: Purpose,
        domain: Option<&DomainRef>,
    ) -> Result<Secured<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let context = self
            .certificates
            .choose(start.client_hello().server_name(), domain);
        let stream = start.into_stream(context.settings(purpose)).await?;
        Ok(Secured::new(stream, &context))
    }
}

impl<S> Secured<S> {
    fn new(stream: TlsStream<S>, context: &Context) -> Self {
        let (_, connection) = stream.get_ref();
        let (version, suite) = (
            connection.protocol_version(),
            connection.negotiated_cipher_suite(),
        );
        tracing::debug!(?version, suite = ?suite.map(|suite| suite.suite()), "TLS");
        let bindings = ChannelBindings {
            exporter: exporter(connection),
            end_point: context.certificate.end_point.clone(),
        };
        Secured { stream, bindings }
    }
}

/// RFC 9266 §2: the label, an empty context, 32 bytes.
fn exporter(connection: &ServerConnection) -> Option<Box<Zeroizing<[u8; 32]>>> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let secret = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
    secret.ok().map(|secret| Box::new(Zeroizing::new(secret)))
}

#[cfg(test)]
mod tests;
