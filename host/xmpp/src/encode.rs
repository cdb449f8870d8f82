//! Writes stanzas, errors and stream headers as bytes.
//!
//! Owns escaping: whatever the strings hold, the output is well-formed XML 1.0
//! and has no code point that XML forbids ([`push_text`] replaces those by
//! U+FFFD). A delivery is one [`Bytes`], cheap to clone into several mailboxes.
//! It starts with `<message`, `<presence` or `<iq` and declares no default
//! namespace: that is the stream's `jabber:client`.

mod head;

pub use head::Head;

use std::borrow::Cow;

use bytes::Bytes;
use jid::Jid;

use crate::error::{ApplicationCondition, StanzaError, StreamError};
use crate::session::MANAGEMENT;
use crate::stanza::{Iq, IqType, Message, MessageType, Presence, Stanza, StanzaKind};

/// Namespace of the stream root and its errors.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Namespace of `<open/>` and `<close/>` (RFC 7395).
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// Namespace of defined stanza error conditions.
const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Namespace of defined stream error conditions.
const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// A message as `from` sends it to `to`.
pub fn message(message: &Message, from: &Jid, to: &Jid) -> Bytes {
    let mut out = start(
        StanzaKind::Message,
        from,
        Some(to),
        message.payload.as_str(),
    );
    push_optional(&mut out, "id", message.id.as_deref());
    if message.type_ != MessageType::Normal {
        push_attribute(&mut out, "type", message.type_.name());
    }
    push_optional(&mut out, "xml:lang", message.lang.as_deref());
    end(out, StanzaKind::Message, message.payload.as_str())
}

/// A presence as `from` sends it to `to`.
pub fn presence(presence: &Presence, from: &Jid, to: &Jid) -> Bytes {
    let payload = presence.payload.as_str();
    let mut out = start(StanzaKind::Presence, from, Some(to), payload);
    push_optional(&mut out, "id", presence.id.as_deref());
    push_optional(&mut out, "type", presence.type_.name());
    push_optional(&mut out, "xml:lang", presence.lang.as_deref());
    end(out, StanzaKind::Presence, payload)
}

/// An IQ as `from` sends it to `to`.
pub fn iq(iq: &Iq, from: &Jid, to: &Jid) -> Bytes {
    let mut out = start(StanzaKind::Iq, from, Some(to), iq.payload.as_str());
    push_attribute(&mut out, "id", &iq.id);
    push_attribute(&mut out, "type", iq.type_.name());
    push_optional(&mut out, "xml:lang", iq.lang.as_deref());
    end(out, StanzaKind::Iq, iq.payload.as_str())
}

/// Any stanza as `from` sends it to `to`.
pub fn stanza(stanza: &Stanza, from: &Jid, to: &Jid) -> Bytes {
    match stanza {
        Stanza::Message(it) => message(it, from, to),
        Stanza::Presence(it) => presence(it, from, to),
        Stanza::Iq(it) => iq(it, from, to),
    }
}

/// An IQ made by the server, around `payload`, which has to be canonical XML
/// relative to `jabber:client` (made with [`push_text`] and [`push_attribute`]).
///
/// Roster results and pushes are such IQs; without `from` they come from the
/// recipient's own account (RFC 6121 §2.1.6).
pub fn server_iq(type_: IqType, id: &str, from: Option<&Jid>, to: &Jid, payload: &str) -> Bytes {
    let mut out = String::with_capacity(payload.len() + 128);
    out.push_str("<iq");
    push_optional(&mut out, "from", from.map(Jid::as_str));
    push_attribute(&mut out, "to", to.as_str());
    push_attribute(&mut out, "id", id);
    push_attribute(&mut out, "type", type_.name());
    end(out, StanzaKind::Iq, payload)
}

/// The answer to a stanza that could not be handled (RFC 6120 §8.3.1).
///
/// `from` is whom the stanza was addressed to, `to` its sender (who has no JID
/// before a resource is bound). The stanza's payload is not repeated. Never answer a stanza of type error or an IQ result
/// with this.
pub fn error_reply(
    kind: StanzaKind,
    id: Option<&str>,
    from: Option<&Jid>,
    to: Option<&Jid>,
    error: &StanzaError,
) -> Bytes {
    let mut out = String::with_capacity(320);
    out.push('<');
    out.push_str(kind.name());
    push_optional(&mut out, "from", from.map(Jid::as_str));
    push_optional(&mut out, "to", to.map(Jid::as_str));
    push_optional(&mut out, "id", id);
    push_attribute(&mut out, "type", "error");
    out.push_str("><error");
    push_attribute(&mut out, "type", error.type_.name());
    out.push('>');
    push_empty(&mut out, error.condition.name(), STANZA_ERRORS);
    push_error_details(&mut out, error.text, STANZA_ERRORS, error.application);
    out.push_str("</error></");
    out.push_str(kind.name());
    out.push('>');
    Bytes::from(out)
}

/// A stream error, without the end of the stream (RFC 6120 §4.9.2).
pub fn push_stream_error(out: &mut String, error: &StreamError) {
    out.push_str("<stream:error>");
    push_stream_error_content(out, error);
    out.push_str("</stream:error>");
}

/// What is inside a stream error: BOSH has a wrapper of its own for it
/// (XEP-0206 §6).
pub(crate) fn push_stream_error_content(out: &mut String, error: &StreamError) {
    push_empty(out, error.condition.name(), STREAM_ERRORS);
    push_error_details(out, error.text, STREAM_ERRORS, error.application);
}

