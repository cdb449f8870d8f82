//! A call in a store of its own: `handle`, a `fetch` that is tried again, and
//! every call of a kind of plugin that takes one at a time.
//!
//! A fresh store costs about 100 µs and cannot harm another call. Deadlines
//! are safe here, because dropping the store ends everything in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;
use wasmtime::Store;

use crate::error::LoadError;
use crate::failure;
use crate::generation::Shared;
use crate::kind::{Answer, NoResponse, Question, Template};
use crate::limit::Limit;
use crate::refresh::Refresher;
use crate::reply;
use crate::roster::{HandleError, PluginFault};
use crate::store::{self, Purpose, StoreState};
use crate::turn::{Turn, metered};

/// An instance in a store of its own.
pub(crate) struct Instance<G> {
    pub(crate) store: Store<StoreState>,
    pub(crate) guest: G,
    pub(crate) turn: Arc<Turn>,
}

impl<G> Instance<G> {
    /// Instantiates the plugin.
    pub(crate) async fn new(
        shared: &Shared,
        purpose: Purpose,
        template: &impl Template<Guest = G>,
    ) -> wasmtime::Result<Self> {
        shared.meter.store(purpose.label());
        let (mut store, turn) = store::new(shared, purpose);
        let guest = metered(&turn, template.instantiate(&mut store)).await?;
        Ok(Self { store, guest, turn })
    }
}

/// Whether the component starts at all.
pub(crate) async fn try_instance(shared: &Shared) -> Result<(), LoadError> {
    let instance = Instance::new(shared, Purpose::DryRun, &shared.pre);
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
    let question = Question {
        username: username.to_owned(),
        known: known.map(str::to_owned),
    };
    ask(shared, purpose, question).await
}

/// The same without a bound of how many there are at once.
pub(crate) async fn ask(
    shared: &Shared,
    purpose: Purpose,
    question: Question,
) -> Result<Answer, PluginFault> {
    let instance = Instance::new(shared, purpose, &shared.pre).await;
    let mut instance = instance.map_err(|error| {
        failure::not_instantiated(&shared.meter, &error);
        PluginFault::Instantiate
    })?;
    let call = instance.guest.fetch(&mut instance.store, question);
    let result = metered(&instance.turn, call).await;
    result.map_err(|error| fault(shared, &instance, "fetch", &error))
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
    let purpose = Purpose::Handle(Arc::clone(&refresher));
    let instance = Instance::new(shared, purpose, &shared.pre).await;
    let mut instance = instance.map_err(|error| {
        failure::not_instantiated(&shared.meter, &error);
        HandleFailure {
            error: HandleError::Plugin(PluginFault::Instantiate),
            asked: false,
        }
    })?;
    let call = instance.guest.handle(&mut instance.store, request);
    let answered = metered(&instance.turn, call).await;
    let asked = instance.store.data().has_asked();
    let response = match answered {
        Ok(exchanged) => exchanged.map_err(|none| no_response(shared, &none)),
        Err(error) => Err(HandleError::Plugin(fault(
            shared, &instance, "handle", &error,
        ))),
    };
    let response = response.map_err(|error| HandleFailure { error, asked })?;
    // The memory goes before the host works for it.
    drop(instance);
    if let Some(wish) = shared.pre.wish(&response) {
        let granted = wish.grant(&*refresher, shared.limits.refresh_usernames);
        return granted
            .await
            .map_err(|error| HandleFailure { error, asked: true });
    }
    reply::accept(response).ok_or(HandleFailure {
        error: HandleError::Refused,
        asked,
    })
}

fn no_response(shared: &Shared, none: &NoResponse) -> HandleError {
    match none {
        NoResponse::Error(_) => HandleError::Refused,
        NoResponse::TooLarge => {
            shared.meter.limit(Limit::ResponseBytes);
            HandleError::TooLarge
        }
    }
}

/// The fault that a call of this export ended with, counted and told.
fn fault<G>(
    shared: &Shared,
    instance: &Instance<G>,
    export: &'static str,
    error: &wasmtime::Error,
) -> PluginFault {
    let fault = instance.store.data().fault(error);
    shared.meter.trap(fault);
    tracing::warn!(
        vhost = shared.meter.vhost(),
        fault = fault.label(),
        "the plugin failed in `{export}`: {}",
        failure::text(error)
    );
    fault
}
