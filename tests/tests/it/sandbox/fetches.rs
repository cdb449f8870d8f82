//! Deeds of `fetch`, at a login and in a refresh.

use super::arena::{Arena, Slowest, figure};
use muster_tests::client::is_push;
use muster_tests::muster::Summary;
use muster_tests::stage::items;

/// A user by whose name the plugin knows what to do, what a client is told,
/// and what is counted and logged of the plugin.
struct Deed {
    row: u32,
    user: &'static str,
    error: &'static str,
    fault: Option<&'static str>,
}

const fn deed(row: u32, user: &'static str, error: &'static str) -> Deed {
    Deed {
        row,
        user,
        error,
        fault: None,
    }
}

const fn fault(row: u32, user: &'static str, fault: &'static str) -> Deed {
    Deed {
        fault: Some(fault),
        ..deed(row, user, "wait/resource-constraint")
    }
}

/// Each kills the store that it runs in.
const KILLING: [Deed; 10] = [
    fault(59, "spin", "turn_limit"),
    fault(59, "spin-later", "turn_limit"),
    // Touching so much memory may take its whole turn.
    fault(60, "grow", ""),
    fault(60, "recurse", "stack_overflow"),
    fault(60, "handles", ""),
    fault(60, "tasks", ""),
    fault(62, "trap", "trap"),
    fault(62, "panic", "trap"),
    fault(67, "exit", "trap"),
    fault(60, "hoard-fields", ""),
];

/// Each has an answer, which is not taken.
const LYING: [Deed; 8] = [
    deed(60, "fields", "wait/internal-server-error"),
    deed(60, "hoard-requests+method", "wait/internal-server-error"),
    deed(60, "hoard-requests+authority", "wait/internal-server-error"),
    deed(64, "many", "wait/internal-server-error"),
    deed(64, "unchanged", "wait/internal-server-error"),
    deed(64, "quotes", "wait/internal-server-error"),
    deed(67, "environment", "wait/internal-server-error"),
    deed(67, "stdin", "wait/internal-server-error"),
];

/// None comes to its end.
const NEVER_ENDING: [&str; 4] = ["never", "sleep", "block", "forget"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetches_that_mean_harm() {
    let arena = Arena::open().await;
    each_deed_costs_its_own_call_alone(&arena).await;
    calls_that_do_not_end_are_ended(&arena).await;
    of_a_lie_only_a_roster_is_left(&arena).await;
    the_log_can_be_neither_flooded_nor_forged(&arena).await;
    arena.close().await;
}

async fn each_deed_costs_its_own_call_alone(arena: &Arena) {
    let mut sessions = Vec::new();
    let mut slowest = Slowest::default();
    for Deed {
        row,
        user,
        error,
        fault,
    } in KILLING.iter().chain(&LYING)
    {
        let label = fault.map_or(String::new(), |fault| format!("kind=\"{fault}"));
        let before = arena.count("muster_plugin_traps_total", &label).await;
        let (mut session, roster) = arena.timed_roster(user, &mut slowest).await;
        assert_eq!(roster, Err((*error).to_owned()), "row {row}, {user}");
        session.settle().await;
        if fault.is_some() {
            // In the store of many calls, and once more alone.
            let after = arena.count("muster_plugin_traps_total", &label).await;
            assert!(
                after >= before + 2.0,
                "row {row}, {user}: {before}, {after}"
            );
        }
        arena.assert_serving(user).await;
        sessions.push((user, session));
    }
    figure(4, &format!("{} failing fetches: {slowest}", sessions.len()));
    // The same users at once, among those who mean no harm.
    let (mut honest, roster) = arena.roster("honest.among").await;
    assert!(roster.is_ok());
    let mut names: Vec<&str> = sessions.iter().map(|(user, _)| **user).collect();
    let failing = u64::try_from(names.len()).expect("a few");
    names.push("honest.among");
    let summary = arena.hostile.refresh(&names).await;
    assert_eq!(summary, Summary::new("ok", 1, failing));
    for (user, session) in &mut sessions {
        let came = session.settle().await;
        assert!(!came.iter().any(is_push), "{user}");
    }
    assert_eq!(items(&honest.roster().await), ["marie@example.test both"]);
    for kind in ["turn_limit", "stack_overflow", "trap"] {
        let words = ["WARN", "hostile.test", "the plugin failed in `fetch`", kind];
        assert!(arena.told(&words) > 0, "{kind}");
    }
}

/// Row 59: a spin while the host hands a text in, before the call has begun.
/// Row 61: calls that never end.
async fn calls_that_do_not_end_are_ended(arena: &Arena) {
    let name = format!("honest.{}", "a".repeat(997 - "honest.".len()));
    let (_session, roster) = arena.roster(&name).await;
    assert_eq!(roster, Err("wait/resource-constraint".to_owned()));
    let stuck = NEVER_ENDING.map(|user| arena.roster(user));
    let stuck = futures_util::future::join_all(stuck).await;
    for (user, (mut session, roster)) in NEVER_ENDING.iter().zip(stuck) {
        assert_eq!(
            roster,
            Err("wait/remote-server-timeout".to_owned()),
            "{user}"
        );
        session.settle().await;
    }
    arena.assert_serving("what never ends").await;
    let timeouts = arena.count("muster_plugin_calls_total", "outcome=\"timeout\"");
    assert!(timeouts.await >= 4.0);
}

/// Row 63: whoever is asked for, it traps. Logins go on, and so does the chat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_always_traps_keeps_nobody_from_chatting() {
    let arena = Arena::of(&muster_test_plugins::deed("trap")).await;
    let mut sessions = Vec::new();
    for n in 0..20 {
        let (session, roster) = arena.roster(&format!("john{n}")).await;
        assert_eq!(roster, Err("wait/resource-constraint".to_owned()));
        sessions.push(session);
    }
    let (one, other) = sessions.split_at_mut(1);
    let to = other[0].jid().to_owned();
    one[0]
        .send(format!(
            "<message to='{to}' id='m'><body>hi</body></message>"
        ))
        .await;
    let came = other[0].expect("a message", |it| it.attr("id") == Some("m"));
    assert_eq!(came.await.attr("from"), Some(one[0].jid()));
    let summary = arena.hostile.refresh(&["john0", "john1"]).await;
    assert_eq!(summary, Summary::new("error", 0, 2));
    arena.close().await;
}

