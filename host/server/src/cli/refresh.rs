//! `muster refresh`: asks a running server to fetch contact lists anew.
//!
//! Sends one request a user, a few at a time, so that the outcome of each can be told: the answer
//! to a batch has counts only.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::ProgressBar;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::{complain, runtime, say};

/// For the whole exchange about one user.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Requests under way at the same time.
const CONCURRENCY: usize = 16;
/// A summary is some hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const ROUTE: &str = "/roster_admin/refresh";

#[derive(Debug, Args)]
#[command(
    after_help = "Example: MUSTER_TOKEN=… muster refresh john marie --url http://127.0.0.1:5280"
)]
pub(super) struct Refresh {
    /// The users: the part of the JID before the @
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
    /// Where the server listens for HTTP
    #[arg(long, default_value = "http://127.0.0.1:5280")]
    url: String,
    /// The XMPP domain of the users, if the server has several virtual hosts
    #[arg(long)]
    domain: Option<String>,
    /// A token of the server; other processes can see arguments, so prefer the variable or the file
    #[arg(long, env = "MUSTER_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<SecretString>,
    /// A file whose first line is the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Print one JSON object instead of a line for each user
    #[arg(long)]
    json: bool,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// What came of one user.
#[derive(Debug, Serialize)]
struct Outcome {
    username: String,
    updated: bool,
    message: String,
    /// Whether the server answered at all.
    #[serde(skip)]
    reached: bool,
}

/// What the server answers, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Summary {
    message: String,
    #[serde(default)]
    updated: usize,
}

/// Why there is no summary. Reach: one user.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("the server cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the server did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("the server's answer broke off or is too long")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the token is missing or wrong")]
    Unauthorized,
    #[error("the server answered with status {0} and no summary")]
    NoSummary(StatusCode),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
}

impl Refresh {
    pub(super) fn run(self) -> Result<(), Failure> {
        let target = self.target()?;
        let outcomes = runtime()?.block_on(target.refresh_all(&self.users));
        self.tell(&outcomes);
        let failed = outcomes.iter().filter(|outcome| !outcome.updated).count();
        match failed {
            0 => Ok(()),
            _ if outcomes.iter().all(|outcome| !outcome.reached) => Err(Failure::Unreachable),
            failed => Err(Failure::NotRefreshed {
                failed,
                all: outcomes.len(),
            }),
        }
    }

    fn target(&self) -> Result<Target, Failure> {
        let base = self.url.trim_end_matches('/').trim_end_matches(ROUTE);
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
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1();
        Ok(Target {
            client: Client::builder(TokioExecutor::new()).build(connector.build()),
            route: format!("{base}{ROUTE}"),
            authorization,
            host: self.domain.clone(),
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

    fn tell(&self, outcomes: &[Outcome]) {
        let updated = outcomes.iter().filter(|outcome| outcome.updated).count();
        if self.json {
            let errors = outcomes.len() - updated;
            say(serde_json::json!({ "updated": updated, "errors": errors, "users": outcomes }));
            return;
        }
        for Outcome {
            username,
            updated,
            message,
            ..
        } in outcomes
        {
            if *updated {
                say(format_args!("{username}: updated"));
            } else {
                complain(format_args!("{username}: failed: {message}"));
            }
        }
    }
}

/// The server and how to talk to it.
struct Target {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    route: String,
    authorization: Option<HeaderValue>,
    host: Option<String>,
}

impl Target {
    /// In the order of `users`.
    async fn refresh_all(&self, users: &[String]) -> Vec<Outcome> {
        // Draws on a terminal only.
        let progress = ProgressBar::new(users.len() as u64);
        let requests = futures_util::stream::iter(users).map(|user| async {
            let outcome = self.refresh(user).await;
            progress.inc(1);
            outcome
        });
        let outcomes = requests.buffered(CONCURRENCY).collect().await;
        progress.finish_and_clear();
        outcomes
    }

    async fn refresh(&self, user: &str) -> Outcome {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(user)).await;
        let answer = answer.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let username = user.to_owned();
        match answer {
            Ok(Summary { message, updated }) => Outcome {
                username,
                updated: updated > 0,
                message,
                reached: true,
            },
            Err(error) => {
                let reached = !matches!(
                    error,
                    RequestError::Unreachable(_) | RequestError::Timeout(_)
                );
                Outcome {
                    username,
                    updated: false,
                    message: error.to_string(),
                    reached,
                }
            }
        }
    }

    async fn exchange(&self, user: &str) -> Result<Summary, RequestError> {
        let segment = utf8_percent_encode(user, NON_ALPHANUMERIC);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/{segment}", self.route));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(host) = &self.host {
            request = request.header(HOST, host);
        }
        let response = self.client.request(request.body(Full::default())?).await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(RequestError::Unauthorized);
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body
            .collect()
            .await
            .map_err(RequestError::Broken)?
            .to_bytes();
        serde_json::from_slice(&body).map_err(|_| RequestError::NoSummary(status))
    }
}
