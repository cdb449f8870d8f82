//! XMPP Ping (XEP-0199).

use super::{Answer, At, Service};
use crate::stanza::IqType;

const NAMESPACE: &str = "urn:xmpp:ping";

pub(super) const PING: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "ping")],
    at: At::Both,
    features: &[NAMESPACE],
    serve: |_| Answer::Result(String::new()),
};
