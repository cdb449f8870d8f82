//! One request of a client: the `<body/>` element's attributes, and what is
//! inside as it came.
//!
//! Owns the budgets of the start tag. The content is not looked at: the decoder
//! of the session does that, with budgets of its own. Namespace declarations
//! of the start tag are therefore not in scope of the content; the libraries in
//! use declare namespaces where they use them.
//!
//! XEP-0124 §7, §10 and §14; XEP-0206 §3 and §5.

use bytes::Bytes;
use rxml::error::EndOrError;
use rxml::{NcName, Options, Parse as _, RawEvent, RawParser, WithOptions};

use super::{HTTPBIND, XBOSH};
use crate::decoder::StreamOpen;

/// Bytes of a start tag, an XML declaration before it included.
pub const HEAD_BYTES: usize = 4 * 1024;
/// Bytes of a name or of an attribute's value.
const TOKEN_BYTES: usize = 1024;
/// Attributes and namespace declarations of the start tag, together.
const ATTRIBUTES: usize = 32;
/// What a client may count up to (XEP-0124 §14.1).
const LAST_RID: u64 = (1 << 53) - 1;

/// What a request says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Number of the request, from 1 to 2^53 - 1.
    pub rid: u64,
    /// The session; `None` asks for a new one.
    pub sid: Option<String>,
    /// For a new session or a restart: the stream that the client wants.
    pub open: StreamOpen,
    /// For a new session: what the client can do.
    pub offer: Offer,
    /// Seconds for which the client wants to be away (XEP-0124 §10).
    pub pause: Option<u64>,
    /// What the request is for, beside its content.
    pub purpose: Purpose,
    /// The elements inside, not looked at.
    pub content: Bytes,
}

/// What a request is for, beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing else.
    #[default]
    Exchange,
    /// The stream begins anew (`xmpp:restart`, XEP-0206 §5).
    Restart,
    /// The session ends after the content (`type='terminate'`).
    Terminate,
}

/// What a client can do, as it says in its first request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Seconds for which a request may stay unanswered.
    pub wait: Option<u64>,
    /// Requests that may stay unanswered at once.
    pub hold: Option<u64>,
    /// Version of XEP-0124, major and minor.
    pub ver: Option<(u32, u32)>,
}

/// Why a request is none. Reach: the request; it is answered with
/// `bad-request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The start tag is not XML, or is not closed.
    #[error("the request is not well-formed")]
    NotWellFormed,
    /// The start tag exceeds a budget.
    #[error("the start tag is too large")]
    TooLarge,
    /// Another element.
    #[error("the request is not a <body/> of {HTTPBIND}")]
    NotABody,
    /// No `rid`, or one that is no positive number below 2^53.
    #[error("the request has no usable rid")]
    Rid,
    /// Another attribute that has to be a number is none.
    #[error("an attribute is not a number")]
    NotANumber,
}

impl Body {
    /// Takes a request apart. The content shares the memory of `request`.
    ///
    /// # Errors
    ///
    /// [`BodyFault`]; nothing of the request is usable then.
    pub fn parse(request: &Bytes) -> Result<Body, BodyFault> {
        let head = Head::parse(request)?;
        let content = head.content(request)?;
        if head.namespace(head.prefix.as_ref()) != Some(HTTPBIND) || head.name != "body" {
            return Err(BodyFault::NotABody);
        }
        let mut body = Body {
            content,
            ..Body::default()
        };
        for (prefix, name, value) in &head.attributes {
            let namespace = match prefix {
                Some(prefix) if prefix == "xml" => Some(rxml::XMLNS_XML),
                Some(prefix) => {
                    let declared = head.namespace(Some(prefix));
                    Some(declared.ok_or(BodyFault::NotWellFormed)?)
                }
                None => None,
            };
            body.set(namespace, name, value)?;
        }
        // What the schema of XEP-0206 §9 has as the default.
        let version = &mut body.open.version;
        version.get_or_insert_with(|| "1.0".to_owned());
        match body.rid {
            1..=LAST_RID => Ok(body),
            _ => Err(BodyFault::Rid),
        }
    }

