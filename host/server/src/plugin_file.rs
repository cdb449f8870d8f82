//! The file of a plugin while the server runs: when it is looked at, and when
//! it is offered to the sandbox.
//!
//! Owns the looks, and that settings are read again before a file is taken on
//! request ([`crate::settings_in_use`]). A look is two calls of the file system, about the component
//! and its signature; only when they say something new, and say the same
//! again at the next look ([`crate::watch`]), is the file read. Whatever happens
//! to it (renamed into place, written in place, half written, a link that leads
//! elsewhere, gone) is a change like any other. Whether the content is good is
//! [`Plugin::swap`]'s to say; what was tried is not tried again by itself until
//! it changes, except for reasons that pass.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::{Candidate, CompilerError, Digest, LoadError, Plugin, Swapped, signature_path};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{PluginSource, Reload, SettingsFault};
use crate::settings_in_use::SettingsInUse;
use crate::watch::{Looks, Patience};

/// Looks after which something is tried again that failed for a reason which
/// passes: an app that is down, say.
const RETRY_LOOKS: u32 = 10;

/// What the configuration says about it.
#[derive(Debug, Clone)]
pub(crate) struct PluginFileSettings {
    pub(crate) source: PluginSource,
    pub(crate) reload: Reload,
    /// Bytes of the component that are read at most.
    pub(crate) limit: usize,
    /// How far apart the looks are.
    pub(crate) poll: Duration,
}

/// Why nothing was taken when somebody asked for it. Reach: what serves goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadFault {
    /// The plugin's settings cannot be used, so the file was not tried with them.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// The file was refused.
    #[error(transparent)]
    Refused(#[from] LoadError),
}

/// The file of one virtual host's plugin.
pub(crate) struct PluginFile {
    plugin: Arc<Plugin>,
    settings: PluginFileSettings,
    /// What the plugin reads.
    reads: Arc<SettingsInUse>,
    asked: Notify,
    /// Held while something is tried, so that one thing is tried at a time.
    seen: Mutex<Seen>,
}

/// What the looks have seen, and what came of it.
struct Seen {
    looks: Looks<Stamp>,
    tried: Option<Tried>,
    retry: Option<Instant>,
}

/// Content that was tried: of the component, and of the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tried(Digest, Option<String>);

/// What the file system says of the component and of its signature. What is
/// not there, or cannot be seen, says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp([Option<FileStamp>; 2]);

