//! Everything under `/roster_admin/`: authenticate, bound, hand the request to
//! the plugin of the virtual host that it is for.
//!
//! Nothing that arrives without the token costs more than its head: no body is
//! read, no plugin is called, and the answer is the same whatever was asked.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use muster_plugin::HandleError;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::body::{self, BodyFault};
use super::{HttpState, answer};
use crate::hosts::VirtualHost;
use crate::limit::Limit;
use crate::rosters::RefreshCall;

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

/// Serves one request under `/roster_admin/`.
pub(crate) async fn handle(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    if !state.tokens.admit(request.headers()) {
        metrics::counter!("muster_admin_requests_total", "outcome" => "unauthorized").increment(1);
        return answer::unauthorized();
    }
    let (mut head, body) = request.into_parts();
    let Some(host) = state.hosts.for_http(&head) else {
        return answer::error(
            StatusCode::MISDIRECTED_REQUEST,
            "several virtual hosts are served here: name one by the Host header",
        );
    };
    let limits = state.limits;
    let read = body::read(&head.headers, body, limits.body_bytes, limits.body_timeout);
    let body = match read.await {
        Ok(body) => body,
        Err(fault) => {
            match fault {
                BodyFault::TooLarge(_) => Limit::HttpBodyBytes.reached(),
                BodyFault::TooSlow => Limit::HttpBodyTimeout.reached(),
                BodyFault::Broken => {}
            }
            return fault.answer("; send the users in several requests");
        }
    };
    // The plugin sees the request, never the credentials.
    head.headers.remove(header::AUTHORIZATION);
    head.headers.remove(header::COOKIE);
    hand_over(&state, &host, http::Request::from_parts(head, body)).await
}

async fn hand_over(
    state: &HttpState,
    host: &VirtualHost,
    request: http::Request<Bytes>,
) -> Response {
    let domain = host.domain.clone();
    let refresh = RefreshCall::new(Arc::clone(&state.rosters), domain, state.refresh);
    match host.plugin.handle(request, Arc::new(refresh)).await {
        Ok(response) => {
            metrics::counter!("muster_admin_requests_total", "outcome" => "answered").increment(1);
            // The host has refused a body that is too large before; what the
            // plugin finds too large is the number of names.
            if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Limit::HttpNames.reached();
            }
            response.map(Body::from)
        }
        Err(error) => {
            metrics::counter!("muster_admin_requests_total", "outcome" => "failed").increment(1);
            tracing::warn!(vhost = %host.domain, %error, "the plugin failed to answer a request");
            refused(&error)
        }
    }
}

fn refused(error: &HandleError) -> Response {
    let status = match error {
        HandleError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        HandleError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let mut response = answer::error(status, &format!("the plugin did not answer: {error}"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, http::HeaderValue::from_static("5"));
    }
    response
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
