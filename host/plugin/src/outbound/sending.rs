//! One request of the guest on its way: the tries that it takes, and what the
//! guest and those who listen get of the answer.
//!
//! Owns when a second try is made ([`again`] says whether it is worth it); the
//! exchange with the app, hop by hop, is [`Outbound`]'s.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant as Deadline;
use wasmtime_wasi_http::{Error, WasiBody};

use super::again::{self, Reason};
use super::response::{CappedBody, Kept};
use super::route::Route;
use super::{Outbound, Template, failure};
use crate::egress::Admitted;
use crate::limit::Limit;
use crate::rest::lot;

/// A document that is announced as no longer than this is read whole before
/// the guest hears of the response: it is woken once, and reads once.
const SHORT_BYTES: u64 = 64 << 10;

/// One request of the guest on its way, with a second try if the first was in
/// vain.
pub(super) struct Sending<'a> {
    outbound: &'a Outbound,
    response_bytes: usize,
    deadline: Deadline,
    attempts: u32,
}

impl<'a> Sending<'a> {
    /// A request that ends at the `deadline`, with an answer of so many bytes.
    pub(super) fn new(outbound: &'a Outbound, response_bytes: usize, deadline: Deadline) -> Self {
        Self {
            outbound,
            response_bytes,
            deadline,
            attempts: 0,
        }
    }

    /// Whether anything was sent.
    pub(super) fn has_tried(&self) -> bool {
        self.attempts > 0
    }

    pub(super) async fn send(
        &mut self,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, Error> {
        let outbound = self.outbound;
        // One policy from the first hop of the first try to the last.
        let route = outbound.route.load_full();
        let admitted = route.policy.admit(request.method(), request.uri());
        let admitted = admitted.map_err(|denial| outbound.deny(denial))?;
        let origin = &admitted.allowed.origin;
        outbound.rested(origin, self.deadline).await?;
        let slot = Arc::new(outbound.slot().await?);
        let template = outbound.template(request).await?;
        let answer = self.tries(&route, &template, &admitted, &slot).await?;
        self.overheard(template, answer).await
    }

    /// The first try, and the second if that was in vain.
    async fn tries(
        &mut self,
        route: &Route,
        template: &Template,
        admitted: &Admitted<'_>,
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Response<WasiBody>, Error> {
        let (outbound, origin) = (self.outbound, &admitted.allowed.origin);
        outbound.retries.request();
        let first = self.attempt(route, template, admitted, slot).await;
        let reason = match &first {
            Ok(answer) => Reason::of_head(&template.method, answer.status(), answer.headers()),
            Err(error) => Reason::of_error(&template.method, error),
        };
        let admits = outbound.breakers.is_closed(origin) && outbound.rests.left(origin).is_none();
        match reason.filter(|_| admits) {
            Some(reason) => {
                let time = self.deadline.saturating_duration_since(Deadline::now());
                let Some(pause) = again::pause(reason, time, lot()) else {
                    return first;
                };
                if !outbound.retries.take() {
                    outbound.meter.limit(Limit::RetryShare);
                    return first;
                }
                drop(first);
                tokio::time::sleep(pause).await;
                outbound.meter.request_retried(reason.label());
                self.attempt(route, template, admitted, slot).await
            }
            None => first,
        }
    }

    /// A try. A short answer is read whole, so that one that breaks off is a
    /// failure here.
    async fn attempt(
        &mut self,
        route: &Route,
        template: &Template,
        admitted: &Admitted<'_>,
        slot: &Arc<OwnedSemaphorePermit>,
    ) -> Result<Response<WasiBody>, Error> {
        let started = Instant::now();
        self.attempts += 1;
        let Outbound { meter, .. } = self.outbound;
        let exchange = self
            .outbound
            .exchange(route, template, admitted, self.deadline);
        let head = exchange.await;
        let outcome = failure::outcome(head.as_ref().map(|(response, _)| response.status()));
        meter.request(outcome, started.elapsed());
        let (response, pass) = head?;
        tracing::debug!(status = response.status().as_u16(), "the app answered");
        let kept = Kept {
            meter: meter.clone(),
            _slot: Arc::clone(slot),
            pass,
        };
        let (parts, body) = response.into_parts();
        let short = parts.status == StatusCode::OK
            && body.size_hint().upper().is_some_and(|n| n <= SHORT_BYTES);
        let body = CappedBody::new(body, self.response_bytes, self.deadline, kept);
        if !short {
            return Ok(Response::from_parts(parts, body.boxed_unsync()));
        }
        let whole = Full::new(body.collect().await?.to_bytes());
        let whole = whole.map_err(|never| match never {});
        Ok(Response::from_parts(parts, whole.boxed_unsync()))
    }

    /// Lets those who listen hear of the answer that the guest gets.
    async fn overheard(
        &self,
        template: Template,
        answer: Response<WasiBody>,
    ) -> Result<Response<WasiBody>, Error> {
        let Some(taps) = self.outbound.taps.get() else {
            return Ok(answer);
        };
        let (parts, body) = answer.into_parts();
        let whole = body.collect().await?.to_bytes();
        let asked = template.into_request();
        for tap in taps.iter() {
            let answer = Response::from_parts(parts.clone(), whole.clone());
            tap.answered(asked.clone(), answer);
        }
        let whole = Full::new(whole).map_err(|never| match never {});
        Ok(Response::from_parts(parts, whole.boxed_unsync()))
    }
}

impl Template {
    /// The guest's request again, as far as it was its business.
    fn into_request(self) -> Request<Bytes> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}
