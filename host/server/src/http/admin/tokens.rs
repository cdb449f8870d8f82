//! Who may call the app's and the operator's routes: the holders of a token.

use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Who may call: the digests of the operator's tokens.
pub(crate) struct Tokens {
    digests: Vec<[u8; 32]>,
    allow_unauthenticated: bool,
}

impl Tokens {
    /// `allow_unauthenticated` lets everyone in; the configuration accepts it
    /// on loopback listeners only.
    pub(crate) fn new(tokens: &[SecretString], allow_unauthenticated: bool) -> Tokens {
        let digests = tokens
            .iter()
            .map(|token| Sha256::digest(token.expose_secret()).into())
            .collect();
        Tokens {
            digests,
            allow_unauthenticated,
        }
    }

    /// Whether `Authorization: Bearer …` carries one of the tokens. Compares
    /// digests of equal length in constant time, with all of the tokens.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        if self.allow_unauthenticated {
            return true;
        }
        let Some(offered) = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
        else {
            return false;
        };
        let offered: [u8; 32] = Sha256::digest(offered).into();
        let found = self
            .digests
            .iter()
            .fold(subtle::Choice::from(0), |found, digest| {
                found | digest.ct_eq(&offered)
            });
        found.into()
    }
}

/// The credentials of a `Bearer` header (RFC 6750, section 2.1; the scheme is
/// case-insensitive by RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, credentials) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| credentials.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_a_configured_token_is_admitted() {
        let tokens = Tokens::new(
            &["first".to_owned().into(), "second".to_owned().into()],
            false,
        );
        for admitted in [
            "Bearer first",
            "Bearer second",
            "bearer second",
            "BEARER  first ",
        ] {
            assert!(tokens.admit(&headers(admitted)), "{admitted}");
        }
        for refused in [
            "Bearer",
            "Bearer ",
            "Bearer firs",
            "Bearer firstt",
            "Basic first",
            "first",
            "Bearerfirst",
        ] {
            assert!(!tokens.admit(&headers(refused)), "{refused}");
        }
        assert!(!tokens.admit(&HeaderMap::new()));
    }

    #[test]
    fn without_tokens_nobody_is_admitted_unless_the_operator_says_so() {
        assert!(!Tokens::new(&[], false).admit(&headers("Bearer ")));
        assert!(Tokens::new(&[], true).admit(&HeaderMap::new()));
    }
}
