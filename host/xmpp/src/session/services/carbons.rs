//! Message Carbons (XEP-0280): a resource turns them on and off. What is copied
//! to whom is [`crate::carbons`].

use super::{Answer, At, Service, ServiceRequest};
use crate::carbons::CARBONS as NAMESPACE;
use crate::stanza::IqType;

pub(super) const CARBONS: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Set, "enable"), (IqType::Set, "disable")],
    at: At::Account,
    features: &[NAMESPACE, "urn:xmpp:carbons:rules:0"],
    serve: |request| {
        let enabled = request.iq.payload.first_is(NAMESPACE, "enable");
        Answer::Shell(ServiceRequest::Carbons { enabled })
    },
};
