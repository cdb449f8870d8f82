//! The way of a plugin's HTTP request to the app.
//!
//! [`Gate`] is the hook that `wasi:http` calls in every store; [`Outbound`] is
//! behind it, one a plugin. A request is admitted by [`crate::egress`], rebuilt
//! from its admitted parts, given the origin's `Authorization`, and sent over a
//! pooled connection that [`connect`] has dialled. A redirect is an answer like
//! any other, unless the operator has it followed: then each hop is a request
//! like the first. An app that has asked for it is left alone for a while
//! ([`resting`]), and a request that failed in vain is made once more ([`again`]).
//! Everything is bounded: time in all, headers, bytes, requests at once.

mod again;
mod asking;
mod connect;
mod failure;
mod gate;
mod resolve;
mod response;
mod resting;
mod route;
mod sending;
mod stream;
mod tls;
mod verdict;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant as Deadline;
use tracing::Span;
use wasmtime_wasi_http::{Error, WasiBody};

use self::again::Budget;
pub(crate) use self::asking::Asking;
use self::failure::Failed;
use self::gate::rebuilt_headers;
pub(crate) use self::gate::{Gate, forbidden_headers};
pub use self::resolve::{Resolve, Resolving, SystemResolver};
use self::resting::Rests;
use self::route::Route;
use self::sending::Sending;
use crate::breaker::{Breakers, Pass};
use crate::egress::{Admitted, Denial, EgressPolicy, Origin, redirect};
use crate::limit::Limit;
use crate::rest::{self, lot};
use crate::settings::Limits;
use crate::tap::Taps;
use crate::telemetry::Meter;

/// By which the app's own spans come below ours (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The way out of one plugin.
pub(crate) struct Outbound {
    route: ArcSwap<Route>,
    resolver: Arc<dyn Resolve>,
    slots: Arc<Semaphore>,
    limits: Arc<Limits>,
    breakers: Arc<Breakers>,
    rests: Rests,
    retries: Budget,
    meter: Meter,
    /// Who listens; what it hears has no `Authorization` of the host's.
    pub(crate) taps: Taps,
}

/// What of a guest's request goes to every hop.
struct Template {
    uri: Uri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

/// The head of an answer. Whether the rest comes is for the holder of the pass
/// to see, if the head has not said enough.
type Head = (Response<Incoming>, Option<Pass>);

impl Outbound {
    pub(crate) fn new(
        policy: EgressPolicy,
        resolver: Arc<dyn Resolve>,
        limits: Arc<Limits>,
        breakers: Arc<Breakers>,
        meter: Meter,
    ) -> Result<Arc<Self>, rustls::Error> {
        let route = Route::new(policy, Arc::clone(&resolver), &limits, meter.clone())?;
        Ok(Arc::new(Self {
            route: ArcSwap::from_pointee(route),
            resolver,
            slots: Arc::new(Semaphore::new(limits.concurrent_requests)),
            rests: Rests::new(limits.longest_rest),
            retries: Budget::new(limits.retry_share),
            limits,
            breakers,
            meter,
            taps: Taps::default(),
        }))
    }

    /// Takes another policy, with its secrets and certificates. Requests that
    /// have begun go on under the old one; no later one uses its connections.
    pub(crate) fn renew(&self, policy: EgressPolicy) -> Result<(), rustls::Error> {
        let resolver = Arc::clone(&self.resolver);
        let route = Route::new(policy, resolver, &self.limits, self.meter.clone())?;
        self.route.store(Arc::new(route));
        self.meter.renewal();
        Ok(())
    }

    /// Requests that are under way, their bodies included.
    pub(crate) fn under_way(&self) -> usize {
        let free = self.slots.available_permits();
        self.limits.concurrent_requests.saturating_sub(free)
    }

    /// What an answer may have, in bytes, unless it is one for many users.
    pub(crate) fn response_bytes(&self) -> usize {
        self.limits.response_bytes
    }

    /// Whether requests are held back: an origin rests, or its breaker is not
    /// closed.
    pub(crate) fn holds_back(&self) -> bool {
        self.rests.any() || !self.breakers.all_backends_are_closed()
    }

    /// The app is back: it need not be left alone any longer.
    pub(crate) fn app_is_back(&self) {
        self.rests.end();
    }

    /// Sends one request of the guest, whose answer may have so many bytes.
    /// What comes of it is recorded in the span that the caller is in.
    pub(crate) async fn send(
        &self,
        request: Request<WasiBody>,
        response_bytes: usize,
    ) -> Result<Response<WasiBody>, Error> {
        let started = Instant::now();
        let deadline = Deadline::now() + self.limits.request;
        let mut sending = Sending::new(self, response_bytes, deadline);
        let answer = tokio::time::timeout_at(deadline, sending.send(request))
            .await
            .unwrap_or(Err(Error::HttpResponseTimeout));
        if matches!(answer, Err(Error::HttpResponseTimeout)) {
            self.meter.limit(Limit::RequestTimeout);
        }
        let outcome = failure::outcome(answer.as_ref().map(Response::status));
        if !sending.has_tried() {
            self.meter.request(outcome, started.elapsed());
        }
        match &answer {
            Ok(response) => {
                Span::current().record("status", response.status().as_u16());
            }
            Err(_) => {
                Span::current()
                    .record("outcome", outcome)
                    .record("failed", true);
            }
        }
        answer
    }

