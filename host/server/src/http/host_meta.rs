//! `/.well-known/host-meta` and `.json`: where WebSocket and BOSH are
//! (XEP-0156, section 3; RFC 6415).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, header};
use muster_xmpp::encode::push_attribute;

use super::answer;
use super::client::Peer;
use super::web::{BOSH_PATH, Offered, WEBSOCKET_PATH, Web};

/// The document in XML.
#[utoipa::path(get, path = "/.well-known/host-meta", tag = "web clients",
    responses(
        (status = 200, description = "Where WebSocket and BOSH are (XEP-0156)", body = String, content_type = "application/xrd+xml"),
        (status = 404, description = "No virtual host is meant", body = serde_json::Value)))]
pub(super) async fn xml(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let Some(links) = links(&web, peer, &request.into_parts().0) else {
        return unknown();
    };
    let mut document = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <XRD xmlns=\"http://docs.oasis-open.org/ns/xri/xrd-1.0\">",
    );
    for Link { rel, href } in links {
        document.push_str("<Link");
        push_attribute(&mut document, "rel", rel);
        push_attribute(&mut document, "href", &href);
        document.push_str("/>");
    }
    document.push_str("</XRD>\n");
    readable("application/xrd+xml; charset=utf-8", document)
}

/// The document in JSON.
#[utoipa::path(get, path = "/.well-known/host-meta.json", tag = "web clients",
    responses(
        (status = 200, description = "Where WebSocket and BOSH are (XEP-0156)", body = serde_json::Value),
        (status = 404, description = "No virtual host is meant", body = serde_json::Value)))]
pub(super) async fn json(
    State(web): State<Arc<Web>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let Some(links) = links(&web, peer, &request.into_parts().0) else {
        return unknown();
    };
    let links: Vec<_> = links
        .into_iter()
        .map(|Link { rel, href }| serde_json::json!({ "rel": rel, "href": href }))
        .collect();
    let document = serde_json::json!({ "links": links });
    readable("application/json", document.to_string())
}

struct Link {
    rel: &'static str,
    href: String,
}

/// Where the virtual host that `head` names is reached.
fn links(web: &Web, peer: Peer, head: &Parts) -> Option<Vec<Link>> {
    let host = web.services.hosts.for_http(head)?;
    let base = match &host.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => {
            let named = head.headers.get(header::HOST)?.to_str().ok()?;
            // Nothing but a host and a port gets into the document.
            let authority: Authority = named.parse().ok()?;
            let (host, port) = (authority.host(), authority.port());
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            match web.settings.proxies.client(peer, &head.headers).secure {
                true => format!("https://{host}{port}"),
                false => format!("http://{host}{port}"),
            }
        }
    };
    let Offered { websocket, bosh } = web.settings.offered;
    let websocket = websocket.then(|| Link {
        rel: "urn:xmpp:alt-connections:websocket",
        // `http` becomes `ws`, and `https` `wss`.
        href: format!(
            "ws{}{WEBSOCKET_PATH}",
            base.strip_prefix("http").unwrap_or(&base)
        ),
    });
    let bosh = bosh.then(|| Link {
        rel: "urn:xmpp:alt-connections:xbosh",
        href: format!("{base}{BOSH_PATH}"),
    });
    Some(websocket.into_iter().chain(bosh).collect())
}

/// Pages of any origin may read it (XEP-0156, section 3): it is no secret.
fn readable(content_type: &'static str, document: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::VARY, "Host"),
    ];
    (headers, document).into_response()
}

fn unknown() -> Response {
    answer::error(
        StatusCode::NOT_FOUND,
        "several virtual hosts are served here: name one by the Host header",
    )
}
