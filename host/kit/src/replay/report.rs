//! Whose contacts would change, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use muster_xmpp::roster::{Change, Snapshot, diff};
use serde::{Deserialize, Serialize};

use crate::run::in_words;

/// What a build makes of one recorded call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The same.
    Same,
    /// Another list.
    Changed {
        /// Contact by contact.
        differences: Vec<Difference>,
    },
    /// Something else altogether.
    Other {
        /// What it was.
        was: String,
        /// What it is.
        is: String,
    },
    /// It asks the app what nobody recorded.
    NotRecorded {
        /// What.
        asked: String,
    },
}

/// A contact that would be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// The contact, as it would be or, if it would be gone, as it was.
    pub contact: String,
    /// What it was before, if it would change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

/// All verdicts of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Calls that were replayed.
    pub calls: usize,
    /// What fell out of the recording.
    pub left_out: u64,
    /// Users for whom something would be otherwise, by the last call that was.
    pub users: BTreeMap<String, Verdict>,
    /// Requests of the app that would be answered otherwise.
    pub requests: Vec<(String, Verdict)>,
}

impl Verdict {
    /// In a word, for programs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed { .. } => "changed",
            Self::Other { .. } => "other",
            Self::NotRecorded { .. } => "not_recorded",
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let text = match self {
            Self::Same => 0,
            Self::Changed { differences } => {
                let differences = differences.iter();
                differences.map(Difference::bytes).sum()
            }
            Self::Other { was, is } => was.len() + is.len(),
            Self::NotRecorded { asked } => asked.len(),
        };
        size_of::<Self>() + text
    }

    pub(super) fn of_lists(was: &Snapshot, is: &Snapshot) -> Self {
        let changes = diff(was, is);
        if changes.is_empty() {
            return Self::Same;
        }
        let differences = changes.iter().map(|change| {
            let item = change.item();
            let (word, before) = match change {
                Change::Added(_) => ("added", None),
                Change::Changed(_) => ("changed", was.get(item.jid())),
                Change::Removed(_) => ("removed", None),
            };
            Difference {
                change: word.to_owned(),
                contact: in_words(&item),
                was: before.map(|item| in_words(&item)),
            }
        });
        Self::Changed {
            differences: differences.collect(),
        }
    }
}

impl Difference {
    fn bytes(&self) -> usize {
        let was = self.was.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.change.len() + self.contact.len() + was
    }
}

impl Replayed {
    pub(crate) fn new(left_out: u64) -> Self {
        Self {
            left_out,
            ..Self::default()
        }
    }

    /// The verdict on one fetch.
    pub fn add(&mut self, username: &str, verdict: Verdict) {
        self.calls += 1;
        // A call that came to nothing new says nothing about the list.
        if verdict == Verdict::Same {
            return;
        }
        // Nor does one that was answered `unchanged` then, where a list was
        // compared before.
        let known = self.users.get(username);
        let compared = matches!(known, Some(Verdict::Changed { .. }));
        if !(compared && matches!(verdict, Verdict::Other { .. })) {
            self.users.insert(username.to_owned(), verdict);
        }
    }

    pub(super) fn add_refresh(&mut self, target: &str, verdict: Verdict) {
        self.calls += 1;
        if verdict != Verdict::Same {
            self.requests.push((target.to_owned(), verdict));
        }
    }

    /// Whether everything would be as it was.
    pub fn is_same(&self) -> bool {
        self.users.is_empty() && self.requests.is_empty()
    }

    /// Contacts that would be added, changed and removed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for verdict in self.users.values() {
            let Verdict::Changed { differences } = verdict else {
                continue;
            };
            for difference in differences {
                match difference.change.as_str() {
                    "added" => counts.0 += 1,
                    "changed" => counts.1 += 1,
                    _ => counts.2 += 1,
                }
            }
        }
        counts
    }

    /// For programs.
    pub fn as_json(&self) -> serde_json::Value {
        let (added, changed, removed) = self.counts();
        serde_json::json!({
            "calls": self.calls,
            "left_out": self.left_out,
            "added": added,
            "changed": changed,
            "removed": removed,
            "users": self.users,
            "requests": self.requests.iter().map(|(target, verdict)| {
                serde_json::json!({"target": target, "result": verdict})
            }).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("the same"),
            Self::Other { was, is } => write!(f, "was {was}, would be {is}"),
            Self::NotRecorded { asked } => {
                write!(f, "cannot be compared: nobody recorded {asked}")
            }
            Self::Changed { differences } => {
                write!(f, "would change")?;
                for Difference {
                    change,
                    contact,
                    was,
                } in differences
                {
                    let sign = match change.as_str() {
                        "added" => '+',
                        "removed" => '-',
                        _ => '~',
                    };
                    write!(f, "\n  {sign} {contact}")?;
                    if let Some(was) = was {
                        write!(f, ", was {was}")?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (user, verdict) in &self.users {
            writeln!(f, "{user}: {verdict}")?;
        }
        for (target, verdict) in &self.requests {
            writeln!(f, "{target}: {verdict}")?;
        }
        let (added, changed, removed) = self.counts();
        write!(
            f,
            "{} calls; {} users would see a change: {added} contacts added, {changed} changed, {removed} removed",
            self.calls,
            self.users.len(),
        )?;
        match self.left_out {
            0 => Ok(()),
            left_out => write!(
                f,
                "; {left_out} older records were left out of the recording"
            ),
        }
    }
}
