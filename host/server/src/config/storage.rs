//! `[storage]` and `[limits.storage]`: where the server keeps what has to outlive it, and how much
//! of it.
//!
//! Owns the names and defaults of the keys. That the directory can be used shows when the server
//! starts, not here: a check of a configuration creates nothing.

use std::path::{Path, PathBuf};

use super::quantity::Size;
use super::reader::Section;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// `[storage]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Where the store's file is, taken from the directory of the configuration file. Default
    /// `data`. Created, for the server's user only, when the server starts.
    pub directory: PathBuf,
}

impl Storage {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let directory = section.optional::<PathBuf>("directory");
        let directory = directory.as_deref().unwrap_or(Path::new("data"));
        Self {
            directory: section.resolve(directory),
        }
    }
}

/// `[limits.storage]`: what is kept at most. What exceeds a bound is refused with an error to who
/// sent it; nothing that is kept is lost for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Messages kept for one user who is offline. Default 500.
    pub offline_messages: usize,
    /// Bytes of the messages kept for one user who is offline. Default 4 MiB.
    pub offline_bytes: usize,
    /// Bytes of one user's vCard (XEP-0054). Default 256 KiB.
    pub vcard_bytes: usize,
    /// Bytes of one user's private data (XEP-0049), in all. Default 256 KiB.
    pub private_bytes: usize,
    /// Addresses that one user blocks (XEP-0191). Default 1,000.
    pub blocklist_entries: usize,
    /// Bytes of all that is kept for all users, rosters aside. Default 4 GiB. The file is larger by what the
    /// tables need around it.
    pub total_bytes: usize,
    /// Bytes of the last known rosters of all users, beside `total_bytes`. Default 1 GiB. Those
    /// that the app told or confirmed longest ago make room.
    pub rosters_bytes: usize,
    /// Rosters that wait to be written. Default 10,000; more are not kept this time.
    pub rosters_waiting: usize,
    /// Bytes of the file that are kept in memory. Default 16 MiB.
    pub cache_bytes: usize,
}

impl StorageLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut size = |key, default| section.value(key, Size(default)).0;
        let (offline_bytes, vcard_bytes) = (
            size("offline_bytes", default.offline_bytes),
            size("vcard_bytes", default.vcard_bytes),
        );
        let (private_bytes, total_bytes, rosters_bytes, cache_bytes) = (
            size("private_bytes", default.private_bytes),
            size("total_bytes", default.total_bytes),
            size("rosters_bytes", default.rosters_bytes),
            size("cache_bytes", default.cache_bytes),
        );
        Self {
            offline_messages: section.value("offline_messages", default.offline_messages),
            offline_bytes,
            vcard_bytes,
            private_bytes,
            blocklist_entries: section.value("blocklist_entries", default.blocklist_entries),
            total_bytes,
            rosters_bytes,
            rosters_waiting: section.value("rosters_waiting", default.rosters_waiting),
            cache_bytes,
        }
    }
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            offline_messages: 500,
            offline_bytes: 4 * MIB,
            vcard_bytes: 256 * KIB,
            private_bytes: 256 * KIB,
            blocklist_entries: 1_000,
            total_bytes: 4 * 1024 * MIB,
            rosters_bytes: 1024 * MIB,
            rosters_waiting: 10_000,
            cache_bytes: 16 * MIB,
        }
    }
}
