//! Bytes of a client stream → [`StreamEvent`]s, within budgets.
//!
//! Owns the driver of the XML tokeniser, the budgets, the resolution of
//! namespaces and the re-serialisation of a stanza's children; it builds no
//! tree. Does not own what an event means: [`crate::session`] does.
//!
//! Every budget is checked while bytes arrive: the tokeniser gets slices that
//! end where the byte budget ends, and yields attributes one by one. So nothing
//! outlives its bound by more than the input that was read with it, even if no
//! `>` ever comes. How the input is cut into reads changes no event.
//!
//! RFC 6120 §4, §8 and §11; Namespaces in XML 1.0.

mod assembly;
mod fault;
mod input;
mod namespaces;
mod payload;

pub use assembly::{Nonza, NonzaKind, Rejection};

use std::sync::Arc;

use rxml::error::EndOrError;
use rxml::{NcName, Options, Parse as _, RawEvent, RawParser, WithOptions};

use crate::encode::{FRAMING, STREAMS};
use crate::error::{StreamCondition, StreamError};
use crate::limits::{Limits, StanzaLimits};
use crate::stanza::{JABBER_CLIENT, Stanza};
use assembly::{Assembly, Attribute};
use input::Input;
use namespaces::Scope;

/// The tokeniser looks at all it is given whenever it finishes a piece of text,
/// so it is given little at once.
const SLICE_BYTES: usize = 4 * 1024;

/// What comes out of a stream, in order.
#[derive(Debug)]
pub enum StreamEvent {
    /// The start tag of the stream.
    Open(StreamOpen),
    /// A first-level element that is no stanza.
    Nonza(Nonza),
    /// A stanza.
    Stanza(Stanza),
    /// A stanza that breaks the rules of its kind; the stream goes on.
    Rejected(Rejection),
    /// The end tag of the stream.
    Close,
}

/// The start tag of a stream, its namespaces checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOpen {
    /// The domain that the client wants, as it wrote it.
    pub to: Option<String>,
    /// Who the client says it is; only repeated to it, never believed.
    pub from: Option<String>,
    /// The version of XMPP, as the client wrote it.
    pub version: Option<String>,
    /// Language of stanzas that name none.
    pub lang: Option<String>,
}

impl StreamOpen {
    fn of(attributes: &mut Vec<Attribute>) -> Self {
        let mut open = Self::default();
        for attribute in attributes.drain(..) {
            match attribute.known() {
                Some("to") => open.to = Some(attribute.value),
                Some("from") => open.from = Some(attribute.value),
                Some("version") => open.version = Some(attribute.value),
                Some("xml:lang") => open.lang = Some(attribute.value),
                _ => {}
            }
        }
        open
    }
}

/// The decoder of one stream.
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    parser: RawParser,
    limits: StanzaLimits,
    attribute_limit: usize,
    token_bytes: usize,
    /// Since the start of the current first-level element (or of the stream
    /// header); 0 means between them.
    used_bytes: usize,
    used_elements: usize,
    scope: Scope,
    /// Open elements; the first is the stream.
    stack: Vec<Frame>,
    /// Name of the start tag that is being read.
    head: Option<(Option<NcName>, NcName)>,
    attributes: Vec<Attribute>,
    assembly: Assembly,
    ended: bool,
}

/// The root around the elements of a framed stream: declares what a client may
/// leave undeclared, or declares on a root of its own that is not read here.
const ROOT: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:xmpp='urn:xmpp:xbosh'>";

/// An open element.
#[derive(Debug)]
struct Frame {
    name: NcName,
    namespace: Arc<str>,
}

impl Decoder {
    /// A decoder at the beginning of a stream, with the bounds before SASL.
    pub fn new(limits: &Limits) -> Self {
        Self {
            input: Input::default(),
            parser: new_parser(limits.token_bytes),
            limits: limits.before_auth,
            attribute_limit: limits.attributes,
            token_bytes: limits.token_bytes,
            used_bytes: 0,
            used_elements: 0,
            scope: Scope::new(limits.attributes * 2),
            stack: Vec::new(),
            head: None,
            attributes: Vec::new(),
            assembly: Assembly::default(),
            ended: false,
        }
    }

    /// A decoder of a stream whose elements come each on its own (RFC 7395,
    /// XEP-0206), with the bounds before SASL.
    pub fn framed(limits: &Limits) -> Self {
        let mut decoder = Self {
            input: Input::framed(),
            ..Self::new(limits)
        };
        decoder.restart();
        decoder
    }

