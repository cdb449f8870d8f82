//! An app inside this process, at the other end of a plugin's requests.
//!
//! Owns the connections and the HTTP server on them; who answers is given
//! ([`App`]). Everything in between is as in production: the request passes
//! the egress gate and is written to, and the answer read from, a connection
//! by the sandbox's own client. Only that connection has no socket.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_plugin::{Origin, Resolve, Resolving};
use tokio::io::DuplexStream;
use tokio_util::task::TaskTracker;

/// What fits into a connection before its reader comes.
const PIPE_BYTES: usize = 64 << 10;
/// Largest body of a request that is looked at.
const REQUEST_BYTES: usize = 16 << 20;

/// Who answers a plugin's requests.
pub trait App: Send + Sync + 'static {
    /// Whether a connection is taken.
    fn accepts(&self, origin: &Origin) -> bool;

    /// The answer to one request; its URI is in origin-form.
    fn answer(&self, request: Request<Bytes>) -> Answering;
}

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What becomes of a request.
pub enum Answer {
    /// An answer.
    Response(Response<Bytes>),
    /// One whose body ends in its middle.
    Cut(Response<Bytes>),
    /// The end of the connection.
    Reset,
}

/// The way to an [`App`]: a resolver whose every name leads there.
pub struct Stage {
    app: Arc<dyn App>,
    tasks: TaskTracker,
}

impl Stage {
    /// The way to `app`.
    pub fn new(app: Arc<dyn App>) -> Arc<Self> {
        Arc::new(Self {
            app,
            tasks: TaskTracker::new(),
        })
    }
}

impl Resolve for Stage {
    fn resolve<'a>(&'a self, _name: &'a str, _port: u16) -> Resolving<'a> {
        // Never asked: every connection is inside.
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn inside(&self, origin: &Origin) -> Option<io::Result<DuplexStream>> {
        if !self.app.accepts(origin) {
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        // Ends with its connection, which ends with the plugin's request.
        self.tasks.spawn(serve(Arc::clone(&self.app), far));
        Some(Ok(near))
    }
}

/// One connection, for one request: what one case leaves behind must not
/// serve the next.
async fn serve(app: Arc<dyn App>, stream: DuplexStream) {
    let service = service_fn(move |request| exchange(Arc::clone(&app), request));
    let mut builder = http1::Builder::new();
    let connection = builder
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // How it ends is what the plugin sees, and nobody else's affair.
    let _ = connection.await;
}

async fn exchange(
    app: Arc<dyn App>,
    request: Request<Incoming>,
) -> Result<Response<Whole>, ConnectionEnds> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES).collect().await;
    let body = body.map_err(|_| ConnectionEnds)?.to_bytes();
    match app.answer(Request::from_parts(head, body)).await {
        Answer::Response(response) => Ok(response.map(Whole::all)),
        Answer::Cut(response) => Ok(response.map(Whole::half)),
        Answer::Reset => Err(ConnectionEnds),
    }
}

/// Makes hyper close the connection.
#[derive(Debug, thiserror::Error)]
#[error("the app closes the connection")]
struct ConnectionEnds;

/// A body that is announced whole, and may end in its middle.
struct Whole {
    announced: u64,
    part: Option<Bytes>,
    cut: bool,
}

impl Whole {
    fn all(bytes: Bytes) -> Self {
        Self {
            announced: length(&bytes),
            part: Some(bytes),
            cut: false,
        }
    }

    fn half(bytes: Bytes) -> Self {
        let part = bytes.slice(..bytes.len() / 2);
        Self {
            // Also of an empty body there is something missing then.
            announced: length(&bytes).max(1),
            part: Some(part),
            cut: true,
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Body for Whole {
    type Data = Bytes;
    type Error = ConnectionEnds;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionEnds>>> {
        Poll::Ready(match self.part.take() {
            Some(part) if !part.is_empty() => Some(Ok(Frame::data(part))),
            _ if self.cut => Some(Err(ConnectionEnds)),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.part.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
