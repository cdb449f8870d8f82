//! The kit for authors of plugins: what the commands `muster plugin test`,
//! `new`, `replay` and `bench` do, without the command line.
//!
//! A plugin runs here in the very sandbox of a server, within the same gate,
//! limits and client of HTTP; only the app at the other end of its requests
//! lives in this process ([`stage`]). [`fixture`] is what an author writes down
//! about that app and about what should come of it, [`run`] tries it, and
//! [`report`] tells.
//!
//! Owns no socket and no file but those that an author names. Does not own the
//! sandbox (`muster-plugin`) or what a roster is (`muster-xmpp`).

#![forbid(unsafe_code)]

pub mod bench;
pub mod fixture;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod scaffold;
pub mod shadow;
pub mod stage;
