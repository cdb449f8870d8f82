//! What the plugin of a virtual host did last, for who wants to try another
//! build on it.
//!
//! Owns whether something is recorded at all: `virtual_host.plugin.record`. What
//! a recording is, and its bounds, are `muster-kit`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_kit::record::{About, Bounds, Eyes, Recorder, Recording};
use muster_plugin::{Plugin, Tap};

use crate::config;
use crate::limit::Limit;
use crate::plugin_file::PluginFile;
use crate::settings_in_use::SettingsInUse;

/// The recording of one virtual host.
pub(crate) struct Recordings {
    plugin: Arc<Plugin>,
    about: About,
    reads: Arc<SettingsInUse>,
    recorder: Option<Arc<Recorder>>,
    /// How often settings had been forgotten when it was last told.
    forgotten: AtomicU64,
}

impl Recordings {
    /// Begins to record, if the configuration wants it.
    pub(crate) fn start(
        plugin_file: &PluginFile,
        host: &config::VirtualHost,
        limits: &config::Limits,
    ) -> Self {
        let plugin = Arc::clone(plugin_file.plugin());
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
            reads: Arc::clone(plugin_file.reads()),
            recorder,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Fetches that are kept, and bytes of everything; `None` where nothing is
    /// recorded.
    pub(crate) fn load(&self) -> Option<(usize, usize)> {
        self.recorder.as_ref().map(|recorder| recorder.load())
    }

    /// What there is now; `None` where nothing is recorded. Computes for as
    /// long as there is much of it.
    pub(crate) fn recording(&self, eyes: &Eyes) -> Option<Recording> {
        let recorder = self.recorder.as_ref()?;
        let digest = self.plugin.digest().to_string();
        let (settings, forgotten) = self.reads.ever();
        if self.forgotten.swap(forgotten, Ordering::Relaxed) != forgotten {
            // Requests with a secret of long ago may be in it, and nobody knows
            // it any more.
            recorder.forget();
        }
        Some(recorder.recording(self.about.clone(), digest, &settings, eyes))
    }
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
        rosters_url: host.roster.http_rosters_url.clone(),
        origins: origins.collect(),
        deny_all_stubs: host.plugin.deny_all_stubs,
    }
}
