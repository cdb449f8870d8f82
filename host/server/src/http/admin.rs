//! Everything under `/roster_admin/`: authenticate, bound, hand the request to
//! the plugin of the virtual host that it is for. Only the app's word that it
//! is back is answered here.
//!
//! Nothing that arrives without the token costs more than its head: no body is
//! read, no plugin is called, and the answer is the same whatever was asked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use muster_plugin::HandleError;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::body::{self, BodyFault};
use super::{HttpState, answer};
use crate::hosts::VirtualHost;
use crate::limit::Limit;
use crate::rosters::RefreshCall;

/// Where the app says that it is back.
const PING: &str = "/roster_admin/ping";

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
    if head.uri.path() == PING {
        return ping(&host, &head.method);
    }
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

/// The app is back: it is asked again at once, not with the next probe. Answered without the
/// plugin, which may be what does not work; whatever body there is stays unread.
fn ping(host: &VirtualHost, method: &Method) -> Response {
    if *method != Method::POST {
        return answer::method_not_allowed_but("POST");
    }
    let closed = host.plugin.app_is_back();
    metrics::counter!("muster_admin_requests_total", "outcome" => "ping").increment(1);
    tracing::info!(vhost = %host.domain, closed, "the app says that it is back");
    answer::ok(&format!("welcome back; circuit breakers closed: {closed}"))
}

async fn hand_over(
    state: &HttpState,
    host: &VirtualHost,
    request: http::Request<Bytes>,
) -> Response {
    let domain = host.domain.clone();
    let refresh = RefreshCall::new(Arc::clone(&state.rosters), domain, host.refresh);
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
            // That the breaker is open was told when it opened.
            if !matches!(error, HandleError::CircuitOpen { .. }) {
                tracing::warn!(vhost = %host.domain, %error, "the plugin failed to answer a request");
            }
            refused(&error)
        }
    }
}

fn refused(error: &HandleError) -> Response {
    let (status, retry_after) = match error {
        HandleError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
        HandleError::CircuitOpen { retry_after } => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(whole_seconds(*retry_after)),
        ),
        HandleError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, None),
        _ => (StatusCode::BAD_GATEWAY, None),
    };
    let mut response = answer::error(status, &format!("the plugin did not answer: {error}"));
    if let Some(seconds) = retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Not sooner than `duration`, and not at once.
fn whole_seconds(duration: Duration) -> u64 {
    let started = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(started).max(1)
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
    fn nobody_is_told_to_come_back_too_early() {
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (4_200, 5)] {
            let wait = Duration::from_millis(milliseconds);
            assert_eq!(whole_seconds(wait), seconds, "{milliseconds} ms");
        }
    }

    #[test]
    fn without_tokens_nobody_is_admitted_unless_the_operator_says_so() {
        assert!(!Tokens::new(&[], false).admit(&headers("Bearer ")));
        assert!(Tokens::new(&[], true).admit(&HeaderMap::new()));
    }
}
