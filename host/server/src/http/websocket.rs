//! `/xmpp-websocket`: the opening handshake of a WebSocket (RFC 6455, section
//! 4; RFC 7395, section 3.1).

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use muster_xmpp::session::Framing;
use sha1::{Digest, Sha1};

use super::answer;
use super::client::Peer;
use super::web::Web;
use crate::transport::Transport;
use crate::transport::websocket::WebSocket;

/// The subprotocol (RFC 7395, section 3.1).
const XMPP: &str = "xmpp";
/// What the key is hashed with (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version of the protocol.
const VERSION: &str = "13";

/// Why a handshake is refused. Reach: the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Origin,
    NotWebSocket,
    Key,
    Subprotocol,
    Draining,
    TooMany,
}

/// Opens an XMPP stream over WebSocket (RFC 7395)
#[utoipa::path(get, path = "/xmpp-websocket", tag = "web clients",
    responses(
        (status = 101, description = "What follows are frames"),
        (status = 400, description = "The handshake is not one of RFC 6455, or does not ask for `xmpp`", body = serde_json::Value),
        (status = 403, description = "Pages of this origin may not connect", body = serde_json::Value),
        (status = 426, description = "The request asks for no WebSocket", body = serde_json::Value),
        (status = 503, description = "Too many connections, or the server stops", body = serde_json::Value)))]
pub(super) async fn upgrade(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let accepted = match accept(&web, request.headers()) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.answer(),
    };
    let client = web.settings.proxies.client(peer, request.headers());
    let Some(slot) = web.admit(client) else {
        return Refusal::TooMany.answer();
    };
    let upgrading = hyper::upgrade::on(&mut request);
    let streams = Arc::clone(&web);
    web.tasks.spawn(async move {
        // The peer may be gone before it has read the answer.
        let Ok(upgraded) = upgrading.await else {
            return;
        };
        let transport = Transport::WebSocket(Box::new(WebSocket::new(upgraded)));
        let stream = streams.stream(client, slot, Framing::WebSocket, transport);
        drop(streams);
        if let Some(stream) = stream {
            stream.await;
        }
    });
    metrics::counter!("muster_websockets_total", "outcome" => "opened").increment(1);
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(XMPP),
    );
    answer
}

/// Checks the handshake; the value of `Sec-WebSocket-Accept`.
fn accept(web: &Web, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    if !web.settings.origins.admit(headers) {
        return Err(Refusal::Origin);
    }
    if web.services.stop.is_cancelled() {
        return Err(Refusal::Draining);
    }
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if !has_word(headers, header::CONNECTION, "upgrade")
        || !has_word(headers, header::UPGRADE, "websocket")
        || version.is_none_or(|version| version != VERSION)
    {
        return Err(Refusal::NotWebSocket);
    }
    if !has_word(headers, header::SEC_WEBSOCKET_PROTOCOL, XMPP) {
        return Err(Refusal::Subprotocol);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    key.and_then(answer_to).ok_or(Refusal::Key)
}

/// RFC 6455, section 4.2.2.
fn answer_to(key: &HeaderValue) -> Option<HeaderValue> {
    let nonce = BASE64.decode(key.as_bytes()).ok()?;
    if nonce.len() != 16 {
        return None;
    }
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    HeaderValue::from_str(&BASE64.encode(hash.finalize())).ok()
}

/// Whether a list has `word`, in whatever case.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim));
    words.any(|other| other.eq_ignore_ascii_case(word))
}

impl Refusal {
    fn answer(self) -> Response {
        let (status, outcome, message) = match self {
            Refusal::Origin => (
                StatusCode::FORBIDDEN,
                "origin",
                "pages of this origin may not connect; web.origins lists those that may",
            ),
            Refusal::NotWebSocket => (
                StatusCode::UPGRADE_REQUIRED,
                "no_websocket",
                "connect with a WebSocket of version 13",
            ),
            Refusal::Key => (
                StatusCode::BAD_REQUEST,
                "malformed",
                "Sec-WebSocket-Key is not 16 bytes in base64",
            ),
            Refusal::Subprotocol => (
                StatusCode::BAD_REQUEST,
                "subprotocol",
                "ask for the subprotocol xmpp (RFC 7395)",
            ),
            Refusal::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "the server goes down",
            ),
            Refusal::TooMany => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many",
                "there are too many connections, or too many from your address",
            ),
        };
        metrics::counter!("muster_websockets_total", "outcome" => outcome).increment(1);
        let mut answer = answer::error(status, message);
        if self == Refusal::NotWebSocket {
            let headers = answer.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static(VERSION),
            );
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 6455, section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let answer = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer_to(&key), Some(answer));
        assert_eq!(answer_to(&HeaderValue::from_static("c2hvcnQ=")), None);
    }
}
