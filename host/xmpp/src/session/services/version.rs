//! Software Version (XEP-0092). The operating system is nobody's business.

use super::{Answer, At, Service};
use crate::encode::push_text;
use crate::stanza::IqType;

const NAMESPACE: &str = "jabber:iq:version";

pub(super) const VERSION: Service = Service {
    namespace: NAMESPACE,
    requests: &[(IqType::Get, "query")],
    at: At::Server,
    features: &[NAMESPACE],
    serve: |request| {
        let software = &request.config.software;
        let mut out = String::from("<query xmlns=\"jabber:iq:version\"><name>");
        push_text(&mut out, &software.name);
        out.push_str("</name><version>");
        push_text(&mut out, &software.version);
        out.push_str("</version></query>");
        Answer::Result(out)
    },
};
