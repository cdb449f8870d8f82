//! The way of a plugin's HTTP request to the app.
//!
//! [`Gate`] is the hook that `wasi:http` calls in every store; [`Outbound`] is
//! the pooled client behind it, one a plugin. A request is admitted by
//! [`crate::egress`], rebuilt from its admitted parts and sent over a pooled
//! connection that [`connect`] has dialled; redirects are answers like any
//! other. Everything is bounded: time in all, headers, bytes, requests at
//! once.

mod connect;
mod response;
mod verdict;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use self::connect::{ConnectError, Connector};
use self::response::CappedBody;
use crate::breaker::{Breakers, Pass};
use crate::egress::{Admitted, Denial, EgressPolicy};
use crate::settings::Limits;
use crate::telemetry::Meter;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How often a denial is logged; all are counted.
const DENIAL_LOG_SECONDS: u64 = 60;

/// A request that is about to be sent, or the response that came.
type Answer = Result<Response<WasiBody>, Error>;

/// The pooled client of one plugin.
pub(crate) struct Outbound {
    policy: Arc<EgressPolicy>,
    client: Client<Connector, Full<Bytes>>,
    slots: Semaphore,
    limits: Arc<Limits>,
    breakers: Arc<Breakers>,
    meter: Meter,
    started: Instant,
    /// Seconds since `started` of the last logged denial, plus one.
    last_denial: AtomicU64,
}

