//! Who may log in to a virtual host.
//!
//! Owns the three sources of that answer: the configured users, the app
//! (`auth.kind = "http"`), and nobody asked (`"any"`, loopback only). Does not
//! own the SASL exchange: the session does. A source that cannot answer is
//! told as such, never as a wrong password.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use muster_xmpp::sasl::{AccountCredentials, DEFAULT_ITERATIONS, Mechanism, SALT_BYTES, ScramKind};
use muster_xmpp::session::{CredentialsAnswer, Verdict};
use muster_xmpp::{BareJid, NodePart};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::config;

/// The authentication of one virtual host.
pub(crate) enum Authenticator {
    /// The configured users.
    Static(StaticUsers),
    /// The app decides.
    Http(HttpAuthenticator),
    /// Everyone, with any password.
    Any,
}

/// The configured users of one virtual host.
pub(crate) struct StaticUsers {
    users: HashMap<NodePart, StaticUser>,
    /// Checked in place of a user who does not exist where others have stored
    /// credentials, so that the answer takes as long.
    decoy: Option<Arc<AccountCredentials>>,
}

/// A configured user.
struct StaticUser {
    credential: config::Credential,
    /// SCRAM credentials of a user whose password stands in the
    /// configuration: derived at the first SCRAM login, since doing it for
    /// all at start would delay the start.
    derived: Arc<OnceLock<Option<Arc<AccountCredentials>>>>,
}

impl Authenticator {
    /// The authentication that the operator configured.
    pub(crate) fn new(auth: config::Auth) -> Authenticator {
        match auth {
            config::Auth::Static { users } => Authenticator::Static(StaticUsers::new(users)),
            config::Auth::Http { url, timeout } => {
                Authenticator::Http(HttpAuthenticator::new(&url, timeout))
            }
            config::Auth::Any => Authenticator::Any,
        }
    }

    /// The mechanisms that this source can serve, the strongest first. Only
    /// stored credentials allow SCRAM.
    pub(crate) fn mechanisms(&self) -> Vec<Mechanism> {
        match self {
            Authenticator::Static(_) => Mechanism::ALL.to_vec(),
            Authenticator::Http(_) | Authenticator::Any => vec![Mechanism::Plain],
        }
    }

    /// What SCRAM needs to know of `account`. Asked only of hosts that offer SCRAM.
    pub(crate) async fn credentials(
        &self,
        account: &BareJid,
        kind: ScramKind,
    ) -> CredentialsAnswer {
        match self {
            Authenticator::Static(users) => users.credentials(account, kind).await,
            Authenticator::Http(_) | Authenticator::Any => CredentialsAnswer::Unknown,
        }
    }

    /// Whether `password` is the account's.
    pub(crate) async fn verify(&self, account: &BareJid, password: SecretString) -> Verdict {
        match self {
            Authenticator::Static(users) => users.verify(account, password).await,
            Authenticator::Http(app) => app.verify(account, &password).await,
            Authenticator::Any => Verdict::Accepted,
        }
    }
}

impl StaticUsers {
    fn new(users: HashMap<NodePart, config::Credential>) -> StaticUsers {
        let decoy = users.values().find_map(|credential| match credential {
            config::Credential::Scram(credentials) => Some(Arc::clone(credentials)),
            config::Credential::Password(_) => None,
        });
        let users = users.into_iter().map(|(name, credential)| {
            (
                name,
                StaticUser {
                    credential,
                    derived: Arc::default(),
                },
            )
        });
        StaticUsers {
            users: users.collect(),
            decoy,
        }
    }

    fn find(&self, account: &BareJid) -> Option<&StaticUser> {
        self.users.get(account.node()?)
    }

    async fn credentials(&self, account: &BareJid, kind: ScramKind) -> CredentialsAnswer {
        let Some(user) = self.find(account) else {
            return CredentialsAnswer::Unknown;
        };
        match user.scram().await {
            Some(credentials) => CredentialsAnswer::Found(credentials.of(kind).clone()),
            None => CredentialsAnswer::TemporarilyUnavailable,
        }
    }

    async fn verify(&self, account: &BareJid, offered: SecretString) -> Verdict {
        match self.find(account).map(|user| &user.credential) {
            Some(config::Credential::Password(password)) => verdict(
                password
                    .expose_secret()
                    .as_bytes()
                    .ct_eq(offered.expose_secret().as_bytes())
                    .into(),
            ),
            Some(config::Credential::Scram(credentials)) => {
                verify_stored(Arc::clone(credentials), offered).await
            }
            None => match &self.decoy {
                Some(decoy) => match verify_stored(Arc::clone(decoy), offered).await {
                    Verdict::Accepted => Verdict::Rejected,
                    other => other,
                },
                None => Verdict::Rejected,
            },
        }
    }
}

/// Derives the keys from `offered` away from the executor's threads: it takes
/// milliseconds, on purpose.
async fn verify_stored(credentials: Arc<AccountCredentials>, offered: SecretString) -> Verdict {
    let checked =
        tokio::task::spawn_blocking(move || credentials.verify_plain(offered.expose_secret()));
    checked
        .await
        .map_or(Verdict::TemporarilyUnavailable, verdict)
}

fn verdict(accepted: bool) -> Verdict {
    if accepted {
        Verdict::Accepted
    } else {
        Verdict::Rejected
    }
}

impl StaticUser {
    async fn scram(&self) -> Option<Arc<AccountCredentials>> {
        let password = match &self.credential {
            config::Credential::Scram(credentials) => return Some(Arc::clone(credentials)),
            config::Credential::Password(password) => password.clone(),
        };
        let derived = Arc::clone(&self.derived);
        if let Some(credentials) = derived.get() {
            return credentials.clone();
        }
        let deriving =
            tokio::task::spawn_blocking(move || derived.get_or_init(|| derive(&password)).clone());
        deriving.await.ok().flatten()
    }
}

/// `None`, and a line in the log, for a password that SASLprep refuses.
fn derive(password: &SecretString) -> Option<Arc<AccountCredentials>> {
    let mut salts = [[0; SALT_BYTES]; 2];
    getrandom::fill(salts.as_flattened_mut()).ok()?;
    // As many iterations as for accounts that do not exist.
    let derived =
        AccountCredentials::from_password(password.expose_secret(), salts, DEFAULT_ITERATIONS);
    derived
        .inspect_err(
            |error| tracing::error!(%error, "a configured password cannot be used for SCRAM"),
        )
        .ok()
        .map(Arc::new)
}

/// The app answers `POST {"username","password"}`: 200 yes, 401 or 403 no,
/// anything else is a fault of the app.
pub(crate) struct HttpAuthenticator {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: http::Uri,
    timeout: Duration,
}

impl HttpAuthenticator {
    fn new(url: &url::Url, timeout: Duration) -> HttpAuthenticator {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        // Whatever `url` takes for an http(s) URL, `http` takes as well.
        let uri = url.as_str().parse().unwrap_or_default();
        HttpAuthenticator {
            client,
            uri,
            timeout,
        }
    }

    async fn verify(&self, account: &BareJid, password: &SecretString) -> Verdict {
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
        Ok(self.client.request(request).await?.status())
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
