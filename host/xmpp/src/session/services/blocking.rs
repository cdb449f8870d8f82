//! Blocking Command (XEP-0191): reading the commands. What a blocklist means is
//! [`crate::blocklist`].

use jid::Jid;

use super::{Answer, At, Request, Service, ServiceRequest};
use crate::address;
use crate::blocklist::BLOCKING as NAMESPACE;
use crate::error::StanzaError;
use crate::stanza::{Child, IqType};

pub(super) const BLOCKING: Service = Service {
    namespace: NAMESPACE,
    requests: &[
        (IqType::Get, "blocklist"),
        (IqType::Set, "block"),
        (IqType::Set, "unblock"),
    ],
    at: At::Account,
    features: &[NAMESPACE],
    serve,
};

fn serve(request: &Request<'_>) -> Answer {
    let Some(command) = request.iq.payload.iter().next() else {
        return Answer::Error(StanzaError::BAD_REQUEST);
    };
    match (command.name(), jids(&command)) {
        ("blocklist", _) => Answer::Shell(ServiceRequest::Blocklist),
        (_, Err(error)) => Answer::Error(error),
        ("unblock", Ok(jids)) => Answer::Shell(ServiceRequest::Unblock(jids)),
        (_, Ok(jids)) if jids.is_empty() => Answer::Error(StanzaError::BAD_REQUEST),
        (_, Ok(jids)) => Answer::Shell(ServiceRequest::Block(jids)),
    }
}

/// The JIDs of a command's items, each once.
fn jids(command: &Child<'_>) -> Result<Vec<Jid>, StanzaError> {
    let mut jids = Vec::new();
    for item in command.children() {
        let jid = item.is(NAMESPACE, "item").then(|| item.attribute("jid"));
        let jid = jid.flatten().ok_or(StanzaError::BAD_REQUEST)?;
        jids.push(address::parse(&jid).map_err(|_| StanzaError::JID_MALFORMED)?);
    }
    jids.sort();
    jids.dedup();
    Ok(jids)
}
