//! Where one resource's directed presence went (RFC 6121 §4.6.3).
//!
//! Owns the memory and its bound. Does not send: whoever ends the session asks
//! who is still to be told. From directed presence to the goodbye.

use jid::{BareJid, Jid};

/// Most entities that one resource may show itself to by directed presence at
/// a time. A client does so for rooms and for strangers, one by one.
pub const MAX_DIRECTED: usize = 64;

/// The entities that think that this resource is available because it told
/// them. Empty, it takes no heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directed {
    /// Sorted, each once.
    entities: Vec<Jid>,
}

/// The resource has shown itself to as many entities as it may. Reach: the
/// stanza, which must not be delivered: nobody would tell its recipient when
/// the resource goes. The answer is `wait/resource-constraint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("directed presence to more than {MAX_DIRECTED} entities")]
pub struct TooManyDirected;

impl Directed {
    /// Remembers that `entity`, as it was addressed, was sent available
    /// presence.
    ///
    /// # Errors
    ///
    /// [`TooManyDirected`] if it would be one too many.
    pub fn remember(&mut self, entity: &Jid) -> Result<(), TooManyDirected> {
        match self.entities.binary_search(entity) {
            Ok(_) => Ok(()),
            Err(_) if self.entities.len() >= MAX_DIRECTED => Err(TooManyDirected),
            Err(place) => {
                self.entities.insert(place, entity.clone());
                Ok(())
            }
        }
    }

    /// Forgets `entity`, which was sent unavailable presence. Returns whether
    /// it was known.
    pub fn forget(&mut self, entity: &Jid) -> bool {
        let found = self.entities.binary_search(entity);
        if let Ok(place) = found {
            self.entities.remove(place);
        }
        found.is_ok()
    }

    /// Forgets the account and all its resources: presence to it has stopped.
    pub fn forget_account(&mut self, account: &BareJid) {
        self.entities.retain(|entity| !is_of(entity, account));
    }

    /// Forgets those whom `goes` chooses, and returns them.
    pub fn take(&mut self, goes: impl Fn(&Jid) -> bool) -> Vec<Jid> {
        let entities = std::mem::take(&mut self.entities);
        let (taken, left) = entities.into_iter().partition(|entity| goes(entity));
        self.entities = left;
        taken
    }

    /// Who must be sent unavailable when the resource becomes unavailable, for
    /// whatever reason; forgets them. `covered` says whether an account gets it
    /// anyway, as one of the linked contacts of an available resource.
    pub fn farewell(&mut self, mut covered: impl FnMut(&BareJid) -> bool) -> Vec<Jid> {
        let mut entities = std::mem::take(&mut self.entities);
        entities.retain(|entity| !covered(&entity.to_bare()));
        entities
    }

    /// How many entities are remembered.
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }
}

fn is_of(entity: &Jid, account: &BareJid) -> bool {
    entity.node() == account.node() && entity.domain() == account.domain()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    #[test]
    fn who_was_told_gets_the_farewell_once() {
        let mut directed = Directed::default();
        for entity in [
            "marie@x.test",
            "aaron@x.test/a",
            "marie@x.test",
            "room@y.test/john",
        ] {
            directed.remember(&jid(entity)).unwrap();
        }
        assert_eq!(directed.len(), 3);
        assert!(directed.forget(&jid("room@y.test/john")));
        assert!(!directed.forget(&jid("room@y.test/john")));
        let mut left = directed.farewell(|account| account.as_str() == "aaron@x.test");
        assert_eq!(left.pop(), Some(jid("marie@x.test")));
        assert!(left.is_empty());
        assert!(directed.is_empty());
        assert!(directed.farewell(|_| false).is_empty());
    }

    #[test]
    fn an_account_is_forgotten_with_its_resources() {
        let mut directed = Directed::default();
        for entity in ["marie@x.test", "marie@x.test/a", "marie@y.test", "x.test/a"] {
            directed.remember(&jid(entity)).unwrap();
        }
        directed.forget_account(&BareJid::new("marie@x.test").unwrap());
        assert_eq!(
            directed.farewell(|_| false),
            [jid("marie@y.test"), jid("x.test/a")]
        );
    }

    #[test]
    fn those_who_are_chosen_are_taken_out() {
        let mut directed = Directed::default();
        for entity in ["marie@x.test", "aaron@x.test/a", "marie@y.test"] {
            directed.remember(&jid(entity)).unwrap();
        }
        let taken = directed.take(|jid| jid.domain().as_str() == "x.test");
        assert_eq!(taken, [jid("aaron@x.test/a"), jid("marie@x.test")]);
        assert_eq!(directed.farewell(|_| false), [jid("marie@y.test")]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut directed = Directed::default();
        for number in 0..MAX_DIRECTED {
            directed
                .remember(&jid(&format!("{number}@x.test")))
                .unwrap();
        }
        assert_eq!(directed.remember(&jid("more@x.test")), Err(TooManyDirected));
        assert_eq!(directed.remember(&jid("0@x.test")), Ok(()));
        directed.forget(&jid("0@x.test"));
        assert_eq!(directed.remember(&jid("more@x.test")), Ok(()));
        assert_eq!(directed.len(), MAX_DIRECTED);
    }
}
