//! Spans for OpenTelemetry: what the spans of `tracing` become for an operator's
//! collector.
//!
//! Owns their ids and whether a trace is sampled ([`context`]), the layer that
//! notes when they begin and end ([`layer`]), the bounded queue in which they
//! wait, and their form on the wire, OTLP's protobuf ([`encode`]). Opens no
//! connection: whoever has the [`Spans`] sends them. Where no layer is
//! installed, spans are what they are without this crate, and [`traceparent`]
//! is `None`.

#![forbid(unsafe_code)]

mod context;
mod encode;
mod layer;
mod protobuf;
mod span;

pub use context::{Ratio, RatioError};
pub use encode::{Resource, request};
pub use layer::{Spans, TraceLayer, Tracing, current, follow, traceparent};
pub use span::{Finished, Value};
