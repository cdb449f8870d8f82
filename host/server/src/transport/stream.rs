//! Bytes between a socket and the session machine (RFC 6120, section 4).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use muster_xmpp::session::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{HungUp, OUTPUT_HIGH_WATER};

/// Output buffers larger than this are given back once they are written.
const OUTPUT_KEPT: usize = 4 * 1024;

/// Writes what there is and, if `read`, reads what comes. Ready when the
/// session has something new, or has room for mail again.
pub(super) fn transfer<S>(
    cx: &mut Context<'_>,
    stream: &mut S,
    session: &mut Session,
    read: bool,
) -> Poll<Result<(), HungUp>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let congested = session.output().len() >= OUTPUT_HIGH_WATER;
    match drain(cx, stream, session.output().stream()) {
        Poll::Ready(Ok(())) | Poll::Pending => {}
        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
    }
    if congested && session.output().len() < OUTPUT_HIGH_WATER {
        return Poll::Ready(Ok(()));
    }
    if !read || !session.wants_read() || congested {
        return Poll::Pending;
    }
    // On the stack, not in the connection: an idle client holds no buffer.
    let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
    let mut buffer = ReadBuf::uninit(&mut space);
    match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Ok(()) if !buffer.filled().is_empty() => {
            session.receive(buffer.filled());
            Poll::Ready(Ok(()))
        }
        _ => Poll::Ready(Err(HungUp)),
    }
}

/// Writes what is left, closes our side, and waits for the peer to close its.
pub(super) async fn finish<S>(stream: &mut S, session: &mut Session) -> Result<(), HungUp>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let output = session.output().stream();
    poll_fn(|cx| drain(cx, stream, output)).await?;
    stream.shutdown().await.map_err(|_| HungUp)?;
    poll_fn(|cx| discard(cx, stream)).await;
    Ok(())
}

/// Reads and throws away what the peer still sends, until it closes as well: a
/// socket that is closed with unread input resets the connection, and the peer
/// may never see why its stream ended.
fn discard<S: AsyncRead + Unpin>(cx: &mut Context<'_>, stream: &mut S) -> Poll<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
    loop {
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}

/// Writes `output` out.
fn drain<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    output: &mut BytesMut,
) -> Poll<Result<(), HungUp>> {
    while !output.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, output)) {
            Ok(written) if written > 0 => output.advance(written),
            _ => return Poll::Ready(Err(HungUp)),
        }
    }
    if output.capacity() > OUTPUT_KEPT {
        *output = BytesMut::new();
    }
    Pin::new(stream).poll_flush(cx).map_err(|_| HungUp)
}
