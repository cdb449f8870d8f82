//! Traces on their way to a collector: OTLP over HTTP.
//!
//! Owns the batches, their retry and the last flush. Nobody waits for it: what
//! the collector does not take in time is given up, and what comes meanwhile
//! waits in the bounded queue of `muster-trace` or is dropped. Either is
//! counted, and told in the log now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use muster_plugin::Metric;
use muster_trace::{Finished, Resource, Spans, TraceLayer, Tracing};
use rustls::RootCertStore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Otlp, SecretFault};
use crate::http_client::{HttpClient, http_client};
use crate::tls::{CertificateError, read_roots};

const SPANS: &str = "muster_trace_spans_total";

pub(super) const METRICS: &[Metric] = &[Metric::counter(
    SPANS,
    "Spans of traces that are kept, by what became of them: exported, dropped (too many waited, \
     of limits.telemetry.spans_waiting), failed (the collector did not take them)",
)
.by(&["outcome"])];

/// Spans of one request to the collector.
const BATCH: usize = 512;

/// How long a batch waits for more.
const LINGER: Duration = Duration::from_secs(1);

/// How long the one retry waits.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often a failure is told in the log at most.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why there can be no traces. Reach: the process does not start; afterwards
/// nothing, what was before stays in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TraceError {
    /// The secret for the collector cannot be had.
    #[error("the authorization for telemetry.otlp.endpoint")]
    Secret(#[from] SecretFault),
    /// The authorities that may vouch for the collector cannot be read.
    #[error("the authorities for telemetry.otlp.endpoint")]
    Roots(#[from] CertificateError),
    /// TLS towards the collector cannot be configured.
    #[error("TLS towards telemetry.otlp.endpoint")]
    Tls(#[from] rustls::Error),
    /// The system gives no randomness.
    #[error("no randomness for ids of traces")]
    Entropy(#[source] getrandom::Error),
}

/// Why the collector has not taken a batch. Reach: the batch.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector cannot be reached")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the collector did not answer in time")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("the collector answered with status {0}")]
    Status(StatusCode),
}

/// Traces that are to be kept: the layer is for the log's subscriber, the rest
/// for the runtime.
pub(crate) struct Traces {
    exporter: Exporter,
    otlp: Otlp,
}

/// The task that sends spans.
pub(crate) struct Exporting {
    task: JoinHandle<()>,
    stop: CancellationToken,
    collector: Arc<ArcSwap<Collector>>,
    otlp: Otlp,
}

/// Who takes the spans, and by what it knows us.
struct Collector {
    client: HttpClient,
    uri: Uri,
    headers: HeaderMap,
}

struct Exporter {
    /// Exchanged whole; a request keeps the one that it began with.
    collector: Arc<ArcSwap<Collector>>,
    timeout: Duration,
    resource: Resource,
    spans: Spans,
    told: Option<Instant>,
}

impl Traces {
    /// What the configuration wants; `None` if it wants no traces.
    ///
    /// # Errors
    /// [`TraceError`].
    pub(crate) fn of(config: &Config) -> Result<Option<(TraceLayer, Traces)>, TraceError> {
        let Some(otlp) = &config.telemetry.otlp else {
            return Ok(None);
        };
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy).map_err(TraceError::Entropy)?;
        let tracing = Tracing {
            ratio: otlp.sampling_ratio,
            waiting: config.limits.telemetry.spans_waiting,
            entropy,
        };
        let (layer, spans) = tracing.start();
        let exporter = Exporter::new(otlp, spans)?;
        let otlp = otlp.clone();
        Ok(Some((layer, Traces { exporter, otlp })))
    }

    /// Sends spans from now on. Called within the runtime.
    pub(crate) fn start(self) -> Exporting {
        let Traces { exporter, otlp } = self;
        let stop = CancellationToken::new();
        let collector = Arc::clone(&exporter.collector);
        let task = tokio::spawn(exporter.run(stop.clone()));
        Exporting {
            task,
            stop,
            collector,
            otlp,
        }
    }
}

impl Exporting {
    /// Reads the files of the secret and of the authorities again. What cannot
    /// be used leaves what was before in its place, and is told in the log.
    pub(crate) fn reload(&self) {
        match Collector::read_again(&self.otlp) {
            Ok(collector) => self.collector.store(Arc::new(collector)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "what is between us and the collector stays as it was"
                );
            }
        }
    }

    /// Sends what still waits, until `deadline`.
    pub(crate) async fn finish(self, deadline: Instant) {
        let Exporting { mut task, stop, .. } = self;
        stop.cancel();
        let ended = tokio::time::timeout_at(deadline.into(), &mut task).await;
        if ended.is_err() {
            tracing::warn!("the last spans were not sent in time");
            task.abort();
        }
    }
}

