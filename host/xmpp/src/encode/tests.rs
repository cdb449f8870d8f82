//! Escaping, and every form of reply.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn escaping_is_undone(text in any::<String>()) {
        let mut attribute = String::new();
        push_attribute(&mut attribute, "a", &text);
        let escaped = attribute.strip_prefix(" a=\"").unwrap().strip_suffix('"').unwrap();
        let legal: String = text.chars().map(|c| if is_legal(c) { c } else { '\u{FFFD}' }).collect();
        prop_assert_eq!(unescape(escaped), legal.as_str());
        let mut out = String::new();
        push_text(&mut out, &text);
        prop_assert_eq!(unescape(&out), legal.as_str());
    }

    #[test]
    fn no_text_breaks_out(text in any::<String>()) {
        let mut out = String::new();
        push_text(&mut out, &text);
        prop_assert!(!out.contains(['<', '>', '\r']));
        prop_assert!(out.chars().all(is_legal));
    }
}

/// The production `Char` of XML 1.0 §2.2.
fn is_legal(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[test]
fn runs_between_specials_survive() {
    let mut out = String::new();
    push_text(&mut out, "a<b>c&d\re\u{0}f\u{FFFE}g\u{FF01}h\ti\"'");
    assert_eq!(
        out,
        "a&lt;b&gt;c&amp;d&#13;e\u{FFFD}f\u{FFFD}g\u{FF01}h\ti\"'"
    );
}

#[test]
fn stream_errors_carry_condition_text_and_application() {
    let mut out = String::new();
    push_stream_error(
        &mut out,
        &StreamError::too_big("more than a stanza may have"),
    );
    assert_eq!(
        out,
        "<stream:error><policy-violation xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\"/>\
         <text xmlns=\"urn:ietf:params:xml:ns:xmpp-streams\" xml:lang=\"en\">more than a stanza may have</text>\
         <stanza-too-big xmlns=\"urn:xmpp:errors\"/></stream:error>"
    );
}

#[test]
fn replies_name_the_recipient_as_sender() {
    let john = Jid::new("john@example.test/phone").unwrap();
    let marie = Jid::new("marie@example.test").unwrap();
    let reply = error_reply(
        StanzaKind::Iq,
        Some("a\"1"),
        Some(&marie),
        Some(&john),
        &StanzaError::SERVICE_UNAVAILABLE,
    );
    assert_eq!(
        reply,
        "<iq from=\"marie@example.test\" to=\"john@example.test/phone\" id=\"a&quot;1\" type=\"error\">\
         <error type=\"cancel\"><service-unavailable xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"/></error></iq>"
    );
}
