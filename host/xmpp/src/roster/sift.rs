//! Which entries of a list are contacts, and which are left out and why.
//!
//! Owns the choice among several entries for one JID. Does not own what a valid
//! field is (the contact does), nor what becomes of those that stay (the
//! snapshot) or of those that do not (a count, or an audit that names them).

use std::cmp::Reverse;

use jid::BareJid;

use super::contact::{Contact, parse_jid};

/// A list, taken apart.
#[derive(Debug)]
pub struct Sifted<'a> {
    /// Those that stay, sorted by JID (byte order), each JID once.
    pub kept: Vec<(BareJid, &'a Contact)>,
    /// The others, in no order.
    pub left_out: Vec<LeftOut<'a>>,
}

/// An entry that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut<'a> {
    /// Its JID is not a bare JID.
    Invalid(&'a Contact),
    /// It names the user.
    Own(&'a Contact),
    /// Another entry has the same JID after normalisation, and stays.
    Duplicate {
        /// What both are.
        jid: BareJid,
        /// The one that is left out.
        entry: &'a Contact,
        /// The one that stays.
        kept: &'a Contact,
    },
}

/// Takes the list of `owner` apart.
///
/// - An entry whose JID is not a bare JID, or is the owner's, is left out.
/// - Of several entries for one JID one stays: the one whose JID was written in
///   normal form, else the one whose JID as written comes first in byte order;
///   among entries that were written alike, the last. So the order of a JSON
///   object's keys changes nothing.
#[must_use]
pub fn sift<'a>(owner: &BareJid, contacts: &'a [Contact]) -> Sifted<'a> {
    let mut left_out = Vec::new();
    let mut known = Vec::with_capacity(contacts.len());
    for (place, contact) in contacts.iter().enumerate() {
        match parse_jid(&contact.jid) {
            None => left_out.push(LeftOut::Invalid(contact)),
            Some(jid) if jid == *owner => left_out.push(LeftOut::Own(contact)),
            Some(jid) => known.push((jid, place, contact)),
        }
    }
    // The entry that stays comes first among those of one JID.
    known.sort_unstable_by(|(a, a_place, a_contact), (b, b_place, b_contact)| {
        let rank = |jid: &BareJid, contact: &'a Contact| {
            let written = contact.jid.as_str();
            (written != jid.as_str(), written)
        };
        a.as_str()
            .cmp(b.as_str())
            .then_with(|| rank(a, a_contact).cmp(&rank(b, b_contact)))
            .then_with(|| Reverse(a_place).cmp(&Reverse(b_place)))
    });
    let mut kept: Vec<(BareJid, &'a Contact)> = Vec::with_capacity(known.len());
    for (jid, _, entry) in known {
        match kept.last() {
            Some((last, kept)) if *last == jid => {
                left_out.push(LeftOut::Duplicate { jid, entry, kept });
            }
            _ => kept.push((jid, entry)),
        }
    }
    Sifted { kept, left_out }
}
