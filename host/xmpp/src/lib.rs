//! The XMPP side without I/O: decoder, encoder, session machine, SASL, rosters, presence, routing.
//!
//! Nothing here opens a socket, reads a clock, draws randomness or spawns a
//! task: bytes, `now` and entropy are passed in, bytes and [`session::Action`]s
//! come out. The words are those of RFC 6120 and RFC 6121.
//!
//! The way of a byte: [`session::Session::receive`] → [`decoder`] (budgets in
//! the tokeniser) → [`stanza`] (types) → [`session`] (what this stream answers
//! by itself) → an action for the shell, which joins [`roster`], [`presence`]
//! [`routing`], [`carbons`], [`blocklist`] and [`offline`] (pure policy) and
//! writes with [`encode`].

#![forbid(unsafe_code)]

mod address;
pub mod blocklist;
pub mod bosh;
pub mod carbons;
pub mod datetime;
pub mod decoder;
pub mod encode;
pub mod error;
pub mod limits;
pub mod offline;
pub mod pace;
pub mod presence;
pub mod roster;
pub mod routing;
pub mod sasl;
pub mod session;
pub mod stanza;
pub mod websocket;

pub use jid;
pub use jid::{BareJid, DomainPart, DomainRef, FullJid, Jid, NodePart, ResourcePart};
