//! Commands about one virtual host of a running server, or about all that it
//! has.
//!
//! Owns the arguments that they share, and the choice. What is told of a host,
//! and what is done to it, is the command's affair.

use clap::Args;
use http::Method;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::remote::{Address, Remote, segment};

/// One virtual host, or all.
#[derive(Debug, Args)]
pub(super) struct Hosts {
    /// The virtual host; without one, all of them
    #[arg(value_name = "VHOST")]
    vhost: Option<String>,
    #[command(flatten)]
    server: Address,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

/// What a server tells of hosts below a route: of each at its name, of all at
/// once in a `List`.
pub(super) trait Told: DeserializeOwned {
    const ROUTE: &str;
    type List: DeserializeOwned;

    fn of_all(list: Self::List) -> Vec<Self>;

    fn virtual_host(&self) -> &str;
}

impl Hosts {
    /// Makes ready to ask about them.
    pub(super) fn remote<T: Told>(&self) -> Result<Remote, Failure> {
        self.server.remote(T::ROUTE, None)
    }

    /// What there is to tell of those that are meant.
    pub(super) async fn told<T: Told>(&self, remote: &Remote) -> Result<Vec<T>, Failure> {
        match &self.vhost {
            None => {
                let list = remote.order(Method::GET, T::ROUTE).await?;
                Ok(T::of_all(list))
            }
            Some(vhost) => {
                let path = format!("{}/{}", T::ROUTE, segment(vhost));
                Ok(vec![remote.order(Method::GET, &path).await?])
            }
        }
    }

    /// Has something done to each of those that are meant; what came of it, with
    /// the name of the host.
    pub(super) async fn order<T: Told, D: DeserializeOwned>(
        &self,
        remote: &Remote,
        order: &str,
    ) -> Result<Vec<(String, D)>, Failure> {
        let mut done = Vec::new();
        for host in self.told::<T>(remote).await? {
            let name = host.virtual_host();
            let path = format!("{}/{}/{order}", T::ROUTE, segment(name));
            let one = remote.order(Method::POST, &path).await?;
            done.push((name.to_owned(), one));
        }
        Ok(done)
    }
}
