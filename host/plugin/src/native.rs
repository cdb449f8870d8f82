//! A fetch without a sandbox: what benches hold the sandbox against.
//!
//! Owns the host's part of a fetch and no more: the deadline, the gate with
//! its policy, caps and breaker, the pooled client, the body collected, and the
//! acceptance of what a parser made of it. Each of them is the code that a
//! plugin's fetch goes through; the server never comes here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use muster_plugin_bindings::v0_1::exports::muster::roster::roster as guest;
use muster_plugin_bindings::v0_1::muster::roster::types;
use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime_wasi_http::Error;

use crate::accept;
use crate::breaker::Breakers;
use crate::outbound::Outbound;
use crate::plugin::fetch_label;
use crate::roster::{FetchError, Fetched};
use crate::settings::{Limits, Settings};
use crate::telemetry::Meter;

/// The host's part of the fetches of one virtual host.
pub struct Native {
    outbound: Arc<Outbound>,
    limits: Arc<Limits>,
    meter: Meter,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Native")
    }
}

impl Native {
    /// With the gate and the limits that a plugin of these settings would have.
    ///
    /// # Errors
    /// TLS towards the app cannot be configured.
    pub fn new(settings: Settings) -> Result<Self, rustls::Error> {
        let limits = Arc::new(settings.limits.consistent());
        let meter = Meter::new(&settings.name);
        let origins = settings.egress.origins.iter();
        let origins: Vec<_> = origins.map(|allowed| allowed.origin.clone()).collect();
        let breakers = Arc::new(Breakers::new(&origins, &limits, &meter));
        let outbound = Outbound::new(
            settings.egress,
            settings.resolver,
            Arc::clone(&limits),
            breakers,
            meter.clone(),
        );
        Ok(Self {
            outbound: outbound?,
            limits,
            meter,
        })
    }

    /// Asks the app, hands the whole body to `parse` and accepts what comes of it.
    ///
    /// # Errors
    /// [`FetchError`], as a fetch through a plugin.
    pub async fn fetch(
        &self,
        uri: Uri,
        known: Option<HeaderValue>,
        parse: impl FnOnce(&[u8]) -> Result<types::ContactList, guest::FetchError>,
    ) -> Result<Fetched, FetchError> {
        let started = Instant::now();
        let span = tracing::debug_span!("call", op = "native");
        let call = self.answer(uri, known, parse).instrument(span);
        let result = match tokio::time::timeout_at(started + self.limits.call, call).await {
            Ok(answer) => accept::fetched(answer, &self.limits, &|limit| self.meter.limit(limit)),
            Err(_) => Err(FetchError::Timeout),
        };
        let took: Duration = started.elapsed();
        self.meter.call("native", fetch_label(&result), took);
        result
    }

    async fn answer(
        &self,
        uri: Uri,
        known: Option<HeaderValue>,
        parse: impl FnOnce(&[u8]) -> Result<types::ContactList, guest::FetchError>,
    ) -> Result<guest::Fetched, guest::FetchError> {
        let none = Empty::<Bytes>::new().map_err(|never| match never {});
        let mut request = Request::new(none.boxed_unsync());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(known) = known {
            headers.insert(header::IF_NONE_MATCH, known);
        }
        let bytes = self.outbound.response_bytes();
        let sent = self.outbound.send(request, bytes).await;
        let response = sent.map_err(unavailable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(types::Fetched::Unchanged),
            status => return Err(guest::FetchError::Status(status.as_u16())),
        }
        let body = response.into_body().collect().await.map_err(unavailable)?;
        parse(&body.to_bytes()).map(types::Fetched::Roster)
    }
}

fn unavailable(_: Error) -> guest::FetchError {
    guest::FetchError::Unavailable
}
