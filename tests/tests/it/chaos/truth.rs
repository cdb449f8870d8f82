//! What the app says, and all that it ever said: the model that clients' views
//! are held against.
//!
//! Each list names its own version in the name of one contact, so that no two
//! versions are alike and a view tells how old it is.

use super::plan::{Change, USERS};
use muster_tests::app::App;
use muster_tests::stage::DOMAIN;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A roster: by JID, each as `stage::item` tells it.
pub(super) type List = BTreeMap<String, String>;

/// The contact whose name is the version.
const MARKER: &str = "version@marker.test";

/// Everybody's lists.
#[derive(Debug)]
pub(super) struct Truth {
    app: Arc<App>,
    users: Vec<Mutex<History>>,
}

#[derive(Debug, Default)]
struct History {
    now: BTreeMap<String, Contact>,
    /// All versions, the newest last.
    versions: Vec<List>,
    /// Every item that ever was.
    ever: HashMap<String, BTreeSet<String>>,
    /// The version up to which the host has confirmed to be up to date.
    confirmed: usize,
}

#[derive(Debug, Clone, Default)]
struct Contact {
    name: Option<String>,
    groups: BTreeSet<String>,
    subscription: &'static str,
}

impl Truth {
    /// Gives everybody a few contacts, at `app`.
    pub(super) fn new(app: Arc<App>) -> Truth {
        let truth = Truth {
            app,
            users: (0..USERS).map(|_| Mutex::default()).collect(),
        };
        for user in 0..USERS {
            let mut history = truth.of(user);
            for friend in [1, 2, USERS - 1, USERS - 2] {
                history
                    .now
                    .insert(jid((user + friend) % USERS), Contact::new());
            }
            truth.say(user, &mut history);
        }
        truth
    }

    fn of(&self, user: usize) -> MutexGuard<'_, History> {
        self.users[user]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a list, or two.
    pub(super) fn change(&self, user: usize, change: Change) {
        if let Change::Befriend(other) = change {
            if other != user {
                for (one, other) in [(user, other), (other, user)] {
                    let mut history = self.of(one);
                    history.now.insert(jid(other), Contact::new());
                    self.say(one, &mut history);
                }
            }
            return;
        }
        let mut history = self.of(user);
        history.change(user, change);
        self.say(user, &mut history);
    }

    /// Makes the list as it is now another version, and what the app answers.
    fn say(&self, user: usize, history: &mut History) {
        let version = history.versions.len();
        let marker = Contact {
            name: Some(format!("u{user}.{version}")),
            ..Contact::new()
        };
        history.now.insert(MARKER.to_owned(), marker);
        let list: List = history
            .now
            .iter()
            .map(|(jid, contact)| (jid.clone(), contact.item(jid)))
            .collect();
        for (jid, item) in &list {
            let items = history.ever.entry(jid.clone()).or_default();
            items.insert(item.clone());
        }
        history.versions.push(list);
        self.app.set_contacts(&name(user), history.document());
    }

    /// The newest version's number.
    pub(super) fn version(&self, user: usize) -> usize {
        self.of(user).versions.len() - 1
    }

    /// The newest version and its document, of which none is newer as long as
    /// nobody changes it.
    pub(super) fn document(&self, user: usize) -> (usize, Value) {
        let history = self.of(user);
        (history.versions.len() - 1, history.document())
    }

    /// Which version a view is, if it is one.
    pub(super) fn version_of(&self, user: usize, view: &List) -> Option<usize> {
        let marker = view.get(MARKER)?;
        let (_, rest) = marker.split_once(&format!("\"u{user}."))?;
        let (number, _) = rest.split_once('"')?;
        let number = number.parse().ok()?;
        let history = self.of(user);
        (history.versions.get(number)? == view).then_some(number)
    }

    /// Whether the app ever said this of the user.
    pub(super) fn was_ever(&self, user: usize, jid: &str, item: Option<&str>) -> bool {
        let history = self.of(user);
        let items = history.ever.get(jid);
        items.is_some_and(|items| item.is_none_or(|item| items.contains(item)))
    }

    /// The host has said that the user is brought up to date as of a version.
    pub(super) fn confirm(&self, user: usize, version: usize) {
        let mut history = self.of(user);
        history.confirmed = history.confirmed.max(version);
    }

