//! When a changed file is believed: what the watches of certificates and of
//! plugins have in common.
//!
//! Owns one rule, without I/O: a change is taken once two looks in a row have
//! seen the same, so that a file that is being written, or a pair of which one
//! half is exchanged, is not mistaken for a bad one; and what was judged once
//! is not judged again. What is looked at, and how often, is the watches' own.

/// Whether a look waits for a second one before it believes what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Somebody asked: what is there now is meant.
    None,
    /// Something may be in the midst of writing.
    OneMoreLook,
}

/// What the looks so far have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looks<F> {
    /// What the last look saw.
    last: Option<F>,
    /// What was taken or refused last.
    judged: Option<F>,
}

impl<F> Default for Looks<F> {
    fn default() -> Self {
        Self {
            last: None,
            judged: None,
        }
    }
}

impl<F: PartialEq + Clone> Looks<F> {
    /// The same, where `judged` is in use already.
    pub(crate) fn of(judged: F) -> Self {
        Self {
            last: None,
            judged: Some(judged),
        }
    }

    /// A look has found this. Whether it is to be judged now.
    pub(crate) fn is_due(&mut self, found: &F, patience: Patience) -> bool {
        let settled = self.last.replace(found.clone()).as_ref() == Some(found);
        let known = self.judged.as_ref() == Some(found);
        patience == Patience::None || (settled && !known)
    }

    /// It was taken or refused.
    pub(crate) fn judged(&mut self, found: F) {
        self.judged = Some(found);
    }
}

#[cfg(test)]
mod tests {
    use super::Patience::{None, OneMoreLook};
    use super::*;

    /// Looks that find `found` one after the other, each judged if it is due.
    fn judged(found: &str) -> String {
        let mut looks = Looks::of('a');
        let due = found.chars().filter(|found| {
            let due = looks.is_due(found, OneMoreLook);
            if due {
                looks.judged(*found);
            }
            due
        });
        due.collect()
    }

    #[test]
    fn a_change_is_judged_once_when_it_has_settled() {
        for (found, expected) in [
            ("aaaa", ""),
            ("abaa", ""),
            ("abcdd", "d"),
            ("abbbbb", "b"),
            ("abbccbb", "bcb"),
            ("abbaa", "ba"),
            ("bbxbb", "b"),
        ] {
            assert_eq!(judged(found), expected, "{found}");
        }
    }

    #[test]
    fn who_asks_does_not_wait() {
        let mut looks = Looks::of('a');
        assert!(looks.is_due(&'a', None));
        assert!(looks.is_due(&'b', None));
        assert!(Looks::default().is_due(&'a', None));
    }
}
