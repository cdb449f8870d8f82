//! vCards (XEP-0054), kept for their owner: others get what they get of an
//! account that does not exist.

use super::{Answer, At, Request, Service, ServiceRequest};
use crate::stanza::IqType;

const NAMESPACE: &str = "vcard-temp";

pub(super) const VCARD: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "vCard"), (IqType::Set, "vCard")],
    at: At::Account,
    features: &[NAMESPACE],
    serve,
};

fn serve(request: &Request<'_>) -> Answer {
    Answer::Shell(match request.iq.type_ {
        IqType::Set => ServiceRequest::VcardSet(request.iq.payload.clone()),
        _ => ServiceRequest::VcardGet,
    })
}

/// Without a vCard, the answer is an empty one (§3.1).
pub(super) fn payload(vcard: Option<&str>) -> String {
    vcard.unwrap_or("<vCard xmlns=\"vcard-temp\"/>").to_owned()
}
