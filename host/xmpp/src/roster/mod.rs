//! Rosters as values: what a user's contacts are, and how two states differ.
//!
//! Owns the validation of what the app says ([`Contact`] → [`Snapshot`]), the
//! version of a roster, the difference of two snapshots and their XML
//! (RFC 6121 §2). Does not own where snapshots live, who fetches them or who
//! gets the pushes. From the server's rosters to the connections' mailboxes.

mod contact;
mod diff;
mod draft;
mod item;
mod sift;
mod snapshot;
mod xml;

pub use contact::{
    Contact, MAX_GROUP_BYTES, MAX_GROUPS_PER_ITEM, MAX_NAME_BYTES, Subscription, parse_jid,
};
pub use diff::{Change, ChangeCounts, diff};
pub use draft::Report;
pub use item::Item;
pub use sift::{LeftOut, Sifted, sift};
pub use snapshot::{RosterError, Snapshot};
pub use xml::{NAMESPACE, encode_push, encode_result};
