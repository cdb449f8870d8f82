//! What a plugin can make the host use: strings, handles and memory without
//! end, and the resident memory of the process meanwhile.

use std::process::Command;

use muster_plugin::{Candidate, FetchError, Fetched, Limits, Plugin, PluginFault};

use crate::counted;
use crate::host::{engine, prying, reaching};

const MEMORY: usize = 192 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn each_bound_has_its_name() {
    let vhost = "hunger.example.test";
    let mut settings = reaching(vhost, Vec::new());
    settings.limits = Limits {
        memory_bytes: MEMORY,
        turn: std::time::Duration::from_secs(2),
        ..settings.limits
    };
    let plugin = prying(settings).await;
    let table = [
        ("bulk 128", "limits.plugin.host_call_bytes"),
        ("bulk 256", "limits.plugin.memory_bytes"),
        ("handles", "limits.plugin.handles"),
    ];
    for (deed, limit) in table {
        let failed = plugin.fetch(deed, None).await;
        let fault = PluginFault::ResourceLimit;
        assert_eq!(failed, Err(FetchError::Plugin(fault)), "{deed}");
        // In the worker store, and once more alone; an allocator may ask twice.
        assert!(counted::limit(vhost, limit) >= 2, "{deed}");
        assert_eq!(plugin.fetch("nothing", None).await, Ok(Fetched::Unchanged));
    }
}

/// In a process of its own, because others would be measured as well.
#[test]
fn the_host_grows_by_what_a_store_may_have_and_little_more() {
    for test in ["hunger::alone", "hunger::alone_as_a_handler"] {
        measured_alone(test);
    }
}

fn measured_alone(test: &str) {
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&alone.stdout);
    assert!(
        alone.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&alone.stderr)
    );
    assert!(told.contains("1 passed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above"]
async fn alone() {
    let mut settings = reaching("alone.example.test", Vec::new());
    settings.limits = Limits {
        memory_bytes: MEMORY,
        turn: std::time::Duration::from_secs(2),
        ..settings.limits
    };
    let plugin = prying(settings).await;
    assert_eq!(plugin.fetch("nothing", None).await, Ok(Fetched::Unchanged));
    // Compiling needs more than any call; from here on the peak is a call's.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    for deed in ["bulk 128", "bulk 256", "handles"] {
        let failed = plugin.fetch(deed, None).await;
        let fault = PluginFault::ResourceLimit;
        assert_eq!(failed, Err(FetchError::Plugin(fault)), "{deed}");
    }
    peak_is_within(before, MEMORY);
    // And gives it back.
    let kept = status("VmRSS:").saturating_sub(before);
    assert!(kept <= MEMORY / 10, "kept {} KiB", kept >> 10);
}

/// Handles of plain HTTP handlers, and what is behind them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above"]
async fn alone_as_a_handler() {
    for component in [
        muster_test_plugins::handler_0_3(),
        muster_test_plugins::handler_0_2(),
    ] {
        let mut settings = reaching("alone.example.test", Vec::new());
        settings.limits.turn = std::time::Duration::from_secs(2);
        let memory = settings.limits.memory_bytes;
        let candidate = Candidate::builtin(component);
        let plugin = Plugin::load(engine(), candidate, settings).await.unwrap();
        assert!(plugin.fetch("honest", None).await.is_ok());
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = status("VmRSS:");
        for deed in ["hoard", "flood"] {
            let failed = plugin.fetch(deed, None).await;
            let fault = PluginFault::ResourceLimit;
            assert_eq!(failed, Err(FetchError::Plugin(fault)), "{deed}");
        }
        // What the allocator keeps of so many small pieces is for the next.
        peak_is_within(before, memory);
    }
}

fn peak_is_within(before: usize, memory: usize) {
    let grown = status("VmHWM:").saturating_sub(before);
    let most = memory + memory / 10;
    assert!(grown <= most, "grown by {} KiB", grown >> 10);
}

/// A size in `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<usize>();
    kibibytes.unwrap() << 10
}
