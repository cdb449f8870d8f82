//! The names of jobs: nobody can guess one, and each tells in which run of
//! the server it was given, so that a job which a restart has cut is told from
//! one that never was.

use std::fmt;

/// A run of the server, by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::admin) struct Boot(u32);

/// The name of a job: `<boot>-<chance>`, 8 and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::admin) struct Id {
    boot: Boot,
    chance: u128,
}

impl Boot {
    pub(super) fn new() -> Result<Boot, getrandom::Error> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes)?;
        Ok(Boot(u32::from_le_bytes(bytes)))
    }
}

impl Id {
    pub(super) fn new(boot: Boot) -> Result<Id, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let chance = u128::from_le_bytes(bytes);
        Ok(Id { boot, chance })
    }

    /// The name that a path has; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Id> {
        let (boot, chance) = text.split_once('-')?;
        let digits = |text: &str, count| {
            let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            text.len() == count && text.bytes().all(digit)
        };
        if !digits(boot, 8) || !digits(chance, 32) {
            return None;
        }
        Some(Id {
            boot: Boot(u32::from_str_radix(boot, 16).ok()?),
            chance: u128::from_str_radix(chance, 16).ok()?,
        })
    }

    /// Whether it was given in that run.
    pub(super) fn is_of(self, boot: Boot) -> bool {
        self.boot == boot
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:032x}", self.boot.0, self.chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for boot in [Boot(0), Boot(u32::MAX), Boot::new().unwrap()] {
            let id = Id::new(boot).unwrap();
            assert_eq!(Id::parse(&id.to_string()), Some(id));
            assert!(id.is_of(boot));
            assert_ne!(Id::new(boot).unwrap(), id);
        }
        assert!(!Id::new(Boot(1)).unwrap().is_of(Boot(2)));
        let zeros = "0".repeat(32);
        for text in [
            "",
            "-",
            &zeros,
            &format!("00000000-{zeros}0"),
            &format!("0000000-{zeros}"),
            &format!("+0000000-{zeros}"),
            &format!("0000000A-{zeros}"),
            &format!("00000000-{zeros}/"),
        ] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }
}
