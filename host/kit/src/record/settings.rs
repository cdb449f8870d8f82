//! The settings of a plugin, which may be secrets, in what it sends.
//!
//! Owns that a value of a setting is not in a recording, and that a request
//! which has one is found there all the same: on both ways its name stands in
//! its place.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Exchange;

/// A shorter one is a number of pages or the like, and in every text.
const SHORTEST: usize = 6;

/// Names and values of `[virtual_host.plugin.settings]`.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

/// Only the names.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Settings {
    /// Those of a plugin.
    pub fn new(settings: Vec<(String, String)>) -> Self {
        Self(settings)
    }

    /// As a plugin reads them.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().cloned()
    }

    /// Names in place of values, in what the plugin has asked.
    pub(crate) fn mask(&self, exchange: &mut Exchange) {
        for (name, value) in &self.0 {
            // The address of an app is in every request, and no secret.
            if value.len() < SHORTEST || value.contains("://") {
                continue;
            }
            let escaped = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
            for text in [&mut exchange.target, &mut exchange.asked] {
                for form in [value, &escaped] {
                    if text.contains(form.as_str()) {
                        *text = text.replace(form.as_str(), &format!("setting-{name}"));
                    }
                }
            }
        }
    }
}
