//! Whom a request came from and how its answer finds back.

use bytes::Bytes;
use jid::{FullJid, Jid};

use crate::encode;
use crate::error::StanzaError;
use crate::stanza::{Iq, IqType, StanzaKind};

/// How the answer to one request is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    id: String,
    /// Whom the request was addressed to, if anybody.
    from: Option<Jid>,
}

impl Reply {
    /// The id of the request, by which the client knows the answer.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// To the sender of `iq`.
    pub(in super::super) fn to(iq: Iq) -> Self {
        Self {
            id: iq.id,
            from: iq.to,
        }
    }

    pub(in super::super) fn result(&self, to: &FullJid, payload: &str) -> Bytes {
        encode::server_iq(IqType::Result, &self.id, self.from.as_ref(), to, payload)
    }

    pub(in super::super) fn error(&self, to: &FullJid, error: &StanzaError) -> Bytes {
        let (id, from) = (Some(self.id.as_str()), self.from.as_ref());
        encode::error_reply(StanzaKind::Iq, id, from, Some(to), error)
    }
}
