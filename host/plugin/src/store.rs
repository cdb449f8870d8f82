//! What one store holds and what it may use.
//!
//! A store is one instance of the plugin with its memory and its handles.
//! Worker stores serve many calls of `fetch`; a `handle`, or a `fetch` that is
//! tried again, has a store of its own.

use std::sync::Arc;

use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime::{ResourceLimiter, Store, Trap};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::generation::Shared;
use crate::kind::Unanswered;
use crate::limit::Limit;
use crate::load::Used;
use crate::outbound::{Asking, Gate};
use crate::refresh::{Refresher, UnderWay};
use crate::rest::Rest;
use crate::roster::PluginFault;
use crate::settings::Limits;
use crate::telemetry::Meter;
use crate::turn::{self, Turn, TurnExceeded};
use crate::worker::Ticket;

/// What a store is for. A `fetch` that could ask for a refresh could call
/// itself for ever, so only `handle` may.
pub(crate) enum Purpose {
    Fetch,
    /// For many users at once.
    Batch,
    /// With the one who answers what the request asks of the host.
    Handle(Arc<dyn Refresher>),
    /// A first call that must not leave the process.
    DryRun,
}

impl Purpose {
    /// Its name in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Purpose::Fetch => "fetch",
            Purpose::Batch => "batch",
            Purpose::Handle(_) => "handle",
            Purpose::DryRun => "self_test",
        }
    }
}

/// The host's data in a store.
pub(crate) struct StoreState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    gate: Gate,
    table: ResourceTable,
    pub(crate) config: Arc<[(String, String)]>,
    /// `None` in a store that may not ask for a refresh.
    pub(crate) refresher: Option<Arc<dyn Refresher>>,
    pub(crate) limits: Arc<Limits>,
    /// Until when the generation is left alone.
    pub(crate) rest: Arc<Rest>,
    /// Whether the guest has asked for a refresh.
    pub(crate) refreshed: bool,
    pub(crate) under_way: UnderWay,
    resources: Resources,
}

/// Headers that a guest makes, names and values and what they take in the
/// host's memory together. Those of responses from the app have a bound of their
/// own.
const GUEST_FIELDS_BYTES: usize = 16 << 10;

/// A new store, empty and within its limits, and the turn of its guest.
pub(crate) fn new(shared: &Shared, purpose: Purpose) -> (Store<StoreState>, Arc<Turn>) {
    let limits = &shared.limits;
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.handles);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(GUEST_FIELDS_BYTES);
    let state = StoreState {
        wasi: wasi(shared),
        http,
        gate: match purpose {
            Purpose::Fetch | Purpose::Handle(_) => {
                Gate::new(Arc::clone(&shared.outbound), limits.response_bytes)
            }
            Purpose::Batch => Gate::new(Arc::clone(&shared.outbound), limits.batch_bytes),
            Purpose::DryRun => Gate::shut(),
        },
        table,
        config: Arc::clone(&shared.config),
        refresher: match purpose {
            Purpose::Fetch | Purpose::Batch | Purpose::DryRun => None,
            Purpose::Handle(refresher) => Some(refresher),
        },
        limits: Arc::clone(limits),
        rest: Arc::clone(&shared.rest),
        refreshed: false,
        under_way: UnderWay::default(),
        resources: Resources {
            memory: 0,
            memory_left: limits.memory_bytes,
            table_left: limits.table_elements,
            refused: false,
            used: shared.meter.in_use().store(),
            meter: shared.meter.clone(),
        },
    };
    let mut store = Store::new(shared.engine.wasm(), state);
    store.limiter(|state| &mut state.resources);
    store.set_hostcall_fuel(limits.host_call_bytes);
    store.set_max_component_handles(limits.handles);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(limits.handles);
    }
    let in_use = Arc::clone(shared.meter.in_use());
    let turn = Turn::new(limits.turn, Arc::clone(&shared.computing), in_use);
    turn::limit(&mut store, Arc::clone(&turn));
    (store, turn)
}

