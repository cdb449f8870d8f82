//! The form of a recording, as a file.
//!
//! Owns the keys, which are added to and never change their meaning. What is
//! recorded and for whose eyes is decided in [`super`] and [`super::redact`].

use muster_plugin::{Contact, FetchError, Fetched, Many, ManyError, Subscription};
use serde::{Deserialize, Serialize};

use crate::report::describe;

/// The version of this form.
pub(crate) const VERSION: u32 = 1;

/// The error of an answer that is no list, without the plugin's words about it.
pub(super) const MALFORMED: &str = "malformed";

/// What passed between a plugin, its app and the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// The version of the form.
    pub version: u32,
    /// Whose plugin it was.
    pub about: About,
    /// Of the build that served at the end, in hexadecimal digits.
    pub sha256: String,
    /// Whether names are pseudonyms.
    pub redacted: bool,
    /// What fell out of the recording because of its bounds: fetches and
    /// exchanges together.
    pub left_out: u64,
    /// Requests of the plugin and the app's answers, in order.
    pub exchanges: Vec<Exchange>,
    /// Fetches of one user, in the order of their ends.
    pub fetches: Vec<Fetch>,
    /// Fetches of many users in one request, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<Batch>,
    /// What the app sent.
    pub refreshes: Vec<Refresh>,
}

/// What a plugin was told about where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The virtual host.
    pub domain: String,
    /// `http_roster_url`.
    pub url: String,
    /// `http_rosters_url`, where many users are asked for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rosters_url: Option<String>,
    /// Which origins it may reach, and by which methods.
    pub origins: Vec<(String, Vec<String>)>,
    /// Whether stubs of files and sockets are there.
    pub deny_all_stubs: bool,
}

/// A request of the plugin and the app's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// When, in the order of everything.
    pub at: u64,
    /// The method.
    pub method: String,
    /// Scheme, host and port as the plugin wrote them.
    pub origin: String,
    /// Path and query.
    pub target: String,
    /// The validator that the request named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asked: String,
    /// The status of the answer.
    pub status: u16,
    /// Those headers of the answer that a roster may depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Its body; `None` if it could not be redacted.
    pub body: Option<String>,
}

/// A fetch and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// When it began.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// Whose contacts.
    pub username: String,
    /// The validator of the list that the host held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// What it came to.
    pub result: Found,
}

/// A fetch of many users in one request, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// When it began.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// Whose contacts.
    pub usernames: Vec<String>,
    /// What it came to.
    pub result: Together,
}

/// What a fetch of many users came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Together {
    /// Something for each user, in their order.
    Each(Vec<Found>),
    /// An error for all of them, as fixtures name it.
    Error(String),
}

/// What a fetch came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing new.
    Unchanged,
    /// A list.
    List(Vec<Listed>),
    /// An error, as fixtures name it; without the plugin's own words if redacted.
    Error(String),
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its JID, as the plugin gave it.
    pub jid: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// As RFC 6121 spells it.
    pub subscription: String,
}

/// A request under `/roster_admin/`, and whom it was about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refresh {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Its headers, without credentials; only its content type if redacted.
    pub headers: Vec<(String, String)>,
    /// Its body; `None` if it could not be redacted.
    pub body: Option<String>,
    /// Whom the plugin has had refreshed.
    pub usernames: Vec<String>,
    /// The status of its answer; `None` if it gave none.
    pub status: Option<u16>,
}

impl Found {
    pub(crate) fn of(result: &Result<Fetched, FetchError>) -> Self {
        match result {
            Ok(Fetched::Unchanged) => Self::Unchanged,
            Ok(Fetched::Roster { contacts, .. }) => {
                Self::List(contacts.iter().map(Listed::of).collect())
            }
            Err(error) => Self::Error(describe(error)),
        }
    }

    /// Whether `now` is the same, as far as this one tells.
    pub(crate) fn is_same(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Error(was), Self::Error(is)) if was == MALFORMED => is.starts_with(MALFORMED),
            _ => self == now,
        }
    }

    /// About how many bytes it takes, beside its own size.
    fn bytes(&self) -> usize {
        match self {
            Self::Unchanged => 0,
            Self::Error(text) => text.len(),
            Self::List(list) => list.iter().map(Listed::bytes).sum(),
        }
    }
}

impl Together {
    /// `None` if the plugin asks for one user at a time, so that nobody was asked.
    pub(crate) fn of(result: &Result<Many, ManyError>) -> Option<Self> {
        match result {
            Ok(lists) => Some(Self::Each(lists.iter().map(Found::of).collect())),
            Err(ManyError::Fetch(error)) => Some(Self::Error(describe(error))),
            Err(ManyError::Unsupported) => None,
        }
    }

    /// What came of one of the users.
    pub(crate) fn of_user(&self, index: usize) -> Found {
        match self {
            Self::Each(found) => match found.get(index) {
                Some(found) => found.clone(),
                // Of a file that somebody has written.
                None => Found::Error("nothing".to_owned()),
            },
            Self::Error(text) => Found::Error(text.clone()),
        }
    }
}

impl Fetch {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let known = self.known.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.username.len() + known + self.result.bytes()
    }
}

impl Batch {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let results = match &self.result {
            Together::Each(found) => {
                let found = found.iter();
                found.map(|it| size_of::<Found>() + it.bytes()).sum()
            }
            Together::Error(text) => text.len(),
        };
        size_of::<Self>() + names_bytes(&self.usernames) + results
    }
}

fn names_bytes(names: &[String]) -> usize {
    let names = names.iter();
    names.map(|name| name.len() + size_of::<String>()).sum()
}

impl Listed {
    fn of(contact: &Contact) -> Self {
        Self {
            jid: contact.jid.clone(),
            name: contact.name.clone(),
            groups: contact.groups.clone(),
            subscription: match contact.subscription {
                Subscription::None => "none",
                Subscription::To => "to",
                Subscription::From => "from",
                Subscription::Both => "both",
            }
            .to_owned(),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.jid.len()
            + self.name.as_ref().map_or(0, String::len)
            + names_bytes(&self.groups)
    }
}

impl Exchange {
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.method.len()
            + self.origin.len()
            + self.target.len()
            + self.known.as_ref().map_or(0, String::len)
            + self.asked.len()
            + headers_bytes(&self.headers)
            + self.body.as_ref().map_or(0, String::len)
    }
}

impl Refresh {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.method.len()
            + self.target.len()
            + headers_bytes(&self.headers)
            + self.body.as_ref().map_or(0, String::len)
            + names_bytes(&self.usernames)
    }
}

fn headers_bytes(headers: &[(String, String)]) -> usize {
    let headers = headers.iter();
    headers
        .map(|(name, value)| name.len() + value.len() + size_of::<(String, String)>())
        .sum()
}
