//! The HTTP client for what the operator names and the server itself asks: the
//! app about a login, the collector of traces. What plugins ask goes another
//! way, through the egress gate.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

/// A client with its pooled connections, over HTTP/1.1 with or without TLS.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client that believes `roots`, or else those authorities that Mozilla does.
///
/// # Errors
/// TLS cannot be configured.
pub(crate) fn http_client(roots: Option<Arc<RootCertStore>>) -> Result<HttpClient, rustls::Error> {
    let builder = HttpsConnectorBuilder::new();
    let builder = match roots {
        Some(roots) => {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            builder.with_tls_config(config)
        }
        None => builder.with_webpki_roots(),
    };
    let connector = builder.https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector))
}
