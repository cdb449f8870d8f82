//! Entity Capabilities (XEP-0115) of the server: the hash of what disco tells,
//! in the stream features, so that a client need not ask what it knows.
//!
//! Owns the algorithm of §5.1. Computed when it is needed: some microseconds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jid::DomainRef;
use sha1::{Digest as _, Sha1};

use super::super::SessionConfig;
use super::super::stanzas::Target;
use super::disco::{Info, SERVER_INFO};
use crate::encode::push_attribute;

/// Writes the element into the features of a stream to `domain` (§6.3).
pub(in super::super) fn push_caps(out: &mut String, config: &SessionConfig, domain: &DomainRef) {
    let info = Info::of(Target::Server, domain, config);
    out.push_str("<c xmlns=\"http://jabber.org/protocol/caps\" hash=\"sha-1\"");
    push_attribute(out, "node", &program(domain));
    push_attribute(out, "ver", &verification(&info));
    out.push_str("/>");
}

/// The node of disco that stands for `info`.
pub(super) fn node(domain: &DomainRef, info: &Info<'_>) -> String {
    format!("{}#{}", program(domain), verification(info))
}

/// What names the software. It has no page of its own, so that it is the
/// domain's.
fn program(domain: &DomainRef) -> String {
    format!("https://{domain}/")
}

/// The verification string (§5.1): SHA-1 over what disco tells, in one order.
fn verification(info: &Info<'_>) -> String {
    let name = info.name.unwrap_or_default();
    let mut text = format!("{}/{}//{name}<", info.category, info.type_);
    for feature in &info.features {
        text.push_str(feature);
        text.push('<');
    }
    if !info.addresses.is_empty() {
        text.push_str(SERVER_INFO);
        text.push('<');
    }
    for (field, values) in info.addresses {
        text.push_str(field);
        text.push('<');
        let mut values: Vec<_> = values.iter().map(String::as_str).collect();
        values.sort_unstable();
        for value in values {
            text.push_str(value);
            text.push('<');
        }
    }
    BASE64.encode(Sha1::digest(text.as_bytes()))
}
