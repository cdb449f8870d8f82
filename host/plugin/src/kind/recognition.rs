//! Which kind a component is, by the names of what it exports.

use std::fmt;

/// The interface of the typed contract, without its version.
const ROSTER: &str = "muster:roster/roster";
/// The versions of the contract that this host speaks, the oldest first.
const CONTRACTS: [&str; 1] = [crate::inspect::CONTRACT];
/// The handler of WASI 0.3, beside the contract or alone.
const HANDLER: &str = "wasi:http/handler";
/// The handler of WASI 0.2.
const INCOMING_HANDLER: &str = "wasi:http/incoming-handler";
/// Exports that are named where none of them fits.
const NAMED: usize = 3;

/// What a plugin is to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It speaks `muster:roster` in this version.
    Contract(String),
    /// It answers HTTP requests by WASI 0.3 (`wasi:http/handler@0.3`).
    Http03,
    /// It answers HTTP requests by WASI 0.2 (`wasi:http/incoming-handler@0.2`).
    Http02,
}

/// Why a component is of none of the kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The contract in a version that this host does not speak.
    Contract { found: String, supported: String },
    /// The contract without the handler.
    NoHandler { name: &'static str },
    /// Nothing that the host can ask; what it exports instead.
    Unaskable { found: String },
}

impl Kind {
    /// The kind of a component that exports these full names. The contract
    /// counts first: it has a handler as well.
    pub(crate) fn of(exports: &[String]) -> Option<Self> {
        let version = |interface| {
            let mut names = exports.iter().filter_map(|name| name.split_once('@'));
            names.find_map(|(name, version)| (name == interface).then_some(version))
        };
        let contract = version(ROSTER).map(|version| Self::Contract(version.to_owned()));
        let http = || {
            version(HANDLER)
                .filter(|it| is_of(it, "0.3."))
                .map(|_| Self::Http03)
        };
        let old = || {
            version(INCOMING_HANDLER)
                .filter(|it| is_of(it, "0.2."))
                .map(|_| Self::Http02)
        };
        contract.or_else(http).or_else(old)
    }

    /// Whether the host can ask a component of this kind with these exports.
    /// Types are for the linker to judge.
    pub(crate) fn check<'k>(kind: Option<&'k Self>, exports: &[String]) -> Result<&'k Self, Unfit> {
        match kind {
            Some(Self::Contract(version)) if !CONTRACTS.contains(&version.as_str()) => {
                Err(Unfit::Contract {
                    found: version.clone(),
                    supported: CONTRACTS.join(", "),
                })
            }
            Some(Self::Contract(_)) if !exports.iter().any(|it| is_handler(it)) => {
                Err(Unfit::NoHandler { name: HANDLER })
            }
            Some(kind) => Ok(kind),
            None => Err(Unfit::Unaskable {
                found: found(exports),
            }),
        }
    }

    /// The version of `muster:roster` that it speaks.
    #[must_use]
    pub fn contract(&self) -> Option<&str> {
        match self {
            Self::Contract(version) => Some(version),
            Self::Http03 | Self::Http02 => None,
        }
    }

    /// In a word, for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Contract(_) => "contract",
            Self::Http03 => "wasi-http-0.3",
            Self::Http02 => "wasi-http-0.2",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(version) => write!(f, "typed contract {version}"),
            Self::Http03 => f.write_str("wasi:http 0.3 handler"),
            Self::Http02 => f.write_str("wasi:http 0.2 handler"),
        }
    }
}

/// A release of that series: a candidate of one has other types.
fn is_of(version: &str, series: &str) -> bool {
    version.starts_with(series) && !version.contains('-')
}

fn is_handler(export: &str) -> bool {
    export.split('@').next() == Some(HANDLER)
}

fn found(exports: &[String]) -> String {
    let named: Vec<_> = exports
        .iter()
        .take(NAMED)
        .map(|it| format!("`{it}`"))
        .collect();
    match (named.is_empty(), exports.len() > NAMED) {
        (true, _) => "nothing".to_owned(),
        (false, true) => format!("{}, …", named.join(", ")),
        (false, false) => named.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(exports: &[&str]) -> Vec<String> {
        exports.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn exports_tell_the_kind() {
        for (exports, kind) in [
            (
                &["muster:roster/roster@0.1.0", "wasi:http/handler@0.3.2"][..],
                "typed contract 0.1.0",
            ),
            (&["wasi:http/handler@0.3.0"], "wasi:http 0.3 handler"),
            (
                &["wasi:cli/run@0.3.0", "wasi:http/handler@0.3.2"],
                "wasi:http 0.3 handler",
            ),
            (
                &["wasi:http/incoming-handler@0.2.0"],
                "wasi:http 0.2 handler",
            ),
            (
                &["wasi:http/incoming-handler@0.2.12"],
                "wasi:http 0.2 handler",
            ),
        ] {
            let exports = names(exports);
            let found = Kind::of(&exports).unwrap();
            assert_eq!(found.to_string(), kind);
            assert_eq!(Kind::check(Some(&found), &exports), Ok(&found));
        }
    }

    #[test]
    fn what_fits_nothing_is_told_what_is_missing() {
        let unfit = |exports: &[&str]| {
            let exports = names(exports);
            let kind = Kind::of(&exports);
            Kind::check(kind.as_ref(), &exports).unwrap_err()
        };
        assert_eq!(
            unfit(&["muster:roster/roster@0.1.0"]),
            Unfit::NoHandler { name: HANDLER }
        );
        assert!(matches!(
            unfit(&["muster:roster/roster@0.9.0", "wasi:http/handler@0.3.2"]),
            Unfit::Contract { .. }
        ));
        for (exports, text) in [
            (&[][..], "nothing"),
            (&["wasi:cli/run@0.2.0"], "`wasi:cli/run@0.2.0`"),
            (
                &["wasi:http/handler@0.3.0-rc-2025-09-16"],
                "`wasi:http/handler@0.3.0-rc-2025-09-16`",
            ),
            (&["a", "b", "c", "d"], "`a`, `b`, `c`, …"),
        ] {
            let found = text.to_owned();
            assert_eq!(unfit(exports), Unfit::Unaskable { found });
        }
    }
}