    /// The session that a request names which begins with `start`, if its start
    /// tag is there.
    pub fn sid_of(start: &[u8]) -> Option<String> {
        let attributes = Head::parse(start).ok()?.attributes;
        let mut attributes = attributes.into_iter();
        let sid = attributes.find(|(prefix, name, _)| prefix.is_none() && name == "sid");
        sid.map(|(.., sid)| sid)
    }

    /// Whether the request brings nothing and asks for nothing but an answer.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.purpose == Purpose::Exchange && self.pause.is_none()
    }

    fn set(&mut self, namespace: Option<&str>, name: &str, value: &str) -> Result<(), BodyFault> {
        match (namespace, name) {
            (None, "rid") => self.rid = value.parse().map_err(|_| BodyFault::Rid)?,
            (None, "sid") => self.sid = Some(value.to_owned()),
            (None, "to") => self.open.to = Some(value.to_owned()),
            (None, "from") => self.open.from = Some(value.to_owned()),
            (Some(rxml::XMLNS_XML), "lang") => self.open.lang = Some(value.to_owned()),
            (Some(XBOSH), "version") => self.open.version = Some(value.to_owned()),
            (Some(XBOSH), "restart") if matches!(value, "true" | "1") => {
                self.purpose = Purpose::Restart;
            }
            (None, "type") if value == "terminate" => self.purpose = Purpose::Terminate,
            (None, "wait") => self.offer.wait = Some(number(value)?),
            (None, "hold") => self.offer.hold = Some(number(value)?),
            (None, "pause") => self.pause = Some(number(value)?),
            (None, "ver") => self.offer.ver = version(value),
            _ => {}
        }
        Ok(())
    }
}

fn number(value: &str) -> Result<u64, BodyFault> {
    value.parse().map_err(|_| BodyFault::NotANumber)
}

