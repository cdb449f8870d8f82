//! One more try, where there is hope: which failures, how soon, how often.
//!
//! Owns the policy and the budget; the caller sends. Only a `GET` is sent
//! again: it changes nothing. A failure that the same question would meet again
//! (4xx, an answer that makes no sense, one that is too large) is an answer, and
//! so is a `Retry-After`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use wasmtime_wasi_http::Error;

/// The pause before it, where nobody was there or the connection broke: at least,
/// and what is drawn by lot beside. So short that whoever logs in while the app is
/// dead has the last known roster within a tenth of a second, this try included.
const SOON: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(50));
/// Where the app is there and refuses: it may have too much to do, and those whom
/// it has refused at once must not come back at once.
const LATER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(200));

/// What one retry costs the budget; a request pays in a percentage of it.
const PRICE: u64 = 100;
/// What the budget starts with and holds at most: ten retries, so that an app
/// that is asked seldom has them too.
const MOST: u64 = 10 * PRICE;

/// Why a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No connection: it was refused.
    Refused,
    /// The connection ended before the whole answer was there: among others one
    /// that was kept open and that the app has closed in that moment.
    Broken,
    /// 502, 503 or 504.
    Unavailable,
}

impl Reason {
    /// The value of the label `reason` in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Refused => "connection_refused",
            Self::Broken => "connection_broken",
            Self::Unavailable => "status_5xx",
        }
    }

    /// For an answer with this head.
    pub(super) fn of_head(
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let unavailable = matches!(status.as_u16(), 502..=504);
        let hopeful = unavailable && !headers.contains_key(header::RETRY_AFTER);
        (hopeful && method == Method::GET).then_some(Self::Unavailable)
    }

    /// For a request that failed.
    pub(super) fn of_error(method: &Method, error: &Error) -> Option<Self> {
        let reason = match error {
            Error::ConnectionRefused => Self::Refused,
            Error::ConnectionTerminated | Error::HttpResponseIncomplete => Self::Broken,
            _ => return None,
        };
        (method == Method::GET).then_some(reason)
    }
}

/// The pause, for a number drawn by lot; nothing, if too little of the time
/// would be left.
pub(super) fn pause(reason: Reason, time: Duration, lot: u32) -> Option<Duration> {
    let (least, jitter) = match reason {
        Reason::Refused | Reason::Broken => SOON,
        Reason::Unavailable => LATER,
    };
    let pause = least + jitter.mul_f64(f64::from(lot) / f64::from(u32::MAX));
    (pause <= time / 2).then_some(pause)
}

/// How many retries there may be: a share of the requests.
#[derive(Debug)]
pub(super) struct Budget {
    /// In percent.
    share: u64,
    left: AtomicU64,
}

impl Budget {
    /// So many retries for a hundred requests; none at all for 0.
    pub(super) fn new(share: usize) -> Self {
        Self {
            share: share.min(100) as u64,
            left: AtomicU64::new(if share == 0 { 0 } else { MOST }),
        }
    }

    /// A request is sent for the first time.
    pub(super) fn request(&self) {
        let pay = |left: u64| Some((left + self.share).min(MOST));
        // Never refused.
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }

    /// Whether one may be sent again; then it is paid.
    pub(super) fn take(&self) -> bool {
        let take = |left: u64| left.checked_sub(PRICE);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_another_try() {
        let get = Method::GET;
        let plain = HeaderMap::new();
        for (status, expected) in [
            (200, None),
            (304, None),
            (404, None),
            (429, None),
            (500, None),
            (501, None),
            (502, Some(Reason::Unavailable)),
            (503, Some(Reason::Unavailable)),
            (504, Some(Reason::Unavailable)),
            (505, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Reason::of_head(&get, status, &plain), expected, "{status}");
            assert_eq!(Reason::of_head(&Method::POST, status, &plain), None);
        }
        let mut asked = HeaderMap::new();
        asked.insert(header::RETRY_AFTER, "1".parse().unwrap());
        let status = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(Reason::of_head(&get, status, &asked), None);
        for (error, expected) in [
            (Error::ConnectionRefused, Some(Reason::Refused)),
            (Error::ConnectionTerminated, Some(Reason::Broken)),
            (Error::HttpResponseIncomplete, Some(Reason::Broken)),
            (Error::HttpResponseTimeout, None),
            (Error::ConnectionTimeout, None),
            (Error::HttpRequestDenied, None),
            (Error::DestinationNotFound, None),
            (Error::TlsCertificateError, None),
            (Error::HttpResponseBodySize(None), None),
            (Error::HttpProtocolError, None),
        ] {
            assert_eq!(Reason::of_error(&get, &error), expected, "{error:?}");
            assert_eq!(Reason::of_error(&Method::POST, &error), None);
        }
    }

    #[test]
    fn the_pause_differs_and_leaves_time() {
        let second = Duration::from_secs(1);
        for (reason, (least, jitter)) in [
            (Reason::Refused, SOON),
            (Reason::Broken, SOON),
            (Reason::Unavailable, LATER),
        ] {
            assert_eq!(pause(reason, second, 0), Some(least));
            assert_eq!(pause(reason, second, u32::MAX), Some(least + jitter));
            assert_eq!(pause(reason, least, 0), None);
        }
    }

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let budget = Budget::new(20);
        let burst = (0..100).filter(|_| budget.take()).count();
        assert_eq!(burst, 10, "what there is at the start");
        let retries = (0..1_000).filter(|_| {
            budget.request();
            budget.take()
        });
        assert_eq!(retries.count(), 200);
        for _ in 0..10_000 {
            budget.request();
        }
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10, "no hoard");
        let none = Budget::new(0);
        none.request();
        assert!(!none.take());
    }
}
