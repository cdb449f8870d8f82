//! The demo app: contact lists in SQLite behind the HTTP protocol that apps speak.
//!
//! Owns five users, their passwords and their contacts, and tells Muster when a list changes. It
//! is what an app of your own would be: it knows Muster by one URL and one token, and Muster knows
//! it by two URLs (`/contacts/%s` and `/auth`). Owns nothing of XMPP. Everything goes through real
//! HTTP on a listener of its own.

#![forbid(unsafe_code)]

mod muster;
mod routes;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use store::{ACCOUNTS, Account};

use muster::Muster;
use store::Store;

/// How long a stop waits for requests that are under way.
const DRAIN: Duration = Duration::from_secs(2);

/// What the app needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Muster's refresh route, such as `http://127.0.0.1:5280/roster_admin/refresh`.
    pub refresh_url: String,
    /// The bearer token that Muster wants.
    pub token: SecretString,
    /// The XMPP domain of the users.
    pub domain: String,
    /// The SQLite file, made if there is none; in memory without one.
    pub database: Option<PathBuf>,
}

/// Why the app does not run. Reach: the app.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The database cannot be opened or set up.
    #[error("the database cannot be used")]
    Database(#[from] rusqlite::Error),
    /// The refresh URL or the token cannot be put into a request.
    #[error("the refresh URL or the token cannot be used")]
    Refresh(#[from] http::Error),
}

/// The running app.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl App {
    /// Opens the database, fills an empty one, and listens. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// See [`AppError`]; then nothing runs.
    pub async fn start(options: Options) -> Result<Self, AppError> {
        let store = Store::open(options.database.as_deref(), options.domain)?;
        let muster = Muster::new(&options.refresh_url, &options.token)?;
        let address = options.listen;
        let listen = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;

        let stop = CancellationToken::new();
        let router = routes::router(store, muster);
        let serve = axum::serve(listener, router);
        let serve = serve.with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(serve.into_future());
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Where the app listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops: waits at most two seconds for requests that are under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
