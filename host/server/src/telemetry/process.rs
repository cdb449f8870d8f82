//! What is known of the process: its panics and lost lines, the metrics whose
//! names all Prometheus clients share, and which build it is.
//!
//! Panics and lines are counted where they happen. The others are read when
//! somebody asks. What a system does not tell is left out.

use std::fs;
use std::sync::OnceLock;
use std::time::SystemTime;

use muster_plugin::Metric;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::sampled::Samples;

const CPU: Metric = Metric::counter(
    "process_cpu_seconds_total",
    "CPU time of the process, in user and system together",
);
const RESIDENT: Metric = Metric::gauge(
    "process_resident_memory_bytes",
    "Memory of the process that is in RAM",
);
const VIRTUAL: Metric = Metric::gauge(
    "process_virtual_memory_bytes",
    "Address space of the process; each store of a plugin reserves 4 GiB of it",
);
const THREADS: Metric = Metric::gauge("process_threads", "Threads of the process");
const OPEN_FDS: Metric = Metric::gauge("process_open_fds", "File descriptors that are open");
const MAX_FDS: Metric = Metric::gauge("process_max_fds", "File descriptors that may be open");
const STARTED: Metric = Metric::gauge(
    "process_start_time_seconds",
    "When the process started, in seconds since 1970",
);
const BUILD: Metric = Metric::gauge(
    "muster_build_info",
    "Always 1; its labels tell which Muster this is, and the newest contract with \
         plugins that it knows",
)
.by(&["version", "contract"]);

const PANICS: Metric = Metric::counter(
    "muster_panics_total",
    "Panics, each of which ended one task; every one is a fault of Muster",
);
const LINES_LOST: Metric = Metric::counter(
    "muster_log_lines_lost_total",
    "Lines of the log that could not be written",
);

pub(super) const METRICS: &[Metric] = &[
    PANICS, LINES_LOST, CPU, RESIDENT, VIRTUAL, THREADS, OPEN_FDS, MAX_FDS, STARTED, BUILD,
];

/// When the server was first started in this process; the process began a
/// moment before.
static BEGAN: OnceLock<SystemTime> = OnceLock::new();

/// The process begins.
pub(super) fn begin() {
    BEGAN.get_or_init(SystemTime::now);
}

/// Adds what is known now.
pub(super) fn sample(samples: &mut Samples) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    samples.one(&CPU, cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    // Not all systems have it.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (metric, field, scale) in [
        (&RESIDENT, "VmRSS:", 1024.0),
        (&VIRTUAL, "VmSize:", 1024.0),
        (&THREADS, "Threads:", 1.0),
    ] {
        if let Some(value) = number(&status, field) {
            samples.one(metric, value * scale);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory itself is one of them while it is read.
        samples.one(&OPEN_FDS, open.count().saturating_sub(1) as f64);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        samples.one(&MAX_FDS, most as f64);
    }
    let began = BEGAN
        .get()
        .and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
    if let Some(began) = began {
        samples.one(&STARTED, began.as_secs_f64());
    }
    let contract = muster_plugin::CONTRACT;
    let build = [env!("CARGO_PKG_VERSION"), contract];
    samples.family(&BUILD, [(build.map(str::to_owned), 1.0)]);
}

/// The first number in the line of a field.
fn number(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_status_are_found() {
        let status = "Name:\tmuster\nVmSize:\t  123456 kB\nVmRSS:\t    2048 kB\nThreads:\t7\n";
        assert_eq!(number(status, "VmRSS:"), Some(2048.0));
        assert_eq!(number(status, "Threads:"), Some(7.0));
        assert_eq!(number(status, "VmSwap:"), None);
    }
}
