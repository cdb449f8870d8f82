//! `Retry-After` of an answer of 429 or 503 (RFC 9110, section 10.2.3): who
//! answers so is left alone for a while.
//!
//! Owns what such an answer asks for, and who has the time to wait for the end
//! of it: who has waits, and a moment longer, by lot, so that not all come back
//! at once; who has not is refused at once. Those who rest are the origins of an
//! app ([`crate::outbound`]) and a generation that is a handler of `wasi:http`
//! ([`Rest`]).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};

/// The longest moment by which requests wait longer.
const LONGEST_MOMENT: Duration = Duration::from_secs(1);

/// Until when one is left alone.
pub(crate) struct Rest {
    /// What it may ask for at most.
    longest: Duration,
    /// A leaf lock, held for a look.
    until: Mutex<Option<Instant>>,
}

impl Rest {
    pub(crate) fn new(longest: Duration) -> Self {
        Self {
            longest,
            until: Mutex::new(None),
        }
    }

    /// Hears an answer. Returns for how long its author is left alone, if it has
    /// asked for that.
    pub(crate) fn hear(&self, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let wanted = retry_after(status, headers)?;
        let rest = wanted.min(self.longest);
        if rest.is_zero() {
            return None;
        }
        let end = Instant::now() + rest;
        let mut until = self.until();
        // What others were told before holds, if it is longer.
        *until = Some(until.map_or(end, |before| before.max(end)));
        Some(rest)
    }

    /// For how long it is still left alone.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = *self.until();
        let left = until?.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// It need not be left alone any longer.
    pub(crate) fn end(&self) {
        *self.until() = None;
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number by lot, so that not all do the same at the same time.
pub(crate) fn lot() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

/// How long a request waits that would have to wait for `left`, for a number
/// drawn by lot; nothing, if there is no use in it: then half of the time until
/// its deadline would not be left.
pub(crate) fn wait(left: Duration, time: Duration, lot: u32) -> Option<Duration> {
    let share = f64::from(lot) / f64::from(u32::MAX);
    let wait = left + (left / 5).min(LONGEST_MOMENT).mul_f64(share);
    (wait <= time / 2).then_some(wait)
}

/// What an answer asks for: seconds, or until a date. A date is told by the
/// answerer's own clock, which the answer has as well (RFC 9110, section 6.6.1):
/// ours may be another.
pub(crate) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let text = |name| Some(headers.get(name)?.to_str().ok()?.trim());
    let date = |text| httpdate::parse_http_date(text).ok();
    let wanted = text(header::RETRY_AFTER)?;
    if !wanted.is_empty() && wanted.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are as good as for ever.
        return Some(Duration::from_secs(wanted.parse().unwrap_or(u64::MAX)));
    }
    let now = text(header::DATE).and_then(date)?;
    Some(date(wanted)?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn check(status: u16, value: Option<&str>, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
        }
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        headers.insert(header::DATE, date.parse().unwrap());
        let found = retry_after(StatusCode::from_u16(status).unwrap(), &headers);
        assert_eq!(
            found,
            expected.map(Duration::from_secs),
            "{status} {value:?}"
        );
    }

    #[test]
    fn seconds_or_a_date_with_the_two_statuses() {
        check(429, Some("7"), Some(7));
        check(503, Some(" 120 "), Some(120));
        check(503, Some("0"), Some(0));
        check(503, Some("99999999999999999999999"), Some(u64::MAX));
        check(503, Some("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        check(503, Some("Sunday, 06-Nov-94 08:49:47 GMT"), Some(10));
        check(503, Some("Sun Nov  6 08:49:47 1994"), Some(10));
        check(503, Some("Sun, 06 Nov 1994 08:49:27 GMT"), Some(0));
        for text in ["", "-1", "1.5", "+3", "soon", "Sun, 06 Nov", "0x10"] {
            check(503, Some(text), None);
        }
        check(503, None, None);
        for status in [200, 301, 404, 500, 502, 504] {
            check(status, Some("7"), None);
        }
    }

    #[test]
    fn a_date_alone_says_nothing() {
        let mut headers = HeaderMap::new();
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        headers.insert(header::RETRY_AFTER, date.parse().unwrap());
        assert_eq!(retry_after(StatusCode::SERVICE_UNAVAILABLE, &headers), None);
    }

    #[test]
    fn a_guest_is_left_alone_for_so_long_at_most() {
        let rest = Rest::new(30 * SECOND);
        let hear = |seconds: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, seconds.parse().unwrap());
            rest.hear(StatusCode::TOO_MANY_REQUESTS, &headers)
        };
        assert_eq!(hear("0"), None);
        assert_eq!(rest.left(), None);
        assert_eq!(hear("3600"), Some(30 * SECOND));
        assert_eq!(hear("2"), Some(2 * SECOND));
        assert!(rest.left().unwrap() > 20 * SECOND);
        rest.end();
        assert_eq!(rest.left(), None);
    }

    #[test]
    fn who_has_the_time_waits_and_not_all_as_long() {
        assert_eq!(wait(SECOND, 4 * SECOND, 0), Some(SECOND));
        assert_eq!(wait(SECOND, 4 * SECOND, u32::MAX), Some(SECOND * 6 / 5));
        assert_eq!(wait(20 * SECOND, 60 * SECOND, u32::MAX), Some(21 * SECOND));
        assert_eq!(wait(3 * SECOND, 4 * SECOND, 0), None);
    }
}
