//! The keeper on a disk that fails, with records that it cannot read, at its
//! bound.

use std::time::Instant;

use muster_xmpp::roster::{Contact, Snapshot};

use super::*;
use crate::store::testing::on_a_disk;

fn account(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@example.test")).unwrap()
}

fn roster(owner: &BareJid, contact: &str) -> KeptRoster {
    let contact = Contact {
        jid: format!("{contact}@example.test"),
        ..Contact::default()
    };
    let (snapshot, _) = Snapshot::from_contacts(owner, vec![contact], 10).unwrap();
    KeptRoster {
        snapshot: Arc::new(snapshot),
        validator: None,
        seen: Seen(1),
    }
}

async fn contact_of(keeper: &Keeper, account: &BareJid) -> Option<String> {
    let kept = keeper.last_known(account, 10).await?;
    kept.snapshot.iter().next().map(|it| it.jid().to_owned())
}

#[tokio::test]
async fn a_full_disk_costs_nobody_anything_and_is_written_to_later() {
    let directory = tempfile::tempdir().unwrap();
    let (store, full) = on_a_disk(directory.path());
    let keeper = Keeper::new(store.clone(), 10);
    let john = account("john");
    keeper.keep(&john, roster(&john, "marie"));
    keeper.flush().await.unwrap();

    full.store(true, Ordering::SeqCst);
    assert!(keeper.keep(&john, roster(&john, "aaron")));
    assert!(keeper.flush().await.is_err());
    // It waits, and is the last known one all the same.
    assert_eq!(
        contact_of(&keeper, &john).await.as_deref(),
        Some("aaron@example.test")
    );
    // What is newer is not undone by what could not be written.
    keeper.keep(&john, roster(&john, "zoe"));
    assert!(keeper.flush().await.is_err());
    full.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(20);
    while keeper.flush().await.is_err() {
        assert!(Instant::now() < deadline, "the store stays out of service");
        store.tend();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let another = Keeper::new(store, 10);
    assert_eq!(
        contact_of(&another, &john).await.as_deref(),
        Some("zoe@example.test")
    );
}

#[tokio::test]
async fn a_record_of_another_version_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = on_a_disk(directory.path());
    let keeper = Keeper::new(store.clone(), 10);
    let (john, marie) = (account("john"), account("marie"));
    for account in [&john, &marie] {
        let mut record = kept::encode(&roster(account, "zoe"));
        record[0] += 1;
        let change = RosterChange::Keep {
            account: account.as_str().into(),
            seen: 1,
            record,
        };
        store.change_rosters(vec![change]).await.unwrap();
        assert_eq!(contact_of(&keeper, account).await, None);
    }
    keeper.flush().await.unwrap();
    let there = store.roster(john.as_str(), |_, _| ()).await.unwrap();
    assert_eq!(there, None, "the record is gone");
}

#[test]
fn the_newest_change_counts_and_there_is_a_bound() {
    let (john, marie) = (account("john"), account("marie"));
    let mut waiting = Waiting::default();
    let keep = |owner: &BareJid, contact| Change::Keep(Arc::new(roster(owner, contact)));
    assert!(waiting.add(john.as_str(), keep(&john, "a"), 1));
    assert!(!waiting.add(marie.as_str(), keep(&marie, "a"), 1));
    assert!(
        waiting.add(john.as_str(), keep(&john, "b"), 1),
        "in its place"
    );
    // Confirmed before it was written.
    assert!(waiting.add(john.as_str(), Change::Seen(Seen(9)), 1));
    let batch = waiting.take();
    assert!(
        matches!(&*batch, [(_, Change::Keep(kept))] if kept.seen == Seen(9)
            && kept.snapshot == roster(&john, "b").snapshot),
        "{batch:?}"
    );
    // Confirmed while it is being written: its contents are there to be seen.
    waiting.add(john.as_str(), Change::Seen(Seen(10)), 1);
    assert!(matches!(
        waiting.newest(john.as_str()),
        Some(Change::Keep(_))
    ));
    waiting.add(john.as_str(), Change::Forget, 1);
    assert!(matches!(
        waiting.newest(john.as_str()),
        Some(Change::Forget)
    ));
    // The write was given up, and nobody knows what became of it.
    let again = waiting.take();
    assert!(matches!(&*again, [(_, Change::Forget)]), "{again:?}");
}