impl Collector {
    fn new(otlp: &Otlp, roots: Option<Arc<RootCertStore>>) -> Result<Collector, TraceError> {
        let mut headers = HeaderMap::new();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if let Some(secret) = &otlp.authorization
            && let Some(value) = secret.authorization()?.header()
        {
            headers.insert(otlp.header.clone(), value);
        }
        Ok(Collector {
            client: http_client(roots)?,
            // Whatever `url` takes for an http(s) URL, `http` takes as well.
            uri: otlp.endpoint.as_str().parse().unwrap_or_default(),
            headers,
        })
    }

    /// As the files say now.
    fn read_again(otlp: &Otlp) -> Result<Collector, TraceError> {
        let ca_file = otlp.ca_file.as_ref();
        let roots = ca_file.map(|file| read_roots(&file.path)).transpose()?;
        Collector::new(otlp, roots)
    }
}

impl Exporter {
    fn new(otlp: &Otlp, spans: Spans) -> Result<Exporter, TraceError> {
        let roots = otlp.ca_file.as_ref().map(|file| Arc::clone(&file.roots));
        let collector = Collector::new(otlp, roots)?;
        let version = env!("CARGO_PKG_VERSION");
        let attributes = [
            ("service.name", otlp.service_name.as_str()),
            ("service.version", version),
        ];
        let attributes = attributes.map(|(name, value)| (name, value.to_owned()));
        Ok(Exporter {
            collector: Arc::new(ArcSwap::from_pointee(collector)),
            timeout: otlp.timeout,
            resource: Resource {
                attributes: attributes.into(),
                version,
            },
            spans,
            told: None,
        })
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch, &stop).await {
            let outcome = match self.send(&batch, &stop).await {
                Ok(()) => "exported",
                Err(error) => {
                    self.tell(&error);
                    "failed"
                }
            };
            count(outcome, batch.len() as u64);
            batch.clear();
        }
        count("dropped", self.spans.take_dropped());
    }

    /// Waits for spans, and for more to go with them. False when there are none
    /// and none will come.
    async fn gather(&mut self, batch: &mut Vec<Finished>, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ = self.spans.receive(batch, BATCH) => {}
        }
        let linger = tokio::time::sleep(LINGER);
        tokio::pin!(linger);
        while batch.len() < BATCH && !stop.is_cancelled() {
            let room = BATCH - batch.len();
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = &mut linger => break,
                received = self.spans.receive(batch, room) => if received == 0 { break },
            }
        }
        self.spans.take(batch, BATCH.saturating_sub(batch.len()));
        count("dropped", self.spans.take_dropped());
        !batch.is_empty()
    }

    /// Sends a batch, and once more if the collector may take it later.
    async fn send(&self, batch: &[Finished], stop: &CancellationToken) -> Result<(), ExportError> {
        let body = Bytes::from(muster_trace::request(&self.resource, batch));
        match self.attempt(body.clone()).await {
            Err(error) if error.may_pass() && !stop.is_cancelled() => {
                let waited = tokio::time::sleep(AGAIN_AFTER);
                // At the end there is no time to lose.
                stop.run_until_cancelled(waited).await;
                self.attempt(body).await
            }
            result => result,
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<(), ExportError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let collector = self.collector.load_full();
        *request.uri_mut() = collector.uri.clone();
        *request.headers_mut() = collector.headers.clone();
        let asked = tokio::time::timeout(self.timeout, collector.client.request(request));
        tokio::pin!(asked);
        let response = loop {
            tokio::select! {
                response = &mut asked => break response??,
                // Meanwhile the queue may be full.
                () = tokio::time::sleep(LINGER) => count("dropped", self.spans.take_dropped()),
            }
        };
        // What the collector says beside its status is not read.
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(ExportError::Status(status)),
        }
    }

    fn tell(&mut self, error: &ExportError) {
        let now = Instant::now();
        if self
            .told
            .is_none_or(|told| now.duration_since(told) >= LOG_EVERY)
        {
            self.told = Some(now);
            tracing::warn!(
                %error,
                "spans were not taken; further ones are only counted for a minute, in {SPANS}"
            );
        }
    }
}

impl ExportError {
    /// Whether the collector asks for another attempt (OTLP 1.0, "Retryable
    /// Response Codes"), or was not there.
    fn may_pass(&self) -> bool {
        match self {
            ExportError::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            ExportError::Unreachable(_) => true,
            // It has had its time.
            ExportError::Timeout(_) => false,
        }
    }
}

fn count(outcome: &'static str, spans: u64) {
    if spans > 0 {
        metrics::counter!(SPANS, "outcome" => outcome).increment(spans);
    }
}
