//! Which call of a store asks: the parent of a request's span.
//!
//! Several calls share a worker store, and nothing that a guest hands to
//! `wasi:http` says for which of them it asks. What tells them apart is the user
//! of whom the URL speaks. Owns nothing but a guess for whoever looks at traces;
//! without traces there is nothing to guess.

use std::collections::HashMap;

use http::Uri;
use percent_encoding::percent_decode_str;
use tracing::Span;

use crate::worker::Ticket;

/// A call that may ask the app.
#[derive(Debug)]
pub(crate) struct Asking {
    username: String,
    span: Span,
}

/// The calls of a store that are looked at.
#[derive(Debug, Default)]
pub(super) struct Askers(HashMap<Ticket, Asking>);

impl Asking {
    /// `None` if nobody looks at the call.
    pub(crate) fn of(username: &str, span: &Span) -> Option<Asking> {
        (!span.is_disabled()).then(|| Asking {
            username: username.to_owned(),
            span: span.clone(),
        })
    }
}

impl Askers {
    pub(super) fn begin(&mut self, ticket: Ticket, asking: Asking) {
        self.0.insert(ticket, asking);
    }

    pub(super) fn end(&mut self, ticket: Ticket) {
        self.0.remove(&ticket);
    }

    /// The span of the call that asks for this URI: of the only one, or of the
    /// one whose user is in it. A call with a store of its own is the span that
    /// its caller is in.
    pub(super) fn span(&self, uri: &Uri) -> Span {
        let mut calls = self.0.values();
        let call = match (calls.next(), calls.next()) {
            (None, _) => return Span::current(),
            (Some(only), None) => Some(only),
            _ => self.0.values().find(|it| speaks_of(uri, &it.username)),
        };
        call.map_or_else(Span::none, |call| call.span.clone())
    }
}

/// Whether the user is a segment of the path, or a value in the query.
fn speaks_of(uri: &Uri, username: &str) -> bool {
    let segments = uri.path().split('/');
    let pairs = uri.query().unwrap_or_default().split('&');
    let values = pairs.filter_map(|pair| pair.split_once('=')).map(|it| it.1);
    let mut parts = segments.chain(values);
    parts.any(|part| percent_decode_str(part).eq(username.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_in_the_url() {
        let speaks = |uri: &str, username| speaks_of(&uri.parse().unwrap(), username);
        for uri in [
            "http://app/contacts/j%C3%B6rg",
            "http://app/j%C3%B6rg/contacts",
            "http://app/contacts?user=j%C3%B6rg&x=1",
        ] {
            assert!(speaks(uri, "jörg"), "{uri}");
            assert!(!speaks(uri, "jör"), "{uri}");
        }
    }
}
