//! Private XML Storage (XEP-0049): elements that a client keeps for itself and
//! its account's other clients.
//!
//! Owns the reading of requests. One element a request: what several would mean
//! when only some can be kept is nowhere said.

use super::{Answer, At, NOT_ACCEPTABLE, Request, Service, ServiceRequest};
use crate::encode::push_attribute;
use crate::stanza::{Child, IqType};

const NAMESPACE: &str = "jabber:iq:private";

pub(super) const PRIVATE: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "query"), (IqType::Set, "query")],
    at: At::Account,
    features: &[NAMESPACE],
    serve,
};

/// One element of private data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it, as text.
    pub xml: String,
}

fn serve(request: &Request<'_>) -> Answer {
    let query = request.iq.payload.iter().next();
    let mut elements = query.iter().flat_map(Child::children);
    let (Some(element), None) = (elements.next(), elements.next()) else {
        return Answer::Error(NOT_ACCEPTABLE.with_text("one element a request"));
    };
    let namespace = element.namespace();
    if namespace.is_empty() || namespace == NAMESPACE {
        return Answer::Error(NOT_ACCEPTABLE.with_text("an element of a namespace of its own"));
    }
    let mut private = Private {
        namespace: namespace.into_owned(),
        name: element.name().to_owned(),
        xml: element.xml().to_owned(),
    };
    Answer::Shell(match request.iq.type_ {
        IqType::Set => ServiceRequest::PrivateSet(private),
        _ => {
            private.xml = private.empty();
            ServiceRequest::PrivateGet(private)
        }
    })
}

impl Private {
    /// What is there as long as nothing was set.
    fn empty(&self) -> String {
        let mut out = format!("<{}", self.name);
        push_attribute(&mut out, "xmlns", &self.namespace);
        out.push_str("/>");
        out
    }

    pub(super) fn payload(&self) -> String {
        let xml = &self.xml;
        format!("<query xmlns=\"jabber:iq:private\">{xml}</query>")
    }
}
