//! SASL, the server's side (RFC 6120 §6): messages, credentials, verdicts.
//!
//! Owns SCRAM (RFC 5802, RFC 7677), PLAIN (RFC 4616), the stored form of
//! credentials and the failure conditions. Does not own the XML around the
//! messages, the order of the exchange or the count of failures: the session
//! does. Randomness (salts, nonces, the secret behind fake credentials) is
//! passed in. From the session, back to the session.
//!
//! A SCRAM login is `ClientFirst::parse` → look up [`ScramCredentials`] →
//! [`ClientFirst::challenge`] → [`Scram::finish`].

mod account;
mod credentials;
mod crypto;
mod failure;
mod plain;
mod scram;

pub use account::AccountCredentials;
pub use credentials::{
    CredentialsError, DEFAULT_ITERATIONS, MAX_ITERATIONS, MAX_PASSWORD_BYTES, MIN_ITERATIONS,
    SALT_BYTES, ScramCredentials,
};
pub use crypto::ScramKind;
pub use failure::Failure;
pub use plain::{Plain, PlainError};
pub use scram::{Binding, ChannelBinding, ClientFirst, Scram, ScramError, server_nonce};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use jid::BareJid;

/// A mechanism that this server can speak, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM with one of its hashes, without channel binding.
    Scram(ScramKind),
    /// PLAIN (RFC 4616): for streams that nobody can listen to.
    Plain,
}

impl Mechanism {
    /// All of them, the strongest first: the order in which they are offered.
    pub const ALL: [Self; 3] = [
        Self::Scram(ScramKind::Sha256),
        Self::Scram(ScramKind::Sha1),
        Self::Plain,
    ];

    /// The registered name, as in `<mechanism/>` and `<auth mechanism=''/>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scram(kind) => kind.name(),
            Self::Plain => "PLAIN",
        }
    }

    /// The mechanism of that name; names are compared exactly (RFC 4422 §3.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
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
    fn mechanism_names_round_trip() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("plain"), None);
        assert_eq!(Mechanism::from_name("SCRAM-SHA-1-PLUS"), None);
    }

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
