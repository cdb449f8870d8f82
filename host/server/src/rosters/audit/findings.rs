//! What does not fit together in what the app says: the values, and how they
//! are written. The server writes them, `muster audit` reads them;
//! `docs/admin-api.md` explains each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Finding {
    /// The user's list says something of the contact that the contact's does
    /// not return: presence will not pass.
    OneSided {
        user: String,
        contact: String,
        /// The subscription in the user's list.
        says: String,
        /// The one in the contact's list; `absent` if the user is not in it.
        other: String,
    },
    /// A contact of this domain whom the app does not know.
    UnknownContact { user: String, contact: String },
    /// The user was named, or is kept, and the app knows no such user.
    UnknownUser { user: String },
    /// Two entries of one list are the same JID; the second of them is left out.
    Collision {
        user: String,
        contact: String,
        entries: Vec<String>,
    },
    /// The list has its own user; the entry is left out.
    SelfListed { user: String, entry: String },
    /// An entry is no bare JID, and is left out.
    Invalid { user: String, entry: String },
    /// So many entries were left out by the plugin, which does not say which.
    LeftOut { user: String, entries: u32 },
}

impl Finding {
    /// The word that it has in the JSON.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Finding::OneSided { .. } => "one_sided",
            Finding::UnknownContact { .. } => "unknown_contact",
            Finding::UnknownUser { .. } => "unknown_user",
            Finding::Collision { .. } => "collision",
            Finding::SelfListed { .. } => "self_listed",
            Finding::Invalid { .. } => "invalid",
            Finding::LeftOut { .. } => "left_out",
        }
    }
}

/// What an audit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditReport {
    pub(crate) virtual_host: String,
    /// Users whose list the app has told, or of whom it said that there is no
    /// such user.
    pub(crate) users: usize,
    /// Entries in these lists.
    pub(crate) contacts: usize,
    /// Users for whom it could not be asked.
    pub(crate) failed: usize,
    /// Nobody was left out for want of time or because a limit was reached.
    pub(crate) complete: bool,
    /// Why not, if it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cut: Option<String>,
    /// How many there are of each kind.
    pub(crate) counts: BTreeMap<String, usize>,
    /// In order; not all of them if they are too many.
    pub(crate) findings: Vec<Finding>,
}

impl AuditReport {
    /// How many findings there are, listed or not.
    pub(crate) fn found(&self) -> usize {
        self.counts.values().sum()
    }
}
