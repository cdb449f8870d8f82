//! Who waits for the turn of a fetch, and who is next.
//!
//! Owns the order: first come, first served among those of a class; those for
//! whom somebody waits go first, but every fourth turn is for refreshes, so
//! that neither starves; what nobody waits for comes last. Pure.

use std::collections::BTreeMap;

/// For whom a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rosters) enum Class {
    /// Somebody who has logged in and has no roster yet.
    Login,
    /// Whoever has one that may have changed.
    Refresh,
    /// What nobody waits for: a re-sync, an audit.
    Background,
}

impl Class {
    pub(super) const ALL: [Class; 3] = [Class::Login, Class::Refresh, Class::Background];

    /// The value of the label `class` in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Class::Login => "login",
            Class::Refresh => "refresh",
            Class::Background => "background",
        }
    }
}

/// Turns of a login in a row while others wait.
const STREAK: u32 = 3;

/// A place in the line; the lower, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    class: Class,
    number: u64,
}

impl Place {
    pub(super) fn class(self) -> Class {
        self.class
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Line<T> {
    logins: BTreeMap<u64, T>,
    refreshes: BTreeMap<u64, T>,
    background: BTreeMap<u64, T>,
    next: u64,
    streak: u32,
}

impl<T> Line<T> {
    pub(super) fn new() -> Line<T> {
        Line {
            logins: BTreeMap::new(),
            refreshes: BTreeMap::new(),
            background: BTreeMap::new(),
            next: 0,
            streak: 0,
        }
    }

    /// The last place of a class.
    pub(super) fn place(&mut self, class: Class) -> Place {
        let number = self.next;
        self.next += 1;
        Place { class, number }
    }

    /// Waits at `place`, for the first time or once more.
    pub(super) fn wait(&mut self, place: Place, who: T) {
        self.of_mut(place.class).insert(place.number, who);
    }

    /// Waits no longer.
    pub(super) fn leave(&mut self, place: Place) -> Option<T> {
        self.of_mut(place.class).remove(&place.number)
    }

    /// Who is next, taken out.
    pub(super) fn next(&mut self) -> Option<(Place, T)> {
        let class = match (self.logins.is_empty(), self.refreshes.is_empty()) {
            (true, true) => Class::Background,
            (false, true) => Class::Login,
            (true, false) => Class::Refresh,
            (false, false) if self.streak < STREAK => Class::Login,
            (false, false) => Class::Refresh,
        };
        self.streak = match class {
            Class::Login => self.streak.saturating_add(1),
            Class::Refresh | Class::Background => 0,
        };
        let (number, who) = self.of_mut(class).pop_first()?;
        Some((Place { class, number }, who))
    }

    pub(super) fn waiting(&self, class: Class) -> usize {
        match class {
            Class::Login => self.logins.len(),
            Class::Refresh => self.refreshes.len(),
            Class::Background => self.background.len(),
        }
    }

    /// Those before whom nobody of `class` goes.
    pub(super) fn before(&self, class: Class) -> usize {
        let others = self.logins.len() + self.refreshes.len();
        match class {
            Class::Login | Class::Refresh => others,
            Class::Background => others + self.background.len(),
        }
    }

    /// Those whom somebody waits for.
    pub(super) fn pressing(&self) -> usize {
        self.before(Class::Refresh)
    }

    fn of_mut(&mut self, class: Class) -> &mut BTreeMap<u64, T> {
        match class {
            Class::Login => &mut self.logins,
            Class::Refresh => &mut self.refreshes,
            Class::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(logins: u32, refreshes: u32) -> Line<u32> {
        let mut line = Line::new();
        for who in 0..refreshes {
            let place = line.place(Class::Refresh);
            line.wait(place, 1_000 + who);
        }
        for who in 0..logins {
            let place = line.place(Class::Login);
            line.wait(place, who);
        }
        line
    }

    fn all(mut line: Line<u32>) -> Vec<u32> {
        std::iter::from_fn(|| line.next())
            .map(|(_, who)| who)
            .collect()
    }

    #[test]
    fn logins_go_first_and_starve_nobody() {
        assert_eq!(all(line(3, 2)), [0, 1, 2, 1_000, 1_001]);
        assert_eq!(all(line(7, 3)), [0, 1, 2, 1_000, 3, 4, 5, 1_001, 6, 1_002]);
        assert_eq!(all(line(0, 3)), [1_000, 1_001, 1_002]);
        assert_eq!(all(line(5, 0)), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_nobody_waits_for_comes_last() {
        let mut line = line(2, 1);
        for who in [2_000, 2_001] {
            let place = line.place(Class::Background);
            line.wait(place, who);
        }
        assert_eq!((line.pressing(), line.before(Class::Background)), (3, 5));
        let (first, second, third) = (line.next(), line.next(), line.next());
        let three = [first, second, third].map(|it| it.unwrap().1);
        assert_eq!(three, [0, 1, 1_000]);
        let place = line.place(Class::Login);
        assert_eq!(line.next().unwrap().1, 2_000);
        line.wait(place, 2);
        assert_eq!(all(line), [2, 2_001]);
    }

    #[test]
    fn who_leaves_is_not_called_and_who_comes_back_keeps_the_place() {
        let mut line = line(4, 0);
        let (first, who) = line.next().unwrap();
        let (second, _) = line.next().unwrap();
        assert_eq!(line.leave(second), None);
        line.wait(first, who);
        let third = Place {
            number: second.number + 1,
            ..second
        };
        assert_eq!(line.leave(third), Some(2));
        assert_eq!((line.pressing(), line.waiting(Class::Login)), (2, 2));
        assert_eq!(all(line), [0, 3]);
    }
}
