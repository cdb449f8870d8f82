//! Connections that break at random, again and again.

use super::*;

/// What must arrive, each once and in order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arrived {
    to_john: Vec<String>,
    pushes: Vec<String>,
    push_ids: Vec<String>,
    to_marie: Vec<String>,
}

impl Arrived {
    fn note(&mut self, element: &Element) {
        let id = element.attr("id").unwrap_or_default().to_owned();
        if is_push(element) {
            let query = element.get_child("query", ns::ROSTER).expect("a query");
            let item = query.children().next().expect("an item");
            self.pushes
                .push(item.attr("name").unwrap_or_default().to_owned());
            assert!(!self.push_ids.contains(&id), "{id} names two pushes");
            self.push_ids.push(id);
        } else if is_message(element) {
            self.to_john.push(id);
        }
    }
}

/// The connection of one user breaks again and again, in the midst of messages
/// both ways, of roster pushes and of resumptions. Nothing is lost, nothing
/// comes twice, nothing is overtaken, and each resumption takes less than a
/// second.
///
/// `MUSTER_CUTS` says how often, `MUSTER_SEED` how:
/// `MUSTER_CUTS=1000 cargo test --test it over_random_cuts`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stanza_is_lost_or_doubled_over_random_cuts() {
    let cuts = from_environment("MUSTER_CUTS", 300);
    let seed = from_environment("MUSTER_SEED", 0x5EED);
    let mut dice = Dice::new(seed);
    let stage = Stage::own(
        "[limits.xmpp]\nconnects_per_minute = 1000000\n\
         [limits.xmpp.after_auth]\nstanzas_per_second = 100000\nbytes_per_second = '16MiB'\n\
         [limits.http]\nconnects_per_minute = 1000000",
    )
    .await;
    stage.contacts("john", json!({"aaron": {"name": "0"}}));
    let wire = Wire::to(stage.xmpp()).await;
    let mut marie = stage.bound("marie").await;
    let mut john = managed(&stage, "john").await;
    let (bare, jid, marie_jid) = (
        stage.jid("john"),
        john.jid().to_owned(),
        marie.jid().to_owned(),
    );
    let (mut expected, mut arrived) = (Arrived::default(), Arrived::default());
    let (mut slowest, mut broken) = (Duration::ZERO, 0);
    let mut breaks = wire.broken();

    for cut in 0..cuts {
        for _ in 0..dice.below(4) {
            let id = format!("m{}", expected.to_john.len());
            let to = [&bare, &jid][dice.index(2)];
            marie.send(message(to, &id)).await;
            expected.to_john.push(id);
        }
        for _ in 0..dice.below(4) {
            let id = format!("j{}", expected.to_marie.len());
            john.say(message(&marie_jid, &id)).await;
            expected.to_marie.push(id);
        }
        if dice.below(4) == 0 {
            let name = (cut + 1).to_string();
            stage.contacts("john", json!({"aaron": {"name": name}}));
            stage.refreshed(&["john"]).await;
            expected.pushes.push(name);
        }
        for _ in 0..dice.below(12) {
            tokio::select! {
                heard = john.hear() => if heard.is_err() { break },
                // Half of an element may have arrived, or nothing.
                () = tokio::time::sleep(Duration::from_millis(1)) => break,
            }
        }
        // Now and then the host does not notice for a while.
        let half_open = if dice.below(4) == 0 {
            john.abandon()
        } else {
            None
        };
        john.vanish();
        for element in marie.settle().await {
            arrived
                .to_marie
                .push(element.attr("id").unwrap_or_default().to_owned());
        }
        // The next connection breaks somewhere, perhaps before it is of use.
        wire.next(Fate {
            up: dice.index(2000),
            down: dice.index(4000),
            end: [End::Cut, End::Dead][dice.index(2)],
        });
        let mut address = wire.address();
        loop {
            let begin = Instant::now();
            breaks.mark_unchanged();
            let resumed = tokio::select! {
                resumed = john.try_resume(address) => resumed.is_ok(),
                _ = breaks.changed() => false,
            };
            if resumed {
                slowest = slowest.max(begin.elapsed());
                break;
            }
            broken += 1;
            address = stage.xmpp();
        }
        drop(half_open);
        for element in john.got() {
            arrived.note(&element);
        }
    }
    // What is left comes over a connection that holds.
    john.vanish();
    john.resume(stage.xmpp()).await;
    marie.send(message(&jid, "the end")).await;
    loop {
        let last = john.expect("anything", |_| true).await;
        if last.attr("id") == Some("the end") {
            break;
        }
        arrived.note(&last);
    }
    john.say(message(&marie_jid, "the end")).await;
    marie
        .expect("the end", |it| it.attr("id") == Some("the end"))
        .await;
    for element in marie.pending() {
        arrived
            .to_marie
            .push(element.attr("id").unwrap_or_default().to_owned());
    }
    expected.push_ids.clone_from(&arrived.push_ids);
    assert_eq!(arrived, expected, "seed {seed}");
    assert!(slowest < Duration::from_secs(1), "seed {seed}: {slowest:?}");
    println!(
        "{cuts} cuts and {broken} broken resumptions: {} messages, {} back, {} pushes; slowest resumption {slowest:?}",
        expected.to_john.len(),
        expected.to_marie.len(),
        expected.pushes.len()
    );
}
