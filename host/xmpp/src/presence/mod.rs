//! Who sees whose presence, as pure policy (RFC 6121 §4).
//!
//! Owns three decisions: what a client's presence stanza means ([`intent`]),
//! between whom presence passes ([`Link`]), and what a change of either roster
//! asks for ([`Exchange`]). Remembers where directed presence went
//! ([`Directed`]). Does not own sessions, the last presence of a resource or
//! its delivery. From the server's sessions to the server's sessions.
//!
//! The rule: A's presence reaches B while A's roster lists B with `from` or
//! `both` **and** B's roster lists A with `to` or `both`. The app states each
//! user's roster on its own, so the two may disagree; then nothing passes.

mod directed;
mod intent;
mod link;

pub use directed::{Directed, MAX_DIRECTED, TooManyDirected};
pub use intent::{Availability, Intent, intent};
pub use link::{Exchange, Exchanges, Link, answer_probe, audience, exchanges, link, sources};
