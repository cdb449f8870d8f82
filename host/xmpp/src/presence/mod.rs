//! Who sees whose presence, as pure policy (RFC 6121 §4).
//!
//! Owns three decisions: what a client's presence stanza means ([`intent`]),
//! whom a roster lets see whom ([`audience`], [`sources`]), and what a change of
//! it asks for ([`Turn`]). Remembers where directed presence went
//! ([`Directed`]). Does not own sessions, the last presence of a resource or
//! its delivery. From the server's sessions to the server's sessions.
//!
//! The rule: A's presence reaches B while A's roster lists B with `from` or
//! `both` **and** B's roster lists A with `to` or `both`. The app states each
//! user's roster on its own, so the two may disagree; then nothing passes.

mod directed;
mod intent;
mod turn;

pub use directed::{Directed, MAX_DIRECTED, TooManyDirected};
pub use intent::{Availability, Intent, intent};
pub use turn::{Flow, Turn, audience, sources, turns};
