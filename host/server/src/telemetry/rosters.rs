//! What is counted of rosters: asked for, pushed, kept for when the app fails.

use std::sync::LazyLock;

use metrics::Counter;
use muster_plugin::Metric;
use muster_xmpp::roster::Change;

const PUSHES: &str = "muster_roster_pushes_total";

/// Upper bounds of the ages of rosters: a second to a month.
const AGE_BUCKETS: &[f64] = &[
    1.0,
    10.0,
    60.0,
    600.0,
    3_600.0,
    21_600.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];

pub(super) const METRICS: &[Metric] = &[
    Metric::counter(
        "muster_rosters_served_total",
        "Rosters that clients asked for and got, by source: the app, its last answer \
         in memory (cache), the last known one (stale), none in its place (empty)",
    )
    .by(&["source"]),
    Metric::counter(
        "muster_logins_not_kept_waiting_total",
        "Logins that were shown the last known roster at once, since too many waited for \
         the app",
    ),
    Metric::gauge(
        "muster_fetch_limit",
        "Fetches that may run at once, as the app bears it: between \
         limits.refresh.concurrency_floor and concurrency",
    )
    .by(&["vhost"]),
    Metric::gauge(
        "muster_fetches_under_way",
        "Fetches under way; one that asks for many users counts once",
    )
    .by(&["vhost"]),
    Metric::gauge(
        "muster_fetches_waiting",
        "Users whose fetch waits for its turn, by class: login, refresh, background",
    )
    .by(&["vhost", "class"]),
    Metric::histogram(
        "muster_fetch_wait_seconds",
        "How long a fetch waited for its turn, if it did, by class",
    )
    .by(&["vhost", "class"]),
    Metric::counter(
        "muster_fetch_batches_total",
        "Requests to apps for many users at once, by outcome: answered, failed, refused \
         (then one by one)",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_fetch_batched_users_total",
        "Users of these requests, by the same outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        PUSHES,
        "Roster pushes written to clients, by what became of the contact: added, \
         changed, removed",
    )
    .by(&["kind"]),
    Metric::counter(
        "muster_roster_contacts_skipped_total",
        "Entries of the app's answers that are not contacts",
    ),
    Metric::histogram(
        "muster_roster_age_seconds",
        "How long ago the app told or confirmed a last known roster that was given to \
         a client",
    )
    .within(AGE_BUCKETS),
    Metric::gauge(
        "muster_rosters_owed",
        "Users who see something else than the app's answer until it answers, by \
         vhost",
    )
    .by(&["vhost"]),
    Metric::counter(
        "muster_roster_recoveries_total",
        "Attempts to get a roster that the app owes, by outcome",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_roster_renewals_total",
        "Rosters older than ttl that a client asked for, by what came of it: ok, late \
         (longer than stale_after), failed",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_roster_resyncs_total",
        "Rosters that were asked for by themselves (resync_interval), by outcome: ok, \
         failed, held by the guard, asked_already",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_rosters_kept_total",
        "Last known rosters, by what became of them: kept, evicted, too_large, \
         forgotten, dropped (too many wait), failed, unread",
    )
    .by(&["outcome"]),
    Metric::counter(
        "muster_rosters_unreadable_total",
        "Last known rosters that were dropped because they could not be read, by \
         reason",
    )
    .by(&["reason"]),
];

/// A push was written. Looked up once: a changed roster is many of them.
pub(crate) fn pushed(change: &Change<'_>) {
    static ADDED: LazyLock<Counter> = LazyLock::new(|| of("added"));
    static CHANGED: LazyLock<Counter> = LazyLock::new(|| of("changed"));
    static REMOVED: LazyLock<Counter> = LazyLock::new(|| of("removed"));
    match change {
        Change::Added(_) => &ADDED,
        Change::Changed(_) => &CHANGED,
        Change::Removed(_) => &REMOVED,
    }
    .increment(1);
}

fn of(kind: &'static str) -> Counter {
    metrics::counter!(PUSHES, "kind" => kind)
}
