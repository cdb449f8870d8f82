//! What the app said of whom, as far as an audit needs it, and the comparison
//! at the end.
//!
//! Owns whom there is to ask, and the bounds. Asks nobody and has no clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use muster_xmpp::BareJid;
use muster_xmpp::roster::{Contact, LeftOut, Sifted, Subscription, sift};

use super::findings::{AuditReport, Finding};
use crate::config::AuditLimits;
use crate::limit::Limit;

/// Bytes of an entry that is quoted.
const QUOTED_BYTES: usize = 200;

/// Whose lists are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of certain users; their contacts are asked for as well, and no
    /// others.
    Named,
    /// Those of everybody who is known, and of whoever is found in their lists.
    Everybody,
}

/// What the app said of one user.
pub(super) enum Heard {
    /// The contacts as they came, and how many the plugin left out.
    Roster(Vec<Contact>, u32),
    /// There is no such user.
    Unknown,
    /// Nothing.
    Failed,
}

/// Why an audit is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Users,
    Contacts,
    Time,
    AppFails,
}

/// See the module.
pub(super) struct Ledger {
    domain: String,
    limits: AuditLimits,
    scope: Scope,
    users: Vec<Account>,
    places: HashMap<Arc<str>, u32>,
    waiting: VecDeque<u32>,
    /// What the first user's list says of the second.
    says: HashMap<(u32, u32), Subscription>,
    findings: Vec<Finding>,
    counts: BTreeMap<String, usize>,
    contacts: usize,
    /// Users who were asked for, or will be.
    asked: usize,
    cut: Option<Cut>,
}

struct Account {
    jid: Arc<str>,
    /// The audit was begun for this one.
    is_named: bool,
    state: State,
    /// There was no room for all that the list says of others: what is not
    /// known of it may still be in it.
    is_cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody's contact whom nobody will be asked for.
    Mentioned,
    Waiting,
    Told,
    Unknown,
    Failed,
}

impl Ledger {
    pub(super) fn new(domain: &str, limits: AuditLimits, scope: Scope) -> Ledger {
        Ledger {
            domain: domain.to_owned(),
            limits,
            scope,
            users: Vec::new(),
            places: HashMap::new(),
            waiting: VecDeque::new(),
            says: HashMap::new(),
            findings: Vec::new(),
            counts: BTreeMap::new(),
            contacts: 0,
            asked: 0,
            cut: None,
        }
    }

    /// The audit is to begin with this one.
    pub(super) fn name(&mut self, account: &str) {
        if let Some(place) = self.place(account)
            && let Some(user) = self.users.get_mut(place as usize)
        {
            user.is_named = true;
            self.want(place);
        }
    }

    /// The next one to ask for.
    pub(super) fn next(&mut self) -> Option<Arc<str>> {
        let place = self.waiting.pop_front()?;
        let user = self.users.get(place as usize)?;
        Some(Arc::clone(&user.jid))
    }

    /// Takes what the app said of `owner`.
    pub(super) fn hear(&mut self, owner: &BareJid, heard: Heard) {
        let Some(place) = self.place(owner.as_str()) else {
            return;
        };
        let state = match heard {
            Heard::Unknown => State::Unknown,
            Heard::Failed => State::Failed,
            Heard::Roster(contacts, left_out) => {
                self.read(owner, place, &contacts);
                if left_out > 0 {
                    self.find(Finding::LeftOut {
                        user: owner.to_string(),
                        entries: left_out,
                    });
                }
                State::Told
            }
        };
        if let Some(user) = self.users.get_mut(place as usize) {
            user.state = state;
        }
    }

    /// Nobody else is asked for.
    pub(super) fn cut(&mut self, cut: Cut) {
        self.cut.get_or_insert(cut);
    }

    /// Compares the lists.
    pub(super) fn report(mut self) -> AuditReport {
        self.compare();
        let unknown = self.users.iter();
        let unknown: Vec<_> = unknown
            .filter(|user| user.is_named && user.state == State::Unknown)
            .map(|user| user.jid.to_string())
            .collect();
        for user in unknown {
            self.find(Finding::UnknownUser { user });
        }
        self.findings.sort_unstable();
        let of = |states: &[State]| {
            let users = self.users.iter();
            users.filter(|user| states.contains(&user.state)).count()
        };
        AuditReport {
            users: of(&[State::Told, State::Unknown]),
            failed: of(&[State::Failed]),
            contacts: self.contacts,
            complete: self.cut.is_none(),
            cut: self.cut.map(|cut| cut.label().to_owned()),
            counts: self.counts,
            findings: self.findings,
            virtual_host: self.domain,
        }
    }

    fn read(&mut self, owner: &BareJid, place: u32, contacts: &[Contact]) {
        self.contacts += contacts.len();
        let Sifted { kept, left_out } = sift(owner, contacts);
        for entry in left_out {
            self.find(named(owner, entry));
        }
        for (jid, contact) in kept {
            if jid.domain().as_str() == self.domain {
                self.note(place, &jid, contact.subscription);
            }
        }
    }

