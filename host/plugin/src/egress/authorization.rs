//! Who Muster is to an app: the `Authorization` of one origin.
//!
//! The operator's secret, put into requests by the host after the plugin has
//! let go of them. It is shown by no `Debug` form, no error, no log and no
//! metric, and has no way back into the sandbox.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// The value of the header `Authorization` (RFC 9110, section 11.6.2).
#[derive(Clone)]
pub struct Authorization(SecretString);

/// Why a secret makes no header. No variant has any of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// It has a line break, a control character or something beyond ASCII.
    #[error("the secret has a character that no Authorization header can carry")]
    Characters,
    /// `Basic` needs a user name and a password.
    #[error("for the scheme \"Basic\" the secret is user:password, and this one has no colon")]
    NoPassword,
}

impl Authorization {
    /// `scheme` and `secret`, as they belong together: for `Basic` (RFC 7617),
    /// in any spelling, the secret is `user:password` and is encoded here; for
    /// an empty scheme the secret is the whole value; else (`Bearer`, RFC 6750)
    /// it follows the scheme.
    ///
    /// # Errors
    /// [`AuthorizationError`]; it quotes nothing.
    pub fn new(scheme: &str, secret: &SecretString) -> Result<Self, AuthorizationError> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(AuthorizationError::Empty);
        }
        let value = if scheme.eq_ignore_ascii_case("basic") {
            if !secret.contains(':') {
                return Err(AuthorizationError::NoPassword);
            }
            let encoded = Zeroizing::new(STANDARD.encode(secret));
            format!("{scheme} {}", *encoded)
        } else if scheme.is_empty() {
            secret.to_owned()
        } else {
            format!("{scheme} {secret}")
        };
        let value = SecretString::from(value);
        if !value
            .expose_secret()
            .bytes()
            .all(|b| b == b' ' || b.is_ascii_graphic())
        {
            return Err(AuthorizationError::Characters);
        }
        Ok(Self(value))
    }

    /// The header's value: marked so that it is neither shown nor indexed by
    /// HTTP/2's compression. `None` cannot be: [`Self::new`] has looked.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(scheme: &str, secret: &str) -> Result<String, AuthorizationError> {
        let header = Authorization::new(scheme, &SecretString::from(secret))?
            .header()
            .unwrap();
        assert!(header.is_sensitive());
        assert!(!format!("{header:?}").contains(secret));
        Ok(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_scheme_says_how_the_secret_is_written() {
        let table = [
            ("Bearer", "t0ken", Ok("Bearer t0ken")),
            ("Basic", "john:secret", Ok("Basic am9objpzZWNyZXQ=")),
            ("basic", "a:\u{e9}", Ok("basic YTrDqQ==")),
            ("", "Digest x=\"y\"", Ok("Digest x=\"y\"")),
            ("Bearer", "", Err(AuthorizationError::Empty)),
            ("Basic", "john", Err(AuthorizationError::NoPassword)),
            (
                "Bearer",
                "a\r\nhost: b",
                Err(AuthorizationError::Characters),
            ),
            ("Bearer", "\u{e9}", Err(AuthorizationError::Characters)),
            ("Bea\nrer", "a", Err(AuthorizationError::Characters)),
        ];
        for (scheme, secret, expected) in table {
            let expected = expected.map(str::to_owned);
            assert_eq!(value(scheme, secret), expected, "{scheme} {secret:?}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        let secret = SecretString::from("hunter2");
        let authorization = Authorization::new("Bearer", &secret).unwrap();
        assert_eq!(format!("{authorization:?}"), "Authorization");
    }
}
