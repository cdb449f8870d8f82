//! A request that is sent again is not done again: the answers by
//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).
//!
//! Owns who is the first with a key, who waits for the first, and what is
//! kept for those who come later. What may be kept, and for how long, is in
//! [`table`].

mod key;
mod table;

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

pub(super) use self::key::{Fingerprint, Key, KeyFault};
use self::table::{Bounds, Known, Table};
use super::{Answer, error};
use crate::config::RefreshLimits;
use crate::limit::Limit;

/// Says that an answer was given before.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What those who wait look at; `None` until there is an answer.
type Answered = watch::Receiver<Option<Answer>>;

/// The keys of one virtual host.
pub(super) struct Idempotency {
    /// A leaf lock, held for a look.
    table: Mutex<Table<Answered, Answer>>,
    key_bytes: usize,
    /// One for each request that may wait for another with its key.
    waiting: Arc<Semaphore>,
}

/// What to do with a request that has a key.
pub(super) enum Begun {
    /// It is the first.
    First(Claim),
    /// The first is being worked on.
    UnderWay(Wait),
    /// There is an answer.
    Settled(Answer),
}

/// Held while the first request with a key is worked on. Dropped without an
/// answer, it leaves the key to the next.
pub(super) struct Claim {
    idempotency: Arc<Idempotency>,
    key: Key,
    answered: watch::Sender<Option<Answer>>,
}

/// Somebody who waits for the first.
pub(super) struct Wait {
    answered: Answered,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Idempotency {
    /// Within `limits`.
    pub(super) fn new(limits: &RefreshLimits) -> Idempotency {
        Idempotency {
            table: Mutex::new(Table::new(Bounds {
                keys: limits.idempotency_keys,
                bytes: limits.idempotency_bytes,
                age: limits.idempotency_age,
            })),
            key_bytes: limits.idempotency_key_bytes,
            waiting: Arc::new(Semaphore::new(limits.waiting)),
        }
    }

    /// The key of a request.
    ///
    /// # Errors
    /// The header is no key, or one that is too long.
    pub(super) fn key(&self, headers: &HeaderMap) -> Result<Option<Key>, KeyFault> {
        let key = Key::of(headers, self.key_bytes);
        if let Err(KeyFault::TooLong { .. }) = key {
            Limit::RefreshIdempotencyKeyBytes.reached();
        }
        key
    }

    /// Looks a key up.
    pub(super) fn begin(self: &Arc<Self>, key: &Key, fingerprint: Fingerprint) -> Begun {
        let (answered, wait) = watch::channel(None);
        let known = self
            .table
            .lock()
            .begin(key, fingerprint, wait, Instant::now());
        match known {
            Known::New => {
                count("first");
                Begun::First(Claim {
                    idempotency: Arc::clone(self),
                    key: key.clone(),
                    answered,
                })
            }
            Known::UnderWay(answered) => match Arc::clone(&self.waiting).try_acquire_owned() {
                Ok(permit) => {
                    count("joined");
                    Begun::UnderWay(Wait {
                        answered,
                        _permit: permit,
                    })
                }
                Err(_) => {
                    Limit::RefreshWaiting.reached();
                    let message = "too many requests wait for this one; try again later";
                    Begun::Settled(error(StatusCode::TOO_MANY_REQUESTS, message))
                }
            },
            Known::Settled(answer) => {
                count("replayed");
                Begun::Settled(replayed(answer))
            }
            Known::Mismatch => {
                count("mismatch");
                let message = "this Idempotency-Key was used for another request";
                Begun::Settled(error(StatusCode::UNPROCESSABLE_ENTITY, message))
            }
        }
    }
}

impl Claim {
    /// Gives the answer to all who wait, and keeps it for those who come
    /// later, unless it only says that it was the wrong moment.
    pub(super) fn settle(self, answer: &Answer) {
        if is_final(answer.status()) {
            let mut table = self.idempotency.table.lock();
            table.settle(&self.key, answer.clone(), weight(answer), Instant::now());
        }
        self.answered.send_replace(Some(answer.clone()));
        // What was not kept is forgotten when this is dropped.
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.idempotency.table.lock().abandon(&self.key);
    }
}

impl Wait {
    /// The answer of the first; `None` if it was dropped without one.
    pub(super) async fn answer(mut self) -> Option<Answer> {
        let answered = self.answered.wait_for(Option::is_some).await.ok()?;
        answered.clone().map(replayed)
    }
}

fn replayed(mut answer: Answer) -> Answer {
    let yes = HeaderValue::from_static("true");
    answer.headers_mut().insert(IDEMPOTENT_REPLAYED, yes);
    answer
}

/// Whether the same request would be answered so again.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error()
        && !matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// What an answer takes in memory, roughly.
fn weight(answer: &Answer) -> usize {
    let fields = answer.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 64);
    answer.body().len() + fields.sum::<usize>() + 256
}

fn count(outcome: &'static str) {
    metrics::counter!("muster_idempotent_requests_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_the_next_time_is_not_kept() {
        for kept in [200, 202, 400, 404, 405, 413, 415, 422] {
            assert!(is_final(StatusCode::from_u16(kept).unwrap()), "{kept}");
        }
        for forgotten in [408, 425, 429, 500, 502, 503, 504] {
            assert!(
                !is_final(StatusCode::from_u16(forgotten).unwrap()),
                "{forgotten}"
            );
        }
    }
}
