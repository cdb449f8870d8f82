//! The keys that verify tokens: a secret, a public key in PEM, or a key set
//! (RFC 7517).
//!
//! Owns the formats, and that a key is good for one algorithm alone: a token
//! cannot choose another one. The files are read here, with the configuration
//! and again when they change.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use zeroize::Zeroizing;

/// Shortest secret, in bytes: as long as the digest (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
/// Shortest modulus of an RSA key, in bits (RFC 7518 §3.3).
const MIN_RSA_BITS: usize = 2_048;
/// Length of a public key of Ed25519, in bytes.
const ED25519_BYTES: usize = 32;
/// Length of an uncompressed point of P-256, in bytes.
const P256_BYTES: usize = 65;

/// An algorithm that tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256: a secret that the app shares with the server.
    Hs256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// All of them, as [`Self::NAMES`].
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];
    /// The names of RFC 7518 §3.1 and RFC 8037 §3.1.
    pub const NAMES: [&'static str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];

    /// What the library calls it.
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for TokenAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.into_iter().zip(Self::NAMES);
        let name = named.into_iter().find(|(algorithm, _)| algorithm == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

/// A key, and the one algorithm that it is for. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct TokenKey {
    /// The name by which a token chooses it.
    id: Option<String>,
    pub(crate) algorithm: TokenAlgorithm,
    pub(crate) key: DecodingKey,
}

/// The keys of one virtual host; at least one.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    keys: Vec<TokenKey>,
}

/// RFC 7517 §5.
#[derive(serde::Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Where keys come from, to read them again.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// They stand in the configuration.
    Inline,
    /// `key_file`
    Key {
        /// The file.
        path: PathBuf,
        /// `algorithm`
        algorithm: TokenAlgorithm,
    },
    /// `jwks_file`
    Set {
        /// The file.
        path: PathBuf,
    },
}

/// Why keys cannot be used. Reach: the configuration, or the attempt to read
/// them again. It quotes none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum KeyFault {
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("a secret for HS256 has at least {MIN_SECRET_BYTES} bytes, and this one {length}")]
    SecretTooShort { length: usize },
    #[error("HS256 takes a secret, and this is a key in PEM: whoever knows it could make tokens")]
    SecretIsPem,
    #[error("this is a private key; the public one is enough to verify")]
    PrivateKey,
    #[error("this is a certificate, not a public key")]
    Certificate,
    #[error("this is no public key in PEM for {algorithm}")]
    NotAPublicKey { algorithm: TokenAlgorithm },
    #[error("an RSA key has at least {MIN_RSA_BITS} bits, and this one {bits}")]
    RsaTooShort { bits: usize },
    #[error("this is no JSON Web Key Set (RFC 7517 §5)")]
    NotASet,
    #[error("no key of the set is for HS256, RS256, ES256 or EdDSA")]
    NothingInSet,
    #[error("in a set of several keys each has a \"kid\" of its own")]
    KeyId,
}

impl KeyFault {
    /// What the operator can do.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::SecretTooShort { .. } => "make one with `openssl rand -hex 32`",
            Self::SecretIsPem => {
                "for a public key set algorithm = \"RS256\", \"ES256\" or \"EdDSA\""
            }
            Self::PrivateKey => "write out the public one: `openssl pkey -in KEY -pubout`",
            Self::Certificate => "write out its key: `openssl x509 -in CERTIFICATE -noout -pubkey`",
            _ => return None,
        })
    }
}

impl KeySource {
    /// Reads the file again; `None` if there is none.
    ///
    /// # Errors
    /// As [`TokenKeys::parse_key`] and [`TokenKeys::parse_set`], or the file
    /// cannot be read.
    pub fn load(&self) -> Result<Option<TokenKeys>, KeyFault> {
        let text = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map(Zeroizing::new);
            text.map_err(|error| KeyFault::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            })
        };
        match self {
            Self::Inline => Ok(None),
            Self::Key { path, algorithm } => {
                TokenKeys::parse_key(*algorithm, &text(path)?).map(Some)
            }
            Self::Set { path } => TokenKeys::parse_set(&text(path)?).map(Some),
        }
    }
}

impl TokenKeys {
    /// The secret, or the public key in PEM, of `text`. White space around it
    /// does not count.
    ///
    /// # Errors
    /// It is none for `algorithm`, or too weak.
    pub fn parse_key(algorithm: TokenAlgorithm, text: &str) -> Result<Self, KeyFault> {
        let text = text.trim();
        let label = pem_label(text);
        let key = match (algorithm, label) {
            (TokenAlgorithm::Hs256, Some(_)) => return Err(KeyFault::SecretIsPem),
            (TokenAlgorithm::Hs256, None) => Ok(DecodingKey::from_secret(text.as_bytes())),
            (_, Some(label)) if label.ends_with("PRIVATE KEY") => {
                return Err(KeyFault::PrivateKey);
            }
            (_, Some(label)) if label.ends_with("CERTIFICATE") => {
                return Err(KeyFault::Certificate);
            }
            (TokenAlgorithm::Rs256, _) => DecodingKey::from_rsa_pem(text.as_bytes()),
            (TokenAlgorithm::Es256, _) => DecodingKey::from_ec_pem(text.as_bytes()),
            (TokenAlgorithm::EdDsa, _) => DecodingKey::from_ed_pem(text.as_bytes()),
        };
        let key = key.map_err(|_| KeyFault::NotAPublicKey { algorithm })?;
        let key = TokenKey::checked(None, algorithm, key)?;
        Ok(Self { keys: vec![key] })
    }

