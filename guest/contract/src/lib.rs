//! The agreement with the app in JSON and URLs: pure, no I/O, no WebAssembly.
//!
//! Owns what goes over the wire between a plugin and an app that speaks the
//! protocol of Prosody's `mod_http_roster_admin`: where a user's contacts are
//! asked for ([`UrlTemplate`]), what the answer means ([`parse_roster`], for many
//! users at once [`parse_many`]), what the app may post ([`route`],
//! [`parse_refresh`]) or hand in by itself ([`parse_rosters`]) and what it gets
//! back ([`Summary`]). Does not own requests, bodies, limits of time or anything
//! about XMPP: of addresses it knows when two are one, for the sake of the rule
//! that the last of equal keys counts. Used by the component, by the host and by
//! benches.
#![forbid(unsafe_code)]

mod document;
mod many;
mod refresh;
mod roster;
mod rosters;
mod route;
mod summary;
mod text;
mod url;

pub use document::{Found, Unreadable};
pub use many::{ManyError, Told, ask_for_many, parse_many};
pub use refresh::{DEFAULT_MAX_NAMES, RefreshBodyError, parse_refresh};
pub use roster::{
    Contact, DEFAULT_MAX_CONTACTS, DocumentError, ParsedRoster, Subscription, parse_roster,
};
pub use rosters::{HandedIn, RostersError, parse_rosters};
pub use route::{Refusal, Route, decode_username, is_json, route};
pub use summary::{Reason, Summary, error_body};
pub use url::{RosterUrl, Scheme, TemplateError, UrlError, UrlTemplate, UsernameError, roster_url};
