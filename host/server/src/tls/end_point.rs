//! `tls-server-end-point` (RFC 5929 §4.1): the hash of a server's certificate, by which a login is
//! bound to the server that has it.
//!
//! Owns which hash it is. Pure.

use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_cert::der::asn1::ObjectIdentifier;

const fn oid(text: &'static str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// Signature algorithms by the one hash that they use (RFC 3279, RFC 4055, RFC 5758).
const MD5_OR_SHA1: [ObjectIdentifier; 4] = [
    oid("1.2.840.113549.1.1.4"),
    oid("1.2.840.113549.1.1.5"),
    oid("1.2.840.10040.4.3"),
    oid("1.2.840.10045.4.1"),
];
const SHA_224: [ObjectIdentifier; 2] = [oid("1.2.840.113549.1.1.14"), oid("1.2.840.10045.4.3.1")];
const SHA_256: [ObjectIdentifier; 3] = [
    oid("1.2.840.113549.1.1.11"),
    oid("1.2.840.10045.4.3.2"),
    oid("2.16.840.1.101.3.4.3.2"),
];
const SHA_384: [ObjectIdentifier; 2] = [oid("1.2.840.113549.1.1.12"), oid("1.2.840.10045.4.3.3")];
const SHA_512: [ObjectIdentifier; 2] = [oid("1.2.840.113549.1.1.13"), oid("1.2.840.10045.4.3.4")];

/// The hash of `certificate` (DER), whose own signature is of the kind `algorithm`: by the hash of
/// that signature, but SHA-256 in place of MD5 and SHA-1. `None` where RFC 5929 defines none: the
/// signature uses no hash (Ed25519), or may use several (RSASSA-PSS).
pub(super) fn hash(certificate: &[u8], algorithm: &ObjectIdentifier) -> Option<Box<[u8]>> {
    let is = |known: &[ObjectIdentifier]| known.contains(algorithm);
    if is(&SHA_256) || is(&MD5_OR_SHA1) {
        Some(Sha256::digest(certificate).as_slice().into())
    } else if is(&SHA_384) {
        Some(Sha384::digest(certificate).as_slice().into())
    } else if is(&SHA_512) {
        Some(Sha512::digest(certificate).as_slice().into())
    } else if is(&SHA_224) {
        Some(Sha224::digest(certificate).as_slice().into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_signature_but_never_a_weak_one() {
        for (algorithm, bytes) in [
            ("1.2.840.113549.1.1.4", Some(32)),
            ("1.2.840.113549.1.1.5", Some(32)),
            ("1.2.840.113549.1.1.11", Some(32)),
            ("1.2.840.10045.4.3.2", Some(32)),
            ("1.2.840.113549.1.1.12", Some(48)),
            ("1.2.840.10045.4.3.3", Some(48)),
            ("1.2.840.113549.1.1.13", Some(64)),
            ("1.3.101.112", None),
            ("1.2.840.113549.1.1.10", None),
        ] {
            let found = hash(b"a certificate", &oid(algorithm));
            assert_eq!(found.map(|hash| hash.len()), bytes, "{algorithm}");
        }
    }
}
