//! What web clients use: WebSocket, BOSH, and the documents by which they find
//! both.
//!
//! Owns what these routes share, and the way from an HTTP request to a client
//! stream. They are apart from the routes of the app and the operator, so that
//! the ones can be public without the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use muster_xmpp::bosh::{HEAD_BYTES, Limits};
use muster_xmpp::session::{Channel, ChannelBindings, Encryption, Framing};
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use utoipa::OpenApi;

use super::client::{Client, Proxies};
use super::origin::Origins;
use super::sessions::BoshSessions;
use super::{answer, bosh, host_meta, websocket};
use crate::admission::Slot;
use crate::config::{self, Config};
use crate::connection::Connection;
use crate::services::Services;
use crate::transport::Transport;

/// Where WebSockets are opened.
pub(super) const WEBSOCKET_PATH: &str = "/xmpp-websocket";
/// Where BOSH requests go.
pub(super) const BOSH_PATH: &str = "/http-bind";

/// The description of these routes.
#[derive(OpenApi)]
#[openapi(paths(
    websocket::upgrade,
    bosh::request,
    bosh::preflight,
    host_meta::xml,
    host_meta::json
))]
pub(super) struct Api;

/// Which of the routes there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) websocket: bool,
    pub(super) bosh: bool,
}

/// What the operator says of the routes.
pub(crate) struct WebSettings {
    pub(super) offered: Offered,
    pub(super) origins: Origins,
    pub(super) proxies: Proxies,
    pub(super) bosh: Limits,
    /// Bytes of a BOSH request before its session has logged in.
    pub(super) login_bytes: usize,
    /// Bytes of a BOSH request.
    pub(super) body_bytes: usize,
    /// Time for the body of a BOSH request.
    pub(super) body_timeout: Duration,
}

/// What the routes share.
pub(crate) struct Web {
    pub(super) settings: WebSettings,
    pub(super) services: Arc<Services>,
    pub(super) bosh: BoshSessions,
    /// Where the streams run.
    pub(super) tasks: TaskTracker,
}

/// The routes that there are.
pub(crate) fn routes(web: Arc<Web>) -> Router {
    let Offered { websocket, bosh } = web.settings.offered;
    let mut routes = Router::new();
    if websocket {
        routes = routes.route(WEBSOCKET_PATH, get(websocket::upgrade));
    }
    if bosh {
        let requests = post(bosh::request).options(bosh::preflight);
        routes = routes.route(BOSH_PATH, requests);
    }
    if websocket || bosh {
        routes = routes
            .route("/.well-known/host-meta", get(host_meta::xml))
            .route("/.well-known/host-meta.json", get(host_meta::json));
    }
    // `bosh` bounds its body itself.
    routes.layer(DefaultBodyLimit::disable()).with_state(web)
}

/// The routes alone, for listeners that serve nothing else.
pub(crate) fn router(web: Arc<Web>) -> Router {
    routes(web)
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
}

impl WebSettings {
    /// The part of `config` that is about web clients.
    pub(crate) fn of(config: &Config) -> WebSettings {
        let limits = &config.limits.bosh;
        // Pages at the public address are pages of the site, whatever a proxy
        // makes of `Host`.
        let urls = config.virtual_hosts.iter();
        let urls = urls.filter_map(|host| host.public_url.as_ref());
        let sites = urls.map(|url| url.origin().ascii_serialization());
        WebSettings {
            offered: Offered {
                websocket: config.web.websocket,
                bosh: config.web.bosh,
            },
            origins: match &config.web.origins {
                config::Origins::Any => Origins::Any,
                config::Origins::Listed(listed) => {
                    Origins::Listed(listed.iter().cloned().chain(sites).collect())
                }
            },
            proxies: Proxies::new(config.web.trusted_proxies.clone()),
            bosh: Limits {
                wait: limits.wait,
                inactivity: limits.inactivity,
                longest_pause: limits.pause,
                polling: limits.polling,
                input_bytes: limits.body_bytes,
                answer_bytes: limits.answer_bytes,
            },
            login_bytes: config.limits.xmpp.before_auth.bytes + HEAD_BYTES,
            body_bytes: limits.body_bytes,
            body_timeout: config.limits.http.body_timeout,
        }
    }
}

impl Web {
    /// The routes as `settings` has them; streams run in `tasks`.
    pub(crate) fn new(settings: WebSettings, services: Arc<Services>, tasks: TaskTracker) -> Web {
        Web {
            settings,
            services,
            bosh: BoshSessions::default(),
            tasks,
        }
    }

    /// A place for one more stream of `client`; `None` if there is none.
    pub(super) fn admit(&self, client: Client) -> Option<Slot> {
        let admission = &self.services.admission;
        admission.admit(client.address, Instant::now())
    }

    /// The stream of `client`, in the span that its log lines belong to; `None`
    /// if the system has no random numbers to give.
    pub(super) fn stream(
        &self,
        client: Client,
        slot: Slot,
        framing: Framing,
        transport: Transport,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut entropy = [0; 32];
        if let Err(error) = getrandom::fill(&mut entropy) {
            tracing::error!(%error, "no random numbers for a new stream; it is closed");
            return None;
        }
        let Client { address, secure } = client;
        let encryption = match secure {
            // Pages cannot see the TLS under them: there is nothing to bind to.
            true => Encryption::Tls(ChannelBindings::default()),
            false => Encryption::None,
        };
        let channel = Channel {
            framing,
            encryption,
        };
        let services = Arc::clone(&self.services);
        let connection = Connection::new(transport, channel, slot, services, entropy);
        let span = tracing::info_span!("stream", peer = %address);
        Some(connection.run().instrument(span))
    }
}
