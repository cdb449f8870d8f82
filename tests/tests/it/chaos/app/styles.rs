//! The ways in which the app tells of what it changed.

use super::*;

impl Caller {
    /// One user by its name in the path, looking at its clients before and
    /// after.
    pub(super) async fn one(&self, user: usize) {
        let _list = self.lists[user].read().await;
        let entries = self.entries(&[user]);
        let before = self.sights(&entries[0].online).await;
        let path = format!("refresh/{}?details", name(user));
        let fields = [("Connection", "close")];
        let request = admin_request(DOMAIN, ("POST", &path), &fields, b"");
        if let Answered::Reply(reply) = self.ask(&request).await {
            self.hold_to(&reply.json(), reply.status, &entries, &before)
                .await;
        }
    }

    pub(super) async fn counted(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        let Answered::Reply(reply) = self.post("refresh", users, &[]).await else {
            return;
        };
        if reply.status != 200 {
            return;
        }
        let summary = reply.json();
        if self.adds_up(&summary, entries.len()) && summary["errors"] == 0 {
            for entry in &entries {
                self.truth.confirm(entry.user, entry.version);
            }
        }
    }

    pub(super) async fn explained(&self, users: &[usize], fields: &[(&str, &str)]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        if let Answered::Reply(reply) = self.post("refresh?details", users, fields).await {
            self.hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        }
    }

    /// The same twice: the second time without work.
    pub(super) async fn keyed(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let key = format!("\"chaos-{}\"", self.serial.fetch_add(1, Ordering::SeqCst));
        let lives = self.lives.load(Ordering::SeqCst);
        let fields = [("Idempotency-Key", key.as_str())];
        let entries = self.entries(users);
        let first = self.post("refresh?details", users, &fields).await;
        let second = self.post("refresh?details", users, &fields).await;
        if let (Answered::Reply(first), Answered::Reply(second)) = (&first, &second)
            && first.status == 200
            && self.lives.load(Ordering::SeqCst) == lives
            && (second.body != first.body || second.header("idempotent-replayed") != Some("true"))
        {
            let (first, second) = (first.text(), second.text());
            self.tale.broken(format!(
                "not the same answer for one key: {first} and {second}"
            ));
        }
        for answered in [first, second] {
            if let Answered::Reply(reply) = answered {
                self.hold_to(&reply.json(), reply.status, &entries, &[])
                    .await;
            }
        }
    }

    pub(super) async fn job(&self, users: &[usize]) {
        let _lists = self.kept(users).await;
        let entries = self.entries(users);
        let lives = self.lives.load(Ordering::SeqCst);
        let fields = [("Prefer", "respond-async, return=representation")];
        let Answered::Reply(reply) = self.post("refresh", users, &fields).await else {
            return;
        };
        let Some(location) = reply.header("location").map(str::to_owned) else {
            return self
                .hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        };
        let path = location.trim_start_matches("/roster_admin/");
        let deadline = Instant::now() + 2 * ANSWER;
        while Instant::now() < deadline {
            let fields = [("Connection", "close")];
            let request = admin_request(DOMAIN, ("GET", path), &fields, b"");
            if let Answered::Reply(reply) = self.ask(&request).await {
                let gone = matches!(reply.status, 404 | 410);
                let job = reply.json();
                match job["state"].as_str() {
                    Some("done") => {
                        let answer = &job["answer"];
                        let status = answer["code"].as_u64().unwrap_or_default();
                        let status = u16::try_from(status).unwrap_or_default();
                        return self.hold_to(&answer["body"], status, &entries, &[]).await;
                    }
                    Some("cut" | "cancelled") => return,
                    _ if gone && self.lives.load(Ordering::SeqCst) != lives => return,
                    _ if gone => return self.tale.broken(format!("a job is forgotten: {job}")),
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        self.tale
            .broken(format!("a job that does not end: {location}"));
    }

    /// What would happen happens not: the next call tells.
    pub(super) async fn dry(&self, users: &[usize]) {
        if let Answered::Reply(reply) = self.post("refresh?dry_run", users, &[]).await
            && reply.status == 200
        {
            self.adds_up(&reply.json(), users.len());
        }
    }

    /// Hangs up in the midst of it. Another call follows in time, since nothing
    /// is confirmed.
    pub(super) async fn given_up(&self, users: &[usize]) {
        for user in users {
            *self.calls[*user].given_up() = Some(Instant::now());
        }
        let soon = Duration::from_millis(30);
        let names: Vec<String> = users.iter().map(|user| name(*user)).collect();
        let fields = [("Content-Type", "application/json")];
        let body = json!(names).to_string();
        let request = admin_request(DOMAIN, ("POST", "refresh"), &fields, body.as_bytes());
        if let Ok(mut connection) = Connection::try_open(self.http).await {
            connection.send(&request).await;
            let _ = tokio::time::timeout(soon, connection.first_reply()).await;
        }
    }

    /// Sends the lists of these users as they are; they stay so until there is
    /// an answer.
    pub(super) async fn hand_in(&self, users: &BTreeSet<usize>) {
        // Few, so that they do not hold everything up.
        let users: Vec<usize> = users.iter().copied().take(4).collect();
        let mut _lists: Vec<RwLockWriteGuard<'_, ()>> = Vec::new();
        for user in &users {
            _lists.push(self.lists[*user].write().await);
        }
        let entries = self.entries(&users);
        let documents = users
            .iter()
            .map(|user| (name(*user), self.truth.document(*user).1));
        let documents: Map<String, Value> = documents.collect();
        let (path, body) = match &users[..] {
            [user] => (
                format!("rosters/{}?details", name(*user)),
                documents[&name(*user)].clone(),
            ),
            _ => ("rosters?details".to_owned(), Value::Object(documents)),
        };
        let fields = [
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        let request = admin_request(DOMAIN, ("PUT", &path), &fields, body.to_string().as_bytes());
        if let Answered::Reply(reply) = self.ask(&request).await {
            self.hold_to(&reply.json(), reply.status, &entries, &[])
                .await;
        }
    }
}