    /// The keys of a set that tokens can be verified with; others are skipped.
    ///
    /// # Errors
    /// It is no set, has no such key, a weak one, or keys that cannot be told
    /// apart.
    pub fn parse_set(text: &str) -> Result<Self, KeyFault> {
        let set: KeySet = serde_json::from_str(text).map_err(|_| KeyFault::NotASet)?;
        // A key that cannot be read at all is one for something else.
        let keys = set
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok());
        let keys = keys.filter_map(|key: Jwk| TokenKey::of_set(&key));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let ids: HashSet<_> = keys.iter().map(|key| &key.id).collect();
        let nameless = keys.iter().any(|key| key.id.is_none());
        match keys.len() {
            0 => Err(KeyFault::NothingInSet),
            1 => Ok(Self { keys }),
            several if ids.len() < several || nameless => Err(KeyFault::KeyId),
            _ => Ok(Self { keys }),
        }
    }

    /// The key for a token that names `id`. A key without a name is for every
    /// token, and a token that names none is for a key that is alone.
    pub(crate) fn choose(&self, id: Option<&str>) -> Option<&TokenKey> {
        match (self.keys.as_slice(), id) {
            ([only], id) if only.id.is_none() || id.is_none() => Some(only),
            (keys, Some(id)) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
            (_, None) => None,
        }
    }
}

impl TokenKey {
    /// `None` for what tokens cannot be verified with here.
    fn of_set(jwk: &Jwk) -> Option<Result<Self, KeyFault>> {
        if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => TokenAlgorithm::Hs256,
            AlgorithmParameters::RSA(_) => TokenAlgorithm::Rs256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                TokenAlgorithm::Es256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                TokenAlgorithm::EdDsa
            }
            _ => return None,
        };
        let told = jwk.common.key_algorithm;
        if told.is_some_and(|told| told != KeyAlgorithm::from(algorithm.algorithm())) {
            return None;
        }
        let id = jwk.common.key_id.clone();
        let key = DecodingKey::from_jwk(jwk).map_err(|_| KeyFault::NotASet);
        Some(key.and_then(|key| Self::checked(id, algorithm, key)))
    }

    fn checked(
        id: Option<String>,
        algorithm: TokenAlgorithm,
        key: DecodingKey,
    ) -> Result<Self, KeyFault> {
        let sound = match (algorithm, key.kind()) {
            (TokenAlgorithm::Hs256, DecodingKeyKind::SecretOrDer(secret)) => {
                let length = secret.len();
                if length < MIN_SECRET_BYTES {
                    return Err(KeyFault::SecretTooShort { length });
                }
                true
            }
            (TokenAlgorithm::Rs256, kind) => {
                let modulus = match kind {
                    DecodingKeyKind::RsaModulusExponent { n, .. } => Some(n.as_slice()),
                    DecodingKeyKind::SecretOrDer(der) => modulus(der),
                };
                let bits = modulus.map(bits);
                if let Some(bits) = bits.filter(|bits| *bits < MIN_RSA_BITS) {
                    return Err(KeyFault::RsaTooShort { bits });
                }
                bits.is_some()
            }
            (TokenAlgorithm::Es256, DecodingKeyKind::SecretOrDer(point)) => {
                point.len() == P256_BYTES
            }
            (TokenAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(key)) => {
                key.len() == ED25519_BYTES
            }
            _ => false,
        };
        if !sound {
            return Err(KeyFault::NotAPublicKey { algorithm });
        }
        Ok(Self { id, algorithm, key })
    }
}

/// What `-----BEGIN …-----` says, if the text has such a line.
fn pem_label(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

/// The modulus of `RSAPublicKey` (RFC 8017 §A.1.1).
fn modulus(der: &[u8]) -> Option<&[u8]> {
    let sequence = der_value(der, 0x30)?;
    der_value(sequence, 0x02)
}

/// The value of the element that `der` begins with, if it has that tag.
fn der_value(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        // The number of bytes that hold the length; keys need two.
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.get(..length)
}

/// The length of a number that begins with its highest byte.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let first = number.get(zeros).map_or(0, |byte| byte.leading_zeros());
    ((number.len() - zeros) * 8).saturating_sub(first as usize)
}

#[cfg(test)]
#[path = "token_keys_tests.rs"]
mod tests;
