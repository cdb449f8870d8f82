//! `[virtual_host.plugin]`: which components are taken, when a newer one is looked for, and what
//! one host wants otherwise of the sandbox.
//!
//! Owns the keys about the component's file and about stubs. What the plugin may reach is in
//! `origin`, what it may use in the limits.

use muster_plugin::{Digest, PublicKey, Verification};
use toml::de::DeValue;

use super::fault::Problem;
use super::limits::Limits;
use super::plugin_limits::PluginLimits;
use super::plugin_settings::PluginSettings;
use super::quantity::Value;
use super::reader::Section;

/// `[virtual_host.plugin]`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostPlugin {
    /// `sha256`, `trusted_keys` and `self_test_user`: what a component must be to be taken.
    pub verification: Verification,
    /// `reload`: when a newer file is taken.
    pub reload: Reload,
    /// Whether the file system and sockets are there as stubs that refuse everything, for guests
    /// whose language runtime imports them unused. Default false: who imports them is refused.
    pub deny_all_stubs: bool,
    /// `[virtual_host.plugin.settings]`: what it reads beside what the host tells it.
    pub settings: PluginSettings,
    /// Fetches that are kept for `muster plugin record`, with what the app said to them. 0, the
    /// default, are none.
    pub record: usize,
    /// `[virtual_host.plugin.limits]` over `[limits.plugin]`.
    pub limits: PluginLimits,
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
    /// `limits` are those of all hosts.
    pub(super) fn read(section: &mut Section<'_>, limits: &Limits) -> Self {
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
            deny_all_stubs: section.value("deny_all_stubs", false),
            settings: PluginSettings::read(section),
            record: section.optional("record").unwrap_or_default(),
            limits: section.section("limits", |section| {
                PluginLimits::read_of_host(section, limits)
            }),
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
