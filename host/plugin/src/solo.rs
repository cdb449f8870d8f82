//! A call in a store of its own: `handle`, and a `fetch` that is tried again.
//!
//! A fresh store costs about 100 µs and cannot harm another call. Deadlines
//! are safe here, because dropping the store ends everything in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use muster_plugin_bindings::v0_1::Plugin as Guest;
use muster_plugin_bindings::v0_1::exports::muster::roster::roster as guest;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p3::{Request as GuestRequest, bindings::http::types::ErrorCode};

use crate::error::LoadError;
use crate::failure;
use crate::generation::Shared;
use crate::limit::Limit;
use crate::refresh::Refresher;
use crate::reply;
use crate::roster::{HandleError, PluginFault};
use crate::store::{self, Purpose, StoreState};
use crate::turn::{Turn, metered};

/// What the guest returned to a `fetch`, not yet accepted.
pub(crate) type Answer = Result<guest::Fetched, guest::FetchError>;

/// An instance in a store of its own.
pub(crate) struct Instance {
    pub(crate) store: Store<StoreState>,
    pub(crate) guest: Guest,
    pub(crate) turn: Arc<Turn>,
}

impl Instance {
    /// Instantiates the plugin.
    pub(crate) async fn new(shared: &Shared, purpose: Purpose) -> wasmtime::Result<Self> {
        shared.meter.store(purpose.label());
        let (mut store, turn) = store::new(shared, purpose);
        let guest = metered(&turn, shared.pre.instantiate_async(&mut store)).await?;
        Ok(Self { store, guest, turn })
    }
}

/// Whether the component starts at all.
pub(crate) async fn try_instance(shared: &Shared) -> Result<(), LoadError> {
    let instance = Instance::new(shared, Purpose::DryRun);
    match tokio::time::timeout(shared.limits.call, instance).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(LoadError::Instantiate(error)),
        Err(_) => Err(LoadError::SlowStart),
    }
}

/// One `fetch`, alone. The caller bounds it in time.
pub(crate) async fn fetch(
    shared: &Shared,
    purpose: Purpose,
    username: &str,
    known: Option<&str>,
) -> Result<Answer, PluginFault> {
    let _slot = match shared.retry_slots.try_acquire() {
        Ok(slot) => slot,
        Err(_) => {
            shared.meter.limit(Limit::RetryCalls);
            let slot = shared.retry_slots.acquire().await;
            slot.map_err(|_| PluginFault::Stopped)?
        }
    };
    let mut instance = Instance::new(shared, purpose).await.map_err(|error| {
        failure::not_instantiated(&shared.meter, &error);
        PluginFault::Instantiate
    })?;
    let roster = instance.guest.muster_roster_roster();
    let (username, known) = (username.to_owned(), known.map(str::to_owned));
    let call = instance
        .store
        .run_concurrent(async |accessor| roster.call_fetch(accessor, username, known).await);
    let result = metered(&instance.turn, call).await.flatten();
    result.map_err(|error| {
        let fault = instance.store.data().fault(&error);
        shared.meter.trap(fault);
        fault
    })
}

/// One HTTP request for the plugin.
#[derive(Clone)]
pub(crate) struct Errand {
    pub(crate) limit: Duration,
    pub(crate) request: Request<Bytes>,
    /// Answers what the plugin asks of the host for it.
    pub(crate) refresher: Arc<dyn Refresher>,
}

/// Why an HTTP request got no answer, and whether the guest had asked anybody
/// for anything by then: a refresh, or an HTTP request of its own.
pub(crate) struct HandleFailure {
    pub(crate) error: HandleError,
    pub(crate) asked: bool,
}

/// One HTTP request, alone and within its limit.
pub(crate) async fn handle(
    shared: &Shared,
    errand: Errand,
) -> Result<Response<Bytes>, HandleFailure> {
    let limit = errand.limit;
    let _slot = shared.handle_slots.try_acquire().map_err(|_| {
        shared.meter.limit(Limit::HandleCalls);
        HandleFailure {
            error: HandleError::Overloaded,
            asked: false,
        }
    })?;
    let deadline = Instant::now() + limit;
    tokio::time::timeout_at(deadline, answer(shared, errand))
        .await
        .unwrap_or_else(|_| {
            shared.meter.trap(PluginFault::Stuck);
            shared.meter.limit(Limit::HandleTimeout);
            // Nobody is left who could tell.
            Err(HandleFailure {
                error: HandleError::Timeout(limit),
                asked: true,
            })
        })
}

async fn answer(shared: &Shared, errand: Errand) -> Result<Response<Bytes>, HandleFailure> {
    let Errand {
        request, refresher, ..
    } = errand;
    let mut instance = Instance::new(shared, Purpose::Handle(refresher))
        .await
        .map_err(|error| {
            failure::not_instantiated(&shared.meter, &error);
            HandleFailure {
                error: HandleError::Plugin(PluginFault::Instantiate),
                asked: false,
            }
        })?;
    let guest = &instance.guest;
    let limit = shared.limits.response_bytes;
    let call = instance
        .store
        .run_concurrent(async |accessor| exchange(accessor, guest, request, limit).await);
    let answered = metered(&instance.turn, call).await.flatten();
    let asked = instance.store.data().has_asked();
    match answered {
        Ok(answer) => answer.map_err(|error| {
            if matches!(error, HandleError::TooLarge) {
                shared.meter.limit(Limit::ResponseBytes);
            }
            HandleFailure { error, asked }
        }),
        Err(error) => {
            let fault = instance.store.data().fault(&error);
            shared.meter.trap(fault);
            tracing::warn!(
                vhost = shared.meter.vhost(),
                fault = fault.label(),
                "the plugin failed in `handle`: {}",
                failure::text(&error)
            );
            let error = HandleError::Plugin(fault);
            Err(HandleFailure { error, asked })
        }
    }
}

/// Hands the request in, and reads the response as long as it comes: the
/// guest writes its body while the event loop of its store turns.
async fn exchange(
    accessor: &Accessor<StoreState>,
    guest: &Guest,
    request: Request<Bytes>,
    limit: usize,
) -> wasmtime::Result<Result<Response<Bytes>, HandleError>> {
    let (resource, sent) = accessor.with(|mut access| {
        let view = access.get().http();
        let (request, sent) = GuestRequest::from_http(view.hooks, request.map(Full::new));
        let sent: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(sent);
        wasmtime::error::Ok((view.table.push(request)?, sent))
    })?;
    let handled: Result<_, ErrorCode> = guest
        .wasi_http_handler()
        .call_handle(accessor, resource)
        .await?;
    let Ok(response) = handled else {
        return Ok(Err(HandleError::Refused));
    };
    let response = accessor.with(|mut access| {
        let response = access.get().http().table.delete(response)?;
        response.into_http(access, sent)
    })?;
    let (mut parts, body) = response.into_parts();
    if !reply::accept(&mut parts) {
        return Ok(Err(HandleError::Refused));
    }
    Ok(match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(HandleError::TooLarge),
        Err(_) => Err(HandleError::Refused),
    })
}
