//! Rosters as XML (RFC 6121 §2.1.3 to §2.1.6, §2.6), without a tree between.
//!
//! Owns the result of a roster get and the push of one change. Both come from
//! the recipient's own account and so carry no `from` (§2.1.6). From the
//! server's rosters to the connections' mailboxes.

use bytes::Bytes;
use jid::Jid;

use super::{Change, Item, Snapshot};
use crate::encode::{push_attribute, push_text};

/// Namespace of rosters (RFC 6121 §2).
pub const NAMESPACE: &str = "jabber:iq:roster";

/// Room for an item without its text: the tag, its attributes, a group.
const ITEM_BYTES: usize = 64;

/// The result of the roster get `id`, for the resource `to`.
///
/// `known` is the version that the client says it has: `Some("")` if it has
/// none but understands versions. If it has this one, the result is empty and
/// stands for "unchanged" (§2.6.3); a client that does not understand versions
/// (`None`) is told none.
pub fn encode_result(snapshot: &Snapshot, id: &str, known: Option<&str>, to: &Jid) -> Bytes {
    let unchanged = known == Some(snapshot.ver());
    let room = if unchanged {
        0
    } else {
        snapshot.memory_bytes() + snapshot.len() * ITEM_BYTES
    };
    let mut out = String::with_capacity(room + 256);
    push_iq(&mut out, "result", id, to);
    if unchanged {
        out.push_str("/>");
        return Bytes::from(out);
    }
    out.push('>');
    push_query(&mut out, known.map(|_| snapshot.ver()));
    for item in snapshot.iter() {
        push_item(&mut out, &item);
    }
    out.push_str("</query></iq>");
    Bytes::from(out)
}

/// The push of one change to the resource `to`. `id` must be unique among the
/// IQs to that resource; `ver` is the version of the new snapshot.
pub fn encode_push(change: &Change<'_>, ver: &str, id: &str, to: &Jid) -> Bytes {
    let mut out = String::with_capacity(512);
    push_iq(&mut out, "set", id, to);
    out.push('>');
    push_query(&mut out, Some(ver));
    match change {
        Change::Added(item) | Change::Changed(item) => push_item(&mut out, item),
        Change::Removed(item) => {
            out.push_str("<item");
            push_attribute(&mut out, "jid", item.jid());
            push_attribute(&mut out, "subscription", "remove");
            out.push_str("/>");
        }
    }
    out.push_str("</query></iq>");
    Bytes::from(out)
}

/// `<iq type id to`, still open for what follows.
fn push_iq(out: &mut String, type_: &str, id: &str, to: &Jid) {
    out.push_str("<iq");
    push_attribute(out, "to", to.as_str());
    push_attribute(out, "id", id);
    push_attribute(out, "type", type_);
}

fn push_query(out: &mut String, ver: Option<&str>) {
    out.push_str("<query");
    push_attribute(out, "xmlns", NAMESPACE);
    if let Some(ver) = ver {
        push_attribute(out, "ver", ver);
    }
    out.push('>');
}

