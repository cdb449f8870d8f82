//! The hook that `wasi:http` calls in every store, and the headers that are
//! not the guest's.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use tracing::Instrument as _;

use super::Outbound;
use super::asking::{Askers, Asking};
use crate::worker::Ticket;

/// Headers that the guest may neither set nor see, in headers or in trailers,
/// of requests or of responses: the framing of the connection is ours, and so
/// is who we are to the app.
pub(crate) fn forbidden_headers() -> impl Iterator<Item = HeaderName> {
    DEFAULT_FORBIDDEN_HEADERS.into_iter().chain([
        header::AUTHORIZATION,
        header::TE,
        header::TRAILER,
    ])
}

/// What a body of a guest of WASI 0.2 keeps in the host's memory until it is
/// read, twice at most: a handle is not to cost more than others do.
const BODY_CHUNK_BYTES: usize = 8 << 10;

/// Headers that follow from what we send: the guest may set them, and it
/// changes nothing. No compression is asked for, so none can explode.
pub(super) fn rebuilt_headers() -> [HeaderName; 3] {
    [
        header::CONTENT_LENGTH,
        header::ACCEPT_ENCODING,
        header::EXPECT,
    ]
}

/// The hook of `wasi:http` in one store.
pub(crate) struct Gate {
    /// `None` if no request may leave.
    outbound: Option<Arc<Outbound>>,
    askers: Askers,
    /// Bytes that an answer may have.
    response_bytes: usize,
    used: bool,
}

impl Gate {
    pub(crate) fn new(outbound: Arc<Outbound>, response_bytes: usize) -> Self {
        Self {
            outbound: Some(outbound),
            askers: Askers::default(),
            response_bytes,
            used: false,
        }
    }

    /// One that refuses everything.
    pub(crate) fn shut() -> Self {
        Self {
            outbound: None,
            askers: Askers::default(),
            response_bytes: 0,
            used: false,
        }
    }

    /// A call begins that somebody looks at.
    pub(crate) fn began(&mut self, ticket: Ticket, asking: Asking) {
        self.askers.begin(ticket, asking);
    }

    /// It has its answer.
    pub(crate) fn ended(&mut self, ticket: Ticket) {
        self.askers.end(ticket);
    }

    /// The span of a request, below that of the call that makes it. No part of
    /// the URL but its origin: the rest may name users.
    fn span(&self, request: &Request<UnsyncBoxBody<Bytes, Error>>) -> tracing::Span {
        if self.outbound.is_none() {
            return tracing::Span::none();
        }
        let caller = self.askers.span(request.uri());
        let span = tracing::debug_span!(
            parent: &caller,
            "fetch",
            otel.kind = "client",
            status = tracing::field::Empty,
            outcome = tracing::field::Empty,
            failed = tracing::field::Empty,
            method = tracing::field::Empty,
            authority = tracing::field::Empty,
        );
        if !span.is_disabled() {
            let authority = request.uri().authority().map(|it| it.as_str());
            span.record("method", request.method().as_str());
            span.record("authority", authority.unwrap_or_default());
        }
        span
    }

    /// Whether the guest has made a request.
    pub(crate) fn was_used(&self) -> bool {
        self.used
    }
}

type Finished = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Gate {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| forbidden_headers().any(|forbidden| forbidden == *name))
    }

    fn set_host_header(&mut self) -> bool {
        // The client sets it from the URI that we have built.
        false
    }

    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        None
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }

    fn send_request(
        &mut self,
        request: Request<UnsyncBoxBody<Bytes, Error>>,
        _options: Option<RequestOptions>,
        _received: Finished,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Finished), Error>> + Send> {
        // The guest's own timeouts are not needed: ours is shorter than any
        // that would matter, and a guest cannot lengthen it.
        self.used = true;
        let outbound = self.outbound.clone();
        let span = self.span(&request);
        let response_bytes = self.response_bytes;
        let sent = async move {
            let outbound = outbound.ok_or(Error::HttpRequestDenied)?;
            let response = outbound.send(request, response_bytes).await?;
            Ok((response, Box::new(std::future::ready(Ok(()))) as Finished))
        };
        Box::new(sent.instrument(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_can_neither_frame_nor_authenticate() {
        for name in [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "upgrade",
            "host",
            "authorization",
            "proxy-authorization",
            "te",
            "trailer",
        ] {
            assert!(forbidden_headers().any(|header| header == name), "{name}");
        }
        for name in ["accept", "if-none-match", "content-type", "content-length"] {
            assert!(!forbidden_headers().any(|header| header == name), "{name}");
        }
    }
}
