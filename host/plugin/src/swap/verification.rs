//! Which bytes the operator wants: a digest, and keys that must have signed.
//!
//! Owns the decision, without any I/O.

use crate::candidate::{Candidate, CandidateSource};
use crate::error::LoadError;
use crate::inspect::Digest;
use crate::signature::{PublicKey, Signature};

/// What a component must be to be taken, beside being a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Only bytes with this digest are taken.
    pub sha256: Option<Digest>,
    /// If there are any, a file must be signed by one of them. What is built
    /// into the program needs no signature.
    pub trusted_keys: Vec<PublicKey>,
    /// Before a swap the contacts of this user must be had through the new
    /// build, from the app. Not asked when the process starts: an app that is
    /// down must not keep the server from starting.
    pub self_test_user: Option<String>,
}

impl Verification {
    /// Whether these are bytes that the operator wants.
    pub(super) fn admit(&self, candidate: &Candidate) -> Result<(), LoadError> {
        let found = candidate.digest();
        match self.sha256 {
            Some(expected) if expected != found => {
                return Err(LoadError::Digest { expected, found });
            }
            _ => {}
        }
        if self.trusted_keys.is_empty() || *candidate.source() == CandidateSource::Builtin {
            return Ok(());
        }
        let text = candidate.signature().ok_or(LoadError::Unsigned)?;
        let signatures = Signature::all_in_file(text).map_err(LoadError::SignatureFormat)?;
        let trusted = signatures.iter().any(|signature| {
            let mut keys = self.trusted_keys.iter();
            keys.any(|key| signature.is_by(key, found))
        });
        if trusted {
            Ok(())
        } else {
            Err(LoadError::Untrusted)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::signature::SecretKey;

    fn file(bytes: &'static [u8], signature: Option<String>) -> Candidate {
        let source = CandidateSource::File("plugin.wasm".into());
        Candidate::new(Bytes::from_static(bytes), source, signature)
    }

    #[test]
    fn a_pin_is_about_the_bytes() {
        let pinned = Verification {
            sha256: Some(Digest::of(b"this")),
            ..Verification::default()
        };
        assert!(pinned.admit(&file(b"this", None)).is_ok());
        let refused = pinned.admit(&file(b"that", None));
        assert!(
            matches!(refused, Err(LoadError::Digest { found, .. }) if found == Digest::of(b"that"))
        );
    }

    #[test]
    fn one_good_signature_by_one_trusted_key_is_enough() {
        let keys = [(); 3].map(|()| SecretKey::generate().unwrap());
        let [ours, retired, foreign] = &keys;
        let trusting = Verification {
            trusted_keys: vec![ours.public().unwrap(), retired.public().unwrap()],
            ..Verification::default()
        };
        let by = |key: &SecretKey, bytes| key.sign(Digest::of(bytes)).unwrap().to_string();
        let both = format!("{}\n{}\n", by(foreign, b"this"), by(retired, b"this"));
        let verdict = |signature| trusting.admit(&file(b"this", signature));
        assert!(verdict(Some(by(ours, b"this"))).is_ok());
        assert!(verdict(Some(both)).is_ok());
        assert!(matches!(verdict(None), Err(LoadError::Unsigned)));
        for bad in [by(foreign, b"this"), by(ours, b"that")] {
            assert!(matches!(verdict(Some(bad)), Err(LoadError::Untrusted)));
        }
        let garbled = verdict(Some("ed25519-signature:AA".to_owned()));
        assert!(matches!(garbled, Err(LoadError::SignatureFormat(_))));
        assert!(trusting.admit(&Candidate::builtin(b"this")).is_ok());
    }
}
