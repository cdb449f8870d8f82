//! The layer that notes when spans begin and end, and the queue of those that
//! have ended.
//!
//! Owns what is known of open spans, in the registry's extensions. Whoever ends
//! a span never waits: what finds the queue full is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::mpsc;
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Span, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::layer::{self, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::context::{Context, Ids, Ratio};
use crate::span::{Fields, Finished};

/// Whether there is a layer in this process: whoever only works for it asks first.
static ON: AtomicBool = AtomicBool::new(false);

/// How spans are kept.
#[derive(Clone, Copy, Debug)]
pub struct Tracing {
    /// The share of traces that are kept.
    pub ratio: Ratio,
    /// Spans that may wait to be sent.
    pub waiting: usize,
    /// Random bytes, from which ids are made.
    pub entropy: [u8; 16],
}

/// Notes the spans of Muster's own crates.
#[derive(Debug)]
pub struct TraceLayer {
    ids: Ids,
    ratio: Ratio,
    queue: mpsc::Sender<Finished>,
    dropped: Arc<AtomicU64>,
}

/// Where ended spans are taken from.
#[derive(Debug)]
pub struct Spans {
    queue: mpsc::Receiver<Finished>,
    dropped: Arc<AtomicU64>,
}

/// An open span.
struct Open {
    context: Context,
    parent: Option<u64>,
    began: SystemTime,
    fields: Fields,
}

impl Tracing {
    /// The layer, and the end of its queue.
    pub fn start(self) -> (TraceLayer, Spans) {
        ON.store(true, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel(self.waiting.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let layer = TraceLayer {
            ids: Ids::new(self.entropy),
            ratio: self.ratio,
            queue: sender,
            dropped: Arc::clone(&dropped),
        };
        let spans = Spans {
            queue: receiver,
            dropped,
        };
        (layer, spans)
    }
}

impl TraceLayer {
    /// What of the process is noted: the spans of Muster, whatever is logged.
    pub fn filter() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
        filter_fn(|it: &Metadata<'_>| it.is_span() && it.target().starts_with("muster_"))
            .with_max_level_hint(LevelFilter::DEBUG)
    }
}

impl<S> Layer<S> for TraceLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: layer::Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let parent = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| open.context)
        });
        let context = match parent {
            Some(parent) => self.ids.child(parent),
            None => self.ids.root(self.ratio),
        };
        let mut fields = Fields::default();
        if context.sampled {
            attributes.record(&mut fields);
        }
        span.extensions_mut().insert(Open {
            context,
            parent: parent.map(|parent| parent.span),
            began: SystemTime::now(),
            fields,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: layer::Context<'_, S>) {
        let Some(span) = cx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(open) = extensions.get_mut::<Open>()
            && open.context.sampled
        {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, cx: layer::Context<'_, S>) {
        let Some(span) = cx.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        if !open.context.sampled {
            return;
        }
        let finished = Finished {
            name: span.name(),
            context: open.context,
            parent: open.parent,
            began: open.began,
            ended: SystemTime::now(),
            fields: open.fields,
        };
        if self.queue.try_send(finished).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Spans {
    /// Waits for spans and takes up to `limit`; 0 when no more can come.
    pub async fn receive(&mut self, into: &mut Vec<Finished>, limit: usize) -> usize {
        self.queue.recv_many(into, limit).await
    }

    /// Takes up to `limit` of those that are there.
    pub fn take(&mut self, into: &mut Vec<Finished>, limit: usize) {
        let there = std::iter::from_fn(|| self.queue.try_recv().ok());
        into.extend(there.take(limit));
    }

    /// How many found no room since the last question.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The span that the caller is in, to be taken along; none while no spans are
/// kept.
pub fn current() -> Span {
    match ON.load(Ordering::Relaxed) {
        true => Span::current(),
        false => Span::none(),
    }
}

/// The header by which somebody else's spans come below `span`. `None` unless
/// spans are kept.
pub fn traceparent(span: &Span) -> Option<String> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    let context = span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let extensions = span.extensions();
        extensions.get::<Open>().map(|open| open.context)
    });
    context.flatten().map(Context::to_header)
}

/// Puts `span` below the one that a caller's header names; a header that says
/// nothing leaves it where it is. To be done before `span` has children.
pub fn follow(span: &Span, header: &str) {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let remote = Context::from_header(header)?;
        let mut extensions = span.extensions_mut();
        let open = extensions.get_mut::<Open>()?;
        open.parent = Some(remote.span);
        open.context = Context {
            span: open.context.span,
            ..remote
        };
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{Side, Value};
    use tracing_subscriber::layer::SubscriberExt as _;

    const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(ratio: Ratio, waiting: usize, run: impl FnOnce()) -> (Vec<Finished>, u64) {
        let tracing = Tracing {
            ratio,
            waiting,
            entropy: [3; 16],
        };
        let (layer, mut spans) = tracing.start();
        let filter = filter_fn(|it| it.is_span());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
        tracing::subscriber::with_default(subscriber, run);
        let mut finished = Vec::new();
        spans.take(&mut finished, usize::MAX);
        (finished, spans.take_dropped())
    }

    #[test]
    fn a_tree_of_spans_comes_out_from_below() {
        let (spans, dropped) = traced(Ratio::ALL, 10, || {
            let refresh = tracing::info_span!("refresh", users = 2, otel.kind = "server");
            follow(&refresh, REMOTE);
            let call = tracing::debug_span!(parent: &refresh, "call", op = "fetch");
            let status = tracing::field::Empty;
            let fetch = tracing::debug_span!(parent: &call, "fetch", status, failed = status);
            fetch.record("status", 503);
            fetch.record("failed", true);
            assert!(traceparent(&fetch).unwrap().starts_with(&REMOTE[..36]));
            tracing::info!("an event is no span");
        });
        assert_eq!(dropped, 0);
        let [fetch, call, refresh] = &*spans else {
            panic!("{spans:?}")
        };
        assert_eq!(
            [fetch.name, call.name, refresh.name],
            ["fetch", "call", "refresh"]
        );
        assert_eq!(fetch.parent, Some(call.context.span));
        assert_eq!(call.parent, Some(refresh.context.span));
        assert_eq!(refresh.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(refresh.fields.side, Side::Server);
        assert!(fetch.fields.failed && !call.fields.failed);
        assert_eq!(fetch.fields.attributes, [("status", Value::Int(503))]);
        let traces = spans.iter().map(|span| span.context.trace);
        assert!(
            traces
                .into_iter()
                .all(|it| it == 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736)
        );
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (spans, dropped) = traced(Ratio::ALL, 2, || {
            for _ in 0..5 {
                tracing::info_span!("call");
            }
        });
        assert_eq!((spans.len(), dropped), (2, 3));
    }

    #[test]
    fn a_trace_that_is_not_kept_is_told_so_to_others() {
        let (spans, dropped) = traced(Ratio::new(0.0).unwrap(), 2, || {
            let call = tracing::info_span!("call");
            assert!(traceparent(&call).unwrap().ends_with("-00"));
            // Whoever asks keeps its trace, and so do we.
            follow(&call, REMOTE);
            let fetch = tracing::info_span!(parent: &call, "fetch");
            assert!(traceparent(&fetch).unwrap().ends_with("-01"));
        });
        assert_eq!((spans.len(), dropped), (2, 0));
    }

    #[test]
    fn nothing_is_kept_where_no_layer_is() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("call");
            follow(&span, REMOTE);
            assert_eq!(traceparent(&span), None);
        });
        assert_eq!(traceparent(&Span::none()), None);
    }

    #[test]
    fn a_text_is_cut() {
        let (spans, _) = traced(Ratio::ALL, 2, || {
            tracing::info_span!("iq", id = "ä".repeat(200));
        });
        let [("id", Value::Text(text))] = &*spans[0].fields.attributes else {
            panic!("{spans:?}")
        };
        assert_eq!(text.len(), 256);
    }
}
