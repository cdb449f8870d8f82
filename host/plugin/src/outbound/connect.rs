//! Opening a connection: resolve once, check every address, dial a checked
//! one, shake hands, all within one deadline.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use crate::egress::{EgressPolicy, Origin, OriginScheme};
use crate::telemetry::Meter;

/// Why no connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no address of the host may be dialled")]
    Denied,
    #[error("the host does not resolve")]
    Resolve,
    #[error("the connection was refused")]
    Refused,
    #[error("the connection took too long")]
    Timeout,
    #[error("the TLS handshake failed")]
    Tls,
}

/// Opens connections for the pool.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: Arc<EgressPolicy>,
    tls: TlsConnector,
    timeout: Duration,
    meter: Meter,
}

impl Connector {
    pub(crate) fn new(
        policy: Arc<EgressPolicy>,
        timeout: Duration,
        meter: Meter,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            policy,
            tls: TlsConnector::from(tls_config()?),
            timeout,
            meter,
        })
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        // The pool asks with the URI that was built from an admitted origin.
        let origin = self.policy.origin_of(&uri).ok_or(ConnectError::Denied)?;
        let stream = tokio::time::timeout(self.timeout, self.open(origin))
            .await
            .map_err(|_| ConnectError::Timeout)??;
        self.meter.connection();
        Ok(TokioIo::new(stream))
    }

    async fn open(&self, origin: &Origin) -> Result<Stream, ConnectError> {
        let tcp = self.dial(self.resolve(origin).await?).await?;
        match origin.scheme() {
            OriginScheme::Http => Ok(Stream::Plain(tcp)),
            OriginScheme::Https => {
                let name = server_name(origin.host())?;
                let tls = self.tls.connect(name, tcp).await;
                Ok(Stream::Tls(Box::new(tls.map_err(|_| ConnectError::Tls)?)))
            }
        }
    }

    /// The addresses of the origin that the policy lets be dialled.
    async fn resolve(&self, origin: &Origin) -> Result<Vec<SocketAddr>, ConnectError> {
        let port = origin.port();
        let found = match origin.host() {
            Host::Ipv4(address) => vec![SocketAddr::new(IpAddr::V4(*address), port)],
            Host::Ipv6(address) => vec![SocketAddr::new(IpAddr::V6(*address), port)],
            Host::Domain(name) => tokio::net::lookup_host((name.as_str(), port))
                .await
                .map_err(|_| ConnectError::Resolve)?
                .collect(),
        };
        if found.is_empty() {
            return Err(ConnectError::Resolve);
        }
        let allowed: Vec<_> = found
            .into_iter()
            .filter(|at| self.policy.admit_address(origin, at.ip()).is_ok())
            .collect();
        if allowed.is_empty() {
            return Err(ConnectError::Denied);
        }
        Ok(allowed)
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

/// The roots of Mozilla, TLS 1.2 and later, HTTP/1.1 only.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, ConnectError> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| ConnectError::Resolve),
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
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

/// A connection to an app.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
