//! Row 60: what a plugin makes the host keep.

use super::arena::Arena;

/// Of one store, by the configuration's default.
const MEMORY_BYTES: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_that_is_the_hosts() {
    let arena = Arena::with_whole_turns().await;
    the_hosts_memory_grows_by_a_stores_and_no_more(&arena).await;
    what_a_dead_store_had_is_given_back(&arena).await;
    arena.close().await;
}

async fn the_hosts_memory_grows_by_a_stores_and_no_more(arena: &Arena) {
    // What every later call finds there.
    for deed in ["trap", "grow", "handles"] {
        let _ = arena.roster(&format!("{deed}.first")).await;
        arena.post(deed, "").await;
    }
    for deed in [
        "grow",
        "recurse",
        "handles",
        "tasks",
        "hoard-fields",
        "quotes",
        "markup",
    ] {
        arena.process.forget_peak();
        let before = arena.process.memory("VmRSS");
        let _ = arena.roster(deed).await;
        let peak = arena.process.memory("VmHWM").saturating_sub(before);
        // The store, and a tenth.
        assert!(peak <= MEMORY_BYTES / 10 * 11, "{deed}: {} KiB", peak >> 10);
    }
    for deed in [
        "grow",
        "crowd",
        "million",
        "long-name",
        "big",
        "hoard-fields",
        "many-headers",
    ] {
        arena.process.forget_peak();
        let before = arena.process.memory("VmRSS");
        arena.post(deed, "").await;
        let peak = arena.process.memory("VmHWM").saturating_sub(before);
        assert!(peak <= MEMORY_BYTES / 10 * 11, "{deed}: {} KiB", peak >> 10);
    }
}

/// Again and again: nothing is left behind.
async fn what_a_dead_store_had_is_given_back(arena: &Arena) {
    let round = async || {
        for deed in ["grow", "handles", "hoard-fields", "recurse"] {
            arena.post(deed, "").await;
        }
    };
    for _ in 0..3 {
        round().await;
    }
    let before = arena.process.memory("VmRSS");
    for _ in 0..10 {
        round().await;
    }
    let after = arena.process.memory("VmRSS");
    assert!(after < before + (32 << 20), "{before}, then {after}");
}
