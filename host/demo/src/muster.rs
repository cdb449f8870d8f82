//! Telling Muster whose contact lists have changed: one POST, one summary.
//!
//! This is all that an app has to do to have its changes pushed to XMPP clients.

use std::time::Duration;

use axum::body::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};

/// For the whole exchange; Muster asks us back meanwhile, for at most five seconds a user.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A summary is some hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Muster's refresh route.
#[derive(Clone)]
pub(crate) struct Muster {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    authorization: HeaderValue,
}

/// Why there is no summary. Reach: the request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error("Muster cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("Muster did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("Muster's answer broke off or is too long")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("Muster answered with status {0}")]
    Status(StatusCode),
}

impl Muster {
    pub(crate) fn new(url: &str, token: &SecretString) -> Result<Self, http::Error> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))?;
        authorization.set_sensitive(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: Uri::try_from(url)?,
            authorization,
        })
    }

    /// Names the users whose lists have changed; the answer is Muster's summary, as JSON.
    pub(crate) async fn refresh(&self, usernames: &[&str]) -> Result<Bytes, RefreshError> {
        tokio::time::timeout(TIMEOUT, self.exchange(usernames)).await?
    }

    async fn exchange(&self, usernames: &[&str]) -> Result<Bytes, RefreshError> {
        let body = serde_json::json!(usernames).to_string();
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));

        let response = self.client.request(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(RefreshError::Status(status));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(RefreshError::Broken)?;
        Ok(body.to_bytes())
    }
}
