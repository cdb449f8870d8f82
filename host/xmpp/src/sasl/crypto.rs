//! The hash functions of SCRAM (RFC 5802 §2.2), chosen at run time.
//!
//! Owns HMAC, H and Hi for both hashes; knows no message and no account. From
//! the credentials and the exchange, back to them.

use hmac::digest::{Digest, Key};
use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Which hash a SCRAM mechanism uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScramKind {
    /// SCRAM-SHA-1 (RFC 5802): for clients that know nothing newer.
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
}

/// Bytes that are wiped when they are dropped.
pub(super) type Secret = Zeroizing<Vec<u8>>;

impl ScramKind {
    /// The registered name of the mechanism without channel binding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// The length of a digest, and so of every key, in bytes.
    pub(super) const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// `H(data)`.
    pub(super) fn hash(self, data: &[u8]) -> Secret {
        match self {
            Self::Sha1 => Zeroizing::new(Sha1::digest(data).to_vec()),
            Self::Sha256 => Zeroizing::new(Sha256::digest(data).to_vec()),
        }
    }

    /// `HMAC(key, parts)`, the parts one after the other.
    pub(super) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Secret {
        match self {
            Self::Sha1 => hmac::<Sha1>(key, parts),
            Self::Sha256 => hmac::<Sha256>(key, parts),
        }
    }

    /// `Hi(password, salt, iterations)`: the salted password.
    pub(super) fn hi(self, password: &[u8], salt: &[u8], iterations: u32) -> Secret {
        let mut salted = Zeroizing::new(vec![0; self.digest_bytes()]);
        match self {
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut salted),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
        }
        salted
    }
}

/// RFC 2104. The key is padded here, because the slice constructor returns an
/// error that no key can cause.
fn hmac<D: EagerHash + Digest>(key: &[u8], parts: &[&[u8]]) -> Secret {
    let mut block = Key::<Hmac<D>>::default();
    if key.len() > block.len() {
        let short = D::digest(key);
        block
            .iter_mut()
            .zip(short)
            .for_each(|(to, from)| *to = from);
    } else {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    }
    let mut mac = Hmac::<D>::new(&block);
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231 §4.3 and §4.7: a short key, and one longer than a block.
    #[test]
    fn hmac_of_short_and_long_keys() {
        let short = ScramKind::Sha256.hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            hex(&short),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = ScramKind::Sha256.hmac(
            &[0xaa; 131],
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
        );
        assert_eq!(
            hex(&long),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// RFC 6070: PBKDF2-HMAC-SHA-1, 4,096 rounds.
    #[test]
    fn hi_is_pbkdf2() {
        let salted = ScramKind::Sha1.hi(b"password", b"salt", 4096);
        assert_eq!(hex(&salted), "4b007901b765489abead49d926f721d065a429c1");
    }
}
