//! The SCRAM exchange, the server's side (RFC 5802 §5 to §7, RFC 7677).
//!
//! Owns the four messages and their checks. Does not own the lookup of
//! credentials, which happens between two steps, nor the base64 around the
//! messages. From the session to the session.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::binding::Binding;
use super::credentials::ScramCredentials;
use super::gs2::{Gs2, Gs2Error, decode_name};
use super::{Failure, ScramKind};

/// Longest nonce of a client, in bytes; real ones have 20 to 64.
const MAX_NONCE_BYTES: usize = 256;

/// A client's first message, read and checked. `Debug` shows no more than the
/// kind.
pub struct ClientFirst {
    kind: ScramKind,
    authzid: Option<String>,
    username: String,
    nonce: String,
    /// client-first-message-bare, for the signatures.
    bare: String,
    /// What `c=` must decode to in the client's second message.
    expected_binding: Zeroizing<Vec<u8>>,
}

/// The exchange between challenge and response.
pub struct Scram {
    credentials: ScramCredentials,
    /// The client's nonce and ours.
    nonce: String,
    expected_binding: Zeroizing<Vec<u8>>,
    client_first_bare: String,
    server_first: String,
}

/// Why a SCRAM message was refused. Reach: the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Not UTF-8, or not the grammar of RFC 5802 §7.
    #[error("not a SCRAM message")]
    Malformed,
    /// A field is longer than its limit.
    #[error("a field is too long")]
    TooLong,
    /// The client demands an extension (`m=`), and there are none.
    #[error("a mandatory extension")]
    Extension,
    /// The client wants a channel binding that was not agreed on, or wants
    /// none though it chose `-PLUS`.
    #[error("the channel binding was not agreed on")]
    BindingNotAgreed,
    /// The client was not shown the `-PLUS` mechanisms that were offered.
    #[error("the offered mechanisms were tampered with")]
    Downgrade,
    /// The client saw another header or channel.
    #[error("the channel binding does not match")]
    BindingMismatch,
    /// The nonce is not the one that was sent.
    #[error("the nonce does not match")]
    NonceMismatch,
    /// Wrong password, or no such account.
    #[error("the proof does not match")]
    ProofMismatch,
    /// The credentials handed in are for another mechanism: a fault of ours.
    #[error("the credentials are for another mechanism")]
    WrongCredentials,
}

impl ScramError {
    /// What the client is told (RFC 6120 §6.5).
    pub const fn failure(self) -> Failure {
        match self {
            Self::Malformed | Self::TooLong | Self::Extension | Self::BindingNotAgreed => {
                Failure::MalformedRequest
            }
            Self::Downgrade | Self::BindingMismatch | Self::NonceMismatch | Self::ProofMismatch => {
                Failure::NotAuthorized
            }
            Self::WrongCredentials => Failure::TemporaryAuthFailure,
        }
    }
}

impl From<Gs2Error> for ScramError {
    fn from(error: Gs2Error) -> Self {
        match error {
            Gs2Error::Malformed => Self::Malformed,
            Gs2Error::TooLong => Self::TooLong,
        }
    }
}

/// The server's part of the nonce, from 18 random bytes.
pub fn server_nonce(random: [u8; 18]) -> String {
    STANDARD.encode(random)
}

impl ClientFirst {
    /// Reads client-first-message, decoded from base64.
    ///
    /// # Errors
    ///
    /// All of [`ScramError`] up to [`ScramError::Downgrade`].
    pub fn parse(
        kind: ScramKind,
        message: &[u8],
        binding: Binding<'_>,
    ) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let gs2 = Gs2::split(message)?;
        let data = agreed_data(gs2.flag, binding)?;
        let expected_binding = Zeroizing::new([gs2.header.as_bytes(), data].concat());
        let (username, nonce) = parse_bare(gs2.rest)?;
        Ok(Self {
            kind,
            authzid: gs2.authzid,
            username,
            nonce: nonce.to_owned(),
            bare: gs2.rest.to_owned(),
            expected_binding,
        })
    }

    /// Whose credentials the next step needs: a localpart, not yet prepared.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The account to act as, if the client asks for one; see
    /// [`authorize`](super::authorize).
    pub fn authzid(&self) -> Option<&str> {
        self.authzid.as_deref()
    }

    /// The hash of the mechanism that this message belongs to.
    pub fn kind(&self) -> ScramKind {
        self.kind
    }

    /// Answers with server-first-message. `server_nonce` is from
    /// [`server_nonce`]; for an account that does not exist take
    /// [`ScramCredentials::for_unknown`].
    ///
    /// # Errors
    ///
    /// [`ScramError::WrongCredentials`].
    pub fn challenge(
        self,
        credentials: &ScramCredentials,
        server_nonce: &str,
    ) -> Result<(Scram, String), ScramError> {
        if credentials.kind() != self.kind {
            return Err(ScramError::WrongCredentials);
        }
        let nonce = self.nonce + server_nonce;
        let salt = STANDARD.encode(credentials.salt());
        let server_first = format!("r={nonce},s={salt},i={}", credentials.iterations());
        let exchange = Scram {
            credentials: credentials.clone(),
            nonce,
            expected_binding: self.expected_binding,
            client_first_bare: self.bare,
            server_first: server_first.clone(),
        };
        Ok((exchange, server_first))
    }
}

