//! The listeners: bound before anything else, served once everything else is
//! there.
//!
//! Owns which listener is served how. Does not own the accept loop
//! ([`crate::listener`]) nor what is said over a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::StartError;
use crate::admission::Admission;
use crate::clients::{self, Beginning};
use crate::config::Config;
use crate::http::{self, HttpLimits, Listening, Peer};
use crate::listener::accept;
use crate::services::Services;
use crate::tls::{Purpose, Tls};

/// Something for each kind of listener.
#[derive(Debug)]
pub(super) struct Each<T> {
    pub(super) xmpp: T,
    pub(super) xmpp_tls: T,
    pub(super) http: T,
    pub(super) https: T,
    pub(super) web: T,
    pub(super) web_tls: T,
}

impl<T> Each<Vec<T>> {
    /// How many there are of each kind.
    pub(super) fn counts(&self) -> Listening {
        Listening {
            xmpp: self.xmpp.len(),
            xmpp_tls: self.xmpp_tls.len(),
            http: self.http.len(),
            https: self.https.len(),
            web: self.web.len(),
            web_tls: self.web_tls.len(),
        }
    }
}

/// Listens on all configured addresses. Returns the listeners and where they
/// are: a configured port 0 has become another.
pub(super) async fn bind(
    config: &Config,
) -> Result<(Each<Vec<TcpListener>>, Each<Vec<SocketAddr>>), StartError> {
    let (xmpp, at_xmpp) = bind_all(&config.xmpp.listen).await?;
    let (xmpp_tls, at_xmpp_tls) = bind_all(&config.xmpp.listen_tls).await?;
    let (http, at_http) = bind_all(&config.http.listen).await?;
    let (https, at_https) = bind_all(&config.http.listen_tls).await?;
    let (web, at_web) = bind_all(&config.web.listen).await?;
    let (web_tls, at_web_tls) = bind_all(&config.web.listen_tls).await?;
    let listeners = Each {
        xmpp,
        xmpp_tls,
        http,
        https,
        web,
        web_tls,
    };
    let addresses = Each {
        xmpp: at_xmpp,
        xmpp_tls: at_xmpp_tls,
        http: at_http,
        https: at_https,
        web: at_web,
        web_tls: at_web_tls,
    };
    Ok((listeners, addresses))
}

async fn bind_all(
    addresses: &[SocketAddr],
) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut bound = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let fault = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        bound.push(listener.local_addr().map_err(fault)?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

/// Serves XMPP clients that connect to `listeners`.
pub(super) fn serve_clients(
    listeners: Vec<TcpListener>,
    name: &'static str,
    beginning: &Beginning,
    services: &Arc<Services>,
    tasks: &TaskTracker,
) {
    for listener in listeners {
        let (beginning, connections) = (beginning.clone(), tasks.clone());
        let (admission, stop) = (Arc::clone(&services.admission), services.stop.clone());
        let services = Arc::clone(services);
        let serve = move |stream, peer: SocketAddr, slot| {
            let client = clients::serve(stream, slot, beginning.clone(), Arc::clone(&services));
            connections.spawn(client.instrument(tracing::info_span!("stream", %peer)));
        };
        tasks.spawn(accept(listener, name, admission, stop, serve));
    }
}

/// What is served over HTTP, and within which bounds.
#[derive(Clone)]
pub(super) struct Surface {
    pub(super) router: axum::Router,
    pub(super) limits: HttpLimits,
    pub(super) admission: Arc<Admission>,
    pub(super) draining: CancellationToken,
}

impl Surface {
    /// Serves it to those who connect to `listeners`, by TLS if there is one.
    pub(super) fn serve(
        &self,
        listeners: Vec<TcpListener>,
        tls: Option<&Arc<Tls>>,
        tasks: &TaskTracker,
    ) {
        let name = if tls.is_some() { "https" } else { "http" };
        for listener in listeners {
            let (surface, tls, connections) = (self.clone(), tls.cloned(), tasks.clone());
            let (admission, stop) = (Arc::clone(&self.admission), self.draining.clone());
            let serve = move |stream, peer, slot| {
                let served = surface.clone().connection(stream, peer, tls.clone());
                connections.spawn(async move {
                    served.await;
                    drop(slot);
                });
            };
            tasks.spawn(accept(listener, name, admission, stop, serve));
        }
    }

    async fn connection(self, socket: TcpStream, address: SocketAddr, tls: Option<Arc<Tls>>) {
        let peer = Peer {
            address,
            secure: tls.is_some(),
        };
        let Surface {
            router,
            limits,
            draining,
            ..
        } = self;
        let Some(tls) = tls else {
            return http::serve_connection(socket, peer, router, limits, draining).await;
        };
        let secured = tls.accept_until(&draining, socket, Purpose::Https).await;
        if let Some(secured) = secured {
            http::serve_connection(secured.stream, peer, router, limits, draining).await;
        }
    }
}
