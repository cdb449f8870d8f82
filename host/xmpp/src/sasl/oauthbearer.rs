//! OAUTHBEARER (RFC 7628): a token in place of a password.
//!
//! Owns the form and the limits of the client's message and of the error that
//! answers a token. Does not check tokens: the shell does. From the session to
//! the session.

use secrecy::SecretString;

use super::Failure;
use super::gs2::{Gs2, Gs2Error};

/// What separates the fields of a message; alone, it is the client's answer to
/// an error (RFC 7628 §3.2.3).
const SEPARATOR: char = '\u{1}';

/// What a client says in OAUTHBEARER. `Debug` does not show the token.
#[derive(Clone, Debug)]
pub struct OAuthBearer {
    /// The account to act as; `None` when the client left it empty. See
    /// [`authorize`](super::authorize).
    pub authzid: Option<String>,
    /// The token; `None` when the client sent none, or sent something else than
    /// a bearer token. It is refused like a wrong one (RFC 7628 §4.3).
    pub token: Option<SecretString>,
}

/// Why a message is not OAUTHBEARER's. Reach: the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthBearerError {
    /// Not UTF-8, or not the grammar of RFC 7628 §3.1.
    #[error("not an OAUTHBEARER message")]
    Malformed,
    /// A field is longer than its limit.
    #[error("a field is too long")]
    TooLong,
    /// The client wants a channel binding, which this mechanism has not.
    #[error("the mechanism has no channel binding")]
    Binding,
}

impl OAuthBearerError {
    /// What the client is told.
    pub const fn failure(self) -> Failure {
        Failure::MalformedRequest
    }
}

impl From<Gs2Error> for OAuthBearerError {
    fn from(error: Gs2Error) -> Self {
        match error {
            Gs2Error::Malformed => Self::Malformed,
            Gs2Error::TooLong => Self::TooLong,
        }
    }
}

impl OAuthBearer {
    /// The error that answers every token that is not accepted. It does not
    /// tell why, so that nobody learns anything of a token that is not theirs.
    pub const REFUSAL: &'static [u8] = b"{\"status\":\"invalid_token\"}";

