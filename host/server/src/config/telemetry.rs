//! `[telemetry]` and `[limits.telemetry]`: where traces go, if anywhere.
//!
//! Owns the names and defaults of the keys, and the rule that a secret does not
//! travel in the clear. Without `endpoint` no span is kept.

use std::time::Duration;

use http::HeaderName;
use muster_trace::Ratio;
use toml::de::DeValue;
use url::Url;

use super::app_secret::AppSecret;
use super::auth::{CaFile, ca_file, check_http, is_in_the_clear};
use super::fault::Problem;
use super::quantity::Value;
use super::reader::{Located, Section};

/// `[telemetry]`
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// `[telemetry.otlp]`, if there is such a section.
    pub otlp: Option<Otlp>,
}

/// `[telemetry.otlp]`: traces for OpenTelemetry, by OTLP over HTTP with protobuf.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// Takes a POST of an `ExportTraceServiceRequest`; usually ends with `/v1/traces`.
    pub endpoint: Url,
    /// The secret that the collector wants, if it wants one.
    pub authorization: Option<AppSecret>,
    /// The header that carries the secret. Default `authorization`.
    pub header: HeaderName,
    /// The authorities that may vouch for the collector, in place of Mozilla's.
    pub ca_file: Option<CaFile>,
    /// The share of traces that are kept, of those that nobody has decided about before.
    /// Default 1.
    pub sampling_ratio: Ratio,
    /// The resource attribute `service.name`. Default `muster`.
    pub service_name: String,
    /// For one request to the collector. Default 10 s.
    pub timeout: Duration,
}

/// `[limits.telemetry]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryLimits {
    /// Spans that wait to be sent. Default 4,096; more are dropped.
    pub spans_waiting: usize,
}

impl Telemetry {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            otlp: section.section("otlp", Otlp::read),
        }
    }
}

impl Otlp {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let endpoint = section.located::<Url>("endpoint");
        let authorization = section.section("authorization", AppSecret::read);
        let header = section.located::<Name>("header");
        let ca_file = ca_file(section);
        let Share(sampling_ratio) = section.value("sampling_ratio", Share(Ratio::ALL));
        let service_name = section.optional::<String>("service_name");
        let timeout = section.value("timeout", Duration::from_secs(10));
        if !section.is_there() {
            return None;
        }
        if !section.has("endpoint") {
            section.missing("endpoint", "endpoint = \"http://127.0.0.1:4318/v1/traces\"");
        }
        let Located {
            value: endpoint,
            place,
        } = endpoint?;
        check_http(section, &endpoint, &place);
        if authorization.is_some() && is_in_the_clear(&endpoint) {
            let host = endpoint.host_str().unwrap_or_default().to_owned();
            section.error(&place, Problem::SecretInTheClear { host });
        }
        if endpoint.scheme() == "http" && section.has("ca_file") {
            section.error(&section.place("ca_file"), Problem::WithoutTls);
        }
        Some(Self {
            endpoint,
            authorization,
            header: header.map_or(http::header::AUTHORIZATION, |found| found.value.0),
            ca_file,
            sampling_ratio,
            service_name: service_name.unwrap_or_else(|| "muster".to_owned()),
            timeout,
        })
    }
}

impl TelemetryLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            spans_waiting: section.value("spans_waiting", default.spans_waiting),
        }
    }
}

impl Default for TelemetryLimits {
    fn default() -> Self {
        Self {
            spans_waiting: 4_096,
        }
    }
}

/// A share from 0 to 1.
struct Share(Ratio);

impl Value for Share {
    const EXPECTED: &'static str = "a share from 0.0 to 1.0";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = match value {
            DeValue::Float(number) => number.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => return Err(Self::mismatch(value)),
        };
        let share = text.parse().ok().and_then(|share| Ratio::new(share).ok());
        share.map(Self).ok_or(Problem::NotAQuantity {
            text,
            expected: Self::EXPECTED,
        })
    }
}

/// The name of a header.
struct Name(HeaderName);

impl Value for Name {
    const EXPECTED: &'static str = "the name of a header, such as \"authorization\"";

    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = value.as_str().ok_or_else(|| Self::mismatch(value))?;
        text.parse().map(Self).map_err(|_| Problem::NotAQuantity {
            text: text.to_owned(),
            expected: Self::EXPECTED,
        })
    }
}