impl Outbound {
    pub(crate) fn new(
        policy: EgressPolicy,
        limits: Arc<Limits>,
        breakers: Arc<Breakers>,
        meter: Meter,
    ) -> Result<Arc<Self>, rustls::Error> {
        let policy = Arc::new(policy);
        let connector = Connector::new(
            Arc::clone(&policy),
            limits.connect.min(limits.request),
            meter.clone(),
        )?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.concurrent_requests)
            // hyper's smallest buffer is 8 KiB.
            .http1_max_buf_size(limits.response_header_bytes.max(8 << 10))
            .build(connector);
        Ok(Arc::new(Self {
            policy,
            client,
            slots: Semaphore::new(limits.concurrent_requests),
            limits,
            breakers,
            meter,
            started: Instant::now(),
            last_denial: AtomicU64::new(0),
        }))
    }

    /// Sends one request of the guest.
    async fn send(&self, request: Request<WasiBody>) -> Answer {
        let started = Instant::now();
        let deadline = tokio::time::Instant::now() + self.limits.request;
        let answer = tokio::time::timeout_at(deadline, self.exchange(request, deadline))
            .await
            .unwrap_or(Err(Error::HttpResponseTimeout));
        let outcome = match &answer {
            Ok((response, _)) if response.status().is_success() => "success",
            Ok((response, _)) if response.status().is_redirection() => "redirection",
            Ok((response, _)) if response.status().is_client_error() => "client_error",
            Ok(_) => "server_error",
            Err(Error::HttpRequestDenied | Error::DestinationIpProhibited) => "denied",
            Err(Error::HttpResponseTimeout | Error::ConnectionTimeout) => "timeout",
            Err(Error::HttpResponseHeaderSectionSize(_) | Error::HttpRequestBodySize(_)) => {
                "too_large"
            }
            Err(_) => "unavailable",
        };
        self.meter.request(outcome, started.elapsed());
        let (response, pass) = answer?;
        tracing::debug!(status = response.status().as_u16(), "the app answered");
        let limit = self.limits.response_bytes;
        Ok(response.map(|body| CappedBody::new(body, limit, deadline, pass).boxed_unsync()))
    }

    /// The head of the app's answer. Whether the rest comes is for the holder
    /// of the pass to see, if the head has not said enough.
    async fn exchange(
        &self,
        request: Request<WasiBody>,
        deadline: tokio::time::Instant,
    ) -> Result<(Response<hyper::body::Incoming>, Option<Pass>), Error> {
        let admitted = self
            .policy
            .admit(request.method(), request.uri())
            .map_err(|denial| self.deny(denial))?;
        let _slot = self
            .slots
            .acquire()
            .await
            .map_err(|_| Error::ConnectionLimitReached)?;
        let request = self.rebuild(request, &admitted).await?;
        let pass = self.breakers.backend(&admitted.origin);
        let pass = pass.map_err(|_| Error::ConnectionRefused)?;
        // Within the time of the whole, and in it first: a silent app is a
        // finding, no call that was broken off.
        let answer = match tokio::time::timeout_at(deadline, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| self.failure(&error)),
            Err(_) => Err(Error::HttpResponseTimeout),
        };
        let pass = verdict::of_head(pass, &answer);
        let response = answer?;
        if header_bytes(response.headers()) > self.limits.response_header_bytes {
            return Err(Error::HttpResponseHeaderSectionSize(None));
        }
        Ok((response, pass))
    }

    /// A new request from the admitted parts: our URI, our framing, and of the
    /// guest's headers those that are the guest's business.
    async fn rebuild(
        &self,
        request: Request<WasiBody>,
        admitted: &Admitted,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, self.limits.request_bytes)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Error::HttpRequestBodySize(None)
                } else {
                    Error::HttpProtocolError
                }
            })?;
        let mut rebuilt = Request::new(Full::new(body.to_bytes()));
        *rebuilt.method_mut() = parts.method;
        *rebuilt.uri_mut() = admitted.uri().ok_or_else(|| self.deny(Denial::Target))?;
        *rebuilt.headers_mut() = parts.headers;
        for name in rebuilt_headers() {
            rebuilt.headers_mut().remove(name);
        }
        for name in forbidden_headers() {
            rebuilt.headers_mut().remove(name);
        }
        Ok(rebuilt)
    }

    fn deny(&self, denial: Denial) -> Error {
        self.meter.denied(denial);
        let now = self.started.elapsed().as_secs() + 1;
        let last = self.last_denial.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= DENIAL_LOG_SECONDS;
        let first = due
            && self
                .last_denial
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if first {
            tracing::warn!(
                vhost = self.meter.vhost(),
                reason = denial.label(),
                "refused a plugin's HTTP request; further ones are only counted for a minute"
            );
        }
        match denial {
            Denial::Address => Error::DestinationIpProhibited,
            Denial::Method | Denial::Target | Denial::Origin => Error::HttpRequestDenied,
        }
    }

    /// What the guest is told of a failed exchange: the kind, no detail of
    /// the network.
    fn failure(&self, error: &hyper_util::client::legacy::Error) -> Error {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(cause) = source {
            if let Some(connect) = cause.downcast_ref::<ConnectError>() {
                return match connect {
                    ConnectError::Denied => self.deny(Denial::Address),
                    ConnectError::Resolve => Error::DestinationNotFound,
                    ConnectError::Refused => Error::ConnectionRefused,
                    ConnectError::Timeout => Error::ConnectionTimeout,
                    ConnectError::Tls => Error::TlsProtocolError,
                };
            }
            if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                if hyper.is_parse_too_large() {
                    return Error::HttpResponseHeaderSectionSize(None);
                }
                if hyper.is_incomplete_message() {
                    return Error::HttpResponseIncomplete;
                }
                if hyper.is_parse() {
                    return Error::HttpProtocolError;
                }
            }
            source = cause.source();
        }
        Error::ConnectionTerminated
    }
}

/// Names and values together.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// Headers that the guest may neither set nor see, in headers or in trailers:
/// the framing of the connection is ours, and so is who we are to the app.
pub(crate) fn forbidden_headers() -> impl Iterator<Item = HeaderName> {
    DEFAULT_FORBIDDEN_HEADERS.into_iter().chain([
        header::AUTHORIZATION,
        header::TE,
        header::TRAILER,
    ])
}

/// Headers that follow from what we send: the guest may set them, and it
/// changes nothing. No compression is asked for, so none can explode.
fn rebuilt_headers() -> [HeaderName; 3] {
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
    used: bool,
}

impl Gate {
    pub(crate) fn new(outbound: Arc<Outbound>) -> Self {
        Self {
            outbound: Some(outbound),
            used: false,
        }
    }

    /// One that refuses everything.
    pub(crate) fn shut() -> Self {
        Self {
            outbound: None,
            used: false,
        }
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
        Box::new(async move {
            let outbound = outbound.ok_or(Error::HttpRequestDenied)?;
            let response = outbound.send(request).await?;
            Ok((response, Box::new(std::future::ready(Ok(()))) as Finished))
        })
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
