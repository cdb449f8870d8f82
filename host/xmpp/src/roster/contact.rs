//! One contact as the app states it, and the door it has to pass.
//!
//! Owns what a valid JID, name and group are; not what happens to the list.
//! From the plugin's answer to the snapshot.

use std::borrow::Cow;

use jid::{BareJid, Jid};

/// Longest name of an item, in bytes; a longer one is cut at a character.
pub const MAX_NAME_BYTES: usize = 1_023;
/// Longest name of a group, in bytes; a longer one is cut at a character.
pub const MAX_GROUP_BYTES: usize = 1_023;
/// Most groups of one item; the first of them in byte order stay.
pub const MAX_GROUPS_PER_ITEM: usize = 100;

/// A contact that nobody has checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Supposed to be a bare JID.
    pub jid: String,
    /// The name that the user gave the contact.
    pub name: Option<String>,
    /// The groups, in any order, with any repetition.
    pub groups: Vec<String>,
    /// Whose presence reaches whom.
    pub subscription: Subscription,
}

/// Whose presence reaches whom, as the user's roster states it
/// (RFC 6121 §2.1.2.5). `remove` is not a state: see
/// [`Change::Removed`](super::Change::Removed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subscription {
    /// Neither sees the other.
    None,
    /// The user sees the contact.
    To,
    /// The contact sees the user.
    From,
    /// Both see each other: what the app means when it says nothing.
    #[default]
    Both,
}

impl Subscription {
    /// The value of the attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::To => "to",
            Self::From => "from",
            Self::Both => "both",
        }
    }

    /// Whether the user may see the contact's presence.
    pub const fn to(self) -> bool {
        matches!(self, Self::To | Self::Both)
    }

    /// Whether the contact may see the user's presence.
    pub const fn from(self) -> bool {
        matches!(self, Self::From | Self::Both)
    }
}

/// The contact's JID, normalised; `None` if it is not a bare JID.
///
/// A root dot at the end of the domain is removed first (RFC 7622 §3.2.1),
/// since the parser leaves it in the text. What would change again under a
/// second preparation is refused: one contact must have one JID.
pub fn parse_jid(text: &str) -> Option<BareJid> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let jid = BareJid::new(text).ok()?;
    if jid.as_str() == text && !text.ends_with('.') {
        // The preparation changed nothing, so it will not the next time.
        return Some(jid);
    }
    // The text is kept, and read again for each stanza to the contact.
    let again = Jid::new(jid.as_str()).ok()?;
    let stable = again.is_bare() && again.as_str() == jid.as_str() && !jid.as_str().ends_with('.');
    stable.then_some(jid)
}

/// The text without what XML cannot carry, cut to `limit` bytes.
pub(super) fn clean(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && text.chars().all(is_xml_char) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len().min(limit));
    for character in text.chars().filter(|character| is_xml_char(*character)) {
        if clean.len() + character.len_utf8() > limit {
            break;
        }
        clean.push(character);
    }
    Cow::Owned(clean)
}

/// `Char` of XML 1.0 §2.2, without the noncharacters of each plane's end, which
/// parsers are free to refuse.
const fn is_xml_char(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\0'..='\u{1f}' => false,
        '\u{fdd0}'..='\u{fdef}' => false,
        other => other as u32 & 0xfffe != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jids_are_bare_and_stable() {
        for (text, expected) in [
            ("john@example.test", "john@example.test"),
            ("JOHN@Example.TEST", "john@example.test"),
            ("\u{fb01}nn@example.test", "finn@example.test"),
            ("john@example.test.", "john@example.test"),
            ("example.test", "example.test"),
        ] {
            assert_eq!(parse_jid(text).unwrap().as_str(), expected, "{text:?}");
        }
        let long = format!("{}@example.test", "a".repeat(1024));
        for text in [
            "",
            "@",
            "@example.test",
            "john@",
            "john@example.test/phone",
            "john@example.test/",
            "jo hn@example.test",
            "john@exa mple.test",
            "john@example.test..",
            "john@.",
            "jo\0hn@example.test",
            "jo\u{202e}hn@example.test",
            "john@marie@example.test",
            &long,
        ] {
            assert_eq!(parse_jid(text), None, "{text:?}");
        }
    }

    #[test]
    fn text_is_cleaned_and_cut() {
        assert!(matches!(clean("Marie\n", 10), Cow::Borrowed("Marie\n")));
        for (text, limit, expected) in [
            ("a\0b\u{7}c\u{b}d", 10, "abcd"),
            ("a\u{fffe}b\u{ffff}c\u{1fffe}d\u{fdd0}", 10, "abcd"),
            ("<b>&\"'\u{202e}", 20, "<b>&\"'\u{202e}"),
            ("éééé", 5, "éé"),
            ("\0", 5, ""),
            ("abc", 0, ""),
        ] {
            assert_eq!(clean(text, limit), expected, "{text:?}");
        }
        let huge = "x".repeat(4 << 20);
        assert_eq!(clean(&huge, MAX_NAME_BYTES).len(), MAX_NAME_BYTES);
    }

    proptest! {
        #[test]
        fn clean_text_stays_as_it_is(text in any::<String>(), limit in 0_usize..40) {
            let once = clean(&text, limit).into_owned();
            prop_assert!(once.len() <= limit);
            prop_assert!(once.chars().all(is_xml_char));
            prop_assert_eq!(&clean(&once, limit), &once);
        }

        #[test]
        fn a_jid_is_its_own_normal_form(text in "[a-zA-ZÄé@./ \u{fb01}]{0,20}|[a-z]{1,8}@[a-z]{1,8}\\.test") {
            if let Some(jid) = parse_jid(&text) {
                prop_assert_eq!(parse_jid(jid.as_str()), Some(jid));
            }
        }
    }
}
