//! Writes the children of a stanza anew, as [`Payload`] text.
//!
//! The form is fixed there; here is the writer that gets the pieces in the order
//! in which they are read. Its buffer is used again for the next stanza.

use crate::encode::{push_attribute, push_text};
use crate::stanza::Payload;

use super::assembly::Attribute;

#[derive(Debug, Default)]
pub(super) struct PayloadWriter {
    text: String,
    /// The last start tag still lacks its `>`, so that an element without
    /// content can be closed in itself.
    open: bool,
    children: usize,
}

/// What a buffer may keep for the next stanza.
const KEPT_BYTES: usize = 4 * 1024;

impl PayloadWriter {
    /// Bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// A child of the stanza itself begins with the next start tag.
    pub(super) fn count_child(&mut self) {
        self.children += 1;
    }

    pub(super) fn start(
        &mut self,
        parent: &str,
        namespace: &str,
        name: &str,
        attributes: &[Attribute],
    ) {
        self.close_start_tag();
        self.text.push('<');
        self.text.push_str(name);
        if namespace != parent {
            push_attribute(&mut self.text, "xmlns", namespace);
        }
        for (index, attribute) in attributes.iter().enumerate() {
            self.attribute(index, attribute);
        }
        self.open = true;
    }

    /// The original prefix is not kept: it may be declared far outside, and
    /// nothing may depend on it.
    fn attribute(&mut self, index: usize, attribute: &Attribute) {
        match &attribute.namespace {
            None => push_attribute(&mut self.text, &attribute.name, &attribute.value),
            Some(namespace) if &**namespace == rxml::XMLNS_XML => {
                let name = format!("xml:{}", attribute.name);
                push_attribute(&mut self.text, &name, &attribute.value);
            }
            Some(namespace) => {
                push_attribute(&mut self.text, &format!("xmlns:a{index}"), namespace);
                let name = format!("a{index}:{}", attribute.name);
                push_attribute(&mut self.text, &name, &attribute.value);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.close_start_tag();
            push_text(&mut self.text, text);
        }
    }

    pub(super) fn end(&mut self, name: &str) {
        if self.open {
            self.text.push_str("/>");
            self.open = false;
        } else {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
    }

    /// Takes the finished payload out.
    pub(super) fn finish(&mut self) -> Payload {
        let payload = Payload::from_canonical(&self.text, self.children);
        self.clear();
        payload
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT_BYTES);
        self.open = false;
        self.children = 0;
    }

    fn close_start_tag(&mut self) {
        if self.open {
            self.text.push('>');
            self.open = false;
        }
    }
}
