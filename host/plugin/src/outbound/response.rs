//! The body of an app's response: so many bytes, and not after the deadline.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use super::verdict;
use crate::breaker::Pass;

/// A body that ends with an error when it is too long or too late. Trailers
/// are dropped: nothing in the contract needs them.
pub(crate) struct CappedBody {
    inner: Incoming,
    left: usize,
    deadline: Pin<Box<Sleep>>,
    /// Until it is known whether the body comes.
    pass: Option<Pass>,
}

impl CappedBody {
    pub(crate) fn new(
        inner: Incoming,
        limit: usize,
        deadline: Instant,
        pass: Option<Pass>,
    ) -> Self {
        Self {
            inner,
            left: limit,
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            pass,
        }
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        // A length that is announced and too long is refused at once.
        if self.inner.size_hint().lower() > self.left as u64 {
            return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
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
                return Poll::Ready(Some(Err(Error::HttpResponseBodySize(None))));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }
}

/// The app answered; whoever asked may not want the whole of it.
impl Drop for CappedBody {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.success();
        }
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
            verdict::of_body(self.pass.take(), error);
        }
        frame
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
