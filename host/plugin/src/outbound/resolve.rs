//! Names into addresses, or into an app inside this process.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::DuplexStream;

use crate::egress::Origin;

/// The addresses that a lookup found.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Who knows the addresses of a name. Asked once for each connection; what it
/// answers is judged by the egress policy, and dialled as it was judged.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `name` with `port`, in the order in which they should
    /// be tried. The future is dropped at the deadline of the connection.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a>;

    /// A connection to an app that lives in this process: nothing is resolved
    /// and dialled then, and nothing encrypted, whatever the origin's scheme;
    /// all else is as towards any app. `None` where the app is on the network;
    /// an error where the app refuses the connection.
    ///
    /// For test kits: the plugin's requests pass the same gate and the same
    /// client of HTTP, and leave nobody's machine.
    fn inside(&self, origin: &Origin) -> Option<io::Result<DuplexStream>> {
        let _ = origin;
        None
    }
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}