    /// Notes what the list of the user at `place` says of a user of this
    /// domain, who is asked for as well.
    fn note(&mut self, place: u32, contact: &BareJid, subscription: Subscription) {
        if self.says.len() >= self.limits.contacts {
            self.reach(Limit::AuditContacts, Cut::Contacts);
            if let Some(user) = self.users.get_mut(place as usize) {
                user.is_cut = true;
            }
            return;
        }
        let Some(other) = self.place(contact.as_str()) else {
            return;
        };
        self.says.insert((place, other), subscription);
        let is_named = self.users.get(place as usize).is_some_and(|it| it.is_named);
        if is_named || self.scope == Scope::Everybody {
            self.want(other);
        }
    }

    /// The number of an account; `None` if it is one too many to know.
    fn place(&mut self, account: &str) -> Option<u32> {
        if let Some(place) = self.places.get(account) {
            return Some(*place);
        }
        // Each contact can be somebody who was not known.
        let most = self.limits.users.saturating_add(self.limits.contacts);
        let place = u32::try_from(self.users.len()).ok();
        let place = place.filter(|_| self.users.len() < most)?;
        let jid: Arc<str> = account.into();
        self.places.insert(Arc::clone(&jid), place);
        self.users.push(Account {
            jid,
            is_named: false,
            state: State::Mentioned,
            is_cut: false,
        });
        Some(place)
    }

    fn want(&mut self, place: u32) {
        let Some(user) = self.users.get_mut(place as usize) else {
            return;
        };
        if user.state != State::Mentioned {
            return;
        }
        if self.asked >= self.limits.users {
            self.reach(Limit::AuditUsers, Cut::Users);
            return;
        }
        user.state = State::Waiting;
        self.asked += 1;
        self.waiting.push_back(place);
    }

    fn reach(&mut self, limit: Limit, cut: Cut) {
        if self.cut.is_none() {
            limit.reached();
        }
        self.cut(cut);
    }

    fn compare(&mut self) {
        let mut says: Vec<_> = self.says.iter().map(|(pair, it)| (*pair, *it)).collect();
        says.sort_unstable_by_key(|(pair, _)| *pair);
        for ((one, other), subscription) in says {
            let (Some(user), Some(contact)) =
                (self.users.get(one as usize), self.users.get(other as usize))
            else {
                continue;
            };
            let concerns = user.is_named || contact.is_named || self.scope == Scope::Everybody;
            let back = self.says.get(&(other, one)).copied();
            let is_unknown = back.is_none() && contact.is_cut;
            let (user, contact, state) =
                (user.jid.to_string(), contact.jid.to_string(), contact.state);
            match state {
                _ if !concerns => {}
                State::Told if is_unknown => {}
                State::Unknown => self.find(Finding::UnknownContact { user, contact }),
                // A pair is told once, from the side of the first.
                State::Told if (back.is_none() || one < other) && !fit(subscription, back) => {
                    self.find(Finding::OneSided {
                        user,
                        contact,
                        says: subscription.name().to_owned(),
                        other: back.map_or("absent", Subscription::name).to_owned(),
                    });
                }
                _ => {}
            }
        }
    }

    fn find(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind().to_owned()).or_default() += 1;
        if self.findings.len() < self.limits.findings {
            self.findings.push(finding);
        } else if self.findings.len() == self.limits.findings {
            Limit::AuditFindings.reached();
        }
    }
}

impl Cut {
    fn label(self) -> &'static str {
        match self {
            Cut::Users => "users",
            Cut::Contacts => "contacts",
            Cut::Time => "time",
            Cut::AppFails => "app_fails",
        }
    }
}

/// An entry of the list of `owner` that is in no roster.
fn named(owner: &BareJid, entry: LeftOut<'_>) -> Finding {
    let user = owner.to_string();
    match entry {
        LeftOut::Invalid(entry) => Finding::Invalid {
            user,
            entry: quoted(&entry.jid),
        },
        LeftOut::Own(entry) => Finding::SelfListed {
            user,
            entry: quoted(&entry.jid),
        },
        LeftOut::Duplicate { jid, entry, kept } => Finding::Collision {
            user,
            contact: jid.to_string(),
            entries: vec![quoted(&kept.jid), quoted(&entry.jid)],
        },
    }
}

/// Whether presence passes as both lists say: each sees whom the other lets see
/// it.
fn fit(subscription: Subscription, back: Option<Subscription>) -> bool {
    let back = back.unwrap_or(Subscription::None);
    subscription.to() == back.from() && subscription.from() == back.to()
}

/// An entry as it is shown: a prefix, without what a terminal would obey.
fn quoted(entry: &str) -> String {
    let mut quoted = String::new();
    for character in entry.chars() {
        if quoted.len() + character.len_utf8() > QUOTED_BYTES {
            quoted.push('…');
            break;
        }
        match character.is_control() {
            true => quoted.extend(character.escape_default()),
            false => quoted.push(character),
        }
    }
    quoted
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
