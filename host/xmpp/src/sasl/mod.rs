//! SASL, the server's side (RFC 6120 §6): messages, credentials, verdicts.
//!
//! Owns SCRAM (RFC 5802, RFC 7677) with channel binding (RFC 9266, RFC 5929),
//! PLAIN (RFC 4616), OAUTHBEARER (RFC 7628), the order of their messages, the
//! stored form of credentials and the failure conditions. Does not own the XML
//! around the messages or the count of failures: the session does. Randomness
//! (salts, nonces, the secret behind fake credentials) is passed in. From the
//! session, back to the session.
//!
//! A login is an [`Exchange`]: it is begun with what the stream offers, takes
//! the client's messages and the shell's answers, and says what comes next.

mod account;
mod binding;
mod credentials;
mod crypto;
mod exchange;
mod failure;
mod gs2;
mod oauthbearer;
mod plain;
mod scram;

pub use account::{AccountCredentials, AccountParameters};
pub use binding::{Binding, ChannelBindings};
pub use credentials::{
    CredentialsError, DEFAULT_ITERATIONS, MAX_ITERATIONS, MAX_PASSWORD_BYTES, MIN_ITERATIONS,
    SALT_BYTES, ScramCredentials, ScramParameters,
};
pub use crypto::ScramKind;
pub use exchange::{
    Answer, CredentialsAnswer, Exchange, Offer, Question, Step, TokenVerdict, Verdict,
};
pub use failure::Failure;
pub use oauthbearer::{OAuthBearer, OAuthBearerError};
pub use plain::{Plain, PlainError};
pub use scram::{ClientFirst, Scram, ScramError, server_nonce};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use jid::BareJid;

/// A mechanism that this server can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM with one of its hashes, bound to the channel.
    ScramPlus(ScramKind),
    /// SCRAM with one of its hashes, without channel binding.
    Scram(ScramKind),
    /// OAUTHBEARER (RFC 7628): a token.
    OAuthBearer,
    /// PLAIN (RFC 4616): a password, or a token in its place.
    Plain,
}

impl Mechanism {
    /// Those that prove a password, the strongest first: the order in which
    /// they are offered.
    pub const FOR_PASSWORDS: [Self; 5] = [
        Self::ScramPlus(ScramKind::Sha256),
        Self::ScramPlus(ScramKind::Sha1),
        Self::Scram(ScramKind::Sha256),
        Self::Scram(ScramKind::Sha1),
        Self::Plain,
    ];

    /// Those that carry a token, in the order in which they are offered.
    pub const FOR_TOKENS: [Self; 2] = [Self::OAuthBearer, Self::Plain];

    /// The registered name, as in `<mechanism/>` and `<auth mechanism=''/>`;
    /// names are compared exactly (RFC 4422 §3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramPlus(ScramKind::Sha256) => "SCRAM-SHA-256-PLUS",
            Self::ScramPlus(ScramKind::Sha1) => "SCRAM-SHA-1-PLUS",
            Self::Scram(kind) => kind.name(),
            Self::OAuthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
        }
    }
}

/// Decodes the text of `<auth/>` or `<response/>`. A single `=` is a message
/// of no bytes (RFC 6120 §6.4.2).
///
/// # Errors
///
/// [`Failure::IncorrectEncoding`] for anything but canonical, padded base64.
pub fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if text == "=" {
        return Ok(Zeroizing::default());
    }
    let bytes = STANDARD.decode(text);
    bytes
        .map(Zeroizing::new)
        .map_err(|_| Failure::IncorrectEncoding)
}

/// Encodes a message for `<challenge/>` or `<success/>`; no bytes are `=`.
pub fn encode(message: &[u8]) -> String {
    if message.is_empty() {
        return "=".to_owned();
    }
    STANDARD.encode(message)
}

/// Whether `authzid`, if the client sent one, names the account that it
/// authenticates as. Acting for another account is not possible here.
///
/// # Errors
///
/// [`Failure::InvalidAuthzid`] (RFC 6120 §6.5.6) for another account and for
/// what is no bare JID.
pub fn authorize(authzid: Option<&str>, account: &BareJid) -> Result<(), Failure> {
    match authzid {
        None => Ok(()),
        Some(asked) if BareJid::new(asked).is_ok_and(|jid| jid == *account) => Ok(()),
        Some(_) => Err(Failure::InvalidAuthzid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        assert_eq!(decode("=").unwrap().as_slice(), b"");
        assert_eq!(decode("").unwrap().as_slice(), b"");
        assert_eq!(decode("AGE=").unwrap().as_slice(), b"\0a");
        for bad in ["AGE", "AGE==", "A GE=", "AGE=\n", "AGF=", "====", "é"] {
            assert_eq!(
                decode(bad).unwrap_err(),
                Failure::IncorrectEncoding,
                "{bad:?}"
            );
        }
        assert_eq!(encode(b""), "=");
        assert_eq!(encode(b"\0a"), "AGE=");
    }

    #[test]
    fn only_the_own_account_may_be_asked_for() {
        let john = BareJid::new("john@example.test").unwrap();
        assert_eq!(authorize(None, &john), Ok(()));
        assert_eq!(authorize(Some("john@example.test"), &john), Ok(()));
        assert_eq!(authorize(Some("John@Example.test"), &john), Ok(()));
        for other in [
            "marie@example.test",
            "john",
            "john@example.test/phone",
            "",
            "@",
        ] {
            let verdict = authorize(Some(other), &john);
            assert_eq!(verdict, Err(Failure::InvalidAuthzid), "{other:?}");
        }
    }
}
