//! Personal Eventing (XEP-0163) does not exist here. Who asks for a node of the
//! own account, such as bookmarks, learns that it is not there; whatever else is
//! tried is refused as any unknown request.

use super::{Answer, At, ITEM_NOT_FOUND, Service};
use crate::stanza::IqType;

pub(super) const PUBSUB: Service = Service {
    namespace: "http://jabber.org/protocol/pubsub",
    requests: &[(IqType::Get, "pubsub")],
    at: At::Account,
    features: &[],
    serve: |_| Answer::Error(ITEM_NOT_FOUND),
};

pub(super) const PUBSUB_OWNER: Service = Service {
    namespace: "http://jabber.org/protocol/pubsub#owner",
    ..PUBSUB
};
