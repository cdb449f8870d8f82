//! Last known rosters in the store: kept, confirmed, given up, taken out.

use super::*;

async fn roster(store: &Store, account: &str) -> Option<(u64, Vec<u8>)> {
    let read = store.roster(account, |seen, record| (seen, record.to_vec()));
    read.await.unwrap()
}

fn keep_roster(account: &str, seen: u64, record: &[u8]) -> RosterChange {
    RosterChange::Keep {
        account: account.into(),
        seen,
        record: record.to_vec(),
    }
}

async fn change(store: &Store, change: RosterChange) -> RosterTally {
    store.change_rosters(vec![change]).await.unwrap()
}

async fn rosters_bytes(store: &Store) -> u64 {
    let read = store.read(|transaction| {
        let numbers = transaction.open_table(tables::NUMBERS)?;
        Ok(numbers
            .get(tables::ROSTERS_BYTES)?
            .map_or(0, |it| it.value()))
    });
    read.await.unwrap()
}

#[tokio::test]
async fn a_roster_is_kept_across_a_restart_and_replaced_and_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(roster(&store, JOHN).await, None);
    let tally = change(&store, keep_roster(JOHN, 1, b"one")).await;
    assert_eq!(tally.kept, 1);
    change(&store, keep_roster(MARIE, 2, b"another's")).await;
    // An account without a localpart is one as well.
    change(&store, keep_roster("example.test", 2, b"of a domain")).await;
    store.close().await;

    let store = open(directory.path());
    assert_eq!(roster(&store, JOHN).await, Some((1, b"one".to_vec())));
    change(&store, keep_roster(JOHN, 3, b"two")).await;
    let seen = RosterChange::Seen {
        account: JOHN.into(),
        seen: 4,
    };
    change(&store, seen).await;
    assert_eq!(roster(&store, JOHN).await, Some((4, b"two".to_vec())));
    let forget = |account: &str| RosterChange::Forget {
        account: account.into(),
    };
    assert_eq!(change(&store, forget(JOHN)).await.forgotten, 1);
    assert_eq!(change(&store, forget(JOHN)).await.forgotten, 0);
    assert_eq!(roster(&store, JOHN).await, None);
    assert_eq!(
        roster(&store, MARIE).await,
        Some((2, b"another's".to_vec()))
    );
    // With everything else of the account, too.
    store.forget(MARIE).await.unwrap();
    assert_eq!(roster(&store, MARIE).await, None);
    change(&store, forget("example.test")).await;
    assert_eq!(rosters_bytes(&store).await, 0, "what goes is not counted");
}

#[tokio::test]
async fn the_oldest_make_room() {
    let directory = tempfile::tempdir().unwrap();
    let record = [7; 1_000];
    // Room for three of them, and not for four.
    let store = bounded(directory.path(), |limits| {
        limits.rosters_bytes = 3_500;
        limits.total_bytes = 1;
    });
    for (account, seen) in [("a@x", 5), ("b@x", 3), ("c@x", 4)] {
        assert_eq!(
            change(&store, keep_roster(account, seen, &record)).await,
            RosterTally {
                kept: 1,
                ..RosterTally::default()
            },
            "they have a bound of their own"
        );
    }
    // The oldest is confirmed, so that another one is the oldest.
    let seen = RosterChange::Seen {
        account: "b@x".into(),
        seen: 6,
    };
    change(&store, seen).await;
    let tally = change(&store, keep_roster("d@x", 7, &record)).await;
    assert_eq!((tally.kept, tally.evicted), (1, 1));
    assert_eq!(roster(&store, "c@x").await, None);
    for account in ["a@x", "b@x", "d@x"] {
        assert!(roster(&store, account).await.is_some(), "{account}");
    }
    assert!(rosters_bytes(&store).await <= 3_500);
    // One that cannot be kept takes the older one of its user along, which is
    // not the last known any more, and nobody else's.
    let tally = change(&store, keep_roster("a@x", 8, &[7; 4_000])).await;
    assert_eq!((tally.too_large, tally.evicted), (1, 0));
    assert_eq!(roster(&store, "a@x").await, None);
    assert!(roster(&store, "d@x").await.is_some());
}

