//! Rosters (RFC 6121 §2), as far as a session can tell: asked for, they are the
//! shell's; a change is refused, because the app alone decides.

use super::{Answer, At, Request, Service};
use crate::error::StanzaError;
use crate::stanza::IqType;

/// Namespace of rosters.
pub(in super::super) const ROSTER: &str = "jabber:iq:roster";

pub(super) const SERVICE: Service = Service {
    namespace: ROSTER,
    requests: &[(IqType::Get, "query"), (IqType::Set, "query")],
    at: At::Account,
    features: &[ROSTER],
    serve,
};

fn serve(request: &Request<'_>) -> Answer {
    if request.iq.type_ == IqType::Set {
        return Answer::Error(StanzaError::SERVICE_UNAVAILABLE);
    }
    let query = request.iq.payload.iter().next();
    let ver = query.and_then(|query| query.attribute("ver").map(String::from));
    Answer::Roster { ver }
}
