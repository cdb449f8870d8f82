//! `auth.kind = "http"`: the app is asked about each login.
//!
//! Owns the question, the deadline and what the answers mean. An app that
//! cannot answer is told as such to the client, never as a wrong password.
//! Every account is asked about in the same way: whether it exists, the app
//! alone knows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use muster_xmpp::BareJid;
use muster_xmpp::sasl::Verdict;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::ReloadFault;
use crate::config::CaFile;
use crate::http_client::{HttpClient, http_client};
use crate::tls::read_roots;

/// The app answers `POST {"username","password"}`: 200 yes, 401 or 403 no,
/// anything else is a fault of the app.
pub(crate) struct HttpAuthenticator {
    /// Exchanged whole, with its connections.
    client: ArcSwap<HttpClient>,
    uri: http::Uri,
    timeout: Duration,
    /// The authorities of the operator's own.
    ca_file: Option<PathBuf>,
}

impl HttpAuthenticator {
    pub(super) fn new(
        url: &url::Url,
        timeout: Duration,
        ca_file: Option<CaFile>,
    ) -> Result<HttpAuthenticator, rustls::Error> {
        let (ca_file, roots) = match ca_file {
            Some(CaFile { path, roots }) => (Some(path), Some(roots)),
            None => (None, None),
        };
        // Whatever `url` takes for an http(s) URL, `http` takes as well.
        let uri = url.as_str().parse().unwrap_or_default();
        Ok(HttpAuthenticator {
            client: ArcSwap::from_pointee(http_client(roots)?),
            uri,
            timeout,
            ca_file,
        })
    }

    /// Reads the file of authorities again, if there is one.
    pub(super) fn reload(&self) -> Result<(), ReloadFault> {
        if let Some(path) = &self.ca_file {
            let roots = read_roots(path)?;
            self.client.store(Arc::new(http_client(Some(roots))?));
        }
        Ok(())
    }

    pub(super) async fn verify(&self, account: &BareJid, password: &SecretString) -> Verdict {
        let status = match tokio::time::timeout(self.timeout, self.ask(account, password)).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the app could not be asked about a login");
                return outcome(Verdict::TemporarilyUnavailable);
            }
            Err(_) => {
                tracing::warn!(timeout = ?self.timeout, "the app did not answer about a login in time");
                return outcome(Verdict::TemporarilyUnavailable);
            }
        };
        outcome(match status {
            StatusCode::OK => Verdict::Accepted,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::Rejected,
            status => {
                tracing::warn!(%status, "the app's answer about a login is neither 200, 401 nor 403");
                Verdict::TemporarilyUnavailable
            }
        })
    }

    async fn ask(
        &self,
        account: &BareJid,
        password: &SecretString,
    ) -> Result<StatusCode, hyper_util::client::legacy::Error> {
        let username = account.node().map_or("", |node| node.as_str());
        let question =
            serde_json::json!({ "username": username, "password": password.expose_secret() });
        let question = Zeroizing::new(question.to_string());
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(question.as_bytes())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        let client = self.client.load_full();
        Ok(client.request(request).await?.status())
    }
}

fn outcome(verdict: Verdict) -> Verdict {
    let label = match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::TemporarilyUnavailable => "unavailable",
    };
    metrics::counter!("muster_http_auth_total", "outcome" => label).increment(1);
    verdict
}
