//! Namespace declarations in scope (Namespaces in XML 1.0 §6).
//!
//! The tokeniser checks the reserved name `xml`; this checks the rest: prefixes
//! that are not declared, twice declared ones, the reserved `xmlns`.

use std::sync::Arc;

use rxml::{NcName, XMLNS_XML, XMLNS_XMLNS};

use crate::error::{StreamCondition, StreamError};
use crate::stanza::JABBER_CLIENT;

/// The declarations of all open elements.
#[derive(Debug)]
pub(super) struct Scope {
    declarations: Vec<Declaration>,
    /// Number of declarations before each open element.
    marks: Vec<usize>,
    limit: usize,
    client: Arc<str>,
    xml: Arc<str>,
    none: Arc<str>,
}

#[derive(Debug)]
struct Declaration {
    prefix: Option<NcName>,
    namespace: Arc<str>,
}

impl Scope {
    /// An empty scope that takes up to `limit` declarations at once: looking a
    /// prefix up walks over them.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            declarations: Vec::new(),
            marks: Vec::new(),
            limit,
            client: JABBER_CLIENT.into(),
            xml: XMLNS_XML.into(),
            none: "".into(),
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.declarations.clear();
        self.marks.clear();
    }

    /// An element begins.
    pub(super) fn open(&mut self) {
        self.marks.push(self.declarations.len());
    }

    /// The innermost element ends.
    pub(super) fn close(&mut self) {
        if let Some(mark) = self.marks.pop() {
            self.declarations.truncate(mark);
        }
    }

    /// Declarations of the innermost element.
    pub(super) fn declared_here(&self) -> usize {
        self.declarations.len() - self.mark()
    }

    /// Adds a declaration of the innermost element.
    pub(super) fn declare(
        &mut self,
        prefix: Option<NcName>,
        namespace: String,
    ) -> Result<(), StreamError> {
        let here = self.declarations.get(self.mark()..).unwrap_or_default();
        if here.iter().any(|other| other.prefix == prefix) || namespace == XMLNS_XMLNS {
            return Err(StreamCondition::NotWellFormed.into());
        }
        if self.declarations.len() >= self.limit {
            return Err(StreamError::too_big("too many namespaces"));
        }
        let namespace = if namespace == JABBER_CLIENT {
            self.client.clone()
        } else {
            namespace.into()
        };
        self.declarations.push(Declaration { prefix, namespace });
        Ok(())
    }

    /// The namespace of an element with this prefix.
    pub(super) fn element(&self, prefix: Option<&NcName>) -> Result<Arc<str>, StreamError> {
        match prefix {
            Some(prefix) => self.prefix(prefix),
            None => Ok(self.find(None).unwrap_or(&self.none).clone()),
        }
    }

    /// The namespace of this prefix.
    pub(super) fn prefix(&self, prefix: &NcName) -> Result<Arc<str>, StreamError> {
        if prefix == "xml" {
            return Ok(self.xml.clone());
        }
        let found = self.find(Some(prefix)).cloned();
        found.ok_or(StreamCondition::NotWellFormed.into())
    }

    fn find(&self, prefix: Option<&NcName>) -> Option<&Arc<str>> {
        let mut inner_first = self.declarations.iter().rev();
        inner_first
            .find(|declaration| declaration.prefix.as_ref() == prefix)
            .map(|declaration| &declaration.namespace)
    }

    fn mark(&self) -> usize {
        self.marks.last().copied().unwrap_or_default()
    }
}
