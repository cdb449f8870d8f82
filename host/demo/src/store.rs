//! The users and their contact lists in SQLite.
//!
//! Owns the schema and the queries. A list is one user's view: befriending makes an entry in both
//! lists, renaming changes one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

/// A user of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The local part of the JID.
    pub username: &'static str,
    /// How others see the user.
    pub name: &'static str,
    /// `muster demo` prints it; it protects nothing.
    pub password: &'static str,
}

const fn account(username: &'static str, name: &'static str, password: &'static str) -> Account {
    Account {
        username,
        name,
        password,
    }
}

/// The users of an empty database.
pub const ACCOUNTS: [Account; 5] = [
    account("john", "John", "john-secret"),
    account("marie", "Marie", "marie-secret"),
    account("aaron", "Aaron", "aaron-secret"),
    account("juliet", "Juliet", "juliet-secret"),
    account("romeo", "Romeo", "romeo-secret"),
];

/// Who is friends with whom in an empty database.
const FRIENDS: [(&str, &str); 2] = [("john", "marie"), ("juliet", "romeo")];

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        username TEXT PRIMARY KEY,
        name     TEXT NOT NULL,
        password TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS contacts (
        user    TEXT NOT NULL REFERENCES users,
        contact TEXT NOT NULL REFERENCES users,
        name    TEXT NOT NULL,
        team    TEXT,
        PRIMARY KEY (user, contact)
    );";

const INSERT_CONTACT: &str = "
    INSERT INTO contacts (user, contact, name, team)
    SELECT ?1, username, name, ?3 FROM users WHERE username = ?2
    ON CONFLICT DO UPDATE SET team = coalesce(excluded.team, team)";

const LIST: &str = "SELECT contact, name, team FROM contacts WHERE user = ?1 ORDER BY contact";

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is done.
    Done,
    /// There is no such user, or no such contact.
    Unknown,
}

/// The database. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    /// Locked for one query or transaction, never across an await.
    connection: Arc<Mutex<Connection>>,
    domain: Arc<str>,
}

impl Store {
    pub(crate) fn open(path: Option<&Path>, domain: String) -> rusqlite::Result<Self> {
        let mut connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        fill(&transaction)?;
        transaction.commit()?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            domain: domain.into(),
        })
    }

    /// Everyone: the user name and the name.
    pub(crate) fn users(&self) -> rusqlite::Result<Vec<(String, String)>> {
        self.with(|connection| {
            let mut query = connection.prepare_cached("SELECT username, name FROM users")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// The contact list as Muster reads it; `None` if there is no such user.
    pub(crate) fn contacts(&self, user: &str) -> rusqlite::Result<Option<Value>> {
        self.with(|connection| {
            if !exists(connection, user)? {
                return Ok(None);
            }
            let mut list = Map::new();
            let mut query = connection.prepare_cached(LIST)?;
            let mut rows = query.query([user])?;
            while let Some(row) = rows.next()? {
                let (contact, name): (String, String) = (row.get(0)?, row.get(1)?);
                let groups: Vec<String> = row.get::<_, Option<_>>(2)?.into_iter().collect();
                let entry = json!({ "name": name, "groups": groups, "subscription": "both" });
                list.insert(format!("{contact}@{}", self.domain), entry);
            }
            Ok(Some(list.into()))
        })
    }

    /// Whether `password` is the user's.
    pub(crate) fn authenticate(&self, user: &str, password: &str) -> rusqlite::Result<bool> {
        let query = "SELECT password FROM users WHERE username = ?1";
        let stored: Option<String> = self.with(|connection| {
            connection
                .query_row(query, [user], |row| row.get(0))
                .optional()
        })?;
        let stored = stored.unwrap_or_default();
        Ok(!stored.is_empty() & bool::from(stored.as_bytes().ct_eq(password.as_bytes())))
    }

    /// Puts each into the other's list; `group` goes into the user's own list.
    pub(crate) fn befriend(
        &self,
        user: &str,
        contact: &str,
        group: Option<&str>,
    ) -> rusqlite::Result<Change> {
        self.with(|connection| {
            if !exists(connection, user)? || !exists(connection, contact)? {
                return Ok(Change::Unknown);
            }
            let transaction = connection.transaction()?;
            befriend(&transaction, user, contact, group)?;
            transaction.commit()?;
            Ok(Change::Done)
        })
    }

    /// Takes each out of the other's list.
    pub(crate) fn unfriend(&self, user: &str, contact: &str) -> rusqlite::Result<Change> {
        let statement = "DELETE FROM contacts WHERE (user, contact) IN (VALUES (?1, ?2), (?2, ?1))";
        let changed = self.with(|connection| connection.execute(statement, [user, contact]))?;
        Ok(change(changed))
    }

    /// Changes how `contact` is called in the user's own list.
    pub(crate) fn rename(&self, user: &str, contact: &str, name: &str) -> rusqlite::Result<Change> {
        let statement = "UPDATE contacts SET name = ?3 WHERE user = ?1 AND contact = ?2";
        let changed =
            self.with(|connection| connection.execute(statement, [user, contact, name]))?;
        Ok(change(changed))
    }

    fn with<T>(&self, query: impl FnOnce(&mut Connection) -> T) -> T {
        // A panic in a query leaves no transaction open: it is rolled back when it unwinds.
        query(
            &mut self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Users and friendships for a database that has none.
fn fill(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let users: i64 = transaction.query_row("SELECT count(*) FROM users", [], |row| row.get(0))?;
    if users > 0 {
        return Ok(());
    }
    for Account {
        username,
        name,
        password,
    } in ACCOUNTS
    {
        transaction.execute(
            "INSERT INTO users VALUES (?1, ?2, ?3)",
            [username, name, password],
        )?;
    }
    for (user, contact) in FRIENDS {
        befriend(transaction, user, contact, Some("Friends"))?;
    }
    Ok(())
}

fn befriend(
    transaction: &Transaction<'_>,
    user: &str,
    contact: &str,
    group: Option<&str>,
) -> rusqlite::Result<()> {
    transaction.execute(INSERT_CONTACT, params![user, contact, group])?;
    transaction.execute(INSERT_CONTACT, params![contact, user, None::<&str>])?;
    Ok(())
}

fn exists(connection: &Connection, user: &str) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached("SELECT 1 FROM users WHERE username = ?1")?;
    query.exists([user])
}

fn change(rows: usize) -> Change {
    if rows == 0 {
        Change::Unknown
    } else {
        Change::Done
    }
}
