//! Plugins in several languages in front of one app: whatever a plugin is
//! written in, its users see the same roster and the same pushes.
//!
//! The components come from `examples/plugins/run`, which builds them and says
//! where they are in `MUSTER_EXAMPLE_PLUGINS`. Without that variable the ones
//! that have to be built apart are left out, aloud.

use hmac::{Hmac, KeyInit as _, Mac as _};
use muster_server::ReloadError;
use muster_server::muster_plugin::Swapped;
use muster_tests::client::{Client, Mechanism};
use muster_tests::http;
use muster_tests::muster::{ANYONE, Muster, Setup, TOKEN};
use muster_tests::people::People;
use muster_tests::process::run;
use muster_tests::stage::{DOMAIN, item, items};
use serde_json::{Value, json};
use sha2::Sha256;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SECRET: &str = "correct horse battery";

/// A plugin and how its app and its operator speak with it.
struct Row {
    /// The file without its ending; none for the one inside the program.
    file: Option<&'static str>,
    /// The path of `http_roster_url`.
    path: &'static str,
    /// Where the app's webhook goes.
    hook: &'static str,
    /// What it says.
    event: fn(&[&str]) -> Value,
    /// What the operator adds to the virtual host; `ORIGIN` is the app's.
    sections: &'static str,
    /// Whether the app has versions of lists.
    versions: bool,
}

const FRIENDS: Row = Row {
    file: None,
    path: "/api/people/%s/friends",
    hook: "/roster_admin/hook",
    event: |people| json!({"event": "friends-changed", "people": people}),
    sections: "",
    versions: true,
};

const ROWS: [Row; 6] = [
    Row {
        file: None,
        path: "/contacts/%s",
        hook: "/roster_admin/refresh",
        event: |people| json!(people),
        ..FRIENDS
    },
    Row {
        file: Some("spin"),
        path: "/contacts/%s",
        hook: "/roster_admin/refresh",
        event: |people| json!(people),
        ..FRIENDS
    },
    Row {
        file: Some("rust"),
        ..FRIENDS
    },
    Row {
        file: Some("graphql"),
        // Its origin alone counts.
        path: "/people/%s",
        hook: "/roster_admin/graphql-hook",
        event: |people| {
            let ids = people.iter().map(|user| format!("p-{user}"));
            json!({"changed": ids.collect::<Vec<_>>()})
        },
        sections: "[[virtual_host.origin]]\nurl = \"ORIGIN\"\nmethods = [\"GET\", \"POST\"]\n\
            [virtual_host.plugin.settings]\ngraphql_url = \"ORIGIN/graphql\"\n\
            hook_secret = \"correct horse battery\"\n",
        versions: false,
    },
    Row {
        file: Some("javascript"),
        sections: "[virtual_host.plugin]\ndeny_all_stubs = true\n",
        ..FRIENDS
    },
    Row {
        file: Some("python"),
        sections: "[virtual_host.plugin]\ndeny_all_stubs = true\n",
        ..FRIENDS
    },
];

/// The components that were built, by name; `None` if none were.
fn built(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("MUSTER_EXAMPLE_PLUGINS")?;
    let path = PathBuf::from(directory).join(name).with_extension("wasm");
    assert!(
        path.is_file(),
        "{} is missing; examples/plugins/run makes it",
        path.display()
    );
    Some(path)
}

/// One row on a server of its own. Large guests take seconds to compile.
async fn start(row: &Row, people: &People) -> Option<Muster> {
    let mut setup = Setup::new().with("[limits.plugin]\ncompile_timeout = \"10m\"");
    if let Some(name) = row.file {
        let Some(path) = built(name) else {
            eprintln!("{name} is left out: MUSTER_EXAMPLE_PLUGINS is not set");
            return None;
        };
        setup = setup.plugin(&path);
    }
    let origin = people.origin();
    let setup = setup
        .host(DOMAIN, ANYONE, &format!("{origin}{}", row.path))
        .with_host_sections(&row.sections.replace("ORIGIN", &origin));
    Some(Muster::start(&setup).await)
}

/// The app's webhook, with the token and the signature.
async fn post(muster: &Muster, row: &Row, people: &[&str], secret: &str) -> http::Reply {
    let body = (row.event)(people).to_string();
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    let signature = mac.chain_update(&body).finalize().into_bytes();
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let fields = [
        ("Authorization", format!("Bearer {TOKEN}")),
        ("Content-Type", "application/json".to_owned()),
        ("X-Signature", format!("sha256={signature}")),
    ];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    http::post(muster.http(), row.hook, &fields, body.as_bytes()).await
}