    /// Reads the client's first message. `host` and `port`, which only signing
    /// schemes need, and fields that nobody knows are skipped (RFC 7628 §3.1).
    ///
    /// # Errors
    ///
    /// Every one of [`OAuthBearerError`]; a token of more than `token_bytes` is
    /// too long.
    pub fn parse(message: &[u8], token_bytes: usize) -> Result<Self, OAuthBearerError> {
        let message = std::str::from_utf8(message).map_err(|_| OAuthBearerError::Malformed)?;
        let gs2 = Gs2::split(message)?;
        match gs2.flag {
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(OAuthBearerError::Binding),
            _ => return Err(OAuthBearerError::Malformed),
        }
        let fields = gs2.rest.strip_prefix(SEPARATOR);
        let fields = fields.and_then(|fields| fields.strip_suffix(SEPARATOR));
        // Each field ends with a separator of its own.
        let fields = fields.filter(|fields| fields.is_empty() || fields.ends_with(SEPARATOR));
        let fields = fields.ok_or(OAuthBearerError::Malformed)?;
        let mut auth = None;
        for field in fields.split_terminator(SEPARATOR) {
            let (key, value) = field.split_once('=').ok_or(OAuthBearerError::Malformed)?;
            if !is_key(key) || !value.chars().all(is_value) {
                return Err(OAuthBearerError::Malformed);
            }
            if key == "auth" && auth.replace(value).is_some() {
                return Err(OAuthBearerError::Malformed);
            }
        }
        let token = auth.and_then(bearer);
        if token.is_some_and(|token| token.len() > token_bytes) {
            return Err(OAuthBearerError::TooLong);
        }
        Ok(Self {
            authzid: gs2.authzid,
            token: token.map(SecretString::from),
        })
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110
/// §11.1), the token has the characters of RFC 6750 §2.1.
fn bearer(auth: &str) -> Option<&str> {
    let (scheme, token) = auth.split_once(' ')?;
    let token = token.trim_matches(' ');
    let known = scheme.eq_ignore_ascii_case("bearer");
    let sound = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-'..=b'/' | b'_' | b'~' | b'+' | b'=')
    };
    (known && !token.is_empty() && token.bytes().all(sound)).then_some(token)
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// `value` of RFC 7628 §3.1: visible characters and white space.
fn is_value(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    const LIMIT: usize = 64;

    fn read(message: &str) -> Result<(Option<String>, Option<String>), OAuthBearerError> {
        let read = OAuthBearer::parse(message.as_bytes(), LIMIT)?;
        let token = read.token.map(|token| token.expose_secret().to_owned());
        Ok((read.authzid, token))
    }

    /// RFC 7628 §4.1, with its host, port and token.
    #[test]
    fn the_example_of_the_rfc() {
        let message = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
                       auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let expected = (Some("user@example.com".to_owned()), Some(token.to_owned()));
        assert_eq!(read(message), Ok(expected));
    }

    #[test]
    fn what_is_optional_may_be_missing() {
        let token = |message: &str| read(message).expect(message).1;
        assert_eq!(
            token("n,,\x01auth=Bearer abc\x01\x01").as_deref(),
            Some("abc")
        );
        assert_eq!(
            token("y,,\x01auth=bEaReR  abc\x01\x01").as_deref(),
            Some("abc")
        );
        assert_eq!(
            token("n,,\x01mail=a b\x01auth=Bearer a.b-c_d~e+f/g=\x01\x01").as_deref(),
            Some("a.b-c_d~e+f/g=")
        );
        for none in [
            "n,,\x01\x01",
            "n,,\x01auth=\x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Basic abc\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer a,b\x01\x01",
            "n,,\x01Auth=Bearer abc\x01\x01",
        ] {
            assert_eq!(token(none), None, "{none:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        use OAuthBearerError::{Binding, Malformed, TooLong};
        let long = format!("n,,\x01auth=Bearer {}\x01\x01", "a".repeat(LIMIT + 1));
        for (message, fault) in [
            ("", Malformed),
            ("\x01", Malformed),
            ("n,,", Malformed),
            ("n,,\x01", Malformed),
            ("n,,auth=Bearer abc\x01\x01", Malformed),
            ("n,,\x01auth=Bearer abc\x01", Malformed),
            ("n,,\x01auth=Bearer abc", Malformed),
            ("n,,\x01auth\x01\x01", Malformed),
            ("n,,\x01=x\x01\x01", Malformed),
            ("n,,\x01a1=x\x01\x01", Malformed),
            ("n,,\x01\x01auth=Bearer abc\x01\x01", Malformed),
            (
                "n,,\x01auth=Bearer abc\x01auth=Bearer def\x01\x01",
                Malformed,
            ),
            ("n,,\x01host=é\x01auth=Bearer abc\x01\x01", Malformed),
            ("n,,\x01host=\0\x01auth=Bearer abc\x01\x01", Malformed),
            ("n,john,\x01auth=Bearer abc\x01\x01", Malformed),
            ("n,a=,\x01auth=Bearer abc\x01\x01", Malformed),
            ("x,,\x01auth=Bearer abc\x01\x01", Malformed),
            ("p=tls-exporter,,\x01auth=Bearer abc\x01\x01", Binding),
            (&long, TooLong),
        ] {
            assert_eq!(read(message), Err(fault), "{message:?}");
        }
        let not_text = OAuthBearer::parse(b"n,,\x01auth=Bearer \xff\x01\x01", LIMIT);
        assert_eq!(not_text.unwrap_err(), Malformed);
    }

    #[test]
    fn debug_does_not_show_the_token() {
        let read = OAuthBearer::parse(b"n,,\x01auth=Bearer c2VjcmV0\x01\x01", LIMIT).unwrap();
        assert!(!format!("{read:?}").contains("c2VjcmV0"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(message in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = OAuthBearer::parse(&message, LIMIT);
        }

        #[test]
        fn no_fields_panic(fields in "[a-z=\x01 ,]{0,60}") {
            let _ = OAuthBearer::parse(format!("n,,\x01{fields}").as_bytes(), LIMIT);
        }
    }
}
