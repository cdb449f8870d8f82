//! What a component file says of itself, read without compiling it.
//!
//! Owns the first look at a file: what it is, which kind of plugin it is, what
//! it would be able to do. All that can be refused before the compiler runs is
//! refused here, by name. Types are checked when the component is linked.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload};

use crate::error::LoadError;
use crate::kind::{Kind, Unfit};
use crate::linker::{Standing, Stubs};

/// The newest version of the contract with plugins.
pub const CONTRACT: &str = "0.1.0";

/// What a component file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The size of the file.
    pub bytes: usize,
    /// What its bytes hash to.
    pub digest: Digest,
    /// What it is to the host; `None` if it exports nothing that the host asks.
    pub kind: Option<Kind>,
    /// What it imports, in the order of the file.
    pub imports: Vec<Import>,
    /// The full names of what it exports, in the order of the file.
    pub exports: Vec<String>,
}

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `package:name/interface@version`.
    pub name: String,
    /// What it lets the plugin do; `None` for what no plugin gets.
    pub capability: Option<Capability>,
}

/// What an import lets a plugin do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Make HTTP requests to the origins that the operator allows, and answer
    /// those that the host hands on.
    Http,
    /// Ask the host to refresh rosters.
    Rosters,
    /// Read the settings that the operator gave it.
    Settings,
    /// Write to the host's log.
    Log,
    /// Read the time.
    Clock,
    /// Draw random numbers.
    Random,
    /// Nothing, and only where the operator says `deny_all_stubs = true`: files
    /// and sockets, of which every use is refused.
    Stub,
    /// Nothing: an empty environment, no arguments, a closed input, types.
    Nothing,
}

/// A SHA-256 digest; shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// Looks at a component file of at most `limit` bytes.
///
/// # Errors
/// [`LoadError::Empty`], [`LoadError::TooLarge`], [`LoadError::NotWasm`],
/// [`LoadError::CoreModule`] and [`LoadError::Malformed`].
pub fn inspect(component: &[u8], limit: usize) -> Result<Inspection, LoadError> {
    check_preamble(component, limit)?;
    let mut inspection = Inspection {
        bytes: component.len(),
        digest: Digest::of(component),
        kind: None,
        imports: Vec::new(),
        exports: Vec::new(),
    };
    inspection.read(component).map_err(LoadError::Malformed)?;
    inspection.kind = Kind::of(&inspection.exports);
    Ok(inspection)
}

impl Inspection {
    /// The kind of plugin that it is, if a host of this version would take the
    /// component with `stubs`, as far as its imports and exports tell by their
    /// names.
    ///
    /// # Errors
    /// [`LoadError::DeniedImport`], [`LoadError::StubbedImport`],
    /// [`LoadError::Contract`], [`LoadError::MissingExport`] and
    /// [`LoadError::Unaskable`].
    pub fn accept(&self, stubs: Stubs) -> Result<&Kind, LoadError> {
        let denied = |import: &&Import| match import.capability {
            None => true,
            Some(Capability::Stub) => stubs == Stubs::Absent,
            Some(_) => false,
        };
        if let Some(denied) = self.imports.iter().find(denied) {
            let name = denied.name.clone();
            return Err(match denied.capability {
                Some(_) => LoadError::StubbedImport { name },
                None => LoadError::DeniedImport { name },
            });
        }
        let fit = Kind::check(self.kind.as_ref(), &self.exports);
        fit.map_err(|unfit| match unfit {
            Unfit::Contract { found, supported } => LoadError::Contract { found, supported },
            Unfit::NoHandler { name } => LoadError::MissingExport { name },
            Unfit::Unaskable { found } => LoadError::Unaskable { found },
        })
    }

    /// What the plugin would be able to do, each once.
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut all: Vec<_> = self.imports.iter().filter_map(|it| it.capability).collect();
        all.sort_unstable();
        all.dedup();
        all.retain(|capability| *capability != Capability::Nothing);
        all
    }

    /// Imports and exports of the outermost component; those nested in it are
    /// its own affair.
    fn read(&mut self, component: &[u8]) -> wasmparser::Result<()> {
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        self.import(import?.name.name);
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        self.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, name: &str) {
        self.imports.push(Import {
            name: name.to_owned(),
            capability: match Standing::of(name) {
                Standing::Granted => Some(capability(interface(name))),
                Standing::Stub => Some(Capability::Stub),
                Standing::Refused => None,
            },
        });
    }
}

