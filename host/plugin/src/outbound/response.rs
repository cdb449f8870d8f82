//! The body of an app's response: so many bytes, and not after the deadline.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use super::verdict;
use crate::breaker::Pass;
use crate::limit::Limit;
use crate::telemetry::Meter;

/// A body that ends with an error when it is too long or too late. Trailers
/// are dropped: nothing in the contract needs them.
pub(crate) struct CappedBody {
    inner: Incoming,
    left: usize,
    deadline: Pin<Box<Sleep>>,
    kept: Kept,
}

/// What a request holds on to until its body has been read.
pub(crate) struct Kept {
    pub(crate) meter: Meter,
    /// Its place among the requests at once, whichever try it is.
    pub(crate) _slot: Arc<OwnedSemaphorePermit>,
    /// Until it is known whether the body comes.
    pub(crate) pass: Option<Pass>,
}

impl CappedBody {
    pub(crate) fn new(inner: Incoming, limit: usize, deadline: Instant, kept: Kept) -> Self {
        Self {
            inner,
            left: limit,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            kept,
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(self.too_late())));
        }
        // A length that is announced and too long is refused at once.
        if self.inner.size_hint().lower() > self.left as u64 {
            return Poll::Ready(Some(Err(self.too_long())));
        }
        loop {
            let frame = match std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(Error::HttpResponseIncomplete))),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let Some(left) = self.left.checked_sub(data.len()) else {
                return Poll::Ready(Some(Err(self.too_long())));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn too_late(&self) -> Error {
        self.kept.meter.limit(Limit::RequestTimeout);
        Error::HttpResponseTimeout
    }

    fn too_long(&self) -> Error {
        self.kept.meter.limit(Limit::ResponseBytes);
        Error::HttpResponseBodySize(None)
    }
}

impl Body for CappedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.next(cx);
        if let Poll::Ready(Some(Err(error))) = &frame {
            verdict::of_body(self.kept.pass.take(), error);
        }
        frame
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// The app answered; whoever asked may not want the whole of it.
impl Drop for CappedBody {
    fn drop(&mut self) {
        if let Some(pass) = self.kept.pass.take() {
            pass.success();
        }
    }
}
