//! What the plugin of a virtual host did last, for who wants to try another
//! build on it.
//!
//! Owns whether something is recorded at all: `virtual_host.plugin.record`. What
//! a recording is, and its bounds, are `muster-kit`'s.

use std::sync::Arc;

use muster_kit::record::{About, Bounds, Eyes, Recorder, Recording, Settings};
use muster_plugin::{Plugin, Tap};

use crate::config;
use crate::limit::Limit;

/// The recording of one virtual host.
pub(crate) struct Recordings {
    plugin: Arc<Plugin>,
    about: About,
    settings: config::PluginSettings,
    recorder: Option<Arc<Recorder>>,
}

impl Recordings {
    /// Begins to record, if the configuration wants it.
    pub(crate) fn start(
        plugin: Arc<Plugin>,
        host: &config::VirtualHost,
        limits: &config::Limits,
    ) -> Self {
        let recorder = (host.plugin.record > 0).then(|| {
            let bounds = Bounds {
                fetches: host.plugin.record,
                bytes: limits.plugin.record_bytes,
            };
            Arc::new(Recorder::new(bounds, || Limit::PluginRecordBytes.reached()))
        });
        if let Some(recorder) = &recorder {
            let tap: Arc<dyn Tap> = Arc::clone(recorder) as _;
            plugin.listen(&tap);
        }
        Self {
            plugin,
            about: about(host),
            settings: host.plugin.settings.clone(),
            recorder,
        }
    }

    /// What there is now; `None` where nothing is recorded. Computes for as
    /// long as there is much of it.
    pub(crate) fn recording(&self, eyes: &Eyes) -> Option<Recording> {
        let recorder = self.recorder.as_ref()?;
        let digest = self.plugin.digest().to_string();
        let settings = settings(&self.settings);
        Some(recorder.recording(self.about.clone(), digest, &settings, eyes))
    }
}

/// The settings, as the kit has them.
pub(crate) fn settings(settings: &config::PluginSettings) -> Settings {
    let pairs = settings.iter();
    Settings::new(
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

/// What a plugin of this host is told about where it runs.
pub(crate) fn about(host: &config::VirtualHost) -> About {
    let origins = host.egress.origins.iter().map(|access| {
        let methods = access.methods.iter().map(ToString::to_string);
        (access.origin.to_string(), methods.collect())
    });
    About {
        domain: host.domain.to_string(),
        url: host.roster.http_roster_url.clone(),
        origins: origins.collect(),
        deny_all_stubs: host.plugin.deny_all_stubs,
    }
}