async fn login(muster: &Muster, user: &str) -> Client {
    let account = format!("{user}@{DOMAIN}");
    Client::login(muster.xmpp(), &account, "any", None, Mechanism::Plain).await
}

#[tokio::test]
async fn every_language_serves_rosters_and_refreshes() {
    for row in &ROWS {
        let name = row.file.unwrap_or("builtin");
        let people = People::start(DOMAIN).await;
        people.set_friends(
            "john",
            &[("marie", "Marie", "Work"), ("aaron", "Aaron", "Home")],
        );
        people.set_friends("marie", &[]);
        let Some(muster) = start(row, &people).await else {
            continue;
        };
        let mut john = login(&muster, "john").await;
        let roster = items(&john.roster().await);
        let expected = [
            "aaron@example.test both \"Aaron\" [\"Home\"]",
            "marie@example.test both \"Marie\" [\"Work\"]",
        ];
        assert_eq!(roster, expected, "{name}");

        // One is renamed, one is gone, one is new.
        people.set_friends(
            "john",
            &[("marie", "Mary", "Work"), ("jane", "Jane", "Work")],
        );
        let reply = post(&muster, row, &["john", "marie"], SECRET).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let summary = reply.json();
        assert_eq!(summary["updated"], 2, "{name}: {summary}");
        assert_eq!(summary["errors"], 0, "{name}: {summary}");
        let mut pushed = Vec::new();
        for _ in 0..3 {
            pushed.push(item(&john.push().await));
        }
        pushed.sort();
        let expected = [
            "aaron@example.test remove",
            "jane@example.test both \"Jane\" [\"Work\"]",
            "marie@example.test both \"Mary\" [\"Work\"]",
        ];
        assert_eq!(pushed, expected, "{name}");

        // Nothing new: the app is asked by the validator, where it has any.
        let reply = post(&muster, row, &["john"], SECRET).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(people.unchanged() > 0, row.versions, "{name}");

        // Somebody whom the app does not know costs only that entry.
        let mut paul = login(&muster, "paul").await;
        let answer = paul
            .iq("get", None, "<query xmlns='jabber:iq:roster'/>")
            .await;
        assert_eq!(answer.attr("type"), Some("error"), "{name}");
        let reply = post(&muster, row, &["paul", "john"], SECRET).await;
        let summary = reply.json();
        assert_eq!(summary["updated"], 1, "{name}: {summary}");
        assert_eq!(summary["errors"], 1, "{name}: {summary}");
        john.leave().await;
        paul.leave().await;
        muster.shutdown().await;
        eprintln!("{name} serves rosters and refreshes");
    }
}

#[tokio::test]
async fn a_webhook_that_the_app_did_not_sign_refreshes_nobody() {
    let row = ROWS.iter().find(|row| row.file == Some("graphql"));
    let row = row.expect("a row");
    let people = People::start(DOMAIN).await;
    people.set_friends("john", &[("marie", "Marie", "Work")]);
    let Some(muster) = start(row, &people).await else {
        return;
    };
    let mut john = login(&muster, "john").await;
    john.roster().await;
    people.set_friends("john", &[]);
    let reply = post(&muster, row, &["john"], "somebody else's").await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    // The proof that nothing was pushed is what comes after it.
    let reply = post(&muster, row, &["john"], SECRET).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(item(&john.push().await), "marie@example.test remove");
    john.leave().await;
}

