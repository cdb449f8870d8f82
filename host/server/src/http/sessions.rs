//! The BOSH sessions that there are, by their name.
//!
//! Owns the table. A session is in it for as long as its task runs; how many
//! there may be is the affair of [`crate::admission`], as for every stream.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::transport::bosh::Requests;

/// The BOSH sessions of this server.
#[derive(Clone, Default)]
pub(crate) struct BoshSessions {
    /// A leaf lock: held for one look-up or change.
    by_sid: Arc<Mutex<HashMap<Arc<str>, Requests>>>,
}

/// A session's entry, taken out when this is dropped.
pub(super) struct Entry {
    sessions: BoshSessions,
    sid: Arc<str>,
}

impl BoshSessions {
    /// How to reach the session `sid`.
    pub(super) fn get(&self, sid: &str) -> Option<Requests> {
        self.by_sid.lock().get(sid).cloned()
    }

    /// Puts a session into the table; its name is unique by chance of 2^-128.
    pub(super) fn insert(&self, sid: &str, requests: Requests) -> Entry {
        let sid = Arc::from(sid);
        self.by_sid.lock().insert(Arc::clone(&sid), requests);
        metrics::gauge!("muster_bosh_sessions").increment(1.0);
        Entry {
            sessions: self.clone(),
            sid,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.by_sid.lock().remove(&self.sid);
        metrics::gauge!("muster_bosh_sessions").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_while_it_lasts() {
        let sessions = BoshSessions::default();
        let requests = Requests::to_nobody();
        let entry = sessions.insert("a", requests);
        assert!(sessions.get("a").is_some() && sessions.get("b").is_none());
        drop(entry);
        assert!(sessions.get("a").is_none());
    }
}