/// No arguments, no environment, no inherited stream, no directory.
fn wasi(shared: &Shared) -> WasiCtx {
    WasiCtx::builder()
        .stdout(shared.log.stream("stdout"))
        .stderr(shared.log.stream("stderr"))
        .max_random_size(64 << 10)
        // What stubs of sockets, where they are, have behind them.
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

impl StoreState {
    /// Where what happens in the store is counted.
    pub(crate) fn meter(&self) -> &Meter {
        &self.resources.meter
    }

    /// A call begins, and so may ask the app.
    pub(crate) fn began(&mut self, ticket: Ticket, asking: Asking) {
        self.gate.began(ticket, asking);
    }

    /// It has its answer.
    pub(crate) fn ended(&mut self, ticket: Ticket) {
        self.gate.ended(ticket);
    }

    /// Whether the guest has asked anybody for anything, so that a call that
    /// failed has left traces.
    pub(crate) fn has_asked(&self) -> bool {
        self.refreshed || self.gate.was_used()
    }

    /// What an error of WebAssembly says about the plugin; counts the limit
    /// that it reached.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> PluginFault {
        let fault = match self.resources.refused {
            true => PluginFault::ResourceLimit,
            false => fault_of(error),
        };
        let limit = match fault {
            PluginFault::TurnLimit => Some(Limit::Turn),
            PluginFault::StackOverflow => Some(Limit::WasmStackBytes),
            _ => exhausted(error),
        };
        if let Some(limit) = limit {
            self.resources.meter.limit(limit);
        }
        fault
    }
}

fn fault_of(error: &wasmtime::Error) -> PluginFault {
    if error.is::<TurnExceeded>() {
        return PluginFault::TurnLimit;
    }
    if error.is::<Unanswered>() {
        return PluginFault::Unanswered;
    }
    if exhausted(error).is_some() {
        return PluginFault::ResourceLimit;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => PluginFault::StackOverflow,
        Some(Trap::Interrupt) => PluginFault::TurnLimit,
        _ => PluginFault::Trap,
    }
}

/// The bound of wasmtime's own that an error is about. Two of them have no
/// types to ask for, only words; the tests of the sandbox hold them.
fn exhausted(error: &wasmtime::Error) -> Option<Limit> {
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(Limit::Handles);
    }
    error.chain().find_map(|cause| {
        let words = cause.to_string();
        if words.contains("store handle limit exceeded") {
            Some(Limit::Handles)
        } else if words.contains("fuel allocated for hostcalls has been exhausted") {
            Some(Limit::HostCallBytes)
        } else {
            None
        }
    })
}

impl WasiView for StoreState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for StoreState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.gate,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// What is left of a store's memory and tables. Several memories or tables
/// share one bound.
struct Resources {
    memory: usize,
    memory_left: usize,
    table_left: usize,
    refused: bool,
    used: Used,
    meter: Meter,
}

impl Resources {
    fn take(left: &mut usize, current: usize, desired: usize) -> bool {
        match left.checked_sub(desired.saturating_sub(current)) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        }
    }

    fn granted(&mut self, granted: bool, limit: Limit) -> wasmtime::Result<bool> {
        if !granted {
            self.refused = true;
            self.meter.limit(limit);
        }
        Ok(granted)
    }
}

impl ResourceLimiter for Resources {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A growth beyond the memory's own maximum fails anyway.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let granted = Self::take(&mut self.memory_left, current, desired);
        if granted {
            self.used.grow(desired.saturating_sub(current));
            self.memory += desired.saturating_sub(current);
            self.meter.memory(self.memory);
        }
        self.granted(granted, Limit::MemoryBytes)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let granted = Self::take(&mut self.table_left, current, desired);
        self.granted(granted, Limit::TableElements)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_memories_share_one_bound() {
        let meter = Meter::new("example.test");
        let mut resources = Resources {
            memory: 0,
            memory_left: 100,
            table_left: 10,
            refused: false,
            used: meter.in_use().store(),
            meter: meter.clone(),
        };
        assert!(resources.memory_growing(0, 60, None).unwrap());
        assert!(!resources.memory_growing(0, 60, None).unwrap());
        assert!(resources.refused);
        assert!(resources.memory_growing(0, 40, None).unwrap());
        assert!(!resources.memory_growing(40, 41, None).unwrap());
        assert!(!resources.table_growing(0, 11, None).unwrap());
        assert!(resources.table_growing(0, 10, None).unwrap());
        assert_eq!(meter.load().memory_bytes, 100);
    }
}
