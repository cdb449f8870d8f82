//! Whom an account blocks (XEP-0191), as a value, and how it is written.
//!
//! Owns the matching of addresses (§5). Does not own where the list is kept or
//! what a block means for a stanza: that is the router's and the presences'.

use bytes::Bytes;
use jid::{FullJid, Jid};

use crate::encode::{self, push_attribute};
use crate::stanza::IqType;

/// Namespace of the commands.
pub const BLOCKING: &str = "urn:xmpp:blocking";

/// Whom an account blocks. An account that blocks nobody needs none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    /// Prepared JIDs as text, sorted, each once.
    entries: Box<[Box<str>]>,
}

impl Blocklist {
    /// The list of these JIDs, which are prepared.
    pub fn new(jids: impl IntoIterator<Item = String>) -> Self {
        let mut entries: Vec<Box<str>> = jids.into_iter().map(Into::into).collect();
        entries.sort_unstable();
        entries.dedup();
        Self {
            entries: entries.into(),
        }
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The JIDs, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &**entry)
    }

    /// Whether stanzas from and to `jid` are blocked: it is listed, or its
    /// account is, or its domain.
    pub fn blocks(&self, jid: &Jid) -> bool {
        let account = jid.as_str().split('/').next().unwrap_or_default();
        self.has(jid.as_str()) || self.has(account) || self.has(jid.domain().as_str())
    }

    /// The same list and `jids`.
    #[must_use]
    pub fn with(&self, jids: &[Jid]) -> Self {
        let new = jids.iter().map(|jid| jid.as_str().to_owned());
        Self::new(self.iter().map(str::to_owned).chain(new))
    }

    /// The same list without `jids`.
    #[must_use]
    pub fn without(&self, jids: &[Jid]) -> Self {
        let goes = |entry: &&str| jids.iter().any(|jid| jid.as_str() == *entry);
        Self::new(self.iter().filter(|it| !goes(it)).map(str::to_owned))
    }

    fn has(&self, jid: &str) -> bool {
        self.entries
            .binary_search_by(|entry| (**entry).cmp(jid))
            .is_ok()
    }
}

/// Tells `to` what its account has blocked or unblocked (§3.3 to §3.5):
/// `command` is the name of the element, `id` an identifier that no other push
/// to that resource has.
pub fn encode_push<'j>(
    command: &str,
    jids: impl IntoIterator<Item = &'j str>,
    id: &str,
    to: &FullJid,
) -> Bytes {
    encode::server_iq(IqType::Set, id, None, to, &payload(command, jids))
}

/// An element of that name with an item for each JID.
pub(crate) fn payload<'j>(element: &str, jids: impl IntoIterator<Item = &'j str>) -> String {
    let mut out = format!("<{element}");
    push_attribute(&mut out, "xmlns", BLOCKING);
    let start = out.len();
    for jid in jids {
        out.push_str("<item");
        push_attribute(&mut out, "jid", jid);
        out.push_str("/>");
    }
    if out.len() == start {
        out.push_str("/>");
    } else {
        out.insert(start, '>');
        out.push_str("</");
        out.push_str(element);
        out.push('>');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    #[test]
    fn an_entry_covers_what_section_5_says() {
        let (resource, account, domain, service) = (
            "marie@x.test/phone",
            "marie@x.test",
            "x.test",
            "x.test/admin",
        );
        // Entry; who is blocked by it.
        for (entry, blocked) in [
            (resource, &[resource][..]),
            (account, &[resource, account]),
            (service, &[service]),
            (domain, &[resource, account, domain, service]),
            ("test", &[]),
            ("arie@x.test", &[]),
        ] {
            let list = Blocklist::new([entry.to_owned()]);
            for from in [resource, account, domain, service] {
                assert_eq!(
                    list.blocks(&jid(from)),
                    blocked.contains(&from),
                    "{entry}: {from}"
                );
            }
            for other in ["sub.x.test", "marie@sub.x.test", "aaron@y.test"] {
                assert!(!list.blocks(&jid(other)), "{entry}: {other}");
            }
        }
    }

    #[test]
    fn entries_come_and_go() {
        let list = Blocklist::default();
        assert!(list.is_empty());
        let list = list.with(&[jid("b.test"), jid("a.test"), jid("b.test")]);
        assert_eq!(list.iter().collect::<Vec<_>>(), ["a.test", "b.test"]);
        let list = list.without(&[jid("a.test"), jid("c.test")]);
        assert_eq!(list.iter().collect::<Vec<_>>(), ["b.test"]);
        assert!(list.without(&[jid("b.test")]).is_empty());
    }

    #[test]
    fn lists_and_pushes_are_written_whole() {
        assert_eq!(
            payload("blocklist", []),
            "<blocklist xmlns=\"urn:xmpp:blocking\"/>"
        );
        let to = FullJid::new("john@x.test/phone").unwrap();
        assert_eq!(
            encode_push("block", ["a'b@x.test/<", "y.test"], "1", &to),
            "<iq to=\"john@x.test/phone\" id=\"1\" type=\"set\"><block xmlns=\"urn:xmpp:blocking\">\
             <item jid=\"a'b@x.test/&lt;\"/><item jid=\"y.test\"/></block></iq>"
        );
    }
}