/// A day in small: the plugin of a running server is recorded, another build of
/// it has another opinion of one group, and a replay shows just whose contacts
/// those are, by pseudonyms.
#[tokio::test]
async fn a_recording_replayed_into_a_changed_build_shows_the_changed_contacts() {
    let (Some(old), Some(new)) = (built("rust"), built("changed")) else {
        eprintln!("left out: MUSTER_EXAMPLE_PLUGINS is not set");
        return;
    };
    let people = People::start(DOMAIN).await;
    people.set_friends(
        "john",
        &[("marie", "Marie Curie", "Work"), ("aaron", "Aaron", "Home")],
    );
    people.set_friends("marie", &[("john", "John", "Home")]);
    people.set_friends("paul", &[("marie", "Marie", "Work")]);
    let setup = Setup::new()
        .plugin(&old)
        .host(
            DOMAIN,
            ANYONE,
            &format!("{}{}", people.origin(), FRIENDS.path),
        )
        .with_host_sections("[virtual_host.plugin]\nrecord = 100\n");
    let muster = Muster::start(&setup).await;
    for user in ["john", "marie", "paul"] {
        let mut client = login(&muster, user).await;
        client.roster().await;
        client.leave().await;
    }
    let url = format!("http://{}", muster.http());
    // The new build knows a group by name, so groups have to stay what they are.
    let record = [
        "record", DOMAIN, "--keep", "lists", "--url", &url, "--token", TOKEN,
    ];
    let (recorded, _) = plugin(&record).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("day.json");
    std::fs::write(&file, &recorded).expect("a file");
    let (file, cache) = (file.display().to_string(), directory.path().join("cache"));
    let (new, cache) = (new.display().to_string(), cache.display().to_string());
    let replay = ["replay", &file, &new, "--format", "json", "--cache", &cache];
    let (replayed, code) = plugin(&replay).await;
    assert_eq!(code, Some(1), "{replayed}");
    let told: Value = serde_json::from_str(&replayed).expect("one JSON object");
    assert_eq!(told["changed"], 2, "{told}");
    assert_eq!(
        (&told["added"], &told["removed"]),
        (&json!(0), &json!(0)),
        "{told}"
    );
    // John and Paul by their pseudonyms: those whose contact is in that group.
    let users = told["users"].as_object().expect("users");
    assert_eq!(users.len(), 2, "{told}");
    let old = old.display().to_string();
    let (replayed, code) = plugin(&["replay", &file, &old, "--cache", &cache]).await;
    assert_eq!(code, Some(0), "{replayed}");
    for name in ["Marie", "Curie", "aaron", "paul"] {
        assert!(!recorded.contains(name), "{name} in {recorded}");
    }
}

/// Runs `muster plugin …`; what it said, and its exit code.
async fn plugin(arguments: &[&str]) -> (String, Option<i32>) {
    let binary = Path::new(env!("CARGO_BIN_EXE_muster-under-test"));
    let output = run(binary, &[&["plugin"], arguments].concat()).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said, output.status.code())
}

/// Has the plugin reloaded, and logs in again and again meanwhile: how often,
/// and how long the slowest login took.
async fn reload_beside_logins(muster: &Muster) -> (Result<Swapped, ReloadError>, usize, Duration) {
    let mut reloading = std::pin::pin!(muster.reload_plugin(DOMAIN));
    let (mut logins, mut slowest) = (0, Duration::ZERO);
    loop {
        let coming = async {
            let began = Instant::now();
            let mut john = login(muster, "john").await;
            assert_eq!(items(&john.roster().await).len(), 1);
            john.leave().await;
            began.elapsed()
        };
        let mut coming = std::pin::pin!(coming);
        tokio::select! {
            swapped = &mut reloading => {
                coming.await;
                return (swapped, logins, slowest);
            }
            took = &mut coming => {
                logins += 1;
                slowest = slowest.max(took);
            }
        }
    }
}

/// A guest of 20 MB compiles for seconds, and nobody waits for it: neither who
/// is logged in, nor who comes, nor, with the machine code in the cache, the
/// next start.
#[tokio::test]
async fn a_large_guest_is_compiled_off_the_serving_path_and_once() {
    let Some(large) = built("python") else {
        eprintln!("left out: MUSTER_EXAMPLE_PLUGINS is not set");
        return;
    };
    let people = People::start(DOMAIN).await;
    people.set_friends("john", &[("marie", "Marie", "Work")]);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("plugin.wasm");
    std::fs::copy(built("rust").expect("built"), &file).expect("a file");
    let python = ROWS.iter().find(|row| row.file == Some("python"));
    let setup = Setup::new()
        .with("[limits.plugin]\ncompile_timeout = \"10m\"\npoll = \"1h\"")
        .plugin(&file)
        .host(
            DOMAIN,
            ANYONE,
            &format!("{}{}", people.origin(), FRIENDS.path),
        )
        .with_host_sections(python.expect("a row").sections);
    let muster = Muster::start(&setup).await;
    std::fs::copy(&large, &file).expect("a file");
    let started = Instant::now();
    let (swapped, logins, slowest) = reload_beside_logins(&muster).await;
    let compiling = started.elapsed();
    swapped.expect("the large one is taken");
    assert!(logins > 3, "{logins} logins in {compiling:?}");
    assert!(slowest < compiling / 2, "{slowest:?} of {compiling:?}");
    let storage = muster.shutdown().await;

    let started = Instant::now();
    let muster = Muster::start_in(storage, &setup).await;
    let again = started.elapsed();
    assert!(again < compiling / 2, "{again:?} after {compiling:?}");
    let mut john = login(&muster, "john").await;
    assert_eq!(items(&john.roster().await).len(), 1);
    john.leave().await;
    eprintln!(
        "compiled in {compiling:?} beside {logins} logins, the slowest of {slowest:?}; \
         the next start took {again:?}"
    );
}
