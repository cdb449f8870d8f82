//! `[limits.plugin]`: what the sandboxed plugin may cost.
//!
//! Owns the keys, their bounds and the rules between them. `[virtual_host.plugin.limits]` has the
//! same keys for one host; what it leaves out is as `[limits.plugin]` says.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::breaker_limits::BreakerLimits;
use super::fault::{Place, Problem};
use super::limits::{KIB, Limits, MIB};
use super::quantity::{Size, Written};
use super::reader::Section;
use super::refresh::RefreshLimits;
use super::shadow_limits::ShadowLimits;

/// What the sandboxed plugin may cost; per virtual host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Bytes of the component. Default 64 MiB.
    pub component_bytes: usize,
    /// Linear memory of one store. Default 64 MiB.
    pub memory_bytes: usize,
    /// Elements of all tables of one store. Default 100,000.
    pub table_elements: usize,
    /// Live handles of one store: requests, bodies, streams, futures, … Default 2,000.
    pub handles: usize,
    /// Bytes that one call from the plugin into the host, or its answer to one, may carry.
    /// Default 8 MiB.
    pub host_call_bytes: usize,
    /// Time that a plugin may compute without waiting for anything. At least 10 ms. Default
    /// 100 ms.
    pub turn: Duration,
    /// Answering one request under `/roster_admin/`, everything included. Default 60 s.
    pub handle_timeout: Duration,
    /// Stores that answer `fetch`. Default (no key): one a processor.
    pub workers: Option<NonZeroUsize>,
    /// Calls that run at the same time in one store. Default 64.
    pub concurrent_calls: usize,
    /// Calls of `fetch` at the same time of a plugin that takes one a store. Default 32.
    pub lone_calls: usize,
    /// Calls of `fetch` that wait for a store. Default 10,000.
    pub waiting_calls: usize,
    /// Calls after which a store is replaced by a fresh one. Default 10,000.
    pub calls_per_store: usize,
    /// Calls of `fetch` that are made again at the same time after a trap, each in a store of its
    /// own. Default 8.
    pub retry_calls: usize,
    /// Requests under `/roster_admin/` at the same time, each in a store of its own. Default 32.
    pub handle_calls: usize,
    /// Compiling a component. Default 60 s.
    pub compile_timeout: Duration,
    /// Memory of the process that compiles. Default 1 GiB.
    pub compile_memory_bytes: usize,
    /// Compiled components that are kept in `storage.directory`, of all virtual hosts: one host
    /// has no key for it. Default 256 MiB.
    pub cache_bytes: usize,
    /// How often the file of a plugin is looked at. Default 2 s; what was changed is in use after
    /// the second look that sees it.
    pub poll: Duration,
    /// How long the calls of a replaced build may go on. Default 10 s.
    pub drain: Duration,
    /// How long a replaced build stands by. Default 60 s.
    pub probation: Duration,
    /// Fetches after which it does so no longer, if there are so many by then. Default 100.
    pub probation_calls: usize,
    /// Answers that it did better, after which it takes over again. Default 3.
    pub probation_regressions: usize,
    /// What the plugin may write to the log in a second. Default 64 KiB.
    pub log_bytes_per_second: usize,
    /// Bytes of one line of it. Default 8 KiB.
    pub log_line_bytes: usize,
    /// Bytes of what is kept where `virtual_host.plugin.record` says so, and for a shadow of each:
    /// fetches that wait for it, answers that it may need, what it found. Default 16 MiB.
    pub record_bytes: usize,
    /// `[limits.plugin.breaker]`: when a plugin that fails is left alone; for each of its exports.
    pub breaker: BreakerLimits,
    /// `[limits.plugin.shadow]`: another build beside the one that serves.
    pub shadow: ShadowLimits,
}

/// What a WebAssembly component with 32-bit addresses can use at most.
const WASM32_BYTES: usize = 4096 * MIB;
/// How often a computing guest is looked at: no turn is shorter.
const SHORTEST_TURN: Duration = Duration::from_millis(10);

impl PluginLimits {
    /// `[limits.plugin]`, beside `[limits.refresh]`; `requests` is where that has its key, if it has.
    pub(super) fn read_of_all(
        section: &mut Section<'_>,
        base: &Self,
        (refresh, requests): (&RefreshLimits, Option<Place>),
    ) -> Self {
        let limits = Self::read(section, base);
        let requests = requests.filter(|_| !section.has("handle_calls"));
        limits.check_handle_calls(section, refresh, requests);
        limits
    }

    /// `[virtual_host.plugin.limits]` over that.
    pub(super) fn read_of_host(section: &mut Section<'_>, base: &Limits) -> Self {
        let limits = Self::read(section, &base.plugin);
        // What is inherited has been told where it is written.
        if section.has("handle_calls") {
            limits.check_handle_calls(section, &base.refresh, None);
        }
        limits
    }