    /// Users of whom the app still has to tell.
    pub(super) fn unconfirmed(&self) -> Vec<usize> {
        let due = |user: &usize| {
            let history = self.of(*user);
            history.confirmed + 1 < history.versions.len()
        };
        (0..USERS).filter(due).collect()
    }

    /// What a view differs in from the newest version.
    pub(super) fn difference(&self, user: usize, view: &List) -> String {
        let history = self.of(user);
        let newest = history.versions.last().cloned().unwrap_or_default();
        let missing = newest
            .values()
            .filter(|item| !view.values().any(|it| it == *item));
        let surplus = view
            .values()
            .filter(|item| !newest.values().any(|it| it == *item));
        format!(
            "version {} is due; missing {:?}, surplus {:?}",
            history.versions.len() - 1,
            missing.collect::<Vec<_>>(),
            surplus.collect::<Vec<_>>()
        )
    }

    /// Whether `user` is to see the presence of `other`: both lists say so.
    pub(super) fn sees(&self, user: usize, other: usize) -> bool {
        let subscription = |user: usize, other: usize| {
            let history = self.of(user);
            history
                .now
                .get(&jid(other))
                .map(|contact| contact.subscription)
        };
        matches!(subscription(user, other), Some("both" | "to"))
            && matches!(subscription(other, user), Some("both" | "from"))
    }
}

impl History {
    fn change(&mut self, user: usize, change: Change) {
        let serial = self.versions.len();
        match change {
            Change::Add(number) => {
                let contact = format!("c{}@elsewhere.test", number % 50);
                self.now.insert(contact, Contact::new());
            }
            Change::Rename(number) => self.edit(number, |it| {
                it.name = Some(format!("u{user}'s <{serial}> & ümlaut"));
            }),
            Change::Regroup(number) => self.edit(number, |it| {
                let groups = (0..number % 4).map(|n| format!("group {n}.{}", serial % 5));
                it.groups = groups.collect();
            }),
            Change::Resubscribe(number) => self.edit(number, |it| {
                it.subscription = ["both", "to", "from", "none"][usize::from(number % 4)];
            }),
            Change::Remove(number) => {
                if let Some(contact) = self.pick(number) {
                    self.now.remove(&contact);
                }
            }
            Change::Exchange => {
                self.now.clear();
                for n in 0..6 {
                    let contact = format!("x{}.{n}@elsewhere.test", serial % 7);
                    self.now.insert(contact, Contact::new());
                }
            }
            Change::Befriend(_) => {}
        }
    }

    /// One of the contacts, if there is any.
    fn pick(&self, number: u16) -> Option<String> {
        let contacts = self.now.keys().filter(|jid| *jid != MARKER);
        let contacts: Vec<&String> = contacts.collect();
        let at = usize::from(number).checked_rem(contacts.len())?;
        Some(contacts[at].clone())
    }

    fn edit(&mut self, number: u16, edit: impl FnOnce(&mut Contact)) {
        let contact = self.pick(number);
        if let Some(contact) = contact.and_then(|jid| self.now.get_mut(&jid)) {
            edit(contact);
        }
    }

    fn document(&self) -> Value {
        let contacts = self.now.iter().map(|(jid, contact)| {
            let mut entry = json!({"subscription": contact.subscription});
            if let Some(name) = &contact.name {
                entry["name"] = json!(name);
            }
            if !contact.groups.is_empty() {
                entry["groups"] = json!(contact.groups);
            }
            (jid.clone(), entry)
        });
        Value::Object(contacts.collect::<Map<_, _>>())
    }
}

impl Contact {
    fn new() -> Contact {
        Contact {
            subscription: "both",
            ..Contact::default()
        }
    }

    /// As `stage::item` writes what a client got.
    fn item(&self, jid: &str) -> String {
        let mut text = format!("{jid} {}", self.subscription);
        if let Some(name) = &self.name {
            text.push_str(&format!(" {name:?}"));
        }
        if !self.groups.is_empty() {
            let groups: Vec<&String> = self.groups.iter().collect();
            text.push_str(&format!(" {groups:?}"));
        }
        text
    }
}

/// The username of a user.
pub(super) fn name(user: usize) -> String {
    format!("u{user}")
}

/// The bare JID of a user.
pub(super) fn jid(user: usize) -> String {
    format!("{}@{DOMAIN}", name(user))
}