#[tokio::test]
async fn rosters_of_other_domains_are_taken_out_in_steps() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let domains = ["a.test", "b.test", "b.test.example", "c.test"];
    for domain in domains {
        for user in 0..5 {
            let account = format!("u{user}@{domain}");
            change(&store, keep_roster(&account, user, b"record")).await;
        }
    }
    let stay: Arc<[Box<str>]> = ["b.test".into(), "z.test".into()].into();
    let mut steps = Vec::new();
    loop {
        let tally = store.prune_rosters(Arc::clone(&stay), 4).await.unwrap();
        steps.push(tally.forgotten);
        if tally.forgotten < 4 {
            break;
        }
    }
    assert_eq!(steps, [4, 4, 4, 3]);
    for domain in domains {
        let found = roster(&store, &format!("u0@{domain}")).await;
        assert_eq!(found.is_some(), domain == "b.test", "{domain}");
    }
    let nobody: Arc<[Box<str>]> = Arc::default();
    store.prune_rosters(nobody, 100).await.unwrap();
    assert_eq!(rosters_bytes(&store).await, 0);
}

/// A file that an earlier version of this program made has no rosters yet.
#[tokio::test]
async fn a_file_without_their_tables_gets_them() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).close().await;
    let database = redb::Database::open(directory.path().join("muster.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(tables::ROSTERS).unwrap());
    assert!(transaction.delete_table(tables::ROSTERS_BY_AGE).unwrap());
    transaction.commit().unwrap();
    drop(database);
    let store = open(directory.path());
    assert_eq!(roster(&store, JOHN).await, None);
    change(&store, keep_roster(JOHN, 1, b"one")).await;
    assert!(roster(&store, JOHN).await.is_some());
}

/// What the last known rosters needed once is given back by the next start.
#[tokio::test]
async fn a_file_of_air_is_compacted_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("muster.redb");
    let store = open(directory.path());
    let large = vec![7; 64 << 10];
    for user in 0..100 {
        change(&store, keep_roster(&format!("u{user}@x"), 1, &large)).await;
    }
    // Those that stay are where the file grew last.
    for user in 0..95 {
        let account = format!("u{user}@x").into();
        change(&store, RosterChange::Forget { account }).await;
    }
    store.close().await;
    let before = std::fs::metadata(&file).unwrap().len();
    let mut place = File::new(directory.path(), 1 << 20);
    place.compact_from = 1 << 20;
    let store = Store::with(Box::new(place), StorageLimits::default()).unwrap();
    let after = std::fs::metadata(&file).unwrap().len();
    assert!(after < before / 2, "{before} became {after}");
    assert_eq!(roster(&store, "u99@x").await, Some((1, large)));
    assert_eq!(roster(&store, "u0@x").await, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, the bytes are those of what there is, within the
    /// bound, and both tables agree.
    #[test]
    fn the_count_is_right(
        changes in proptest::collection::vec((0..3_u8, 0..6_u8, 0..9_u64, 0..400_usize), 1..40),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = bounded(directory.path(), |limits| limits.rosters_bytes = 1_000);
        runtime.block_on(async {
            for (kind, user, seen, length) in changes {
                let account = format!("u{user}@x");
                let one = match kind {
                    0 => RosterChange::Forget { account: account.into() },
                    1 => RosterChange::Seen { account: account.into(), seen },
                    _ => keep_roster(&account, seen, &vec![1; length]),
                };
                change(&store, one).await;
            }
            let (mut bytes, mut count) = (0, 0);
            for user in 0..6 {
                let account = format!("u{user}@x");
                if let Some((_, record)) = roster(&store, &account).await {
                    bytes += (record.len() + 2 * account.len() + 16) as u64;
                    count += 1;
                }
            }
            assert!(bytes <= 1_000);
            assert_eq!(rosters_bytes(&store).await, bytes);
            let by_age = store.read(|transaction| {
                use redb::ReadableTableMetadata as _;
                Ok(transaction.open_table(tables::ROSTERS_BY_AGE)?.len()?)
            });
            assert_eq!(by_age.await.unwrap(), count);
        });
    }
}