fn push_item(out: &mut String, item: &Item<'_>) {
    out.push_str("<item");
    push_attribute(out, "jid", item.jid());
    if let Some(name) = item.name() {
        push_attribute(out, "name", name);
    }
    push_attribute(out, "subscription", item.subscription().name());
    let groups = item.groups();
    if groups.len() == 0 {
        out.push_str("/>");
        return;
    }
    out.push('>');
    for group in groups {
        out.push_str("<group>");
        push_text(out, group);
        out.push_str("</group>");
    }
    out.push_str("</item>");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xmpp_parsers::minidom::Element;
    use xmpp_parsers::roster::{Roster, Subscription as ParsedSubscription};

    use super::super::snapshot::tests::{contact, contacts, snapshot};
    use super::super::{Subscription, diff};
    use super::*;

    fn phone() -> Jid {
        Jid::new("john@example.test/phone").unwrap()
    }

    /// The query of an IQ, as another implementation reads it.
    fn read(bytes: &Bytes) -> (Element, Option<Roster>) {
        let text = std::str::from_utf8(bytes).unwrap();
        let text = text.replacen("<iq", "<iq xmlns='jabber:client'", 1);
        let iq: Element = text.parse().unwrap();
        let query = iq.children().next().cloned();
        let roster = query.map(|query| Roster::try_from(query).unwrap());
        (iq, roster)
    }

    #[test]
    fn a_result_is_what_the_rfc_shows() {
        let roster = snapshot(vec![contact(
            "marie@example.test",
            Some("Marie & \"Co\"\n"),
            &["<Friends>", "Work"],
            Subscription::Both,
        )]);
        let ver = roster.ver();
        assert_eq!(
            encode_result(&roster, "a'1", Some(""), &phone()),
            format!(
                "<iq to=\"john@example.test/phone\" id=\"a'1\" type=\"result\">\
                 <query xmlns=\"jabber:iq:roster\" ver=\"{ver}\">\
                 <item jid=\"marie@example.test\" name=\"Marie &amp; &quot;Co&quot;&#10;\" subscription=\"both\">\
                 <group>&lt;Friends&gt;</group><group>Work</group></item></query></iq>"
            )
        );
        assert_eq!(
            encode_result(&roster, "1", Some(ver), &phone()),
            "<iq to=\"john@example.test/phone\" id=\"1\" type=\"result\"/>"
        );
        let (_, unversioned) = read(&encode_result(&roster, "1", None, &phone()));
        assert_eq!(unversioned.unwrap().ver, None);
    }

    #[test]
    fn an_empty_roster_is_not_an_unchanged_one() {
        let empty = Snapshot::empty();
        assert!(!empty.ver().is_empty());
        for known in [None, Some(""), Some("old")] {
            let (_, roster) = read(&encode_result(&empty, "1", known, &phone()));
            assert_eq!(roster.unwrap().items.len(), 0);
        }
    }

    #[test]
    fn a_push_has_one_item_and_no_sender() {
        let old = snapshot(vec![contact(
            "marie@example.test",
            None,
            &[],
            Subscription::To,
        )]);
        let new = snapshot(vec![contact(
            "aaron@example.test",
            None,
            &[],
            Subscription::From,
        )]);
        let pushes: Vec<_> = diff(&old, &new)
            .iter()
            .map(|change| {
                let (iq, roster) = read(&encode_push(change, new.ver(), "p1", &phone()));
                assert_eq!(iq.attr("from"), None);
                assert_eq!(iq.attr("type"), Some("set"));
                assert_eq!(iq.attr("id"), Some("p1"));
                let roster = roster.unwrap();
                assert_eq!(roster.ver.as_deref(), Some(new.ver()));
                let [item] = roster.items.as_slice() else {
                    panic!("not one item")
                };
                (item.jid.to_string(), item.subscription.clone())
            })
            .collect();
        assert_eq!(
            pushes,
            [
                ("aaron@example.test".to_owned(), ParsedSubscription::From),
                ("marie@example.test".to_owned(), ParsedSubscription::Remove),
            ]
        );
    }

    proptest! {
        #[test]
        fn another_implementation_reads_what_is_written(contacts in contacts()) {
            let snapshot = snapshot(contacts);
            let (_, roster) = read(&encode_result(&snapshot, "1", Some(""), &phone()));
            let roster = roster.unwrap();
            prop_assert_eq!(roster.items.len(), snapshot.len());
            for (parsed, item) in roster.items.iter().zip(snapshot.iter()) {
                prop_assert_eq!(parsed.jid.as_str(), item.jid());
                prop_assert_eq!(parsed.name.as_deref(), item.name());
                let groups: Vec<&str> = parsed.groups.iter().map(|group| group.0.as_str()).collect();
                prop_assert_eq!(groups, item.groups().collect::<Vec<_>>());
            }
        }
    }
}
