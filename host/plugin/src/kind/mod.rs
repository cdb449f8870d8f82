//! The kinds of plugin, and what the host asks of each.
//!
//! Owns the difference between them, so that nobody else has to know it: how a
//! component is recognised ([`Kind`]), what it is joined to ([`Pre`]), and what
//! of it makes up a fetch and an answered request ([`Guest`]). A kind is a
//! module: [`contract`] speaks `muster:roster`, [`http_0_3`] and [`http_0_2`]
//! are any handler of `wasi:http`. What a handler's answer means to the host
//! is in [`agreement`] for rosters and in [`wish`] for refreshes.
//!
//! Calls of the asynchronous kinds share a store ([`SharedGuest`]). A handler
//! of WASI 0.2 blocks its instance until it has answered, so each of its calls
//! has a store of its own.

mod agreement;
mod contract;
mod http_0_2;
mod http_0_3;
mod recognition;
mod response;
mod wish;

use bytes::Bytes;
use http::{Request, Response};
use muster_plugin_bindings::v0_1::exports::muster::roster::roster as guest;
use muster_plugin_bindings::v0_1::{Plugin, PluginPre};
use wasmtime::Store;
use wasmtime::component::{Accessor, InstancePre};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p3::bindings::{Service, ServicePre};

pub use self::recognition::Kind;
pub(crate) use self::recognition::Unfit;
pub(crate) use self::response::{NoResponse, Unanswered};
pub(crate) use self::wish::Wish;
pub use self::wish::{count_entry, summary_of};
use crate::store::StoreState;

/// What the guest returned to a fetch, not yet accepted.
pub(crate) type Answer = Result<guest::Fetched, guest::FetchError>;

/// What became of a request to the guest.
pub(crate) type Exchanged = Result<Response<Bytes>, NoResponse>;

/// The question of a fetch.
pub(crate) struct Question {
    pub(crate) username: String,
    /// The validator of the list that the host holds.
    pub(crate) known: Option<String>,
}

/// A component of some kind, joined to the linker.
#[derive(Clone)]
pub(crate) enum Pre {
    /// Many calls at once in one store.
    Shared(SharedPre),
    /// One call in a store.
    Alone(ProxyPre<StoreState>),
}

/// A component whose calls may share a store.
#[derive(Clone)]
pub(crate) enum SharedPre {
    Contract(PluginPre<StoreState>),
    Http03(ServicePre<StoreState>),
}

/// An instance.
pub(crate) enum Guest {
    Shared(SharedGuest),
    Alone(Proxy),
}

/// An instance whose calls may share its store.
pub(crate) enum SharedGuest {
    Contract(Plugin),
    Http03(Service),
}

/// What instances are made from.
pub(crate) trait Template {
    type Guest;

    fn instantiate(
        &self,
        store: &mut Store<StoreState>,
    ) -> impl Future<Output = wasmtime::Result<Self::Guest>> + Send;
}

impl Pre {
    /// Checks the types of what the kind exports.
    pub(crate) fn new(kind: &Kind, pre: InstancePre<StoreState>) -> wasmtime::Result<Self> {
        Ok(match kind {
            Kind::Contract(_) => Self::Shared(SharedPre::Contract(PluginPre::new(pre)?)),
            Kind::Http03 => Self::Shared(SharedPre::Http03(ServicePre::new(pre)?)),
            Kind::Http02 => Self::Alone(ProxyPre::new(pre)?),
        })
    }

    /// Whether a fault in a store may be that of another call.
    pub(crate) fn shares_stores(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// What the answer to a request asks of the host, if it does: a guest that
    /// speaks the contract asks by calling.
    pub(crate) fn wish(&self, response: &Response<Bytes>) -> Option<Wish> {
        match self {
            Self::Shared(SharedPre::Contract(_)) => None,
            Self::Shared(SharedPre::Http03(_)) | Self::Alone(_) => Wish::of(response),
        }
    }
}

impl Template for Pre {
    type Guest = Guest;

    async fn instantiate(&self, store: &mut Store<StoreState>) -> wasmtime::Result<Guest> {
        Ok(match self {
            Self::Shared(pre) => Guest::Shared(pre.instantiate(store).await?),
            Self::Alone(pre) => Guest::Alone(pre.instantiate_async(store).await?),
        })
    }
}

impl Template for SharedPre {
    type Guest = SharedGuest;

    async fn instantiate(&self, store: &mut Store<StoreState>) -> wasmtime::Result<SharedGuest> {
        Ok(match self {
            Self::Contract(pre) => SharedGuest::Contract(pre.instantiate_async(store).await?),
            Self::Http03(pre) => SharedGuest::Http03(pre.instantiate_async(store).await?),
        })
    }
}

impl Guest {
    /// A fetch with the store for itself.
    ///
    /// # Errors
    /// A fault of the guest; the store is done for.
    pub(crate) async fn fetch(
        &self,
        store: &mut Store<StoreState>,
        question: Question,
    ) -> wasmtime::Result<Answer> {
        match self {
            Self::Shared(guest) => store
                .run_concurrent(async |accessor| guest.fetch(accessor, question).await)
                .await
                .flatten(),
            Self::Alone(guest) => http_0_2::fetch(guest, store, question).await,
        }
    }

    /// A request under `/roster_admin/`, with the store for itself.
    ///
    /// # Errors
    /// As [`Guest::fetch`].
    pub(crate) async fn handle(
        &self,
        store: &mut Store<StoreState>,
        request: Request<Bytes>,
    ) -> wasmtime::Result<Exchanged> {
        match self {
            Self::Shared(guest) => store
                .run_concurrent(async |accessor| http_0_3::exchange(accessor, guest, request).await)
                .await
                .flatten(),
            Self::Alone(guest) => http_0_2::exchange(guest, store, request).await,
        }
    }
}

impl SharedGuest {
    /// A fetch beside others in the store.
    ///
    /// # Errors
    /// A fault of the guest; the store is done for.
    pub(crate) async fn fetch(
        &self,
        accessor: &Accessor<StoreState>,
        question: Question,
    ) -> wasmtime::Result<Answer> {
        match self {
            Self::Contract(guest) => contract::fetch(accessor, guest, question).await,
            Self::Http03(_) => http_0_3::fetch(accessor, self, question).await,
        }
    }
}