    async fn exchange(
        &self,
        route: &Route,
        template: &Template,
        first: &Admitted<'_>,
        deadline: Deadline,
    ) -> Result<Head, Error> {
        let mut admitted = first.clone();
        let mut hops = 0;
        loop {
            let request = self.request(template, &admitted)?;
            let asked = request.uri().clone();
            let origin = &admitted.allowed.origin;
            let (response, pass) = self.ask(route, origin, request, deadline).await?;
            let (method, status) = (&template.method, response.status());
            let next = match hops < admitted.allowed.redirects {
                true => redirect::target(method, &asked, status, response.headers()),
                false => None,
            };
            let Some(next) = next else {
                return Ok((response, pass));
            };
            if let Some(pass) = pass {
                pass.success();
            }
            admitted = route
                .policy
                .admit(method, &next)
                .map_err(|denial| self.deny(denial))?;
            hops += 1;
            self.meter.redirect();
        }
    }

    /// Waits until the origin has rested, if there is time for it.
    async fn rested(&self, origin: &Origin, deadline: Deadline) -> Result<(), Error> {
        let Some(left) = self.rests.left(origin) else {
            return Ok(());
        };
        let time = deadline.saturating_duration_since(Deadline::now());
        match rest::wait(left, time, lot()) {
            Some(wait) => {
                self.meter.rested("waited");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => {
                self.meter.rested("refused");
                Err(Error::ConnectionRefused)
            }
        }
    }

    /// A place among the requests at once.
    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        self.meter.limit(Limit::ConcurrentRequests);
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.map_err(|_| Error::ConnectionLimitReached)
    }

    /// What of the guest's request is the guest's business.
    async fn template(&self, request: Request<WasiBody>) -> Result<Template, Error> {
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, self.limits.request_bytes)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    self.meter.limit(Limit::RequestBytes);
                    Error::HttpRequestBodySize(None)
                } else {
                    Error::HttpProtocolError
                }
            })?;
        for name in rebuilt_headers().into_iter().chain(forbidden_headers()) {
            parts.headers.remove(name);
        }
        Ok(Template {
            uri: parts.uri,
            method: parts.method,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// A new request from admitted parts: our URI, our framing, and who we are
    /// to this origin and to no other.
    fn request(
        &self,
        template: &Template,
        admitted: &Admitted<'_>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::new(Full::new(template.body.clone()));
        *request.method_mut() = template.method.clone();
        *request.uri_mut() = admitted.uri().ok_or_else(|| self.deny(Denial::Target))?;
        *request.headers_mut() = template.headers.clone();
        if let Some(authorization) = &admitted.allowed.authorization {
            // Never without it where the operator wants it.
            let value = authorization.header().ok_or(Error::ConfigurationError)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        // In place of whatever the guest says: it cannot know.
        if let Some(traceparent) = muster_trace::traceparent(&muster_trace::current())
            && let Ok(traceparent) = HeaderValue::try_from(traceparent)
        {
            request.headers_mut().insert(TRACEPARENT, traceparent);
        }
        Ok(request)
    }

    /// Sends one request to one origin, if its breaker lets it pass.
    async fn ask(
        &self,
        route: &Route,
        origin: &Origin,
        mut request: Request<Full<Bytes>>,
        deadline: Deadline,
    ) -> Result<Head, Error> {
        if self.rests.left(origin).is_some() {
            // Since this request began, or for a hop of a redirect.
            self.meter.rested("refused");
            return Err(Error::ConnectionRefused);
        }
        let pass = self.breakers.backend(origin);
        let pass = pass.map_err(|_| Error::ConnectionRefused)?;
        let mut asked = Asked::new(&mut request);
        // Within the time of the whole, and in it first: a silent app is a
        // finding, no call that was broken off.
        let answer = match tokio::time::timeout_at(deadline, route.client.request(request)).await {
            Ok(answer) => {
                asked.answered = true;
                answer.map_err(|error| self.failure(&error))
            }
            Err(_) => Err(Error::HttpResponseTimeout),
        };
        let pass = verdict::of_head(pass, &answer);
        let response = answer?;
        let rest = self
            .rests
            .hear(origin, response.status(), response.headers());
        if let Some(rest) = rest
            && self.meter.rest()
        {
            let (vhost, status) = (self.meter.vhost(), response.status().as_u16());
            tracing::warn!(vhost, %origin, status, ?rest, "the app asks to be left alone for a while; told once a minute");
        }
        if header_bytes(response.headers()) > self.limits.response_header_bytes {
            self.meter.limit(Limit::HeaderBytes);
            return Err(Error::HttpResponseHeaderSectionSize(None));
        }
        Ok((response, pass))
    }

    fn deny(&self, denial: Denial) -> Error {
        if self.meter.denied(denial) {
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
        match Failed::of(error) {
            Failed::Denied => self.deny(Denial::Address),
            Failed::Header => {
                self.meter.limit(Limit::HeaderBytes);
                Error::HttpResponseHeaderSectionSize(None)
            }
            Failed::Other(error) => error,
        }
    }
}

/// A request that waits for its response. If it is given up, its connection is
/// asked no more: others would wait there for an app that is gone, until the
/// pings of HTTP/2 have told. (A connection of HTTP/1.1 ends with its request.)
struct Asked {
    connection: hyper_util::client::legacy::connect::CaptureConnection,
    answered: bool,
}

impl Asked {
    fn new(request: &mut Request<Full<Bytes>>) -> Self {
        Self {
            connection: capture_connection(request),
            answered: false,
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered
            && let Some(connected) = &*self.connection.connection_metadata()
        {
            connected.poison();
        }
    }
}

/// Names and values together.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}
