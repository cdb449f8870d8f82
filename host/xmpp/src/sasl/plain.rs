//! PLAIN (RFC 4616): one message with the password in it.
//!
//! Owns the message's form and limits. Does not check the password: the shell
//! does, with [`ScramCredentials::verify_plain`](super::ScramCredentials) or
//! by asking the app. From the session to the session.

use secrecy::SecretString;

use super::Failure;

/// Longest localpart or authorisation identity, in bytes: a bare JID of two
/// 1,023-byte parts and the `@` (RFC 7622 §3.1).
const MAX_IDENTITY_BYTES: usize = 2_047;

/// What a client says in PLAIN. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct Plain {
    /// The account to act as; `None` when the client left it empty. See
    /// [`authorize`](super::authorize).
    pub authzid: Option<String>,
    /// The account that the password belongs to: a localpart, 1 to 2,047
    /// bytes, not yet prepared.
    pub authcid: String,
    /// The password, not empty.
    pub password: SecretString,
}

/// Why a message is not PLAIN's. Reach: the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// There are not exactly two NUL octets.
    #[error("not three fields")]
    Fields,
    /// A field is not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// The account or the password is empty.
    #[error("an empty field")]
    Empty,
    /// A field is longer than its limit.
    #[error("a field is too long")]
    TooLong,
}

impl PlainError {
    /// What the client is told.
    pub const fn failure(self) -> Failure {
        Failure::MalformedRequest
    }
}

impl Plain {
    /// Reads `[authzid] NUL authcid NUL passwd`.
    ///
    /// # Errors
    ///
    /// Every one of [`PlainError`]; a password of more than `password_bytes` is
    /// too long.
    pub fn parse(message: &[u8], password_bytes: usize) -> Result<Self, PlainError> {
        let mut fields = message.split(|byte| *byte == 0);
        let (Some(authzid), Some(authcid), Some(password), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(PlainError::Fields);
        };
        let text = |bytes, limit| match std::str::from_utf8(bytes) {
            Err(_) => Err(PlainError::Encoding),
            Ok(text) if text.len() > limit => Err(PlainError::TooLong),
            Ok(text) => Ok(text),
        };
        let authzid = text(authzid, MAX_IDENTITY_BYTES)?;
        let authcid = text(authcid, MAX_IDENTITY_BYTES)?;
        let password = text(password, password_bytes)?;
        if authcid.is_empty() || password.is_empty() {
            return Err(PlainError::Empty);
        }
        Ok(Self {
            authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
            authcid: authcid.to_owned(),
            password: SecretString::from(password),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    const LIMIT: usize = 64;

    #[test]
    fn reads_the_fields() {
        let plain = Plain::parse(b"\0john\0secret", LIMIT).unwrap();
        assert_eq!(plain.authzid, None);
        assert_eq!(plain.authcid, "john");
        assert_eq!(plain.password.expose_secret(), "secret");
        assert!(!format!("{plain:?}").contains("secret"));

        let other = Plain::parse(b"marie@example.test\0john\0secret", LIMIT).unwrap();
        assert_eq!(other.authzid.as_deref(), Some("marie@example.test"));
    }

    #[test]
    fn refuses_everything_else() {
        let long = [b"\0john\0".as_slice(), &[b'a'; LIMIT + 1]].concat();
        let far = [
            &[b'a'; MAX_IDENTITY_BYTES + 1],
            b"\0john\0secret".as_slice(),
        ]
        .concat();
        for (message, fault) in [
            (b"".as_slice(), PlainError::Fields),
            (b"john\0secret", PlainError::Fields),
            (b"\0john\0secret\0", PlainError::Fields),
            (b"\0\0secret", PlainError::Empty),
            (b"\0john\0", PlainError::Empty),
            (b"\0jo\xffhn\0secret", PlainError::Encoding),
            (b"\0john\0\xc0\x80", PlainError::Encoding),
            (&long, PlainError::TooLong),
            (&far, PlainError::TooLong),
        ] {
            assert_eq!(
                Plain::parse(message, LIMIT).unwrap_err(),
                fault,
                "{message:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(authzid in "[^\0]{0,40}", authcid in "[^\0]{1,40}", password in "[^\0]{1,40}") {
            let message = format!("{authzid}\0{authcid}\0{password}");
            let plain = Plain::parse(message.as_bytes(), 4 * 40).unwrap();
            prop_assert_eq!(plain.authzid.unwrap_or_default(), authzid);
            prop_assert_eq!(plain.authcid, authcid);
            prop_assert_eq!(plain.password.expose_secret(), password);
        }

        #[test]
        fn no_bytes_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Plain::parse(&message, LIMIT);
        }
    }
}
