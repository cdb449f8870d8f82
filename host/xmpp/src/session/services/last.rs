//! Last Activity (XEP-0012): how long the server has been up, and that the
//! client's own account is in use. That of others is not told, whoever asks.

use std::time::Duration;

use super::super::stanzas::Target;
use super::{Answer, At, Service, ServiceRequest};
use crate::encode::push_attribute;
use crate::stanza::IqType;

const NAMESPACE: &str = "jabber:iq:last";

pub(super) const LAST: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "query")],
    at: At::Both,
    features: &[NAMESPACE],
    serve: |request| match request.target {
        Target::Server => Answer::Shell(ServiceRequest::Uptime),
        // Who asks is there (§3).
        _ => Answer::Result(payload(Duration::ZERO)),
    },
};

pub(super) fn payload(since: Duration) -> String {
    let mut out = String::from("<query xmlns=\"jabber:iq:last\"");
    push_attribute(&mut out, "seconds", &since.as_secs().to_string());
    out.push_str("/>");
    out
}
