//! A kept roster as bytes: version, origin, validator, the version of the
//! contents, the contacts.
//!
//! Owns the format and its version. Reading trusts nothing: the contacts pass
//! the same door as those of the app, and what comes out must have the version
//! (RFC 6121, section 2.6: a hash of the contents) that was written beside it.
//! So what another version of this program or a damaged disk made of a record
//! is noticed, and never shown to anybody.

use std::sync::Arc;

use muster_xmpp::BareJid;
use muster_xmpp::roster::Snapshot;

use super::list::{self, Reader};
use super::{KeptRoster, Origin, Seen, Validator};

/// The first byte of every record.
pub(super) const VERSION: u8 = 1;

/// Longest validator that is kept, in bytes; the contract has the same bound.
const MAX_VALIDATOR_BYTES: usize = 1_024;

/// Why a record is not used. Reach: that user's fallback; the record is
/// dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Another version of this program wrote it.
    #[error("it has format {0}, and this version writes {VERSION}")]
    Version(u8),
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
    /// The contacts are no longer taken as they were: the operator allows
    /// fewer, or this program checks them otherwise.
    #[error("its contacts are no longer accepted")]
    Refused,
}

impl Unreadable {
    /// The value of the label in the metric.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
        }
    }
}

/// The bytes of `roster`; when it was seen is written beside them.
pub(crate) fn encode(roster: &KeptRoster) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + roster.snapshot.len() * 24);
    bytes.push(VERSION);
    match &roster.validator {
        Some(validator) if validator.text.len() <= MAX_VALIDATOR_BYTES => {
            bytes.push(1);
            bytes.extend_from_slice(&validator.origin.0);
            list::put_text(&mut bytes, &validator.text);
        }
        _ => bytes.push(0),
    }
    list::put_text(&mut bytes, roster.snapshot.ver());
    list::put(&mut bytes, &roster.snapshot);
    bytes
}

/// Reads what [`encode`] wrote for `owner`.
///
/// # Errors
/// [`Unreadable`].
pub(crate) fn decode(
    owner: &BareJid,
    seen: Seen,
    bytes: &[u8],
    max_contacts: usize,
) -> Result<KeptRoster, Unreadable> {
    let mut reader = Reader::new(bytes);
    match reader.byte().ok_or(Unreadable::Damaged)? {
        VERSION => {}
        other => return Err(Unreadable::Version(other)),
    }
    read(owner, seen, &mut reader, max_contacts).ok_or(Unreadable::Damaged)?
}

/// `None` if it is damaged.
fn read(
    owner: &BareJid,
    seen: Seen,
    reader: &mut Reader<'_>,
    max_contacts: usize,
) -> Option<Result<KeptRoster, Unreadable>> {
    let validator = match reader.byte()? {
        0 => None,
        1 => Some(Validator {
            origin: Origin(reader.take(8)?.try_into().ok()?),
            text: Arc::from(reader.text()?),
        }),
        _ => return None,
    };
    let ver = reader.text()?;
    let contacts = reader.contacts()?;
    if !reader.is_at_end() {
        return None;
    }
    let accepted = Snapshot::from_contacts(owner, contacts, max_contacts);
    Some(match accepted {
        Ok((snapshot, _)) if snapshot.ver() == ver => Ok(KeptRoster {
            snapshot: Arc::new(snapshot),
            validator,
            seen,
        }),
        Ok((_, report)) if report.dropped() == 0 && report.altered == 0 => return None,
        _ => Err(Unreadable::Refused),
    })
}
