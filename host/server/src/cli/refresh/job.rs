//! One request of `muster refresh`: asked as a job with details, followed by its events.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::remote::{Answer, Errand, Remote, RequestError};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// How often a server that is busy is asked again.
const ATTEMPTS: u32 = 5;
/// The longest that it is waited for, whatever it says.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longer than between two signs of life of a job.
const SILENCE: Duration = Duration::from_secs(60);
/// An event of a job with ten thousand users.
const MAX_EVENT_BYTES: usize = 64 << 20;

/// What came of the users of one request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Report {
    #[serde(default)]
    pub(super) updated: usize,
    /// As the server tells them.
    pub(super) users: Vec<Value>,
}

/// How a job stands.
#[derive(Debug, Deserialize)]
struct Job {
    state: String,
    #[serde(default)]
    done: u64,
    total: Option<u64>,
    answer: Option<JobAnswer>,
}

#[derive(Debug, Deserialize)]
struct JobAnswer {
    code: u16,
    body: Value,
}

/// Refreshes these users.
///
/// # Errors
/// There is no report.
pub(super) async fn refresh(
    remote: &Remote,
    target: &str,
    names: &[String],
) -> Result<Report, RequestError> {
    let body = Bytes::from(Value::from(names).to_string());
    let answer = ask(remote, target, &body).await?;
    match (answer.status, answer.headers.get(LOCATION)) {
        (StatusCode::OK, _) => answer.json(),
        (StatusCode::ACCEPTED, Some(location)) => {
            let path = location
                .to_str()
                .map_err(|_| RequestError::NoSummary(answer.status))?;
            // Draws on a terminal only.
            let progress = ProgressBar::new(names.len() as u64);
            let job = follow(remote, path, &progress).await;
            progress.finish_and_clear();
            report(job?)
        }
        _ => Err(answer.refusal()),
    }
}

/// Asks for the job, again if the server is too busy.
async fn ask(remote: &Remote, target: &str, body: &Bytes) -> Result<Answer, RequestError> {
    let mut attempt = 1;
    loop {
        let errand = Errand {
            method: Method::POST,
            path: target,
            fields: &[
                (CONTENT_TYPE, "application/json"),
                (PREFER, "respond-async, return=representation"),
            ],
            body: body.clone(),
        };
        let answer = remote.answer(errand).await?;
        let busy = matches!(
            answer.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if !busy || attempt == ATTEMPTS {
            return Ok(answer);
        }
        attempt += 1;
        tokio::time::sleep(retry_after(&answer.headers)).await;
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).min(LONGEST_WAIT)
}

/// Follows a job to its end. A stream of events that breaks off is taken up again.
async fn follow(remote: &Remote, path: &str, progress: &ProgressBar) -> Result<Job, RequestError> {
    loop {
        if let Some(job) = events(remote, path, progress).await? {
            return Ok(job);
        }
        let job: Job = remote.ask(Method::GET, path).await?.json()?;
        if is_finished(&job) {
            return Ok(job);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The job when it is finished; `None` if the events end before.
async fn events(
    remote: &Remote,
    path: &str,
    progress: &ProgressBar,
) -> Result<Option<Job>, RequestError> {
    let errand = Errand {
        method: Method::GET,
        path,
        fields: &[(ACCEPT, "text/event-stream")],
        body: Bytes::new(),
    };
    let response = remote.send(errand).await?;
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let mut body = response.into_body();
    let mut read = Vec::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE, body.frame()).await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read.extend_from_slice(&data);
        while let Some(event) = next_event(&mut read) {
            let Some(job) = event else { continue };
            if let Some(total) = job.total {
                progress.set_length(total);
            }
            progress.set_position(job.done);
            if is_finished(&job) {
                return Ok(Some(job));
            }
        }
        if read.len() > MAX_EVENT_BYTES {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Takes an event out of what was read: a job, or nothing that matters. `None` if there is no
/// whole one.
fn next_event(read: &mut Vec<u8>) -> Option<Option<Job>> {
    let end = read.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = read.drain(..end + 2).collect();
    let event = String::from_utf8_lossy(&event);
    let data = event.lines().find_map(|line| line.strip_prefix("data:"));
    Some(data.and_then(|data| serde_json::from_str(data).ok()))
}

fn is_finished(job: &Job) -> bool {
    matches!(job.state.as_str(), "done" | "cancelled" | "cut")
}

fn report(job: Job) -> Result<Report, RequestError> {
    match job.answer {
        Some(JobAnswer { code: 200, body }) => {
            serde_json::from_value(body).map_err(|_| RequestError::NoSummary(StatusCode::OK))
        }
        Some(JobAnswer { code, .. }) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
            Err(RequestError::NoSummary(status))
        }
        None => Err(RequestError::Ended { state: job.state }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_as_they_come() {
        let text = ": still there\n\nevent: progress\ndata: {\"state\":\"running\",\"done\":1,\"total\":2}\n\nevent: end\ndata: {\"state\":\"done\",\"done\":2,\"total\":2,\"answer\":{\"code\":200,\"body\":{\"updated\":2,\"users\":[]}}}\n\n: ";
        let mut read = Vec::new();
        let mut jobs = Vec::new();
        for byte in text.bytes() {
            read.push(byte);
            while let Some(event) = next_event(&mut read) {
                jobs.extend(event);
            }
        }
        assert_eq!(jobs.len(), 2);
        assert!(!is_finished(&jobs[0]));
        let last = jobs.pop().unwrap();
        assert!(is_finished(&last));
        assert_eq!(report(last).unwrap().updated, 2);
        assert_eq!(read, b": ");
    }

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), Duration::from_secs(1));
        for (value, seconds) in [("5", 5), ("86400", 30), ("Wed, 21 Oct 2015", 1)] {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(
                retry_after(&headers),
                Duration::from_secs(seconds),
                "{value}"
            );
        }
    }
}
