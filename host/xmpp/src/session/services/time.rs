//! Entity Time (XEP-0202): the server's clock, in UTC.

use std::time::Duration;

use super::{Answer, At, Service, ServiceRequest};
use crate::datetime;
use crate::stanza::IqType;

const NAMESPACE: &str = "urn:xmpp:time";

pub(super) const TIME: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "time")],
    at: At::Server,
    features: &[NAMESPACE],
    serve: |_| Answer::Shell(ServiceRequest::Time),
};

/// `now` since the beginning of 1970.
pub(super) fn payload(now: Duration) -> String {
    let stamp = datetime::utc(now);
    format!("<time xmlns=\"urn:xmpp:time\"><tzo>+00:00</tzo><utc>{stamp}</utc></time>")
}
