//! The tables of the store's file, and the version of their format.
//!
//! Accounts are bare JIDs as text. A new table needs no new version: an older
//! program does not look at it, and it is made when the file is opened. A table
//! that changes its types or its meaning does need one. What a later change
//! keeps for a user belongs into a table of its own here, counted in
//! [`TOTAL_BYTES`] (or in a number of its own) and taken out by
//! [`Order::Forget`](super::order::Order::Forget).

use redb::TableDefinition;

/// The version of what the tables mean.
pub(super) const FORMAT: u64 = 1;

/// Single numbers, by the names below.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// In [`NUMBERS`]: the file's [`FORMAT`].
pub(super) const FORMAT_VERSION: &str = "format";
/// In [`NUMBERS`]: the id of the next message.
pub(super) const NEXT_MESSAGE: &str = "next-message";
/// In [`NUMBERS`]: bytes of everything that is kept for users, rosters aside.
pub(super) const TOTAL_BYTES: &str = "total-bytes";
/// In [`NUMBERS`]: bytes of the last known rosters.
pub(super) const ROSTERS_BYTES: &str = "rosters-bytes";

/// Accounts that have been available here at least once, and since when, in
/// seconds since 1970.
pub(super) const ACCOUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("accounts");

/// Messages that wait: account and id; the stanza as it is delivered. Ids grow,
/// so that the order of the table is the order of arrival.
pub(super) const MESSAGES: TableDefinition<'_, (&str, u64), &[u8]> =
    TableDefinition::new("messages");
/// Number and bytes of the messages that wait for an account.
pub(super) const WAITING: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("waiting");
/// As [`WAITING`], of messages that were *not* kept, for addresses of which
/// nothing tells that they are accounts: so they reach the same bounds, at the
/// same pace, as accounts do.
pub(super) const STRANGERS: TableDefinition<'_, &str, (u64, u64)> =
    TableDefinition::new("strangers");

/// vCards (XEP-0054), as XML.
pub(super) const VCARDS: TableDefinition<'_, &str, &str> = TableDefinition::new("vcards");
/// Private data (XEP-0049): account, namespace and name of the element; the
/// element as XML.
pub(super) const PRIVATE: TableDefinition<'_, (&str, &str, &str), &str> =
    TableDefinition::new("private");
/// Who blocks whom (XEP-0191): account, blocked JID.
pub(super) const BLOCKED: TableDefinition<'_, (&str, &str), ()> = TableDefinition::new("blocked");

/// Last known rosters: domain and localpart, so that those of a domain stand
/// together; when the app told or confirmed it, in seconds since 1970, and the
/// record, whose first byte is the version of its own format.
pub(super) const ROSTERS: TableDefinition<'_, (&str, &str), (u64, &[u8])> =
    TableDefinition::new("rosters");
/// The same in the order of that time: time, domain, localpart.
pub(super) const ROSTERS_BY_AGE: TableDefinition<'_, (u64, &str, &str), ()> =
    TableDefinition::new("rosters-by-age");
