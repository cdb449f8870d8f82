//! WebSocket messages between an HTTP connection that was upgraded and the
//! session machine (RFC 7395).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use muster_xmpp::error::StreamCondition;
use muster_xmpp::session::Session;
use muster_xmpp::websocket::{self, Event, Fault, Receiver};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};

use super::{HungUp, OUTPUT_HIGH_WATER};

/// Frames that are ready to be written; the session's further output waits
/// where it is counted.
const READY_BYTES: usize = 16 * 1024;

/// The connection ends in good order (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
/// The server goes down.
const GOING_AWAY: u16 = 1001;

/// A client on a WebSocket.
pub(crate) struct WebSocket {
    io: TokioIo<Upgraded>,
    receiver: Receiver,
    /// Frames on their way to the socket.
    output: BytesMut,
    /// What the client did wrong: the reason of the end.
    fault: Option<Fault>,
    /// The client said that nothing follows.
    closed: bool,
}

impl WebSocket {
    /// A connection whose handshake is done.
    pub(crate) fn new(upgraded: Upgraded) -> WebSocket {
        WebSocket {
            io: TokioIo::new(upgraded),
            receiver: Receiver::default(),
            output: BytesMut::new(),
            fault: None,
            closed: false,
        }
    }

    /// As [`super::Transport::transfer`].
    pub(super) fn transfer(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        read: bool,
    ) -> Poll<Result<(), HungUp>> {
        let congested = session.output().len() >= OUTPUT_HIGH_WATER;
        if let Poll::Ready(Err(HungUp)) = self.write(cx, session) {
            return Poll::Ready(Err(HungUp));
        }
        let still_congested = session.output().len() >= OUTPUT_HIGH_WATER;
        if congested && !still_congested {
            return Poll::Ready(Ok(()));
        }
        // Pongs are output as well, which who pings has to read.
        let answered = self.output.len() < READY_BYTES;
        if !read || !session.wants_read() || still_congested || !answered {
            return Poll::Pending;
        }
        // On the stack, not in the connection: an idle client holds no buffer.
        let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        let mut buffer = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                self.receiver.receive(buffer.filled());
                Poll::Ready(self.take(session))
            }
            _ => Poll::Ready(Err(HungUp)),
        }
    }

    /// Writes what is left and says goodbye, then waits for the client to hang
    /// up.
    pub(super) async fn finish(&mut self, session: &mut Session) -> Result<(), HungUp> {
        poll_fn(|cx| self.write(cx, session)).await?;
        let code = match (self.fault, session.closed_by()) {
            (Some(fault), _) => fault.code(),
            (None, Some(StreamCondition::SystemShutdown)) => GOING_AWAY,
            (None, _) => NORMAL,
        };
        websocket::push_close(&mut self.output, code);
        poll_fn(|cx| self.write(cx, session)).await?;
        self.io.shutdown().await.map_err(|_| HungUp)?;
        // A socket that is closed with unread input resets the connection, and
        // the client may never see why its stream ended.
        let mut space = [0; 1024];
        while !self.closed {
            let read = tokio::io::AsyncReadExt::read(&mut self.io, &mut space).await;
            self.closed = !matches!(read, Ok(bytes) if bytes > 0);
        }
        Ok(())
    }

    /// Hands on what arrived.
    fn take(&mut self, session: &mut Session) -> Result<(), HungUp> {
        loop {
            match self.receiver.next(session.frame_bytes()) {
                Ok(None) => return Ok(()),
                Ok(Some(Event::Text(message))) => session.receive_frame(&message),
                Ok(Some(Event::Ping(content))) => {
                    websocket::push_pong(&mut self.output, &content);
                }
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close)) => {
                    // Without `<close/>` first: the client vanished (RFC 7395,
                    // section 3.6.1). It is owed a last frame nevertheless.
                    self.closed = true;
                    websocket::push_close(&mut self.output, NORMAL);
                    let mut context = Context::from_waker(std::task::Waker::noop());
                    let _ = self.drain(&mut context);
                    return Err(HungUp);
                }
                Err(fault) => {
                    self.fault = Some(fault);
                    session.close(Some(fault.into()));
                    return Ok(());
                }
            }
        }
    }

    /// Writes out what is ready and what the session has to say.
    fn write(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Poll<Result<(), HungUp>> {
        loop {
            while self.output.len() < READY_BYTES
                && let Some(frame) = session.output().frame()
            {
                websocket::push_text(&mut self.output, &frame);
            }
            ready!(self.drain(cx))?;
            if session.output().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HungUp>> {
        while !self.output.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.output)) {
                Ok(written) if written > 0 => self.output.advance(written),
                _ => return Poll::Ready(Err(HungUp)),
            }
        }
        // An idle client holds no buffer.
        self.output = BytesMut::new();
        Pin::new(&mut self.io).poll_flush(cx).map_err(|_| HungUp)
    }
}
