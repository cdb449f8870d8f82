//! Service Discovery (XEP-0030) of the server and of the client's own account,
//! with the contact addresses of XEP-0157.
//!
//! Owns what is told, as a value that is both written and hashed (`caps`).

use jid::DomainRef;

use super::super::SessionConfig;
use super::super::stanzas::Target;
use super::{Answer, At, ITEM_NOT_FOUND, Request, SERVICES, Service, caps};
use crate::encode::{push_attribute, push_text};
use crate::stanza::IqType;

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";

pub(super) const INFO: Service = Service {
    namespace: DISCO_INFO,
    requests: &[(IqType::Get, "query")],
    at: At::Both,
    features: &[DISCO_INFO],
    serve: info,
};

pub(super) const ITEMS: Service = Service {
    namespace: DISCO_ITEMS,
    requests: &[(IqType::Get, "query")],
    at: At::Both,
    features: &[DISCO_ITEMS],
    serve: |request| match node(request) {
        Some(_) => Answer::Error(ITEM_NOT_FOUND),
        None => {
            Answer::Result("<query xmlns=\"http://jabber.org/protocol/disco#items\"/>".to_owned())
        }
    },
};

/// What an entity says of itself.
pub(super) struct Info<'a> {
    pub(super) category: &'static str,
    pub(super) type_: &'static str,
    pub(super) name: Option<&'a str>,
    /// Sorted, each once.
    pub(super) features: Vec<&'static str>,
    /// Fields of the form with the contact addresses; see `Host`.
    pub(super) addresses: &'a [(String, Vec<String>)],
}

impl<'a> Info<'a> {
    /// Of the server at `domain`, or of an account there.
    pub(super) fn of(target: Target, domain: &DomainRef, config: &'a SessionConfig) -> Self {
        let is_server = target == Target::Server;
        let host = config.hosts.get(domain);
        let mut features: Vec<_> = SERVICES
            .iter()
            .filter(|service| is_server || service.at != At::Server)
            .flat_map(|service| service.features.iter().copied())
            .collect();
        if host.is_some_and(|host| host.offline_messages) {
            // XEP-0160 §4.
            features.push("msgoffline");
        }
        features.sort_unstable();
        features.dedup();
        Self {
            category: if is_server { "server" } else { "account" },
            type_: if is_server { "im" } else { "registered" },
            name: is_server.then_some(config.software.name.as_str()),
            features,
            addresses: match host {
                Some(host) if is_server => &host.contact_addresses,
                _ => &[],
            },
        }
    }

    fn payload(&self, node: Option<&str>) -> String {
        let mut out = String::from("<query xmlns=\"http://jabber.org/protocol/disco#info\"");
        if let Some(node) = node {
            push_attribute(&mut out, "node", node);
        }
        out.push_str("><identity");
        push_attribute(&mut out, "category", self.category);
        push_attribute(&mut out, "type", self.type_);
        if let Some(name) = self.name {
            push_attribute(&mut out, "name", name);
        }
        out.push_str("/>");
        for feature in &self.features {
            out.push_str("<feature");
            push_attribute(&mut out, "var", feature);
            out.push_str("/>");
        }
        if !self.addresses.is_empty() {
            push_form(&mut out, self.addresses);
        }
        out.push_str("</query>");
        out
    }
}

/// What FORM_TYPE says of the form with the contact addresses (XEP-0157 §2).
pub(super) const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";

fn push_form(out: &mut String, fields: &[(String, Vec<String>)]) {
    out.push_str("<x xmlns=\"jabber:x:data\" type=\"result\"><field type=\"hidden\" var=\"FORM_TYPE\"><value>");
    out.push_str(SERVER_INFO);
    out.push_str("</value></field>");
    for (name, values) in fields {
        out.push_str("<field type=\"list-multi\"");
        push_attribute(out, "var", name);
        out.push('>');
        for value in values {
            out.push_str("<value>");
            push_text(out, value);
            out.push_str("</value>");
        }
        out.push_str("</field>");
    }
    out.push_str("</x>");
}

fn info(request: &Request<'_>) -> Answer {
    let info = Info::of(request.target, request.domain, request.config);
    match node(request) {
        None => Answer::Result(info.payload(None)),
        // The node that the stream features named (XEP-0115 §6.2).
        Some(node)
            if request.target == Target::Server && node == caps::node(request.domain, &info) =>
        {
            Answer::Result(info.payload(Some(&node)))
        }
        Some(_) => Answer::Error(ITEM_NOT_FOUND),
    }
}

/// The node that is asked for, if any.
fn node(request: &Request<'_>) -> Option<String> {
    let query = request.iq.payload.iter().next()?;
    query.attribute("node").map(String::from)
}
