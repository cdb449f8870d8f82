//! `auth.kind = "jwt"`: a token that the app has signed is the login.
//!
//! Owns which tokens are good (RFC 7519), and whose they are. Reads no network:
//! the keys are in the configuration or in a file beside it. Nothing is known
//! here of accounts: whoever the app names is one.

mod ring;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use muster_xmpp::sasl::{TokenVerdict, Verdict};
use muster_xmpp::{BareJid, DomainRef, Jid, NodePart};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::config::{JwtAuth, KeyFault, TokenKeys};

/// Verifies the tokens of one virtual host.
pub(crate) struct TokenAuthenticator {
    keys: ArcSwap<TokenKeys>,
    config: JwtAuth,
    token_bytes: usize,
}

/// Why a token is not good. Reach: the attempt. The client is not told which,
/// the operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum TokenFault {
    #[error("it is no token, or one with an unknown algorithm")]
    Malformed,
    #[error("it demands an extension")]
    Critical,
    #[error("it is for a key that is not here")]
    UnknownKey,
    #[error("its algorithm is not that of the key")]
    Algorithm,
    #[error("its signature is not by the key")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it lacks a claim that is needed, or has one of the wrong type")]
    Claim,
    #[error("it is by another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it names nobody who could be a user of this domain")]
    Username,
    #[error("it is another user's")]
    OtherUser,
}

impl TokenFault {
    /// The value of the metric's label.
    const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Critical => "critical",
            Self::UnknownKey => "unknown-key",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Claim => "claim",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Username => "username",
            Self::OtherUser => "other-user",
        }
    }
}

impl TokenAuthenticator {
    /// Tokens of at most `token_bytes`.
    pub(super) fn new(config: JwtAuth, token_bytes: usize) -> TokenAuthenticator {
        ring::install();
        TokenAuthenticator {
            keys: ArcSwap::from_pointee(config.keys.clone()),
            config,
            token_bytes,
        }
    }

    /// Longest token, in bytes.
    pub(super) fn token_bytes(&self) -> usize {
        self.token_bytes
    }

    /// Reads the keys' file again. What cannot be used leaves the old keys in
    /// their place.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(super) fn reload(&self) -> Result<(), KeyFault> {
        if let Some(keys) = self.config.source.load()? {
            self.keys.store(keys.into());
        }
        Ok(())
    }

    /// Whose token it is, if it is good for an account of `domain`.
    pub(super) fn verify_token(&self, domain: &DomainRef, token: &SecretString) -> TokenVerdict {
        match counted(self.account(domain, token.expose_secret())) {
            Ok(account) => TokenVerdict::Accepted(account),
            Err(_) => TokenVerdict::Rejected,
        }
    }

    /// Whether `password` is a token of `account`.
    pub(super) fn verify(&self, account: &BareJid, password: &SecretString) -> Verdict {
        let named = self.account(account.domain(), password.expose_secret());
        let own = named.and_then(|named| match named == *account {
            true => Ok(()),
            false => Err(TokenFault::OtherUser),
        });
        match counted(own) {
            Ok(()) => Verdict::Accepted,
            Err(_) => Verdict::Rejected,
        }
    }

    fn account(&self, domain: &DomainRef, token: &str) -> Result<BareJid, TokenFault> {
        let header = decode_header(token).map_err(|_| TokenFault::Malformed)?;
        if header.crit.is_some() {
            // Nothing that could be demanded is known here (RFC 7515 §4.1.11).
            return Err(TokenFault::Critical);
        }
        let keys = self.keys.load();
        let key = keys.choose(header.kid.as_deref());
        let key = key.ok_or(TokenFault::UnknownKey)?;
        let validation = self.validation(key.algorithm.algorithm());
        let token = decode::<Map<String, Value>>(token, &key.key, &validation);
        let claims = token.map_err(|error| fault(error.kind()))?.claims;
        let username = claim(&claims, &self.config.username_claim);
        username
            .and_then(|username| account_of(username, domain))
            .ok_or(TokenFault::Username)
    }

    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.config.leeway.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn counted<T>(outcome: Result<T, TokenFault>) -> Result<T, TokenFault> {
    let label = match &outcome {
        Ok(_) => "accepted",
        Err(fault) => {
            tracing::info!(%fault, "a token was refused");
            fault.name()
        }
    };
    metrics::counter!("muster_token_auth_total", "outcome" => label).increment(1);
    outcome
}

fn fault(kind: &ErrorKind) -> TokenFault {
    match kind {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenFault::Algorithm,
        ErrorKind::ExpiredSignature => TokenFault::Expired,
        ErrorKind::ImmatureSignature => TokenFault::NotYetValid,
        ErrorKind::InvalidIssuer => TokenFault::Issuer,
        ErrorKind::InvalidAudience => TokenFault::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => TokenFault::Claim,
        _ => TokenFault::Malformed,
    }
}

/// The claim of that name; or, if there is none, the one at that path, its
/// parts separated by dots.
fn claim<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// The account that a claim names: a user name, the number of a user, or a JID
/// of the domain.
fn account_of(username: &Value, domain: &DomainRef) -> Option<BareJid> {
    let username = match username {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64()?.to_string(),
        _ => return None,
    };
    if username.contains('@') {
        let jid = Jid::new(&username).ok()?.into_bare();
        return (jid.domain() == domain && jid.node().is_some()).then_some(jid);
    }
    let node = NodePart::new(&username).ok()?;
    Some(domain.with_node(&node))
}

#[cfg(test)]
mod tests;
