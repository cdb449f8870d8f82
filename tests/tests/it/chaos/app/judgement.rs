//! What the host says of a call, held against what clients see.

use super::*;

impl Caller {
    /// `updated` and `errors` are the number of entries.
    pub(super) fn adds_up(&self, summary: &Value, entries: usize) -> bool {
        let count = |member: &str| summary[member].as_u64().unwrap_or(u64::MAX / 4);
        let adds_up = count("updated") + count("errors") == entries as u64;
        if !adds_up {
            self.tale
                .broken(format!("{entries} entries, and the counts are {summary}"));
        }
        adds_up
    }

    /// Checks what the answer says of each user against what clients see.
    pub(super) async fn hold_to(
        &self,
        summary: &Value,
        status: u16,
        entries: &[Entry],
        before: &[Sight],
    ) {
        if status != 200 || !self.adds_up(summary, entries.len()) {
            return;
        }
        for entry in entries {
            let named = name(entry.user);
            let told = summary["users"].as_array().into_iter().flatten();
            let told: Vec<&Value> = told.filter(|it| it["username"] == named.as_str()).collect();
            let [told] = told[..] else {
                self.tale
                    .broken(format!("{named} has {} outcomes: {summary}", told.len()));
                continue;
            };
            self.hold_to_one(told, entry, before).await;
        }
    }

    async fn hold_to_one(&self, told: &Value, entry: &Entry, before: &[Sight]) {
        let (user, version) = (entry.user, entry.version);
        let outcome = told["outcome"].as_str().unwrap_or_default();
        let is_up_to_date = matches!(outcome, "updated" | "unchanged" | "offline");
        self.tale
            .note(format!("u{user} is {outcome} as of version {version}"));
        if is_up_to_date {
            self.truth.confirm(user, version);
        }
        let sights = self.sights(&entry.online).await;
        for sight in &sights {
            let session = sight.session;
            match outcome {
                "updated" | "unchanged" if sight.version.is_none_or(|it| it < version) => {
                    let seen = sight.version;
                    self.tale.broken(format!(
                        "a lost push: u{user} is {outcome} as of version {version}, \
                         and session {session} sees {seen:?}"
                    ));
                }
                "offline" => self.tale.broken(format!(
                    "u{user} is told to be offline, and session {session} goes on"
                )),
                _ => {}
            }
        }
        // Nobody else asked for this user, and no roster stood in for it.
        if outcome == "failed" && told["source"] != "stale" && entry.is_alone() {
            for (before, after) in before.iter().zip(&sights) {
                let same = before.session == after.session;
                if same && before.version.is_some() && before.version != after.version {
                    self.tale.broken(format!(
                        "u{user} failed, and version {:?} became {:?}",
                        before.version, after.version
                    ));
                }
            }
        }
    }

    /// What clients see that still are in these sessions, as soon as they have
    /// a connection.
    pub(super) async fn sights(&self, sessions: &[(usize, u64)]) -> Vec<Sight> {
        let mut sights = Vec::new();
        for (client, session) in sessions {
            let client = &self.clients[*client];
            let deadline = Instant::now() + LOOK;
            while client.session() == Some(*session) && Instant::now() < deadline {
                match client.look().await {
                    Some(sight) => {
                        if sight.session == *session {
                            sights.push(sight);
                        }
                        break;
                    }
                    None => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
        sights
    }
}
