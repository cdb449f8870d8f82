//! What can go wrong with the store, by who has to do something about it.

use std::path::PathBuf;

use muster_xmpp::error::{ErrorType, StanzaCondition, StanzaError};

/// Why the store's file cannot be opened. Reach: the process does not start, unless the fault
/// [passes](OpenError::passes).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be created, or the file in it not be opened.
    #[error("cannot use {} for storage; [storage] directory can name another place", path.display())]
    Unusable {
        /// The directory or the file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Another process has the file open.
    #[error("{} is in use by another process; each server needs a storage directory of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this program wrote the file.
    #[error("{} has format {found}, and this version reads formats up to {known}; use the later version that wrote it", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format that the file says it has.
        found: u64,
        /// The format that this program writes.
        known: u64,
    },
    /// The file is not a store, or was damaged.
    #[error("{} is damaged: {reason}; move it away to start with an empty one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The thread that writes cannot be started.
    #[error("no thread for the store can be started")]
    Thread(#[source] std::io::Error),
    /// There is no room on the disk.
    #[error("there is no room for {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl OpenError {
    /// Whether chat is better served without a store than not at all: a damaged file or a full
    /// disk can befall a server that was started long ago, and are mended while it runs. The
    /// others are mistakes of whoever starts it.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::DiskFull { .. })
    }

    /// A word for the metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => "unusable",
            Self::InUse { .. } => "in-use",
            Self::NewerFormat { .. } => "newer-format",
            Self::Damaged { .. } => "damaged",
            Self::Thread(_) => "thread",
            Self::DiskFull { .. } => "disk-full",
        }
    }
}

/// Why something was not read or not kept. Reach: one stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be used now; it is tried again by itself. The log has said why.
    #[error("the store is out of service")]
    Unavailable,
    /// The disk did not answer in time. What was to be written may still be.
    #[error("the store did not answer in time")]
    TimedOut,
    /// A bound of `[limits.storage]` for one user.
    #[error("{} would be exceeded", .0.key())]
    OverLimit(Bound),
}

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `vcard_bytes`
    VcardBytes,
    /// `private_bytes`
    PrivateBytes,
    /// `blocklist_entries`
    BlocklistEntries,
    /// `offline_messages` or `offline_bytes`
    Offline,
    /// `total_bytes`, of everybody.
    TotalBytes,
}

impl Bound {
    /// The key in `[limits.storage]`; also the label of the metric.
    pub const fn key(self) -> &'static str {
        match self {
            Self::VcardBytes => "vcard_bytes",
            Self::PrivateBytes => "private_bytes",
            Self::BlocklistEntries => "blocklist_entries",
            Self::Offline => "offline_messages",
            Self::TotalBytes => "total_bytes",
        }
    }
}

impl StoreError {
    /// What a client is told whose request failed by it (RFC 6120, section 8.3.3): `wait` for what
    /// passes, `modify` for what the client can make smaller.
    pub const fn stanza_error(self) -> StanzaError {
        match self {
            Self::Unavailable | Self::TimedOut | Self::OverLimit(Bound::TotalBytes) => {
                StanzaError::new(ErrorType::Wait, StanzaCondition::ResourceConstraint)
            }
            Self::OverLimit(Bound::Offline) => StanzaError::SERVICE_UNAVAILABLE,
            Self::OverLimit(bound) => {
                StanzaError::new(ErrorType::Modify, StanzaCondition::PolicyViolation).with_text(
                    match bound {
                        Bound::VcardBytes => "the vCard is too large",
                        Bound::PrivateBytes => "there is no room for more private data",
                        Bound::BlocklistEntries => "there is no room for more blocked addresses",
                        Bound::Offline | Bound::TotalBytes => "there is no room for it",
                    },
                )
            }
        }
    }
}
