//! Components for tests: compiled once a process, handed out as bytes.
//!
//! Owns the nested cargo that compiles `tests/hostile`, `tests/prying` and the
//! two of `tests/handlers`, and `guest/spin` ([`build`]) and the ways to make other components out of any: with another digest ([`marked`]), or
//! misbehaving on every call ([`deed`]). What the hostile plugin does is its own
//! affair. Nothing here is part of the product.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails the test"
)]

use std::sync::OnceLock;

mod build;

/// How the text begins by which the hostile plugin knows what to do on every
/// call; see `tests/hostile/src/every_call.rs`, which has the same.
const MARKER: &[u8] = b"MUSTER-TEST-DEED>";
/// Room for a deed behind it; the rest is blank.
const DEED_BYTES: usize = 32;

/// Deeds for [`deed`], and what each call comes to.
pub const DEEDS: [&str; 12] = [
    // `fetch` answers one contact, `handle` refreshes whom it is told.
    "honest",
    // The same, but the app is asked first, and its status decides.
    "asks",
    // `fetch` traps, though not in the self-test; `handle` is honest.
    "trap",
    // It traps in the self-test.
    "trap-test",
    // `fetch` traps for users whose name ends with 3, computes without end for
    // those with 7, and says of others that the app cannot be reached.
    "some",
    // `fetch` says that the app's answer is malformed; `handle` is honest.
    "malformed",
    // `fetch` answers after 300 ms, the calls of a store one by one.
    "slow",
    // `fetch` never answers, though in the self-test; `handle` is honest.
    "never",
    // It does not answer in the self-test.
    "never-test",
    // `handle` traps; `fetch` is honest.
    "trap-handle",
    // The first instance traps when it starts, and every other.
    "trap-start",
    // It computes without end when it starts.
    "spin-start",
];

/// The hostile plugin: the username, or the path of a request, chooses what it
/// does (`tests/hostile`).
///
/// # Panics
/// If it does not compile; standard error says why.
pub fn hostile() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| build::component("muster-hostile"))
}

/// The plugin that reaches for files, sockets, other origins and secrets, and
/// so needs stubs of the first two (`tests/prying`).
///
/// # Panics
/// If it does not compile; standard error says why.
pub fn prying() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| build::component("muster-prying"))
}

/// A plain HTTP handler of WASI 0.2 (`tests/handlers`).
///
/// # Panics
/// If it does not compile; standard error says why.
pub fn handler_0_2() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| build::component("muster-handler-0-2"))
}

/// The same of WASI 0.3.
///
/// # Panics
/// If it does not compile; standard error says why.
pub fn handler_0_3() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| build::component("muster-handler-0-3"))
}

/// The built-in plugin as a component of the Spin SDK (`guest/spin`).
///
/// # Panics
/// If it does not compile; standard error says why.
pub fn spin() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| build::apart("guest/spin", "muster-guest-spin"))
}

/// The hostile plugin, doing one of [`DEEDS`] on every call, whoever is asked
/// for.
///
/// # Panics
/// If there is no such deed.
pub fn deed(deed: &str) -> Vec<u8> {
    assert!(DEEDS.contains(&deed), "no deed is called {deed}");
    let mut component = hostile().to_vec();
    let found: Vec<_> = component
        .windows(MARKER.len())
        .enumerate()
        .filter(|(_, window)| *window == MARKER)
        .map(|(at, _)| at + MARKER.len())
        .collect();
    let [at] = found[..] else {
        panic!("the marker is there {} times", found.len());
    };
    let room = component.get_mut(at..at + DEED_BYTES);
    let room = room.expect("the marker has its room");
    assert!(room.iter().all(|byte| *byte == b' '), "the room is blank");
    for (byte, letter) in room.iter_mut().zip(deed.bytes()) {
        *byte = letter;
    }
    component
}

/// The same component with another digest: a custom section more, which nobody
/// reads (Component Model, Binary.md).
pub fn marked(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"mark";
    let mut section = vec![4];
    section.extend(NAME);
    section.extend(number.to_le_bytes());
    let length = u8::try_from(section.len()).expect("a short section");
    [component, &[0, length], &section].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_component_is_longer_and_begins_the_same() {
        let (one, other) = (
            marked(b"\0asm\x0d\0\x01\0", 1),
            marked(b"\0asm\x0d\0\x01\0", 2),
        );
        assert_ne!(one, other);
        assert!(one.starts_with(b"\0asm\x0d\0\x01\0\0\x09\x04mark"));
    }

    #[test]
    fn every_deed_fits() {
        for name in DEEDS {
            assert!(name.len() <= DEED_BYTES, "{name}");
            let component = deed(name);
            assert_eq!(component.len(), hostile().len());
            assert_ne!(component, hostile(), "{name}");
        }
    }
}
