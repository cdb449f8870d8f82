//! Who may log in to a virtual host.
//!
//! Owns the sources of that answer: the configured users, the app (`auth.kind =
//! "http"`), tokens (`"jwt"`), and nobody asked (`"any"`, loopback only). Does
//! not own the SASL exchange: the session does. A source that cannot answer is
//! told as such, never as a wrong password.

mod app;
mod jwt;
mod static_users;

use std::sync::Arc;

use muster_xmpp::sasl::{
    CredentialsAnswer, MAX_PASSWORD_BYTES, Mechanism, ScramKind, TokenVerdict, Verdict,
};
use muster_xmpp::session;
use muster_xmpp::{BareJid, DomainRef};
use secrecy::SecretString;
use zeroize::Zeroizing;

use self::app::HttpAuthenticator;
use self::jwt::TokenAuthenticator;
use self::static_users::StaticUsers;
use crate::config;
use crate::tls::CertificateError;

/// The authentication of one virtual host.
pub(crate) enum Authenticator {
    /// The configured users.
    Static(Arc<StaticUsers>),
    /// The app decides.
    Http(HttpAuthenticator),
    /// A token decides.
    Jwt(TokenAuthenticator),
    /// Everyone, with any password.
    Any,
}

/// Why files were not taken. Reach: nothing, what was before stays in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadFault {
    /// The keys of tokens.
    #[error("{0}")]
    Keys(#[from] config::KeyFault),
    /// The authorities that may vouch for the app.
    #[error("{0}")]
    Roots(#[from] CertificateError),
    /// TLS has no use for them.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Authenticator {
    /// The authentication that the operator configured. `secret` is drawn once
    /// a process; a token may have `token_bytes`.
    ///
    /// # Errors
    /// TLS towards the app cannot be set up.
    pub(crate) fn new(
        auth: config::Auth,
        secret: Zeroizing<[u8; 32]>,
        token_bytes: usize,
    ) -> Result<Authenticator, rustls::Error> {
        Ok(match auth {
            config::Auth::Static { users } => {
                Authenticator::Static(StaticUsers::new(users, secret))
            }
            config::Auth::Http {
                url,
                timeout,
                ca_file,
            } => Authenticator::Http(HttpAuthenticator::new(&url, timeout, ca_file)?),
            config::Auth::Jwt(jwt) => Authenticator::Jwt(TokenAuthenticator::new(jwt, token_bytes)),
            config::Auth::Any => Authenticator::Any,
        })
    }

    /// What a stream has to know of it. Only stored credentials allow SCRAM.
    pub(crate) fn host(&self) -> session::Host {
        let (mechanisms, secret_bytes) = match self {
            Authenticator::Static(_) => (Mechanism::FOR_PASSWORDS.as_slice(), MAX_PASSWORD_BYTES),
            Authenticator::Jwt(tokens) => (Mechanism::FOR_TOKENS.as_slice(), tokens.token_bytes()),
            Authenticator::Http(_) | Authenticator::Any => {
                ([Mechanism::Plain].as_slice(), MAX_PASSWORD_BYTES)
            }
        };
        session::Host {
            mechanisms: mechanisms.to_vec(),
            secret_bytes,
            offline_messages: false,
            contact_addresses: Vec::new(),
        }
    }

    /// Reads the files of keys and of authorities again, where there are some.
    /// What cannot be used leaves the old ones in their place.
    ///
    /// # Errors
    /// Why a file cannot be used.
    pub(crate) fn reload(&self) -> Result<(), ReloadFault> {
        match self {
            Authenticator::Jwt(tokens) => Ok(tokens.reload()?),
            Authenticator::Http(app) => app.reload(),
            Authenticator::Static(_) | Authenticator::Any => Ok(()),
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
            Authenticator::Http(_) | Authenticator::Jwt(_) | Authenticator::Any => {
                CredentialsAnswer::TemporarilyUnavailable
            }
        }
    }

    /// Whether it is known without asking anybody that there is such an account.
    pub(crate) fn lists(&self, account: &BareJid) -> bool {
        match self {
            Authenticator::Static(users) => users.has(account),
            Authenticator::Http(_) | Authenticator::Jwt(_) | Authenticator::Any => false,
        }
    }

    /// Whether `password` is the account's.
    pub(crate) async fn verify(&self, account: &BareJid, password: SecretString) -> Verdict {
        match self {
            Authenticator::Static(users) => users.verify(account, password).await,
            Authenticator::Http(app) => app.verify(account, &password).await,
            Authenticator::Jwt(tokens) => tokens.verify(account, &password),
            Authenticator::Any => Verdict::Accepted,
        }
    }

    /// Whose token it is, if it is one for that domain. Asked only of hosts
    /// that offer OAUTHBEARER.
    pub(crate) fn verify_token(&self, domain: &DomainRef, token: &SecretString) -> TokenVerdict {
        match self {
            Authenticator::Jwt(tokens) => tokens.verify_token(domain, token),
            Authenticator::Static(_) | Authenticator::Http(_) | Authenticator::Any => {
                TokenVerdict::Rejected
            }
        }
    }
}