    /// Takes bytes from the peer. They stay buffered until [`Self::next`].
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.input.receive(bytes);
        }
    }

    /// Takes one or several complete elements, for a [framed](Self::framed)
    /// stream.
    pub fn receive_frame(&mut self, frame: &[u8]) {
        if !self.ended {
            self.input.receive_frame(frame);
        }
    }

    /// Bytes that were received and not looked at yet.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Bytes held for the element that is being read: an upper bound of what
    /// the peer can make this decoder keep, beside [`Self::buffered`].
    pub fn retained(&self) -> usize {
        self.used_bytes + self.assembly.retained()
    }

    /// Other bounds, from the next element on.
    pub fn set_limits(&mut self, limits: StanzaLimits) {
        self.limits = limits;
    }

    /// The bounds of the next element.
    pub fn limits(&self) -> StanzaLimits {
        self.limits
    }

    /// Expects a new stream, after SASL (RFC 6120 §6.4.6). What is buffered
    /// belongs to it.
    pub fn restart(&mut self) {
        self.parser = new_parser(self.token_bytes);
        self.used_bytes = 0;
        self.used_elements = 0;
        self.scope.clear();
        self.stack.clear();
        self.head = None;
        self.attributes.clear();
        self.assembly = Assembly::default();
        if self.input.is_framed() {
            self.enter_root();
        }
    }

    /// Puts the parser inside the root that framed elements do not have.
    fn enter_root(&mut self) {
        let mut root = ROOT;
        while let Ok(Some(event)) = self.parser.parse(&mut root, false) {
            // The root is sound, and its event is nobody's.
            let _ = self.handle(event);
        }
    }

    /// Forgets what was received and not looked at yet.
    pub fn discard(&mut self) {
        self.input.clear();
    }

    /// Forgets all input, before and after this call.
    pub fn end(&mut self) {
        self.ended = true;
        self.restart();
        self.input.clear();
    }

    /// The next event; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// XML that is malformed or forbidden, a budget that is exceeded, an
    /// element that does not belong into a stream. The decoder has ended then.
    // Not an iterator: after `None` there may be more.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<StreamEvent>, StreamError> {
        let outcome = self.advance();
        if outcome.is_err() {
            self.end();
        }
        outcome
    }

    fn advance(&mut self) -> Result<Option<StreamEvent>, StreamError> {
        while !self.ended {
            if self.used_bytes == 0 && !self.skip_between()? {
                self.parser.release_temporaries();
                return Ok(None);
            }
            let budget = self.limits.bytes.saturating_sub(self.used_bytes);
            let length = self.input.len().min(budget).min(SLICE_BYTES);
            let length = length.min(self.input.left_of_frame());
            let mut rest = self.input.bytes().get(..length).unwrap_or_default();
            let outcome = self.parser.parse(&mut rest, false);
            let consumed = length - rest.len();
            self.input.consume(consumed);
            self.used_bytes += consumed;
            match outcome {
                Ok(Some(event)) => {
                    if let Some(event) = self.handle(event)? {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => break,
                Err(EndOrError::NeedMoreData) if self.input.left_of_frame() == 0 => {
                    return Err(StreamCondition::NotWellFormed.into());
                }
                Err(EndOrError::NeedMoreData) if self.input.is_empty() => return Ok(None),
                Err(EndOrError::NeedMoreData) if budget == consumed => {
                    return Err(StreamError::too_big("more bytes than a stanza may have"));
                }
                Err(EndOrError::NeedMoreData) => {}
                Err(EndOrError::Error(error)) => {
                    return Err(fault::of(error, self.stack.is_empty(), self.used_bytes));
                }
            }
        }
        Ok(None)
    }

    /// Drops whitespace between first-level elements (RFC 6120 §4.6.1); tells
    /// whether there is anything else.
    fn skip_between(&mut self) -> Result<bool, StreamError> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let spaces = self
            .input
            .bytes()
            .iter()
            .take_while(|byte| blank(byte))
            .count();
        self.input.consume(spaces);
        self.input.begin_frame();
        match self.input.bytes().first() {
            None => {
                self.input.release();
                Ok(false)
            }
            Some(b'<') => Ok(true),
            // Byte order marks of UTF-16 and UTF-32, or their `<`.
            Some(0x00 | 0xFE | 0xFF) if self.stack.is_empty() => {
                Err(StreamCondition::UnsupportedEncoding.into())
            }
            Some(_) if self.stack.is_empty() => Err(StreamCondition::NotWellFormed.into()),
            Some(_) => {
                Err(StreamError::new(StreamCondition::BadFormat).with_text("text between stanzas"))
            }
        }
    }

    fn handle(&mut self, event: RawEvent) -> Result<Option<StreamEvent>, StreamError> {
        match event {
            RawEvent::XmlDeclaration(..) => Ok(None),
            RawEvent::ElementHeadOpen(_, name) => self.open_head(name).map(|()| None),
            RawEvent::Attribute(_, name, value) => self.attribute(name, value).map(|()| None),
            RawEvent::ElementHeadClose(_) => self.close_head(),
            RawEvent::Text(_, text) => self.text(&text).map(|()| None),
            RawEvent::ElementFoot(_) => Ok(self.foot()),
        }
    }

    fn open_head(&mut self, name: (Option<NcName>, NcName)) -> Result<(), StreamError> {
        self.used_elements += 1;
        if self.used_elements > self.limits.elements {
            return Err(StreamError::too_big("more elements than a stanza may have"));
        }
        if self.stack.len() > self.limits.depth {
            return Err(StreamError::too_big("deeper than a stanza may be"));
        }
        self.scope.open();
        self.attributes.clear();
        self.head = Some(name);
        Ok(())
    }

    fn attribute(
        &mut self,
        (prefix, name): (Option<NcName>, NcName),
        value: String,
    ) -> Result<(), StreamError> {
        if self.attributes.len() + self.scope.declared_here() >= self.attribute_limit {
            return Err(StreamError::too_big(
                "more attributes than an element may have",
            ));
        }
        match prefix {
            Some(prefix) if prefix == "xmlns" => self.scope.declare(Some(name), value),
            None if name == "xmlns" => self.scope.declare(None, value),
            prefix => {
                self.attributes.push(Attribute {
                    prefix,
                    namespace: None,
                    name,
                    value,
                });
                Ok(())
            }
        }
    }

    fn close_head(&mut self) -> Result<Option<StreamEvent>, StreamError> {
        let Some((prefix, name)) = self.head.take() else {
            return Err(StreamCondition::InternalServerError.into());
        };
        let namespace = self.scope.element(prefix.as_ref())?;
        self.resolve_attributes()?;
        let event = match self.stack.len() {
            0 => Some(self.open_stream(&namespace, &name)?),
            1 if *namespace == *FRAMING && !self.input.is_framed() => {
                return Err(StreamCondition::UnsupportedStanzaType.into());
            }
            1 => {
                self.assembly
                    .begin(&namespace, &name, &mut self.attributes)?;
                None
            }
            depth => {
                let parent = self.stack.last().map_or(JABBER_CLIENT, |it| &it.namespace);
                self.assembly
                    .start_child(depth, parent, &namespace, &name, &self.attributes);
                self.check_payload()?;
                None
            }
        };
        self.stack.push(Frame { name, namespace });
        Ok(event)
    }

    /// Gives prefixed attributes their namespace and refuses duplicates.
    fn resolve_attributes(&mut self) -> Result<(), StreamError> {
        for attribute in &mut self.attributes {
            if let Some(prefix) = &attribute.prefix {
                attribute.namespace = Some(self.scope.prefix(prefix)?);
            }
        }
        let mut rest = self.attributes.as_slice();
        while let Some((attribute, others)) = rest.split_first() {
            let same = |other: &Attribute| {
                other.name == attribute.name && other.namespace == attribute.namespace
            };
            if others.iter().any(same) {
                return Err(StreamCondition::NotWellFormed.into());
            }
            rest = others;
        }
        Ok(())
    }

    fn open_stream(&mut self, namespace: &str, name: &str) -> Result<StreamEvent, StreamError> {
        if name != "stream" {
            return Err(StreamCondition::BadFormat.into());
        }
        // RFC 6120 §4.8: the content namespace is the default one.
        if namespace != STREAMS || &*self.scope.element(None)? != JABBER_CLIENT {
            return Err(StreamCondition::InvalidNamespace.into());
        }
        let open = StreamOpen::of(&mut self.attributes);
        self.between();
        Ok(StreamEvent::Open(open))
    }

    fn text(&mut self, text: &str) -> Result<(), StreamError> {
        match self.stack.len() {
            // Written as CDATA or as references: the plain form is caught
            // before it reaches the tokeniser.
            0 | 1 => {
                Err(StreamError::new(StreamCondition::BadFormat).with_text("text between stanzas"))
            }
            depth => {
                self.assembly.text(depth, text);
                self.check_payload()
            }
        }
    }

    /// The re-serialised children may be larger than what was read; that has a
    /// bound as well.
    fn check_payload(&self) -> Result<(), StreamError> {
        if self.assembly.retained() > self.limits.bytes.saturating_mul(2) {
            return Err(StreamError::too_big("more bytes than a stanza may have"));
        }
        Ok(())
    }

    fn foot(&mut self) -> Option<StreamEvent> {
        let frame = self.stack.pop()?;
        self.scope.close();
        match self.stack.len() {
            0 => {
                self.end();
                Some(StreamEvent::Close)
            }
            1 => {
                self.between();
                self.assembly.finish()
            }
            depth => {
                self.assembly.end_child(depth, &frame.name);
                None
            }
        }
    }

    fn between(&mut self) {
        self.used_bytes = 0;
        self.used_elements = 0;
    }
}

fn new_parser(token_bytes: usize) -> RawParser {
    <RawParser as WithOptions>::with_options(Options {
        max_token_length: token_bytes,
        ..Options::default()
    })
}

#[cfg(test)]
mod tests;
