//! Detached signatures of components: the keys, the signatures and their text.
//!
//! Owns the formats, signing and verifying (Ed25519, RFC 8032). Which keys are
//! trusted is the operator's word ([`crate::Verification`]); files are others'
//! affair. What is signed is the SHA-256 digest of the component behind a
//! prefix of our own, so that no signature made for something else fits.
//!
//! All three are a word and base64: `ed25519:…` is a public key,
//! `ed25519-secret:…` a secret key, `ed25519-signature:…` a signature. In
//! files there may be comments, lines that begin with `#`, around them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::inspect::Digest;

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";
const SIGNATURE: &str = "ed25519-signature:";
/// What is signed begins with this.
const CONTEXT: &[u8] = b"muster plugin 1\0";
/// Signatures that are looked at in one file: one a key, while keys change.
const SIGNATURES: usize = 8;

/// Why a text is no key and no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not begin with the right word.
    #[error("does not begin with \"{0}\"")]
    Word(&'static str),
    /// What follows is not base64 of the right length.
    #[error("is not base64 of {0} bytes")]
    Length(usize),
    /// The system has no random numbers to give.
    #[error("the system's random number generator failed")]
    Entropy,
    /// The file holds no such line.
    #[error("holds no line that begins with \"{0}\"")]
    Missing(&'static str),
}

/// A key that verifies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(PUBLIC, text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signs. Its `Debug` form does not show it.
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// A new one.
    ///
    /// # Errors
    /// [`KeyError::Entropy`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let filled = SystemRandom::new().fill(&mut *seed);
        filled.map_err(|_| KeyError::Entropy)?;
        Ok(Self(seed))
    }

    /// The one in the text of a file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(text: &str) -> Result<Self, KeyError> {
        let line = lines(text).next().ok_or(KeyError::Missing(SECRET))?;
        decode(SECRET, line).map(|seed| Self(Zeroizing::new(seed)))
    }

    /// The text of a file that holds it, with a word of warning.
    #[must_use]
    pub fn to_file(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(STANDARD.encode(*self.0));
        Zeroizing::new(format!(
            "# A secret key of `muster plugin keygen`. Who has it can sign plugins.\n{SECRET}{}\n",
            *seed
        ))
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// [`KeyError::Length`] if the seed is none, which cannot be.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let public = self.pair()?.public_key().as_ref().try_into();
        public.map(PublicKey).map_err(|_| KeyError::Length(32))
    }

    /// Signs a component by its digest.
    ///
    /// # Errors
    /// As [`SecretKey::public`].
    pub fn sign(&self, component: Digest) -> Result<Signature, KeyError> {
        let signature = self.pair()?.sign(&message(component));
        let bytes = signature.as_ref().try_into();
        bytes.map(Signature).map_err(|_| KeyError::Length(64))
    }

    fn pair(&self) -> Result<Ed25519KeyPair, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.0);
        pair.map_err(|_| KeyError::Length(32))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A signature of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Those in the text of a file, the first eight.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, or a line that is none.
    pub fn all_in_file(text: &str) -> Result<Vec<Self>, KeyError> {
        let all: Result<Vec<_>, _> = lines(text)
            .take(SIGNATURES)
            .map(|line| decode(SIGNATURE, line).map(Self))
            .collect();
        match all {
            Ok(none) if none.is_empty() => Err(KeyError::Missing(SIGNATURE)),
            all => all,
        }
    }

    /// Whether `key` has made it for the component with this digest.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey, component: Digest) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, key.0);
        key.verify(&message(component), &self.0).is_ok()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SIGNATURE}{}", STANDARD.encode(self.0))
    }
}

fn message(component: Digest) -> Vec<u8> {
    [CONTEXT, component.as_bytes()].concat()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn decode<const N: usize>(word: &'static str, text: &str) -> Result<[u8; N], KeyError> {
    let rest = text.trim().strip_prefix(word);
    let rest = rest.ok_or(KeyError::Word(word))?;
    let mut bytes = Zeroizing::new(Vec::new());
    let decoded = STANDARD.decode_vec(rest, &mut bytes);
    decoded.map_err(|_| KeyError::Length(N))?;
    bytes.as_slice().try_into().map_err(|_| KeyError::Length(N))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_one_key_and_one_component() {
        let (key, other) = (
            SecretKey::generate().unwrap(),
            SecretKey::generate().unwrap(),
        );
        let component = Digest::of(b"component");
        let signature = key.sign(component).unwrap();
        let written = format!("# by us\n\n{signature}\n");
        let [read] = Signature::all_in_file(&written).unwrap()[..] else {
            panic!("one signature")
        };
        assert!(read.is_by(&key.public().unwrap(), component));
        assert!(!read.is_by(&other.public().unwrap(), component));
        assert!(!read.is_by(&key.public().unwrap(), Digest::of(b"another")));
    }

    #[test]
    fn keys_survive_their_text() {
        let key = SecretKey::generate().unwrap();
        let again = SecretKey::from_file(&key.to_file()).unwrap();
        let public = key.public().unwrap();
        assert_eq!(again.public().unwrap(), public);
        assert_eq!(public.to_string().parse(), Ok(public));
        assert!(!format!("{key:?}").contains(&STANDARD.encode(*key.0)));
    }

    #[test]
    fn what_is_no_key_says_why() {
        let table = [
            ("", KeyError::Word(PUBLIC)),
            ("rsa:AAAA", KeyError::Word(PUBLIC)),
            ("ed25519:!", KeyError::Length(32)),
            ("ed25519:AAAA", KeyError::Length(32)),
            ("ed25519-secret:AAAA", KeyError::Word(PUBLIC)),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<PublicKey>(), Err(expected), "{text}");
        }
        let none = Signature::all_in_file("# nothing\n");
        assert_eq!(none, Err(KeyError::Missing(SIGNATURE)));
    }
}