/// `1.11` is newer than `1.6` (XEP-0124 §7.1).
fn version(value: &str) -> Option<(u32, u32)> {
    let (major, minor) = value.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A start tag.
struct Head {
    prefix: Option<NcName>,
    name: NcName,
    attributes: Vec<(Option<NcName>, NcName, String)>,
    /// Prefix (none: the default) and namespace.
    declarations: Vec<(Option<NcName>, String)>,
    /// Bytes up to and including its `>`.
    length: usize,
}

impl Head {
    fn parse(request: &[u8]) -> Result<Head, BodyFault> {
        let mut parser = <RawParser as WithOptions>::with_options(Options {
            max_token_length: TOKEN_BYTES,
            ..Options::default()
        });
        let within = request.get(..HEAD_BYTES).unwrap_or(request);
        let mut rest = within;
        let mut head: Option<Head> = None;
        loop {
            match (parser.parse(&mut rest, false), &mut head) {
                (Ok(Some(RawEvent::XmlDeclaration(..))), None) => {}
                (Ok(Some(RawEvent::ElementHeadOpen(_, (prefix, name)))), None) => {
                    head = Some(Head::new(prefix, name));
                }
                (Ok(Some(RawEvent::Attribute(_, (prefix, name), value))), Some(head)) => {
                    head.push(prefix, name, value)?;
                }
                (Ok(Some(RawEvent::ElementHeadClose(_))), _) => {
                    let mut head = head.ok_or(BodyFault::NotWellFormed)?;
                    head.length = within.len() - rest.len();
                    return Ok(head);
                }
                (Err(EndOrError::NeedMoreData), _) if within.len() < request.len() => {
                    return Err(BodyFault::TooLarge);
                }
                _ => return Err(BodyFault::NotWellFormed),
            }
        }
    }

    fn new(prefix: Option<NcName>, name: NcName) -> Head {
        Head {
            prefix,
            name,
            attributes: Vec::new(),
            declarations: Vec::new(),
            length: 0,
        }
    }

    fn push(
        &mut self,
        prefix: Option<NcName>,
        name: NcName,
        value: String,
    ) -> Result<(), BodyFault> {
        if self.attributes.len() + self.declarations.len() >= ATTRIBUTES {
            return Err(BodyFault::TooLarge);
        }
        let repeated = match &prefix {
            Some(xmlns) if xmlns == "xmlns" => {
                let repeated = self.namespace(Some(&name)).is_some();
                self.declarations.push((Some(name), value));
                repeated
            }
            None if name == "xmlns" => {
                let repeated = self.namespace(None).is_some();
                self.declarations.push((None, value));
                repeated
            }
            _ => {
                let mut others = self.attributes.iter();
                let repeated = others.any(|(p, n, _)| *p == prefix && *n == name);
                self.attributes.push((prefix, name, value));
                repeated
            }
        };
        match repeated {
            true => Err(BodyFault::NotWellFormed),
            false => Ok(()),
        }
    }

    fn namespace(&self, prefix: Option<&NcName>) -> Option<&str> {
        let mut declarations = self.declarations.iter();
        let declared = declarations.find(|(declared, _)| declared.as_ref() == prefix);
        declared.map(|(_, namespace)| namespace.as_str())
    }

    /// What is between the start tag and the end tag, which has to be the last
    /// thing in the request.
    fn content(&self, request: &Bytes) -> Result<Bytes, BodyFault> {
        let (head, rest) = request
            .split_at_checked(self.length)
            .ok_or(BodyFault::NotWellFormed)?;
        let rest = rest.trim_ascii();
        // A `/` before the `>` of a start tag is not part of anything else:
        // values are in quotes.
        if head.ends_with(b"/>") {
            return match rest.is_empty() {
                true => Ok(Bytes::new()),
                false => Err(BodyFault::NotWellFormed),
            };
        }
        let content = rest
            .strip_suffix(b">")
            .and_then(|rest| rest.trim_ascii_end().strip_suffix(self.name.as_bytes()))
            .and_then(|rest| match &self.prefix {
                Some(prefix) => rest.strip_suffix(b":")?.strip_suffix(prefix.as_bytes()),
                None => Some(rest),
            })
            .and_then(|rest| rest.strip_suffix(b"</"))
            .ok_or(BodyFault::NotWellFormed)?;
        Ok(request.slice_ref(content.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Result<Body, BodyFault> {
        Body::parse(&Bytes::copy_from_slice(xml.as_bytes()))
    }

    #[test]
    fn a_session_request_says_what_the_client_wants() {
        let body = parse(
            "<?xml version='1.0'?><body content='text/xml; charset=utf-8' hold='1' rid='1573741820' \
             to='example.test' ver='1.11' wait='60' xml:lang='de' xmpp:version='1.0' \
             xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'/>\n",
        )
        .unwrap();
        assert_eq!(body.rid, 1_573_741_820);
        assert_eq!(body.sid, None);
        assert_eq!(body.open.to.as_deref(), Some("example.test"));
        assert_eq!(body.open.version.as_deref(), Some("1.0"));
        assert_eq!(body.open.lang.as_deref(), Some("de"));
        let offer = Offer {
            wait: Some(60),
            hold: Some(1),
            ver: Some((1, 11)),
        };
        assert_eq!(body.offer, offer);
        assert!(body.is_empty());
    }

    #[test]
    fn the_content_is_what_is_inside() {
        let inside = "<presence xmlns='jabber:client'/><message xmlns='jabber:client'><body>&lt;/body></body></message>";
        for (xml, content) in [
            (
                format!("<body rid='1' sid='s' xmlns='{HTTPBIND}'>\n {inside}\n</body >"),
                inside,
            ),
            (
                format!("<b:body rid='1' sid='s' xmlns:b='{HTTPBIND}'>{inside}</b:body>"),
                inside,
            ),
            (
                format!("<body rid='1' sid='s' xmlns='{HTTPBIND}'></body>"),
                "",
            ),
            (
                format!("<body rid='1' sid='s' xmlns='{HTTPBIND}' a='b/' />"),
                "",
            ),
        ] {
            let body = parse(&xml).unwrap();
            assert_eq!(body.content, content, "{xml}");
            assert_eq!(body.sid.as_deref(), Some("s"));
            assert_eq!(body.is_empty(), content.is_empty());
        }
    }

    #[test]
    fn the_session_is_known_by_the_start_tag() {
        let start = format!("<body rid='1' sid='s' xmlns='{HTTPBIND}'><message>");
        assert_eq!(Body::sid_of(start.as_bytes()).as_deref(), Some("s"));
        for start in ["", "<body rid='1' sid='s'", "<body rid='1'>", "x"] {
            assert_eq!(Body::sid_of(start.as_bytes()), None, "{start}");
        }
    }

    #[test]
    fn purposes_are_told_apart() {
        let xml = |more: &str| {
            format!("<body rid='7' sid='s' xmlns='{HTTPBIND}' xmlns:x='{XBOSH}' {more}/>")
        };
        for (more, purpose, empty) in [
            ("", Purpose::Exchange, true),
            ("x:restart='false'", Purpose::Exchange, true),
            ("type='error'", Purpose::Exchange, true),
            ("pause='10'", Purpose::Exchange, false),
            (
                "x:restart='true' to='example.test'",
                Purpose::Restart,
                false,
            ),
            ("type='terminate'", Purpose::Terminate, false),
        ] {
            let body = parse(&xml(more)).unwrap();
            assert_eq!((body.purpose, body.is_empty()), (purpose, empty), "{more}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let body = |more: &str| format!("<body xmlns='{HTTPBIND}' {more}/>");
        let many: String = (0..40).map(|n| format!(" a{n}=''")).collect();
        let long = "x".repeat(2_000);
        let longer = " ".repeat(HEAD_BYTES);
        for (xml, fault) in [
            (String::new(), BodyFault::NotWellFormed),
            ("hello".to_owned(), BodyFault::NotWellFormed),
            ("<?xml version='1.0'?>".to_owned(), BodyFault::NotWellFormed),
            ("<!DOCTYPE a><body/>".to_owned(), BodyFault::NotWellFormed),
            ("<body rid='1'/>".to_owned(), BodyFault::NotABody),
            (
                format!("<bodie rid='1' xmlns='{HTTPBIND}'/>"),
                BodyFault::NotABody,
            ),
            (
                format!("<a:body rid='1' xmlns='{HTTPBIND}'/>"),
                BodyFault::NotABody,
            ),
            (body(""), BodyFault::Rid),
            (body("rid='0'"), BodyFault::Rid),
            (body("rid='-1'"), BodyFault::Rid),
            (body("rid='9007199254740992'"), BodyFault::Rid),
            (body("rid='1' wait='long'"), BodyFault::NotANumber),
            (body("rid='1' hold='-1'"), BodyFault::NotANumber),
            (body("rid='1' rid='2'"), BodyFault::NotWellFormed),
            (body("rid='1' x:restart='true'"), BodyFault::NotWellFormed),
            (body("rid='1' xmlns='a'"), BodyFault::NotWellFormed),
            (body(&format!("rid='1'{many}")), BodyFault::TooLarge),
            (
                body(&format!("rid='1' sid='{long}'")),
                BodyFault::NotWellFormed,
            ),
            (body(&format!("rid='1'{longer}")), BodyFault::TooLarge),
            (format!("{}<a/>", body("rid='1'")), BodyFault::NotWellFormed),
            (
                format!("<body rid='1' xmlns='{HTTPBIND}'>"),
                BodyFault::NotWellFormed,
            ),
            (
                format!("<body rid='1' xmlns='{HTTPBIND}'></bodx>"),
                BodyFault::NotWellFormed,
            ),
            (
                format!("<body rid='1' xmlns='{HTTPBIND}'></body><a/>"),
                BodyFault::NotWellFormed,
            ),
        ] {
            assert_eq!(parse(&xml), Err(fault), "{xml}");
        }
        let edge = body(&format!("rid='{LAST_RID}'"));
        assert_eq!(parse(&edge).map(|body| body.rid), Ok(LAST_RID));
    }
}
