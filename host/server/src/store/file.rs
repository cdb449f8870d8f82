//! The file of the store: where it is, who may have it, whether it can be read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use redb::{Database, DatabaseError, ReadableDatabase as _, StorageError};

use super::error::OpenError;
use super::read;
use super::tables::{FORMAT, FORMAT_VERSION, NUMBERS};
use super::writer::Place;

const FILE_NAME: &str = "muster.redb";

/// Where the file is and how it is opened.
pub(super) struct File {
    directory: PathBuf,
    path: PathBuf,
    cache_bytes: usize,
    /// Whether the file was looked at for compaction: once in a process, since
    /// one that cannot be compacted is to be used as it is.
    looked_at: AtomicBool,
    /// A smaller file is not worth a compaction.
    pub(super) compact_from: u64,
}

/// A smaller file is not worth the time.
const COMPACT_FROM: u64 = 64 * 1024 * 1024;

/// What a compaction may have to move. It bounds the time that a start takes
/// for it, since redb cannot break one off: 64 MiB take about a second.
const COMPACT_AT_MOST: u64 = 64 * 1024 * 1024;

impl File {
    pub(super) fn new(directory: &Path, cache_bytes: usize) -> File {
        File {
            directory: directory.to_owned(),
            path: directory.join(FILE_NAME),
            cache_bytes,
            looked_at: AtomicBool::new(false),
            compact_from: COMPACT_FROM,
        }
    }
}

impl Place for File {
    /// Repairs what a process left that was killed in the midst of a commit.
    fn open(&self) -> Result<Database, OpenError> {
        self.prepare()?;
        // A damaged file is an error or a panic, as redb's documentation says.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = self.database()?;
            self.check_format(&database)?;
            self.with_less_air(database)
        }));
        opened.unwrap_or_else(|_| Err(self.damaged("it cannot be read to its end".to_owned())))
    }

    fn len(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|file| file.len())
    }
}

impl File {
    fn database(&self) -> Result<Database, OpenError> {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        builder
            .create(&self.path)
            .map_err(|error| self.fault(error))
    }

    /// Gives back the room of what is gone, if that is most of the file. redb
    /// needs the file for itself meanwhile, so it happens at the start only.
    fn with_less_air(&self, mut database: Database) -> Result<Database, OpenError> {
        let kept = read::kept_bytes(&database).unwrap_or_default();
        let (file, kept) = (self.len().unwrap_or_default(), kept.total + kept.rosters);
        if self.looked_at.swap(true, Ordering::Relaxed) || !self.is_mostly_air(file, kept) {
            return Ok(database);
        }
        let start = Instant::now();
        let compacted = database.compact();
        let (after, took) = (self.len().unwrap_or_default(), start.elapsed());
        match compacted {
            Ok(_) => {
                tracing::info!(before = file, after, ?took, "compacted the store's file");
                Ok(database)
            }
            Err(error) => {
                tracing::warn!(%error, "the store's file is not compacted, and used as it is");
                drop(database);
                self.database()
            }
        }
    }

    /// Whether a file of so many bytes, with so many bytes of users in it, is
    /// worth a compaction that does not take long.
    fn is_mostly_air(&self, file: u64, kept: u64) -> bool {
        file >= self.compact_from && kept <= COMPACT_AT_MOST && kept < file / 4
    }

    /// Creates the directory and the file, for this user only.
    fn prepare(&self) -> Result<(), OpenError> {
        let fault = |path: &Path, source: std::io::Error| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::DiskFull {
                path: path.to_owned(),
                source,
            },
            _ => OpenError::Unusable {
                path: path.to_owned(),
                source,
            },
        };
        let mut directory = DirBuilder::new();
        let created = directory
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        created.map_err(|source| fault(&self.directory, source))?;
        let mut file = OpenOptions::new();
        file.read(true).write(true).create(true).mode(0o600);
        file.open(&self.path)
            .map_err(|source| fault(&self.path, source))?;
        Ok(())
    }

    /// Writes the version into a new file; refuses one that is not known.
    fn check_format(&self, database: &Database) -> Result<(), OpenError> {
        let found = read_format(database).map_err(|error| self.damaged(error.to_string()))?;
        match found {
            Some(found) if found > FORMAT => Err(OpenError::NewerFormat {
                path: self.path.clone(),
                found,
                known: FORMAT,
            }),
            // A program that did not know all tables yet may have made it.
            Some(_) if has_all_tables(database).unwrap_or(false) => Ok(()),
            _ => write_format(database).map_err(|error| self.damaged(error.to_string())),
        }
    }

    fn fault(&self, error: DatabaseError) -> OpenError {
        let path = self.path.clone();
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
                OpenError::InUse { path }
            }
            DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    OpenError::DiskFull { path, source }
                }
                // What redb says of a file that is none of its own.
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                    self.damaged(source.to_string())
                }
                _ => OpenError::Unusable { path, source },
            },
            other => self.damaged(other.to_string()),
        }
    }

    fn damaged(&self, reason: String) -> OpenError {
        OpenError::Damaged {
            path: self.path.clone(),
            reason,
        }
    }
}

fn read_format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(NUMBERS) {
        Ok(numbers) => Ok(numbers.get(FORMAT_VERSION)?.map(|number| number.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How many tables [`write_format`] makes.
const TABLES: usize = 10;

fn has_all_tables(database: &Database) -> Result<bool, redb::Error> {
    Ok(database.begin_read()?.list_tables()?.count() >= TABLES)
}

/// Every table is made here once, so that reading never finds one missing.
fn write_format(database: &Database) -> Result<(), redb::Error> {
    use super::tables::{
        ACCOUNTS, BLOCKED, MESSAGES, PRIVATE, ROSTERS, ROSTERS_BY_AGE, STRANGERS, VCARDS, WAITING,
    };
    let transaction = database.begin_write()?;
    transaction
        .open_table(NUMBERS)?
        .insert(FORMAT_VERSION, FORMAT)?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(MESSAGES)?;
    transaction.open_table(WAITING)?;
    transaction.open_table(STRANGERS)?;
    transaction.open_table(VCARDS)?;
    transaction.open_table(PRIVATE)?;
    transaction.open_table(BLOCKED)?;
    transaction.open_table(ROSTERS)?;
    transaction.open_table(ROSTERS_BY_AGE)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_file_of_little_is_compacted() {
        const MIB: u64 = 1024 * 1024;
        for (file, kept, expected) in [
            (63 * MIB, 0, false),
            (64 * MIB, 0, true),
            (64 * MIB, 16 * MIB - 1, true),
            (64 * MIB, 16 * MIB, false),
            (1024 * MIB, 64 * MIB, true),
            (1024 * MIB, 65 * MIB, false),
        ] {
            let found = File::new(Path::new(""), 0).is_mostly_air(file, kept);
            assert_eq!(found, expected, "{file} {kept}");
        }
    }
}
