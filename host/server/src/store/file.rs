//! The file of the store: where it is, who may have it, whether it can be read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase as _, StorageError};

use super::error::OpenError;
use super::tables::{FORMAT, FORMAT_VERSION, NUMBERS};
use super::writer::Place;

const FILE_NAME: &str = "muster.redb";

/// Where the file is and how it is opened.
pub(super) struct File {
    directory: PathBuf,
    path: PathBuf,
    cache_bytes: usize,
}

impl File {
    pub(super) fn new(directory: &Path, cache_bytes: usize) -> File {
        File {
            directory: directory.to_owned(),
            path: directory.join(FILE_NAME),
            cache_bytes,
        }
    }
}

impl Place for File {
    /// Repairs what a process left that was killed in the midst of a commit.
    fn open(&self) -> Result<Database, OpenError> {
        self.prepare()?;
        // A damaged file is an error or a panic, as redb's documentation says.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder()
                .set_cache_size(self.cache_bytes)
                .create(&self.path)
                .map_err(|error| self.fault(error))?;
            self.check_format(&database)?;
            Ok(database)
        }));
        opened.unwrap_or_else(|_| Err(self.damaged("it cannot be read to its end".to_owned())))
    }

    fn len(&self) -> Option<u64> {
        std::fs::metadata(&self.path).ok().map(|file| file.len())
    }
}

impl File {
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
            Some(_) => Ok(()),
            None => write_format(database).map_err(|error| self.damaged(error.to_string())),
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

/// Every table is made here once, so that reading never finds one missing.
fn write_format(database: &Database) -> Result<(), redb::Error> {
    use super::tables::{ACCOUNTS, BLOCKED, MESSAGES, PRIVATE, STRANGERS, VCARDS, WAITING};
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
    transaction.commit()?;
    Ok(())
}
