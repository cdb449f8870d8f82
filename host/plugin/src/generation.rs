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
use crate::linker;
use crate::outbound::Outbound;
use crate::refresh::Refresher;
use crate::settings::{Limits, Settings};
use crate::solo;
use crate::store::StoreState;
use crate::telemetry::Meter;
use crate::worker::Workers;

/// The exports of the contract, without the version of the WASI one: any 0.3
/// serves.
const EXPORTS: [&str; 2] = ["muster:roster/roster@0.1.0", "wasi:http/handler"];

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
    pub(crate) refresher: Arc<dyn Refresher>,
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
        check_preamble(component, limits.component_bytes)?;
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
            refresher: settings.refresher,
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

/// What can be said from the first eight bytes.
fn check_preamble(component: &[u8], limit: usize) -> Result<(), LoadError> {
    if component.is_empty() {
        return Err(LoadError::Empty);
    }
    if component.len() > limit {
        return Err(LoadError::TooLarge {
            bytes: component.len(),
            limit,
        });
    }
    // Magic, then version and layer: 1 and 0 for a core module, any and 1 for
    // a component (Component Model, Binary.md).
    match component {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm),
    }
}

/// Compiles the component and joins it to the linker. Imports are looked at
/// first: the name of what is refused is worth more than the linker's words.
fn prepare(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<PluginPre<StoreState>, LoadError> {
    let component = Component::from_binary(engine, bytes).map_err(LoadError::Compile)?;
    let kind = component.component_type();
    if let Some((name, _)) = kind.imports(engine).find(|(name, _)| !linker::grants(name)) {
        return Err(LoadError::DeniedImport {
            name: name.to_owned(),
        });
    }
    for wanted in EXPORTS {
        if !kind.exports(engine).any(|(name, _)| serves(name, wanted)) {
            return Err(LoadError::MissingExport { name: wanted });
        }
    }
    let linker = linker::build(engine).map_err(LoadError::MismatchedImport)?;
    let pre: InstancePre<_> = linker
        .instantiate_pre(&component)
        .map_err(LoadError::MismatchedImport)?;
    PluginPre::new(pre).map_err(LoadError::MismatchedExport)
}

/// Whether an export is the wanted one, in any version if none is wanted.
fn serves(export: &str, wanted: &str) -> bool {
    export == wanted || export.split('@').next() == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preamble_tells_what_a_file_is() {
        let module = b"\0asm\x01\0\0\0";
        let component = b"\0asm\x0d\0\x01\0";
        assert!(check_preamble(component, 8).is_ok());
        assert!(matches!(
            check_preamble(module, 8),
            Err(LoadError::CoreModule)
        ));
        assert!(matches!(check_preamble(b"", 8), Err(LoadError::Empty)));
        assert!(matches!(
            check_preamble(b"<html>", 8),
            Err(LoadError::NotWasm)
        ));
        assert!(matches!(
            check_preamble(b"\0asm", 8),
            Err(LoadError::NotWasm)
        ));
        assert!(matches!(
            check_preamble(component, 7),
            Err(LoadError::TooLarge { bytes: 8, limit: 7 })
        ));
    }

    #[test]
    fn an_export_is_wanted_with_or_without_its_version() {
        assert!(serves("wasi:http/handler@0.3.2", "wasi:http/handler"));
        assert!(serves(
            "muster:roster/roster@0.1.0",
            "muster:roster/roster@0.1.0"
        ));
        assert!(!serves(
            "muster:roster/roster@0.2.0",
            "muster:roster/roster@0.1.0"
        ));
        assert!(!serves(
            "wasi:http/incoming-handler@0.2.0",
            "wasi:http/handler"
        ));
    }
}
