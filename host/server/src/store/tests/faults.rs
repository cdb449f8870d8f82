//! The store on a file that cannot be used: another's, a newer one, a damaged
//! one, on a full disk; and after a process that was killed.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, Database, StorageBackend, backends::FileBackend};

use super::*;

#[tokio::test]
async fn a_second_holder_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let second = Store::open(directory.path(), StorageLimits::default());
    assert!(matches!(second.err(), Some(OpenError::InUse { .. })));
    store.close().await;
    open(directory.path());
}

#[tokio::test]
async fn a_newer_format_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().await;
    let database = Database::open(directory.path().join("muster.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(tables::NUMBERS)
        .unwrap()
        .insert(tables::FORMAT_VERSION, tables::FORMAT + 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = Store::open(directory.path(), StorageLimits::default());
    let refused = refused.err().expect("it is refused");
    assert!(matches!(
        refused,
        OpenError::NewerFormat {
            found: 2,
            known: 1,
            ..
        }
    ));
    assert!(!refused.passes());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = Store::open(&file.join("data"), StorageLimits::default());
    let refused = refused.err().expect("it is refused");
    assert!(matches!(refused, OpenError::Unusable { .. }) && !refused.passes());
}

#[test]
fn what_it_makes_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    open(&directory);
    for (path, mode) in [
        (directory.clone(), 0o700),
        (directory.join("muster.redb"), 0o600),
    ] {
        let found = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{}", path.display());
    }
}

/// The server starts with it and does without; once the file is moved away, it
/// goes on by itself.
#[tokio::test]
async fn a_damaged_file_is_out_of_service_until_it_is_gone() {
    for garbage in [vec![b'x'; 100_000], b"redb\x1A\x0A\xA9\x0D\x0A".to_vec()] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("muster.redb");
        std::fs::write(&file, &garbage).unwrap();
        let store = open(directory.path());
        assert_eq!(keep(&store, JOHN, "1").await, Err(StoreError::Unavailable));
        assert_eq!(store.vcard(JOHN).await, Err(StoreError::Unavailable));
        assert_eq!(
            std::fs::read(&file).unwrap(),
            garbage,
            "it is left as it was"
        );
        std::fs::remove_file(&file).unwrap();
        in_service_again(&store).await;
        store.close().await;
    }
}

/// Asks until the store answers: nothing tells when its retry is due.
async fn in_service_again(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while keep(store, MARIE, "again").await.is_err() {
        assert!(Instant::now() < deadline, "the store stays out of service");
        store.tend();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A disk without room while `full` says so.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> Result<(), std::io::Error> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn try_lock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.room()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<(), std::io::Error> {
        self.file.close()
    }
}

/// A file on such a disk.
struct Flaky {
    path: std::path::PathBuf,
    full: Arc<AtomicBool>,
}

impl Place for Flaky {
    fn open(&self) -> Result<Database, OpenError> {
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&self.path);
        let disk = Disk {
            file: FileBackend::new(file.unwrap()).unwrap(),
            full: Arc::clone(&self.full),
        };
        let opened = Database::builder().create_with_backend(disk);
        opened.map_err(|fault| OpenError::Damaged {
            path: self.path.clone(),
            reason: fault.to_string(),
        })
    }

    /// So large that each commit notes what is in use.
    fn len(&self) -> Option<u64> {
        Some(u64::MAX)
    }
}

/// A store on a disk that has no room while the flag says so.
pub(in crate::store) fn on_a_disk(directory: &Path) -> (Store, Arc<AtomicBool>) {
    // Made in the ordinary way first.
    drop(redb_file(directory));
    let full = Arc::new(AtomicBool::new(false));
    let disk = Flaky {
        path: directory.join("muster.redb"),
        full: Arc::clone(&full),
    };
    let store = Store::with(Box::new(disk), StorageLimits::default()).unwrap();
    (store, full)
}

fn redb_file(directory: &Path) -> Database {
    File::new(directory, 1 << 20).open().unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (store, full) = on_a_disk(directory.path());
    keep(&store, JOHN, "before").await.unwrap();

    full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(
            keep(&store, JOHN, "lost").await,
            Err(StoreError::Unavailable)
        );
    }
    assert_eq!(store.vcard(JOHN).await, Err(StoreError::Unavailable));

    full.store(false, Ordering::SeqCst);
    in_service_again(&store).await;
    keep(&store, JOHN, "after").await.unwrap();
    assert_eq!(take(&store, JOHN).await, ["before", "after"]);
}

/// The other process of the next test: says each message once it is kept.
#[tokio::test]
#[ignore = "run by the_acknowledged_survive_a_kill in a process of its own"]
async fn keep_until_killed() {
    use std::io::Write as _;
    let directory = std::env::var_os("STORE_DIRECTORY").unwrap();
    let store = bounded(Path::new(&directory), |limits| {
        limits.offline_messages = usize::MAX;
    });
    let start = store.count(JOHN).await.unwrap();
    for number in start.. {
        keep(&store, JOHN, &number.to_string()).await.unwrap();
        // Not println, which the test harness keeps to itself.
        writeln!(std::io::stdout(), "kept {number}").unwrap();
    }
}

/// What was acknowledged before a SIGKILL is there afterwards, in order; at
/// most one message more, whose acknowledgement was on its way.
#[tokio::test]
async fn the_acknowledged_survive_a_kill() {
    use std::io::{BufRead as _, BufReader};
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=4_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::faults::keep_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("STORE_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        // Killed at different moments of its work.
        while said.len() < round * 20 {
            let line = lines.next().expect("the child goes on").unwrap();
            if let Some(number) = line
                .rsplit("kept ")
                .next()
                .and_then(|number| number.parse::<u64>().ok())
            {
                said.push(number);
            }
        }
        if round == 1 {
            let held = Store::open(directory.path(), StorageLimits::default());
            assert!(
                matches!(held.err(), Some(OpenError::InUse { .. })),
                "held by another process"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said.extend(
            lines
                .map_while(Result::ok)
                .filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok()),
        );

        let store = open(directory.path());
        let kept = store.count(JOHN).await.unwrap();
        let last = *said.last().unwrap();
        assert!(
            kept == last + 1 || kept == last + 2,
            "{kept} kept, {last} said"
        );
        store.close().await;
    }
    let store = open(directory.path());
    let all: Vec<u64> = take(&store, JOHN)
        .await
        .iter()
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
}