/// Another content has another one of these: each write changes a time that
/// nobody can set, even where the size and the other times stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// As it is now, behind all links. Blocks for a moment.
    pub(crate) fn of(source: &PluginSource) -> Stamp {
        match source {
            PluginSource::Builtin => Stamp::default(),
            PluginSource::File(path) => {
                Stamp([FileStamp::of(path), FileStamp::of(&signature_path(path))])
            }
        }
    }

    fn is_there(&self) -> bool {
        let Stamp([component, _]) = self;
        component.is_some()
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<FileStamp> {
        let metadata = fs::metadata(path).ok()?;
        Some(FileStamp {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl PluginFile {
    /// `loaded` is what the file looked like before it was loaded, and
    /// `candidate` what was loaded; `reads` is what it reads.
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        (settings, reads): (PluginFileSettings, Arc<SettingsInUse>),
        loaded: Stamp,
        candidate: &Candidate,
    ) -> PluginFile {
        PluginFile {
            plugin,
            settings,
            reads,
            asked: Notify::new(),
            seen: Mutex::new(Seen {
                looks: Looks::of(loaded),
                tried: Some(Tried::from(candidate)),
                retry: None,
            }),
        }
    }

    /// Looks at the file every now and then, if the operator wants it, and
    /// whenever [`PluginFile::ask`] is called, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let polled = self.settings.reload == Reload::Watch && self.path().is_some();
        let watching = async {
            loop {
                let patience = tokio::select! {
                    () = self.asked.notified() => Patience::None,
                    () = tokio::time::sleep(self.settings.poll), if polled => Patience::OneMoreLook,
                };
                self.look(patience).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(watching).await;
    }

    /// Has the watch take what is there now. What comes of it is in the log
    /// and in the plugin's status.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Takes what is there now, with the settings as they are now, and says what
    /// came of it.
    ///
    /// # Errors
    /// [`ReloadFault`]; the build before goes on serving.
    pub(crate) async fn reload(&self) -> Result<Swapped, ReloadFault> {
        let mut seen = self.seen.lock().await;
        self.reads.renew().await?;
        Ok(self.take(&mut seen).await?)
    }

    /// What the plugin reads.
    pub(crate) fn reads(&self) -> &Arc<SettingsInUse> {
        &self.reads
    }

    /// The plugin.
    pub(crate) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    fn path(&self) -> Option<&PathBuf> {
        match &self.settings.source {
            PluginSource::Builtin => None,
            PluginSource::File(path) => Some(path),
        }
    }

    /// Takes what is there now.
    async fn take(&self, seen: &mut Seen) -> Result<Swapped, LoadError> {
        let found = self.stamp().await;
        seen.looks.is_due(&found, Patience::None);
        let candidate = read(&self.settings.source, self.settings.limit).await;
        self.offer(seen, found, candidate).await
    }

    async fn look(&self, patience: Patience) {
        let mut seen = self.seen.lock().await;
        if patience == Patience::None {
            if let Err(fault) = self.reads.renew().await {
                let domain = self.reads.domain();
                tracing::error!(%domain, %fault, "the settings of the plugin stay as they were");
            }
            // Told where it happens.
            let _ = self.take(&mut seen).await;
            return;
        }
        let found = self.stamp().await;
        let due = seen.looks.is_due(&found, patience);
        let again = seen.retry.is_some_and(|at| at <= Instant::now());
        if !due && !again {
            return;
        }
        let candidate = read(&self.settings.source, self.settings.limit).await;
        if self.stamp().await != found {
            // It changes while it is read: the next looks will tell.
            return;
        }
        let same = matches!(&candidate, Ok(candidate) if seen.tried.as_ref() == Some(&Tried::from(candidate)));
        if same && !again {
            // Touched, or moved away and back.
            seen.looks.judged(found);
            return;
        }
        let _ = self.offer(&mut seen, found, candidate).await;
    }

    /// Tries what was found and keeps that it was tried.
    async fn offer(
        &self,
        seen: &mut Seen,
        found: Stamp,
        candidate: Result<Candidate, LoadError>,
    ) -> Result<Swapped, LoadError> {
        let outcome = match candidate {
            Ok(candidate) => {
                seen.tried = Some(Tried::from(&candidate));
                self.plugin.configure(self.reads.config());
                self.plugin.swap(candidate).await
            }
            Err(error) => {
                self.plugin.refused(&error, None);
                Err(error)
            }
        };
        seen.looks.judged(found);
        let passing = matches!(&outcome, Err(error) if error.is_temporary());
        // A file that is gone is seen when it comes back.
        let retry = passing && found.is_there();
        seen.retry = retry.then(|| Instant::now() + self.settings.poll * RETRY_LOOKS);
        outcome
    }

    async fn stamp(&self) -> Stamp {
        let source = self.settings.source.clone();
        let looked = tokio::task::spawn_blocking(move || Stamp::of(&source));
        looked.await.unwrap_or_default()
    }
}

impl From<&Candidate> for Tried {
    fn from(candidate: &Candidate) -> Tried {
        Tried(candidate.digest(), candidate.signature().map(str::to_owned))
    }
}

/// What the configuration names, as it is now.
pub(crate) async fn read(source: &PluginSource, limit: usize) -> Result<Candidate, LoadError> {
    match source {
        PluginSource::Builtin => Ok(Candidate::builtin(muster_builtin::COMPONENT)),
        PluginSource::File(path) => {
            let path = path.clone();
            let reading = tokio::task::spawn_blocking(move || Candidate::read(&path, limit));
            reading
                .await
                .map_err(|_| LoadError::Compiler(CompilerError::GivenUp))?
        }
    }
}
