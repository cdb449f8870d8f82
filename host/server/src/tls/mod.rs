//! TLS for clients and for the app: certificates by virtual host, handshakes, and newer
//! certificates while the server runs.
//!
//! Owns everything between the files of a certificate and a stream that is encrypted:
//! `certificate` reads the files, `store` chooses one by the name that a client asks for,
//! `context` has the settings, `handshake` shakes hands within its deadline, `watch` looks for
//! newer files and for certificates that end soon; `self_signed` makes one for development; `roots`
//! are the authorities that an app's certificate may come from. Does
//! not own sockets, nor what is said over them.

mod certificate;
mod context;
mod end_point;
mod handshake;
mod name;
mod pem;
mod roots;
mod self_signed;
mod store;
#[cfg(test)]
pub(crate) mod testing;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use self::certificate::Certificate;
pub use self::certificate::{CertificateConcern, CertificateError, CertificateFiles};
pub use self::context::ContextError;
pub(crate) use self::context::Purpose;
pub(crate) use self::handshake::Secured;
pub(crate) use self::name::network_name;
pub(crate) use self::roots::read_roots;
pub(crate) use self::self_signed::self_signed;
pub(crate) use self::store::{Certificates, Entry};

/// TLS of a server.
pub(crate) struct Tls {
    certificates: Certificates,
    /// For a whole handshake.
    handshake_timeout: Duration,
    /// Somebody asked for the certificates to be read again.
    reload: Notify,
}

impl Tls {
    pub(crate) fn new(certificates: Certificates, handshake_timeout: Duration) -> Arc<Tls> {
        Arc::new(Tls {
            certificates,
            handshake_timeout,
            reload: Notify::new(),
        })
    }

    /// Shakes hands until `stop`; `None` if nothing came of it.
    pub(crate) async fn accept_until<S>(
        &self,
        stop: &CancellationToken,
        stream: S,
        purpose: Purpose,
    ) -> Option<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // On the heap: a handshake is large, and the task that awaits it lives on.
        let secured = Box::pin(self.accept(stream, purpose, None));
        stop.run_until_cancelled(secured).await?.ok()
    }

    /// Has the files of the certificates read again soon, changed or not.
    pub(crate) fn reload(&self) {
        self.reload.notify_one();
    }
}
