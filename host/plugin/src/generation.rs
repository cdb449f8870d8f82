//! One version of a plugin: compiled, checked, and with all its calls need.
//!
//! A call holds an `Arc<Generation>`; the last one that lets go closes the
//! queue, and the worker stores end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_plugin_bindings::v0_1::PluginPre;
use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre};

use crate::engine::Engine;
use crate::error::LoadError;
use crate::guest_log::GuestLog;
use crate::inspect::inspect;
use crate::linker;
use crate::outbound::Outbound;
use crate::settings::{Limits, Settings};
use crate::solo;
use crate::store::StoreState;
use crate::telemetry::Meter;
use crate::worker::Workers;

/// Numbers generations over the life of the process, for logs.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One version of a plugin.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Workers,
}

/// What every store of a generation is made from.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) pre: PluginPre<StoreState>,
    pub(crate) config: Arc<[(String, String)]>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) log: Arc<GuestLog>,
    pub(crate) meter: Meter,
    /// Stores that one call has for itself.
    pub(crate) retry_slots: Semaphore,
    pub(crate) handle_slots: Semaphore,
}

impl Generation {
    /// Compiles and checks a component, tries a first instance and starts the
    /// worker stores.
    pub(crate) async fn load(
        engine: &Engine,
        component: &[u8],
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let limits = Arc::new(settings.limits.consistent());
        inspect(component, limits.component_bytes)?.accept()?;
        let bytes = component.to_vec();
        let wasm = engine.wasm().clone();
        // Compiling takes about half a second of CPU.
        let pre = tokio::task::spawn_blocking(move || prepare(&wasm, &bytes))
            .await
            .map_err(|panic| LoadError::Compile(wasmtime::Error::new(panic)))??;

        let meter = Meter::new(&settings.name);
        let outbound = Outbound::new(settings.egress, Arc::clone(&limits), meter.clone())
            .map_err(LoadError::Tls)?;
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            pre,
            config: settings.config.into(),
            outbound,
            log: GuestLog::new(&settings.name),
            meter,
            retry_slots: Semaphore::new(limits.retry_calls),
            handle_slots: Semaphore::new(limits.handle_calls),
            limits,
        });
        solo::try_instance(&shared).await?;
        Ok(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            workers: Workers::start(&shared),
            shared,
        })
    }
}

/// Compiles the component and joins it to the linker, which checks the types
/// of imports and exports.
fn prepare(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<PluginPre<StoreState>, LoadError> {
    let component = Component::from_binary(engine, bytes).map_err(LoadError::Compile)?;
    let linker = linker::build(engine).map_err(LoadError::MismatchedImport)?;
    let pre: InstancePre<_> = linker
        .instantiate_pre(&component)
        .map_err(LoadError::MismatchedImport)?;
    PluginPre::new(pre).map_err(LoadError::MismatchedExport)
}
