//! A running server, as commands reach it: where it is, the token, one request.
//!
//! Owns the arguments that those commands share, and what can go wrong on the
//! way. What an answer means is the command's affair.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};

use super::failure::Failure;
use crate::http::control::report::NotDone;

/// For a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer is a recording, some times `limits.plugin.record_bytes`.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Where the server is and who asks.
#[derive(Debug, Args)]
pub(super) struct Address {
    /// Where the server listens for HTTP
    #[arg(long, default_value = "http://127.0.0.1:5280")]
    url: String,
    /// A token of the server; other processes can see arguments, so prefer the variable or the file
    #[arg(long, env = "MUSTER_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<SecretString>,
    /// A file whose first line is the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The authorities whose certificates are good for https, in PEM, instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A server and how to talk to it.
pub(super) struct Remote {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    authorization: Option<HeaderValue>,
    host: Option<String>,
}

/// A request with all that it carries.
pub(super) struct Errand<'a> {
    pub(super) method: Method,
    /// A path of the server, with its query.
    pub(super) path: &'a str,
    pub(super) fields: &'a [(HeaderName, &'a str)],
    pub(super) body: Bytes,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer. Reach: one request.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the server cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the server did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("the server's answer broke off or is too long")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the token is missing or wrong")]
    Unauthorized,
    #[error("the server answered with status {0} and nothing that can be read")]
    NoSummary(StatusCode),
    #[error("the server refused the request with status {status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the job did not come to its end: it was {state}")]
    Ended { state: String },
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
}

impl RequestError {
    /// Whether the server says that it has too much to do.
    pub(super) fn is_temporary(&self) -> bool {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        matches!(self, Self::Refused { status, .. } | Self::NoSummary(status) if busy.contains(status))
    }
}

impl Address {
    /// Makes ready to ask. A URL that ends with `route` is taken for the server's as well. `host`
    /// is what the `Host` header says instead of the URL.
    pub(super) fn remote(&self, route: &str, host: Option<String>) -> Result<Remote, Failure> {
        let base = self.url.trim_end_matches('/').trim_end_matches(route);
        let uri = Uri::try_from(base).map_err(|_| Failure::Url)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(Failure::Url);
        }
        let header =
            |text: String| HeaderValue::try_from(text).map_err(|_| Failure::TokenCharacters);
        let authorization = match self.token()? {
            Some(token) => Some(header(format!("Bearer {}", token.expose_secret()))?),
            None => None,
        };
        let connector = HttpsConnectorBuilder::new();
        let connector = match &self.ca_file {
            Some(path) => connector.with_tls_config(trusting(path)?),
            None => connector.with_webpki_roots(),
        };
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Remote {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base.to_owned(),
            authorization,
            host,
        })
    }

    fn token(&self) -> Result<Option<SecretString>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(self.token.clone());
        };
        let text = std::fs::read_to_string(path).map_err(Failure::ReadToken)?;
        let text = zeroize::Zeroizing::new(text);
        let mut lines = text.lines().map(str::trim);
        let token = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(token.map(SecretString::from))
    }
}

/// TLS that believes the authorities in a file.
fn trusting(path: &Path) -> Result<ClientConfig, Failure> {
    let read = |source| Failure::ReadAuthorities {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(read)?;
    for certificate in certificates {
        roots
            .add(certificate.map_err(read)?)
            .map_err(Failure::Authority)?;
    }
    if roots.is_empty() {
        return Err(Failure::NoAuthority {
            path: path.to_owned(),
        });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(Failure::Authority)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Remote {
    /// Sends one request without a body, to a path of the server.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Answer, RequestError> {
        let errand = Errand {
            method,
            path,
            fields: &[],
            body: Bytes::new(),
        };
        self.answer(errand).await
    }

    /// The same for the operator's routes: what they answer, or why it was not done.
    pub(super) async fn order<T>(&self, method: Method, path: &str) -> Result<T, Failure>
    where
        T: serde::de::DeserializeOwned,
    {
        told(self.ask(method, path).await?)
    }

    /// The same with a body, for what may take as long as `patience`.
    pub(super) async fn order_within<T>(
        &self,
        errand: Errand<'_>,
        patience: Duration,
    ) -> Result<T, Failure>
    where
        T: serde::de::DeserializeOwned,
    {
        let exchange = self.exchange(errand, patience);
        let answer = tokio::time::timeout(patience, exchange).await;
        told(answer.map_err(RequestError::from)??)
    }

    /// Sends a request, and reads the whole answer.
    pub(super) async fn answer(&self, errand: Errand<'_>) -> Result<Answer, RequestError> {
        tokio::time::timeout(TIMEOUT, self.exchange(errand, TIMEOUT)).await?
    }

    async fn exchange(
        &self,
        errand: Errand<'_>,
        patience: Duration,
    ) -> Result<Answer, RequestError> {
        let (head, body) = self.send_within(errand, patience).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(RequestError::Broken)?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    /// Sends a request, and leaves the answer's body to be read; the head has to come in time.
    pub(super) async fn send(
        &self,
        errand: Errand<'_>,
    ) -> Result<Response<Incoming>, RequestError> {
        self.send_within(errand, TIMEOUT).await
    }

    async fn send_within(
        &self,
        errand: Errand<'_>,
        patience: Duration,
    ) -> Result<Response<Incoming>, RequestError> {
        let mut request = Request::builder()
            .method(errand.method)
            .uri(format!("{}{}", self.base, errand.path));
        for (name, value) in errand.fields {
            request = request.header(name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        let request = self.client.request(request.body(Full::new(errand.body))?);
        let response = tokio::time::timeout(patience, request).await??;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(RequestError::Unauthorized);
        }
        Ok(response)
    }
}

/// What the operator's routes answer, or why it was not done.
fn told<T: serde::de::DeserializeOwned>(answer: Answer) -> Result<T, Failure> {
    if answer.status.is_success() {
        return Ok(answer.json()?);
    }
    let NotDone {
        reason,
        message,
        remedy,
        virtual_hosts,
        ..
    } = answer.json()?;
    Err(match (answer.status, &*reason) {
        (_, "unknown_virtual_host") => Failure::UnknownHost {
            known: virtual_hosts.join(", "),
        },
        (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _) => Failure::OtherServer,
        (_, "busy") => Failure::Busy { message },
        (_, "no_previous") => Failure::NoPrevious,
        (StatusCode::UNPROCESSABLE_ENTITY, _) => Failure::NotTaken {
            message,
            reason,
            remedy: remedy.unwrap_or_default(),
        },
        _ => Failure::NotDone { message },
    })
}

/// One segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

impl Answer {
    /// The answer of a server that refuses, in its own words if they can be read.
    pub(super) fn refusal(&self) -> RequestError {
        let words: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let message = words
            .as_ref()
            .and_then(|words| words.get("message")?.as_str());
        match message {
            Some(message) => RequestError::Refused {
                status: self.status,
                message: message.to_owned(),
            },
            None => RequestError::NoSummary(self.status),
        }
    }

    /// The answer as JSON of some shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, RequestError> {
        serde_json::from_slice(&self.body).map_err(|_| RequestError::NoSummary(self.status))
    }
}
