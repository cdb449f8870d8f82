//! Origins that have asked to be left alone for a while ([`crate::rest`]).
//!
//! Owns until when each of them rests; the app hears nothing of what is refused
//! until then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};

use crate::egress::Origin;
use crate::rest::retry_after;

/// See the module.
pub(super) struct Rests {
    /// What an app may ask for at most.
    longest: Duration,
    /// A leaf lock, held for a look. No more than there are origins.
    until: Mutex<Vec<(Origin, Instant)>>,
}

impl Rests {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest,
            until: Mutex::new(Vec::new()),
        }
    }

    /// Hears an answer of `origin`. Returns how long the origin rests, if it
    /// has asked for that.
    pub(super) fn hear(
        &self,
        origin: &Origin,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Duration> {
        let wanted = retry_after(status, headers)?;
        let rest = wanted.min(self.longest);
        if rest.is_zero() {
            return None;
        }
        let (now, mut until) = (Instant::now(), self.until());
        until.retain(|(_, end)| *end > now);
        let end = now + rest;
        match until.iter_mut().find(|(resting, _)| resting == origin) {
            // What others were told before holds, if it is longer.
            Some((_, before)) => *before = end.max(*before),
            None => until.push((origin.clone(), end)),
        }
        Some(rest)
    }

    /// How long the origin still rests.
    pub(super) fn left(&self, origin: &Origin) -> Option<Duration> {
        let until = self.until();
        let (_, end) = until.iter().find(|(resting, _)| resting == origin)?;
        let left = end.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// Whether any origin rests.
    pub(super) fn any(&self) -> bool {
        let now = Instant::now();
        self.until().iter().any(|(_, end)| *end > now)
    }

    /// The app is back, whatever it has asked for.
    pub(super) fn end(&self) {
        self.until().clear();
    }

    fn until(&self) -> MutexGuard<'_, Vec<(Origin, Instant)>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rest_is_bounded_and_an_earlier_end_does_not_shorten_it() {
        let origin = Origin::of_url("http://127.0.0.1:1/").unwrap();
        let other = Origin::of_url("http://127.0.0.1:2/").unwrap();
        let rests = Rests::new(30 * SECOND);
        let hear = |seconds: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, seconds.parse().unwrap());
            rests.hear(&origin, StatusCode::SERVICE_UNAVAILABLE, &headers)
        };
        assert_eq!(hear("0"), None);
        assert!(!rests.any());
        assert_eq!(hear("3600"), Some(30 * SECOND));
        assert_eq!(hear("2"), Some(2 * SECOND));
        assert!(rests.left(&origin).unwrap() > 20 * SECOND);
        assert_eq!(rests.left(&other), None);
        assert!(rests.any());
        rests.end();
        assert_eq!(rests.left(&origin), None);
    }
}