/// The server's stream header (RFC 6120 §4.7).
#[derive(Clone, Copy, Debug)]
pub struct StreamHeader<'a> {
    /// Our domain; none if the client named none that we serve.
    pub from: Option<&'a str>,
    /// What the client said it is, if it did (RFC 6120 §4.7.2).
    pub to: Option<&'a str>,
    /// Identifier of this stream, unguessable.
    pub id: &'a str,
}

/// Writes the XML declaration and the start tag of a stream.
pub fn push_stream_header(out: &mut String, header: &StreamHeader<'_>) {
    out.push_str("<?xml version='1.0'?><stream:stream");
    push_attribute(out, "xmlns", crate::stanza::JABBER_CLIENT);
    push_attribute(out, "xmlns:stream", STREAMS);
    push_header_attributes(out, header);
    out.push('>');
}

/// Writes the `<open/>` of a framed stream (RFC 7395 §3.3.2).
pub fn push_open(out: &mut String, header: &StreamHeader<'_>) {
    out.push_str("<open");
    push_attribute(out, "xmlns", FRAMING);
    push_header_attributes(out, header);
    out.push_str("/>");
}

fn push_header_attributes(out: &mut String, header: &StreamHeader<'_>) {
    push_optional(out, "from", header.from);
    push_optional(out, "to", header.to);
    push_attribute(out, "id", header.id);
    push_attribute(out, "xml:lang", "en");
    push_attribute(out, "version", "1.0");
}

/// The end of a stream.
pub const STREAM_END: &str = "</stream:stream>";

/// The end of a framed stream (RFC 7395 §3.6).
///
/// COMPAT: strophe.js and what derives from it compare the message with this
/// very text, space included, and take any other for a lost connection.
pub const FRAMED_END: &str = "<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" />";

/// Appends ` name="value"`, escaped.
pub fn push_attribute(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value, is_special_in_attribute);
    out.push('"');
}

/// Appends character data, escaped.
pub fn push_text(out: &mut String, text: &str) {
    push_escaped(out, text, is_special_in_text);
}

/// Undoes the escaping of [`push_attribute`] and [`push_text`].
pub(crate) fn unescape(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('&') {
        return Cow::Borrowed(escaped);
    }
    let mut out = escaped.to_owned();
    // Ampersands last, so that what they escaped stays escaped.
    for (reference, text) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#9;", "\t"),
        ("&#10;", "\n"),
        ("&#13;", "\r"),
        ("&amp;", "&"),
    ] {
        out = out.replace(reference, text);
    }
    Cow::Owned(out)
}

/// `<kind from to`, with room for the rest.
fn start(kind: StanzaKind, from: &Jid, to: Option<&Jid>, payload: &str) -> String {
    let mut out = String::with_capacity(payload.len() + 192);
    out.push('<');
    out.push_str(kind.name());
    push_attribute(&mut out, "from", from.as_str());
    push_optional(&mut out, "to", to.map(Jid::as_str));
    out
}

/// The end of the start tag, the children, the end tag.
fn end(mut out: String, kind: StanzaKind, payload: &str) -> Bytes {
    if payload.is_empty() {
        out.push_str("/>");
    } else {
        out.push('>');
        out.push_str(payload);
        out.push_str("</");
        out.push_str(kind.name());
        out.push('>');
    }
    Bytes::from(out)
}

fn push_optional(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        push_attribute(out, name, value);
    }
}

/// An element with nothing but its namespace.
fn push_empty(out: &mut String, name: &str, namespace: &str) {
    out.push('<');
    out.push_str(name);
    push_attribute(out, "xmlns", namespace);
    out.push_str("/>");
}

/// What both kinds of error carry beside their condition.
fn push_error_details(
    out: &mut String,
    text: Option<&str>,
    namespace: &str,
    application: Option<ApplicationCondition>,
) {
    if let Some(text) = text {
        out.push_str("<text");
        push_attribute(out, "xmlns", namespace);
        push_attribute(out, "xml:lang", "en");
        out.push('>');
        push_text(out, text);
        out.push_str("</text>");
    }
    match application {
        None => {}
        Some(ApplicationCondition::HandledCountTooHigh { handled, sent }) => {
            out.push_str("<handled-count-too-high");
            push_attribute(out, "xmlns", MANAGEMENT);
            push_attribute(out, "h", &handled.to_string());
            push_attribute(out, "send-count", &sent.to_string());
            out.push_str("/>");
        }
        Some(condition) => push_empty(out, condition.name(), condition.namespace()),
    }
}

/// Copies runs of harmless bytes at once; looks at characters only where a byte
/// is special.
fn push_escaped(out: &mut String, text: &str, special: fn(u8) -> bool) {
    let mut rest = text;
    while let Some(position) = rest.bytes().position(special) {
        // A special byte is ASCII or the first of a multi-byte character, so
        // this is a character boundary.
        let (harmless, tail) = rest.split_at(position);
        out.push_str(harmless);
        let mut characters = tail.chars();
        if let Some(character) = characters.next() {
            push_special(out, character);
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn push_special(out: &mut String, character: char) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\t' => out.push_str("&#9;"),
        '\n' => out.push_str("&#10;"),
        '\r' => out.push_str("&#13;"),
        // XML 1.0 §2.2: control characters and the two non-characters. Their
        // references are forbidden as well.
        '\0'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
        other => out.push(other),
    }
}

/// 0xEF starts U+FFFE and U+FFFF (and some 4,000 harmless characters).
fn is_special_in_text(byte: u8) -> bool {
    matches!(byte, b'&' | b'<' | b'>' | 0xEF) || (byte < 0x20 && byte != b'\t' && byte != b'\n')
}

fn is_special_in_attribute(byte: u8) -> bool {
    matches!(byte, b'&' | b'<' | b'>' | b'"' | 0xEF) || byte < 0x20
}

#[cfg(test)]
mod tests;
