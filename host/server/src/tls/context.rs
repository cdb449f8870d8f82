//! What a handshake needs of one certificate: the settings of TLS for each purpose, and the hash
//! that the login may be bound to.
//!
//! Owns the versions, the protocol names (ALPN) and the session tickets. One [`Context`] is one
//! certificate: a handshake that holds it cannot mix the old certificate with the new one's hash.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use super::certificate::Certificate;

/// Why TLS cannot be set up. Reach: the process at its start, or one reload.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct ContextError(#[from] rustls::Error);

/// What TLS is for: each purpose has its protocol name (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client's stream after `<starttls/>` (RFC 6120 §5): no protocol name.
    StartTls,
    /// A client's stream from the first byte on: `xmpp-client` (XEP-0368 §3).
    Direct,
    /// `http/1.1`.
    Https,
}

impl Purpose {
    /// For labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Direct => "xmpp-tls",
            Self::Https => "https",
        }
    }
}

/// A certificate, ready for handshakes.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) certificate: Arc<Certificate>,
    starttls: Arc<ServerConfig>,
    direct: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
}

impl Context {
    pub(crate) fn new(certificate: Arc<Certificate>) -> Result<Context, ContextError> {
        Ok(Context {
            starttls: settings(&certificate, &[])?,
            direct: settings(&certificate, &[b"xmpp-client"])?,
            https: settings(&certificate, &[b"http/1.1"])?,
            certificate,
        })
    }

    pub(crate) fn settings(&self, purpose: Purpose) -> Arc<ServerConfig> {
        Arc::clone(match purpose {
            Purpose::StartTls => &self.starttls,
            Purpose::Direct => &self.direct,
            Purpose::Https => &self.https,
        })
    }
}

/// TLS 1.2 and 1.3, no client certificates. A client that names protocols must name one of
/// `protocols`; one that names none is welcome.
fn settings(
    certificate: &Certificate,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])?;
    let chain = (*certificate.chain).clone();
    let mut settings = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(chain)));
    settings.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Whoever comes back brings the session along, encrypted: nothing is kept for clients that
    // may never return. The ticket's key is this context's own, so a session never outlives the
    // certificate that it was made with.
    settings.session_storage = Arc::new(NoServerSessionStorage {});
    settings.ticketer = ring::Ticketer::new()?;
    settings.send_tls13_tickets = 1;
    Ok(Arc::new(settings))
}
