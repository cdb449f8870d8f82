//! Names and groups as XMPP can carry them.
//!
//! Owns the two bounds of a text that a person wrote in the app: the code
//! points that XML 1.0 can carry (section 2.2) and 1,023 bytes, what a part of
//! an address may have and clients expect of a label. What does not fit is cut
//! away: a contact with a shortened name serves better than none.

use std::borrow::Cow;

const MAX_BYTES: usize = 1_023;

/// `text` without what XML cannot carry, at most 1,023 bytes long.
pub(crate) fn label(text: Cow<'_, str>) -> Cow<'_, str> {
    let text = if is_plain(&text) {
        text
    } else {
        Cow::Owned(text.chars().filter(|&c| is_xml_char(c)).collect())
    };
    if text.len() <= MAX_BYTES {
        return text;
    }
    let end = text.floor_char_boundary(MAX_BYTES);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Whether no byte of `text` can belong to a code point that XML forbids:
/// those are below U+0020 or in U+FFFE and U+FFFF, which start with EF.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b >= 0x20 && b != 0xEF)
}

/// `Char` of XML 1.0; surrogates cannot be in a `char`.
fn is_xml_char(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(label(Cow::Borrowed(text)), expected);
        assert_eq!(label(Cow::Owned(text.to_owned())), expected);
    }

    #[test]
    fn what_xml_cannot_carry_is_removed() {
        check("Marie", "Marie");
        check("Ma\0r\u{1}i\u{1F}e\u{FFFE}\u{FFFF}", "Marie");
        check("\u{B}\u{C}", "");
    }

    #[test]
    fn what_xml_can_carry_stays() {
        check("a\tb\nc\rd", "a\tb\nc\rd");
        check(
            "<b>&\"'\u{202E}\u{7F}\u{FEFF}\u{FFFD}é😀",
            "<b>&\"'\u{202E}\u{7F}\u{FEFF}\u{FFFD}é😀",
        );
    }

    #[test]
    fn long_text_ends_at_a_character() {
        check(&"a".repeat(1_023), &"a".repeat(1_023));
        check(&"a".repeat(1_024), &"a".repeat(1_023));
        check(&"é".repeat(600), &"é".repeat(511));
        check(&"\0a".repeat(1_023), &"a".repeat(1_023));
    }
}
