//! Opening a connection: resolve once, check every address, dial a checked
//! one, shake hands, all within one deadline.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use super::resolve::Resolve;
use super::stream::Stream;
use super::tls;
use crate::egress::{AllowedOrigin, EgressPolicy, Origin, OriginScheme};
use crate::limit::Limit;
use crate::telemetry::Meter;

/// Why no connection was opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no address of the host may be dialled")]
    Denied,
    #[error("the host does not resolve")]
    Resolve,
    #[error("the connection was refused")]
    Refused,
    #[error("the connection took too long")]
    Timeout,
    #[error("the certificate is not accepted: {0}")]
    Certificate(rustls::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(rustls::Error),
    #[error("the connection broke off in the TLS handshake")]
    BrokeOff,
}

impl ConnectError {
    /// The value of the label `reason` in metrics and logs.
    fn label(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Resolve => "resolve",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Certificate(_) => "certificate",
            Self::Handshake(_) | Self::BrokeOff => "tls",
        }
    }
}

/// Opens connections for the pool.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<EgressPolicy>,
    /// One for each origin that is reached by TLS.
    tls: Arc<HashMap<Origin, TlsConnector>>,
    resolver: Arc<dyn Resolve>,
    timeout: Duration,
    meter: Meter,
}

impl Connector {
    pub(crate) fn new(
        policy: Arc<EgressPolicy>,
        resolver: Arc<dyn Resolve>,
        timeout: Duration,
        meter: Meter,
    ) -> Result<Self, rustls::Error> {
        let secure = policy.origins.iter();
        let secure = secure.filter(|allowed| allowed.origin.scheme() == OriginScheme::Https);
        let connector =
            |allowed: &AllowedOrigin| Ok((allowed.origin.clone(), tls::connector(&allowed.tls)?));
        Ok(Self {
            tls: Arc::new(
                secure
                    .map(connector)
                    .collect::<Result<_, rustls::Error>>()?,
            ),
            policy,
            resolver,
            timeout,
            meter,
        })
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        // The pool asks with the URI that was built from an admitted origin.
        let allowed = self.policy.origin_of(&uri).ok_or(ConnectError::Denied)?;
        let opened = tokio::time::timeout(self.timeout, self.open(allowed)).await;
        match opened.unwrap_or(Err(ConnectError::Timeout)) {
            Ok(stream) => {
                self.meter.connection();
                Ok(TokioIo::new(stream))
            }
            Err(error) => {
                self.failed(allowed, &error);
                Err(error)
            }
        }
    }

    /// What the operator should know, and the plugin need not.
    fn failed(&self, allowed: &AllowedOrigin, error: &ConnectError) {
        if matches!(error, ConnectError::Timeout) {
            self.meter.limit(Limit::ConnectTimeout);
        }
        if self.meter.connect_failed(error.label()) {
            tracing::warn!(
                vhost = self.meter.vhost(),
                origin = %allowed.origin,
                "no connection to the app, told once a minute: {error}"
            );
        }
    }

    async fn open(&self, allowed: &AllowedOrigin) -> Result<Stream, ConnectError> {
        let origin = &allowed.origin;
        if let Some(inside) = self.resolver.inside(origin) {
            return inside
                .map(Stream::Inside)
                .map_err(|_| ConnectError::Refused);
        }
        let tcp = self.dial(self.resolve(allowed).await?).await?;
        match self.tls.get(origin) {
            None => Ok(Stream::Plain(tcp)),
            Some(connector) => {
                let name = tls::server_name(origin.host()).ok_or(ConnectError::Resolve)?;
                let stream = connector.connect(name, tcp).await;
                Ok(Stream::Tls(Box::new(stream.map_err(tls_failure)?)))
            }
        }
    }

    /// The addresses of the origin that the policy lets be dialled. Each is
    /// judged by itself: one that is not allowed does not spoil the others, and
    /// gets nothing.
    async fn resolve(&self, allowed: &AllowedOrigin) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = allowed.origin.port();
        let found = match allowed.origin.host() {
            Host::Ipv4(address) => vec![SocketAddr::new(IpAddr::V4(*address), port)],
            Host::Ipv6(address) => vec![SocketAddr::new(IpAddr::V6(*address), port)],
            Host::Domain(name) => {
                let found = self.resolver.resolve(name, port).await;
                found.map_err(|_| ConnectError::Resolve)?
            }
        };
        if found.is_empty() {
            return Err(ConnectError::Resolve);
        }
        let count = found.len();
        let mut dialled = found;
        dialled.retain(|at| allowed.admit_address(at.ip()).is_ok());
        if dialled.is_empty() {
            return Err(ConnectError::Denied);
        }
        if dialled.len() < count {
            tracing::debug!(
                vhost = self.meter.vhost(),
                origin = %allowed.origin,
                left_out = count - dialled.len(),
                "addresses of the app that are not allowed were left out"
            );
        }
        Ok(dialled)
    }

    /// The first address that answers. Each gets its share of the time, so
    /// that a silent one does not use up the others'.
    async fn dial(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectError> {
        let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = ConnectError::Refused;
        for address in addresses {
            match tokio::time::timeout(self.timeout / shares, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are single small writes.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(_)) => last = ConnectError::Refused,
                Err(_) => last = ConnectError::Timeout,
            }
        }
        Err(last)
    }
}

/// What rustls has said of a handshake, if it was rustls.
fn tls_failure(error: std::io::Error) -> ConnectError {
    let said = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match said {
        Some(said @ rustls::Error::InvalidCertificate(_)) => {
            ConnectError::Certificate(said.clone())
        }
        Some(said) => ConnectError::Handshake(said.clone()),
        None => ConnectError::BrokeOff,
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