impl Scram {
    /// Reads client-final-message, decoded from base64, and answers with
    /// server-final-message: the client is who it says.
    ///
    /// # Errors
    ///
    /// Malformed messages, and every mismatch. The proof is compared in
    /// constant time.
    pub fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Malformed)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = strip(fields.next().unwrap_or_default(), "c=")?;
        let nonce = strip(fields.next().unwrap_or_default(), "r=")?;
        check_extensions(fields)?;
        let binding = STANDARD
            .decode(binding)
            .map_err(|_| ScramError::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramError::Malformed)?;
        if proof.len() != self.credentials.kind().digest_bytes() {
            return Err(ScramError::Malformed);
        }

        if !bool::from(binding.ct_eq(&self.expected_binding)) {
            return Err(ScramError::BindingMismatch);
        }
        if !bool::from(nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(ScramError::NonceMismatch);
        }
        let signed = [
            self.client_first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        // ClientKey = ClientProof XOR ClientSignature.
        let mut client_key = self.credentials.client_signature(&signed);
        for (byte, proven) in client_key.iter_mut().zip(Zeroizing::new(proof).iter()) {
            *byte ^= proven;
        }
        if !bool::from(self.credentials.matches_client_key(&client_key)) {
            return Err(ScramError::ProofMismatch);
        }
        let signature = self.credentials.server_signature(&signed);
        Ok(format!("v={}", STANDARD.encode(signature.as_slice())))
    }
}

impl fmt::Debug for ClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFirst")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram")
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// The data that `c=` must end with, if the gs2 flag is what was agreed on (RFC
/// 5802 §6).
fn agreed_data<'c>(flag: &str, binding: Binding<'c>) -> Result<&'c [u8], ScramError> {
    match (flag, binding) {
        ("n", Binding::Unavailable | Binding::Declined) | ("y", Binding::Unavailable) => Ok(&[]),
        ("y", Binding::Declined) => Err(ScramError::Downgrade),
        ("n" | "y", Binding::Used(_)) => Err(ScramError::BindingNotAgreed),
        (other, binding) => match (other.strip_prefix("p="), binding) {
            (Some(name), Binding::Used(channel)) => {
                channel.data(name).ok_or(ScramError::BindingNotAgreed)
            }
            (Some(_), _) => Err(ScramError::BindingNotAgreed),
            (None, _) => Err(ScramError::Malformed),
        },
    }
}

/// client-first-message-bare: the username and the nonce.
fn parse_bare(bare: &str) -> Result<(String, &str), ScramError> {
    let mut fields = bare.split(',');
    let name = fields.next().unwrap_or_default();
    if name.starts_with("m=") {
        return Err(ScramError::Extension);
    }
    let username = decode_name(strip(name, "n=")?)?;
    let nonce = strip(fields.next().unwrap_or_default(), "r=")?;
    if nonce.len() > MAX_NONCE_BYTES {
        return Err(ScramError::TooLong);
    }
    // `printable` of RFC 5802 §7; the comma has already split the fields.
    if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ScramError::Malformed);
    }
    check_extensions(fields)?;
    Ok((username, nonce))
}

/// Optional extensions are ignored, but they must be attributes.
fn check_extensions<'a>(fields: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for field in fields {
        let mut bytes = field.bytes();
        match (bytes.next(), bytes.next(), bytes.next()) {
            (Some(b'm'), Some(b'='), _) => return Err(ScramError::Extension),
            (Some(name), Some(b'='), Some(_)) if name.is_ascii_alphabetic() => {}
            _ => return Err(ScramError::Malformed),
        }
    }
    Ok(())
}

fn strip<'a>(field: &'a str, attribute: &str) -> Result<&'a str, ScramError> {
    field.strip_prefix(attribute).ok_or(ScramError::Malformed)
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
