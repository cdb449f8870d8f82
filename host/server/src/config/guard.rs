//! `[virtual_host.guard]`: when so many users lose their contacts at once that it looks like a
//! fault of the app and not like its will.

use std::time::Duration;

use super::reader::Section;

/// When removals are held back. A user is *drained* who has no contacts any more, or has lost most
/// of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Default true.
    pub enabled: bool,
    /// How long a drained user counts. Default 10 min.
    pub window: Duration,
    /// Of 100 users who are online, so many may be drained within the window. Default 5.
    pub users_percent: usize,
    /// So many may in any case. Default 20.
    pub min_users: usize,
    /// More than so many may not in any case. Default 1,000.
    pub max_users: usize,
    /// Of 100 contacts of a user, so many have to be lost. Default 75.
    pub lost_percent: usize,
    /// And at least so many, unless all are. Default 5.
    pub min_contacts: usize,
}

impl Guard {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let guard = Self {
            enabled: section.value("enabled", default.enabled),
            window: section.value("window", default.window),
            users_percent: section.at_most("users_percent", default.users_percent, 100),
            min_users: section.value("min_users", default.min_users),
            max_users: section.value("max_users", default.max_users),
            lost_percent: section.at_most("lost_percent", default.lost_percent, 100),
            min_contacts: section.value("min_contacts", default.min_contacts),
        };
        section.ordered(
            ("min_users", guard.min_users),
            ("max_users", guard.max_users),
            "so many users may lose their contacts in any case",
        );
        Self {
            max_users: guard.max_users.max(guard.min_users),
            ..guard
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(600),
            users_percent: 5,
            min_users: 20,
            max_users: 1_000,
            lost_percent: 75,
            min_contacts: 5,
        }
    }
}
