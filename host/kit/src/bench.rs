//! What a call of a plugin costs: how long it takes, how much it computes, how
//! much memory its store has.
//!
//! The calls are a case of a fixture, one after the other, and each must come
//! to what is expected there: what fails fast is not fast. The app answers from
//! this process, so the CPU time is that of the sandbox, of the host's client
//! of HTTP and of a small server together; the same for every plugin.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_plugin::{CacheConfig, Candidate, Compiler, Engine, EngineConfig, Limits, LoadError};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::fixture::{Case, Deed, ExpectedFetch, Fixture};
use crate::report::milliseconds;
use crate::run::{Attempts, limits};

/// Calls before the first that counts.
const WARM_UP: usize = 20;
const CACHE_BYTES: usize = 1 << 30;

/// What is measured, and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// Who compiles.
    pub compiler: Compiler,
    /// A directory for machine code; what is there already is not compiled.
    pub cache: &'a Path,
    /// Where the app's answers come from.
    pub fixture: &'a Fixture,
    /// The case, by its name; without one the first fetch of a list.
    pub case: Option<&'a str>,
    /// Warm calls; a tenth of that are cold.
    pub calls: usize,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The component, in bytes.
    pub bytes: usize,
    /// The case.
    pub case: String,
    /// From the bytes to a plugin that serves, machine code made anew; `None`
    /// if there was some.
    pub compile: Option<Duration>,
    /// The same with machine code from the cache.
    pub load: Duration,
    /// Calls that each have a new store.
    pub cold: Series,
    /// Calls in a store that has served others.
    pub warm: Series,
    /// The largest linear memory of a store, all its memories together, in bytes.
    pub memory_bytes: usize,
}

/// Calls of one kind.
#[derive(Debug, Clone)]
pub struct Series {
    /// How many.
    pub calls: usize,
    /// The mean time of one.
    pub mean: Duration,
    /// Half of them took no longer.
    pub median: Duration,
    /// Of a hundred, ninety-nine took no longer.
    pub p99: Duration,
    /// CPU time of this process, a call.
    pub cpu: Duration,
}

/// Why there are no figures. Reach: the command.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The fixture has no such case.
    #[error("the fixture has no fetch of that name that expects a list")]
    NoCase,
    /// It cannot be loaded.
    #[error("the plugin is refused")]
    Load(#[from] LoadError),
    /// It does something else than its fixture says.
    #[error("case \"{case}\" does not pass: {difference}")]
    Failed {
        /// Which.
        case: String,
        /// What was otherwise.
        difference: String,
    },
}

/// Loads a plugin twice, once at least from the cache, and calls it often.
///
/// # Errors
/// [`BenchError`]; nothing is left running.
pub async fn measure(candidate: &Candidate, order: &Order<'_>) -> Result<Figures, BenchError> {
    let case = chosen(order).ok_or(BenchError::NoCase)?;
    let engine = Engine::new(&EngineConfig {
        compiler: order.compiler.clone(),
        cache: Some(CacheConfig {
            directory: order.cache.to_owned(),
            bytes: CACHE_BYTES,
        }),
        ..EngineConfig::default()
    });
    let engine = engine.map_err(LoadError::Engine)?;
    let fixture = order.fixture;
    let warm = Limits {
        calls_per_store: Limits::default().calls_per_store,
        ..limits(fixture.timeout)
    };
    let is_new = !engine.has_compiled(candidate);
    let started = Instant::now();
    let attempts = Attempts::load(&engine, candidate, fixture, warm.clone()).await?;
    let compile = is_new.then(|| started.elapsed());
    attempts.end().await;
    let started = Instant::now();
    let attempts = Attempts::load(&engine, candidate, fixture, warm).await?;
    let load = started.elapsed();
    series(&attempts, case, WARM_UP).await?;
    let warm = series(&attempts, case, order.calls.max(1)).await?;
    attempts.end().await;

    let attempts = Attempts::load(&engine, candidate, fixture, limits(fixture.timeout)).await?;
    let cold = series(&attempts, case, (order.calls / 10).max(1)).await?;
    let memory_bytes = attempts.largest_memory();
    attempts.end().await;
    Ok(Figures {
        bytes: candidate.bytes().len(),
        case: case.name.clone(),
        compile,
        load,
        cold,
        warm,
        memory_bytes,
    })
}

fn chosen<'a>(order: &'a Order<'_>) -> Option<&'a Case> {
    let mut cases = order.fixture.cases.iter();
    cases.find(|case| {
        let list = matches!(
            case.deed,
            Deed::Fetch {
                expect: ExpectedFetch::List(_),
                ..
            }
        );
        list && order.case.is_none_or(|name| case.name == name)
    })
}

async fn series(attempts: &Attempts<'_>, case: &Case, calls: usize) -> Result<Series, BenchError> {
    let before = cpu_time();
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let mut report = attempts.attempt(case).await;
        if let Some(difference) = report.differences.pop() {
            return Err(BenchError::Failed {
                case: report.name,
                difference,
            });
        }
        times.push(report.took);
    }
    let count = u32::try_from(calls).unwrap_or(u32::MAX);
    let cpu = cpu_time().saturating_sub(before) / count;
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100).copied();
    Ok(Series {
        calls,
        mean: times.iter().sum::<Duration>() / count,
        median: at(50).unwrap_or_default(),
        p99: at(99).unwrap_or_default(),
        cpu,
    })
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime)
        .try_into()
        .unwrap_or_default()
}

impl Figures {
    /// For programs.
    pub fn as_json(&self) -> serde_json::Value {
        json!({
            "bytes": self.bytes,
            "case": self.case,
            "compile_milliseconds": self.compile.map(milliseconds),
            "load_milliseconds": milliseconds(self.load),
            "memory_bytes": self.memory_bytes,
            "cold": self.cold.as_json(),
            "warm": self.warm.as_json(),
        })
    }

    /// For people: a name and a value in each line.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let time = |duration| format!("{:.2} ms", milliseconds(duration));
        vec![
            ("case", self.case.clone()),
            ("size", format!("{} bytes", self.bytes)),
            (
                "compiled in",
                self.compile
                    .map_or_else(|| "- (it was compiled before)".to_owned(), time),
            ),
            ("loaded from the cache in", time(self.load)),
            (
                "memory of a store",
                format!("{} KiB", self.memory_bytes >> 10),
            ),
            ("a cold call", self.cold.in_words()),
            ("a warm call", self.warm.in_words()),
        ]
    }
}

impl Series {
    /// Calls in a second, one after the other.
    fn a_second(&self) -> f64 {
        1.0 / self.mean.as_secs_f64().max(f64::EPSILON)
    }

    fn as_json(&self) -> serde_json::Value {
        json!({
            "calls": self.calls,
            "mean_milliseconds": milliseconds(self.mean),
            "median_milliseconds": milliseconds(self.median),
            "p99_milliseconds": milliseconds(self.p99),
            "cpu_milliseconds": milliseconds(self.cpu),
            "calls_per_second": self.a_second().round(),
        })
    }

    fn in_words(&self) -> String {
        format!(
            "{:.2} ms ({:.2} ms of CPU; median {:.2} ms, p99 {:.2} ms; {} calls, {:.0} a second)",
            milliseconds(self.mean),
            milliseconds(self.cpu),
            milliseconds(self.median),
            milliseconds(self.p99),
            self.calls,
            self.a_second()
        )
    }
}
