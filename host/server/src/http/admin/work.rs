//! What a request is answered with: the plugin's answer, or that to rosters
//! which were handed in. The future is all of the work; dropping it ends the
//! work, with no user half done.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use muster_plugin::HandleError;
use tracing::Instrument as _;

use super::wishes::{Manner, Wishes};
use super::{Answer, Desk, error, explain, json};
use crate::hosts::VirtualHost;
use crate::limit::Limit;
use crate::rosters::{Batch, HandedIn, Record, RefreshCall};

/// What there is to do.
pub(super) enum Work {
    /// The plugin handles the request.
    Plugin(Box<http::Request<Bytes>>),
    /// The rosters are put in.
    HandIn(Vec<HandedIn>),
}

/// Work under way, and what is known of it.
pub(super) struct Run {
    pub(super) answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    pub(super) record: Arc<Record>,
}

impl Desk {
    /// The work as a future that nobody has polled yet.
    pub(super) fn begin(&self, work: Work, wishes: Wishes) -> Run {
        let record = Arc::new(match wishes.details {
            true => Record::of_entries(self.terms.told),
            false => Record::of_counts(),
        });
        let batch = Arc::new(Batch::new(
            Arc::clone(&self.rosters),
            self.host.domain.clone(),
            self.terms,
            Arc::clone(&record),
        ));
        let may_be_job = wishes.manner != Manner::WhenDone || self.terms.async_above.is_some();
        let limit = match may_be_job {
            true => self.terms.job_time,
            false => self.terms.request_time,
        };
        let (host, done) = (Arc::clone(&self.host), Arc::clone(&record));
        let answer = async move {
            let answer = match work {
                Work::Plugin(request) => plugin(&host, *request, limit, batch, &wishes).await,
                Work::HandIn(entries) => {
                    let outcomes = batch.hand_in(entries, wishes.mode).await;
                    json(StatusCode::OK, explain::summary(&outcomes).to_json().into())
                }
            };
            explain::explain(answer, &done.told(), &wishes)
        }
        .in_current_span();
        let answer = Box::pin(answer);
        Run { answer, record }
    }
}

async fn plugin(
    host: &VirtualHost,
    request: http::Request<Bytes>,
    limit: Duration,
    batch: Arc<Batch>,
    wishes: &Wishes,
) -> Answer {
    let call = Arc::new(RefreshCall::new(batch, wishes.mode));
    match host.plugin.handle_within(limit, request, call).await {
        Ok(answer) => {
            count("answered");
            // The host has refused a body that is too large before; what the
            // plugin finds too large is the number of names.
            if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Limit::HttpNames.reached();
            }
            answer
        }
        Err(fault) => {
            count("failed");
            // That the breaker is open was told when it opened.
            if !matches!(fault, HandleError::CircuitOpen { .. }) {
                tracing::warn!(vhost = %host.domain, error = %fault, "the plugin failed to answer a request");
            }
            refused(&fault)
        }
    }
}

/// The answer for a plugin that gave none.
pub(super) fn refused(fault: &HandleError) -> Answer {
    let (status, retry_after) = match fault {
        HandleError::Overloaded => (StatusCode::TOO_MANY_REQUESTS, None),
        HandleError::CircuitOpen { retry_after } => (
            StatusCode::SERVICE_UNAVAILABLE,
            Some(whole_seconds(*retry_after)),
        ),
        HandleError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, None),
        _ => (StatusCode::BAD_GATEWAY, None),
    };
    let mut answer = error(status, &format!("the plugin did not answer: {fault}"));
    if let Some(seconds) = retry_after {
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Not sooner than `duration`, and not at once.
fn whole_seconds(duration: Duration) -> u64 {
    let started = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(started).max(1)
}

fn count(outcome: &'static str) {
    metrics::counter!("muster_admin_requests_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_come_back_too_early() {
        for (milliseconds, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (4_200, 5)] {
            let wait = Duration::from_millis(milliseconds);
            assert_eq!(whole_seconds(wait), seconds, "{milliseconds} ms");
        }
    }
}
