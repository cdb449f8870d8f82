//! `[virtual_host.plugin]`: which components are taken, and when a newer one is looked for.
//!
//! Owns the keys about the component's file. What the plugin may reach and use is in `roster` and
//! in the limits.

use muster_plugin::{Digest, PublicKey, Verification};
use toml::de::DeValue;

use super::fault::Problem;
use super::quantity::Value;
use super::reader::Section;

/// `[virtual_host.plugin]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPlugin {
    /// `sha256`, `trusted_keys` and `self_test_user`: what a component must be to be taken.
    pub verification: Verification,
    /// `reload`: when a newer file is taken.
    pub reload: Reload,
}

/// When a newer file of the plugin is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reload {
    /// When the file changes, and when somebody asks.
    #[default]
    Watch,
    /// When somebody asks.
    Manual,
}

impl HostPlugin {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let keys = section.list::<PublicKey>("trusted_keys");
        let keys = keys.unwrap_or_default().into_iter().map(|key| key.value);
        let words = [Reload::Watch, Reload::Manual];
        Self {
            verification: Verification {
                sha256: section.optional("sha256"),
                trusted_keys: keys.collect(),
                self_test_user: section.optional("self_test_user"),
            },
            reload: section
                .word("reload", &["watch", "manual"], &words)
                .unwrap_or_default(),
        }
    }
}

impl Value for Digest {
    const EXPECTED: &'static str = "a SHA-256 digest of 64 hexadecimal digits";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        parsed(value)
    }
}

impl Value for PublicKey {
    const EXPECTED: &'static str =
        "a public key, \"ed25519:\" and base64; `muster plugin keygen` makes one";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        parsed(value)
    }
}

fn parsed<T: Value + std::str::FromStr>(value: &DeValue<'_>) -> Result<T, Problem> {
    let text = value.as_str().ok_or_else(|| T::mismatch(value))?;
    text.parse().map_err(|_| Problem::NotAQuantity {
        text: text.to_owned(),
        expected: T::EXPECTED,
    })
}
