//! What the plugin of a virtual host reads, while the server runs.
//!
//! Owns when `[virtual_host.plugin.settings]` is read again (on SIGHUP, and when
//! a reload is asked for), what the next build reads, and what earlier ones have
//! read, which no recording may tell. Reading again changes nothing by itself:
//! a build has the settings that it was tried with.

use std::path::PathBuf;

use muster_xmpp::DomainPart;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::config::{PluginSettings, SettingsFault};

/// Settings of earlier builds that are remembered; each reload that changes some
/// adds those.
const FORMER: usize = 1_024;

/// See the module.
pub(crate) struct SettingsInUse {
    /// Where they are read again; `None` for a configuration that is no file.
    file: Option<PathBuf>,
    domain: DomainPart,
    /// What the host itself tells the plugin.
    own: Vec<(String, String)>,
    /// A leaf lock.
    state: Mutex<State>,
}

struct State {
    current: PluginSettings,
    former: Vec<(String, Zeroizing<String>)>,
    /// How often some of these were forgotten.
    forgotten: u64,
}

impl SettingsInUse {
    /// Those of the start; `own` is what the host tells the plugin beside.
    pub(crate) fn new(
        file: Option<PathBuf>,
        domain: DomainPart,
        own: Vec<(String, String)>,
        current: PluginSettings,
    ) -> Self {
        Self {
            file,
            domain,
            own,
            state: Mutex::new(State {
                current,
                former: Vec::new(),
                forgotten: 0,
            }),
        }
    }

    /// Reads them again.
    ///
    /// # Errors
    /// [`SettingsFault`]; they stay as they were.
    pub(crate) async fn renew(&self) -> Result<(), SettingsFault> {
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        let domain = self.domain.clone();
        let reading = move || PluginSettings::read_again(&file, &domain);
        let read = tokio::task::spawn_blocking(reading).await;
        let (settings, warnings) = read.map_err(|_| SettingsFault::BrokenOff)??;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        self.state.lock().take(settings);
        Ok(())
    }

    /// Whose they are.
    pub(crate) fn domain(&self) -> &DomainPart {
        &self.domain
    }

    /// All that the next build reads.
    pub(crate) fn config(&self) -> Vec<(String, String)> {
        let state = self.state.lock();
        let settings = state.current.iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.own.iter().cloned().chain(settings).collect()
    }

    /// Those of the operator, as the next build reads them.
    pub(crate) fn current(&self) -> muster_kit::record::Settings {
        let state = self.state.lock();
        let settings = state.current.iter();
        muster_kit::record::Settings::new(owned(settings))
    }

    /// The same with all that earlier builds have read; and how often some of
    /// that was forgotten.
    pub(crate) fn ever(&self) -> (muster_kit::record::Settings, u64) {
        let state = self.state.lock();
        let former = state.former.iter();
        let former = former.map(|(name, value)| (name.as_str(), value.as_str()));
        let settings = owned(state.current.iter().chain(former));
        (muster_kit::record::Settings::new(settings), state.forgotten)
    }
}

impl State {
    fn take(&mut self, settings: PluginSettings) {
        let before = std::mem::replace(&mut self.current, settings);
        for (name, value) in before.iter() {
            let is_known = self.former.iter().any(|(_, it)| it.as_str() == value);
            if !is_known && !self.current.iter().any(|(_, it)| it == value) {
                let value = Zeroizing::new(value.to_owned());
                self.former.push((name.to_owned(), value));
            }
        }
        let beyond = self.former.len().saturating_sub(FORMER);
        if beyond > 0 {
            self.former.drain(..beyond);
            self.forgotten += 1;
        }
    }
}

fn owned<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "[[virtual_host]]\ndomain = \"example.test\"\n";

    fn write(file: &std::path::Path, settings: &str) {
        let text = format!("{HOST}[virtual_host.plugin.settings]\n{settings}\n");
        std::fs::write(file, text).unwrap();
    }

    fn told(settings: &SettingsInUse) -> Vec<(String, String)> {
        settings.config()
    }

    #[tokio::test]
    async fn they_are_read_again_and_what_was_there_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("muster.toml");
        let domain = DomainPart::new("example.test").unwrap().into_owned();
        let own = vec![("domain".to_owned(), "example.test".to_owned())];
        let none = PluginSettings::default();
        let settings = SettingsInUse::new(Some(file.clone()), domain, own.clone(), none);
        assert_eq!(told(&settings), own);

        std::fs::write(directory.path().join("secret"), "of-before\n").unwrap();
        write(&file, "hook_secret = { file = \"secret\" }");
        settings.renew().await.unwrap();
        let pair = |value: &str| ("hook_secret".to_owned(), value.to_owned());
        assert_eq!(told(&settings)[1..], [pair("of-before")]);

        // What cannot be used leaves them.
        std::fs::remove_file(directory.path().join("secret")).unwrap();
        let fault = settings.renew().await.unwrap_err().to_string();
        assert!(
            fault.contains("plugin.settings.hook_secret: cannot read"),
            "{fault}"
        );
        std::fs::write(&file, "[[virtual_host]]\ndomain = \"example.org\"").unwrap();
        let fault = settings.renew().await.unwrap_err().to_string();
        assert!(fault.contains("example.test"), "{fault}");
        std::fs::write(&file, "[[[").unwrap();
        assert!(settings.renew().await.is_err());
        assert_eq!(told(&settings)[1..], [pair("of-before")]);

        write(&file, "hook_secret = \"of-now\"\nunknown_to_us = 1");
        assert!(settings.renew().await.is_err(), "a number is no setting");
        write(&file, "hook_secret = \"of-now\"");
        settings.renew().await.unwrap();
        assert_eq!(told(&settings)[1..], [pair("of-now")]);
        let (ever, forgotten) = settings.ever();
        assert_eq!(
            format!("{ever:?}").matches("hook_secret").count(),
            2,
            "{ever:?}"
        );
        assert_eq!(forgotten, 0);
    }

    #[test]
    fn no_more_is_remembered_than_the_bound() {
        let mut state = State {
            current: PluginSettings::default(),
            former: (0..FORMER)
                .map(|n| ("a".to_owned(), Zeroizing::new(n.to_string())))
                .collect(),
            forgotten: 0,
        };
        state.current = PluginSettings::of(&[("a", "old")]);
        state.take(PluginSettings::of(&[("a", "new")]));
        assert_eq!((state.former.len(), state.forgotten), (FORMER, 1));
        state.take(PluginSettings::of(&[("a", "old")]));
        state.take(PluginSettings::of(&[("a", "new")]));
        assert_eq!(state.forgotten, 1 + 1, "only what is new is added");
    }
}
