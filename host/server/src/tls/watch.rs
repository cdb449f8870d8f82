//! Newer certificates while the server runs, and certificates whose time ends.
//!
//! Owns when the files are looked at; a change is taken when it has settled ([`crate::watch`]). The
//! content is compared, not the file's times, so that renames, links and mounts that are swapped
//! underneath are all the same. A bad certificate never replaces a good one. Time is read off the wall clock, at every look.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::Tls;
use super::certificate::{
    Certificate, CertificateConcern, CertificateError, CertificateText, Fingerprint,
};
use super::context::ContextError;
use super::store::Entry;
use crate::watch::{Looks, Patience};

const DAY: u64 = 24 * 60 * 60;

/// What the watch has seen of one virtual host's files: their content, or that they cannot be read.
type Seen = Looks<Option<Fingerprint>>;

/// Why a newer certificate was not taken.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Context(#[from] ContextError),
}

impl Tls {
    /// Looks at the files of all certificates every `interval`, and at once when asked by
    /// [`Tls::reload`], until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let mut seen: Vec<(&Entry, Seen)> = self
            .certificates
            .iter()
            .map(|entry| (entry, Seen::default()))
            .collect();
        // What there is to say at the start was said when the configuration was read.
        let mut calendar = Calendar::new(SystemTime::now());
        loop {
            let patience = tokio::select! {
                () = stop.cancelled() => return,
                () = self.reload.notified() => Patience::None,
                () = tokio::time::sleep(interval) => Patience::OneMoreLook,
            };
            for (entry, seen) in &mut seen {
                look(entry, seen, patience).await;
            }
            if calendar.turns(SystemTime::now()) {
                self.certificates.iter().for_each(tell_expiry);
            }
        }
    }
}

/// The day by the wall clock, counted from the epoch. No timer waits for the next one: a clock
/// that is set, or a machine that sleeps, is found out by looking.
struct Calendar(u64);

impl Calendar {
    fn new(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs() / DAY)
    }

    /// Whether `now` is another day than the one before.
    fn turns(&mut self, now: SystemTime) -> bool {
        let today = Self::new(now).0;
        std::mem::replace(&mut self.0, today) != today
    }
}

async fn look(entry: &Entry, seen: &mut Seen, patience: Patience) {
    let files = entry.files.clone();
    let Ok(text) = tokio::task::spawn_blocking(move || files.read()).await else {
        // The runtime is ending.
        return;
    };
    let found = text.as_ref().ok().map(CertificateText::fingerprint);
    if found == Some(entry.current().certificate.fingerprint) {
        if patience == Patience::None {
            tracing::info!(domain = %entry.domain, "the certificate is the same as before");
        }
        *seen = Seen::default();
        return;
    }
    if !seen.is_due(&found, patience) {
        return;
    }
    match text
        .map_err(ReloadError::from)
        .and_then(|text| take(entry, &text))
    {
        Ok(()) => *seen = Seen::default(),
        Err(error) => {
            seen.judged(found);
            metrics::counter!("muster_certificate_reloads_total", "outcome" => "refused")
                .increment(1);
            tracing::error!(domain = %entry.domain, %error, "a newer certificate was refused; the one before stays");
        }
    }
}

fn take(entry: &Entry, text: &CertificateText) -> Result<(), ReloadError> {
    let certificate = Arc::new(Certificate::parse(text, &entry.files)?);
    entry.replace(Arc::clone(&certificate))?;
    metrics::counter!("muster_certificate_reloads_total", "outcome" => "success").increment(1);
    tracing::info!(domain = %entry.domain, "a newer certificate is in use");
    for concern in certificate.concerns(&entry.name, SystemTime::now()) {
        tracing::warn!(domain = %entry.domain, "{concern}");
    }
    Ok(())
}

fn tell_expiry(entry: &Entry) {
    let current = entry.current();
    let domain = &entry.domain;
    match current.certificate.expiry(SystemTime::now()) {
        Some(concern @ CertificateConcern::Expired) => tracing::error!(%domain, "{concern}"),
        Some(concern) => tracing::warn!(%domain, "{concern}"),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_is_told_once_whatever_the_clock_does() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut calendar = Calendar::new(at(10 * DAY + 5));
        for (now, turned) in [
            (10 * DAY + 6, false),
            (11 * DAY - 1, false),
            (11 * DAY, true),
            (11 * DAY + 1, false),
            // The clock is set forth, then back; the machine sleeps for a week.
            (12 * DAY + 1, true),
            (11 * DAY + 1, true),
            (11 * DAY + 2, false),
            (18 * DAY + 2, true),
            (18 * DAY + 3, false),
        ] {
            assert_eq!(calendar.turns(at(now)), turned, "{now}");
        }
    }
}