/// Row 64: what is taken of an answer is a roster, and XML.
async fn of_a_lie_only_a_roster_is_left(arena: &Arena) {
    let item = |roster: Result<Vec<String>, String>| roster.expect("a roster");
    let (_one, roster) = arena.roster("markup").await;
    let roster = item(roster);
    assert_eq!(roster.len(), 1, "{roster:?}");
    assert!(
        roster[0].starts_with("marie@example.test both"),
        "{roster:?}"
    );
    assert!(
        roster[0].contains("</item></query></iq><message"),
        "a name: {roster:?}"
    );
    let (_two, roster) = arena.roster("strangers").await;
    let addresses: Vec<_> = item(roster)
        .iter()
        .filter_map(|item| item.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(addresses, ["marie@example.test", "someone@elsewhere.test"]);
    let (_three, roster) = arena.roster("counts").await;
    assert_eq!(item(roster), ["marie@example.test both"]);
    let (_four, roster) = arena.roster("lie").await;
    assert_eq!(item(roster), ["marie@example.test both \"Marie\" [\"a\"]"]);
    let (_five, roster) = arena.roster("groups").await;
    assert_eq!(item(roster)[0].matches("group ").count(), 100);
    let summary = arena
        .hostile
        .refresh(&["markup", "strangers", "counts", "lie", "groups"]);
    assert_eq!(summary.await, Summary::new("ok", 5, 0));
}

/// Row 66: the log is the operator's.
async fn the_log_can_be_neither_flooded_nor_forged(arena: &Arena) {
    let (_forger, roster) = arena.roster("forge").await;
    assert!(roster.is_ok());
    let log = arena.process.log();
    assert!(!log.contains(['\u{1b}', '\r', '\u{2028}', '\u{202e}']));
    let forged = arena.told(&["forged by"]);
    let tagged = arena.told(&["forged by", "plugin=\"hostile.test\"", "innocent"]);
    assert_eq!((forged, tagged), (2, 2), "{log}");
    let before = log.len();
    for n in 0..8 {
        // An answer that the host cannot use, after a megabyte of lines.
        let _ = arena.roster(&format!("flood.{n}")).await;
    }
    let grown = arena.process.log().len() - before;
    // 64 KiB a second, in seconds that are as long as the machine makes them.
    assert!(grown < 3 << 20, "{grown} bytes of 11 MB");
    // It is told before the next line that is logged; whoever has a roster is not fetched again.
    let suppressed = async {
        let mut users = 0;
        while arena.told(&["the plugin wrote too much"]) == 0 {
            users += 1;
            let _ = arena.roster(&format!("forge.{users}")).await;
        }
    };
    muster_tests::within("the loss to be told", suppressed).await;
}