    /// The queue of requests is before the plugin, and whatever has left it finds a store: there is
    /// no second queue. A lack is told at `requests`, or else at `handle_calls`.
    fn check_handle_calls(
        &self,
        section: &Section<'_>,
        refresh: &RefreshLimits,
        requests: Option<Place>,
    ) {
        let running_jobs = refresh.running_jobs;
        let needed = refresh.requests.saturating_add(running_jobs);
        if self.handle_calls >= needed {
            return;
        }
        match requests {
            Some(place) => {
                let handle_calls = self.handle_calls;
                let problem = Problem::ManyRequests {
                    running_jobs,
                    handle_calls,
                };
                section.error(&place, problem);
            }
            None => {
                let problem = Problem::FewHandleCalls {
                    needed,
                    requests: refresh.requests,
                    running_jobs,
                };
                section.error(&section.place("handle_calls"), problem);
            }
        }
    }

    /// What the section says, and what `base` says of the keys that it leaves out.
    fn read(section: &mut Section<'_>, base: &Self) -> Self {
        let memory = Size(base.memory_bytes);
        let mut size = |key, base| section.value(key, Size(base)).0;
        let component_bytes = size("component_bytes", base.component_bytes);
        let host_call_bytes = size("host_call_bytes", base.host_call_bytes);
        let compile_memory_bytes = size("compile_memory_bytes", base.compile_memory_bytes);
        let log_bytes_per_second = size("log_bytes_per_second", base.log_bytes_per_second);
        let log_line_bytes = size("log_line_bytes", base.log_line_bytes);
        let record_bytes = size("record_bytes", base.record_bytes);
        let limits = Self {
            component_bytes,
            memory_bytes: section
                .at_most("memory_bytes", memory, Size(WASM32_BYTES))
                .0,
            table_elements: section.value("table_elements", base.table_elements),
            handles: section.value("handles", base.handles),
            host_call_bytes,
            turn: section
                .at_least("turn", Written(base.turn), Written(SHORTEST_TURN))
                .0,
            handle_timeout: section.value("handle_timeout", base.handle_timeout),
            workers: section.optional("workers").or(base.workers),
            concurrent_calls: section.value("concurrent_calls", base.concurrent_calls),
            lone_calls: section.value("lone_calls", base.lone_calls),
            waiting_calls: section.value("waiting_calls", base.waiting_calls),
            calls_per_store: section.value("calls_per_store", base.calls_per_store),
            retry_calls: section.value("retry_calls", base.retry_calls),
            handle_calls: section.value("handle_calls", base.handle_calls),
            compile_timeout: section.value("compile_timeout", base.compile_timeout),
            compile_memory_bytes,
            cache_bytes: base.cache_bytes,
            poll: section.value("poll", base.poll),
            drain: section.value("drain", base.drain),
            probation: section.value("probation", base.probation),
            probation_calls: section.value("probation_calls", base.probation_calls),
            probation_regressions: section
                .value("probation_regressions", base.probation_regressions),
            log_bytes_per_second,
            log_line_bytes,
            record_bytes,
            breaker: section.section("breaker", |it| BreakerLimits::read(it, base.breaker)),
            shadow: section.section("shadow", |it| ShadowLimits::read(it, base.shadow)),
        };
        // What is inherited has been told where it is written.
        if section.is_there() {
            section.ordered(
                ("log_line_bytes", Size(limits.log_line_bytes)),
                ("log_bytes_per_second", Size(limits.log_bytes_per_second)),
                "no whole line could be logged",
            );
        }
        limits
    }
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            component_bytes: 64 * MIB,
            memory_bytes: 64 * MIB,
            table_elements: 100_000,
            handles: 2_000,
            host_call_bytes: 8 * MIB,
            turn: Duration::from_millis(100),
            handle_timeout: Duration::from_secs(60),
            workers: None,
            concurrent_calls: 64,
            lone_calls: 32,
            waiting_calls: 10_000,
            calls_per_store: 10_000,
            retry_calls: 8,
            handle_calls: 32,
            compile_timeout: Duration::from_secs(60),
            compile_memory_bytes: 1024 * MIB,
            cache_bytes: 256 * MIB,
            poll: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            probation: Duration::from_secs(60),
            probation_calls: 100,
            probation_regressions: 3,
            log_bytes_per_second: 64 * KIB,
            log_line_bytes: 8 * KIB,
            record_bytes: 16 * MIB,
            breaker: BreakerLimits::default(),
            shadow: ShadowLimits::default(),
        }
    }
}