/// A full name without its version.
fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn capability(interface: &str) -> Capability {
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    match (package, name) {
        ("wasi:http", _) => Capability::Http,
        ("muster:roster", "rosters") => Capability::Rosters,
        ("wasi:config" | "spin:variables", _) => Capability::Settings,
        ("wasi:cli", "stdout" | "stderr") => Capability::Log,
        ("wasi:clocks", "types") => Capability::Nothing,
        ("wasi:clocks", _) => Capability::Clock,
        ("wasi:random", _) => Capability::Random,
        _ => Capability::Nothing,
    }
}

/// What can be said from the first eight bytes.
fn check_preamble(component: &[u8], limit: usize) -> Result<(), LoadError> {
    if component.is_empty() {
        return Err(LoadError::Empty);
    }
    if component.len() > limit {
        return Err(LoadError::TooLarge {
            bytes: component.len(),
            limit,
        });
    }
    // Magic, then version and layer: 1 and 0 for a core module, any and 1 for
    // a component (Component Model, Binary.md).
    match component {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm),
    }
}

impl Capability {
    /// In a word, for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Rosters => "rosters",
            Self::Settings => "settings",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Stub => "stub",
            Self::Nothing => "nothing",
        }
    }

    /// In a sentence, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Http => "makes HTTP requests to the origins that you allow",
            Self::Rosters => "asks Muster to refresh rosters",
            Self::Settings => "reads the settings that you give it",
            Self::Log => "writes to Muster's log, within bounds",
            Self::Clock => "reads the time",
            Self::Random => "draws random numbers",
            Self::Stub => "uses stubs of files and sockets, which refuse everything",
            Self::Nothing => "nothing",
        }
    }
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why a text is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| {
                digit
                    .to_digit(16)
                    .and_then(|value| u8::try_from(value).ok())
            })
            .collect();
        let digits = digits.ok_or(DigestError)?;
        let pairs = digits.chunks_exact(2);
        let bytes: Vec<u8> = pairs
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect();
        match bytes.try_into() {
            Ok(bytes) if digits.len() == 64 => Ok(Self(bytes)),
            _ => Err(DigestError),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preamble_tells_what_a_file_is() {
        let module = b"\0asm\x01\0\0\0";
        let component = b"\0asm\x0d\0\x01\0";
        assert!(check_preamble(component, 8).is_ok());
        assert!(matches!(
            check_preamble(module, 8),
            Err(LoadError::CoreModule)
        ));
        assert!(matches!(check_preamble(b"", 8), Err(LoadError::Empty)));
        assert!(matches!(
            check_preamble(b"<html>", 8),
            Err(LoadError::NotWasm)
        ));
        assert!(matches!(
            check_preamble(b"\0asm", 8),
            Err(LoadError::NotWasm)
        ));
        assert!(matches!(
            check_preamble(component, 7),
            Err(LoadError::TooLarge { bytes: 8, limit: 7 })
        ));
    }

    #[test]
    fn the_builtin_plugin_is_what_the_host_wants() {
        let inspection = inspect(muster_builtin::COMPONENT, usize::MAX).unwrap();
        assert!(inspection.accept(Stubs::Absent).is_ok());
        assert_eq!(inspection.kind, Some(Kind::Contract("0.1.0".to_owned())));
        assert_eq!(inspection.bytes, muster_builtin::COMPONENT.len());
        let capabilities = inspection.capabilities();
        assert!(capabilities.contains(&Capability::Http));
        assert!(capabilities.contains(&Capability::Rosters));
        assert!(!capabilities.contains(&Capability::Nothing));
    }

    #[test]
    fn a_contract_of_another_time_is_named() {
        let mut inspection = inspect(muster_builtin::COMPONENT, usize::MAX).unwrap();
        inspection.kind = Some(Kind::Contract("0.9.0".to_owned()));
        let error = inspection.accept(Stubs::Absent).unwrap_err().to_string();
        assert!(
            error.contains("0.9.0") && error.contains("0.1.0"),
            "{error}"
        );
        inspection.kind = None;
        assert!(matches!(
            inspection.accept(Stubs::Absent),
            Err(LoadError::Unaskable { .. })
        ));
    }

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        let text = digest.to_string();
        for bad in [
            "",
            &text[..63],
            &format!("{text}0"),
            &text.replace('b', "g"),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(DigestError), "{bad}");
        }
    }
}
