//! How an origin is reached by TLS: whom to believe, and who Muster is.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

/// How an origin is reached by TLS. Without effect where the origin is plain
/// HTTP.
#[derive(Clone)]
pub struct TlsAccess {
    /// The authorities that may vouch for the origin; `None` for those that
    /// Mozilla trusts.
    pub roots: Option<Arc<RootCertStore>>,
    /// The certificate that is shown to an origin that asks for one.
    pub identity: Option<Arc<CertifiedKey>>,
    /// Whether HTTP/2 is spoken where the origin offers it (ALPN, RFC 7301).
    pub http2: bool,
}

impl Default for TlsAccess {
    fn default() -> Self {
        Self {
            roots: None,
            identity: None,
            http2: true,
        }
    }
}

impl fmt::Debug for TlsAccess {
    /// No key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.as_ref().map(|roots| roots.len());
        f.debug_struct("TlsAccess")
            .field("roots", &roots)
            .field("identity", &self.identity.is_some())
            .field("http2", &self.http2)
            .finish()
    }
}
