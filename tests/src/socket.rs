//! TCP, with or without TLS, as the scripted clients use it.

use crate::tls::Trust;
use crate::within;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed.
    Gone,
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr) -> Socket {
        let socket = Socket::try_connect(address).await;
        socket.expect("the listener accepts")
    }

    /// The same where perhaps nobody listens.
    pub(crate) async fn try_connect(address: SocketAddr) -> io::Result<Socket> {
        let socket = within("a connection", TcpStream::connect(address)).await?;
        socket.set_nodelay(true).expect("a TCP socket");
        Ok(Socket::Tcp(socket))
    }

    /// Takes the client's part in a handshake with `domain`.
    pub(crate) async fn start_tls(&mut self, domain: &str, trust: &Trust) -> io::Result<()> {
        let Socket::Tcp(socket) = std::mem::replace(self, Socket::Gone) else {
            panic!("TLS is there already");
        };
        let name = ServerName::try_from(domain.to_owned()).expect("the name of a server");
        let connector = TlsConnector::from(trust.config());
        let stream = within("a TLS handshake", connector.connect(name, socket)).await?;
        *self = Socket::Tls(Box::new(stream));
        Ok(())
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Socket::Tcp(socket) => socket,
            Socket::Tls(stream) => stream.get_ref().0,
            Socket::Gone => panic!("the handshake failed"),
        }
    }

    pub(crate) fn tls(&self) -> Option<&rustls::ClientConnection> {
        match self {
            Socket::Tls(stream) => Some(stream.get_ref().1),
            _ => None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}
