//! A fetch that has ended, of one user or of many in one request.

use muster_plugin::{FetchError, Fetched, Many, ManyError};

use super::{Batch, Fetch, Found, Together};

/// What a plugin was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// One user.
    One(Fetch),
    /// Many.
    Many(Batch),
}

impl Call {
    /// A fetch of one user, whose end is yet to be numbered.
    pub(crate) fn one(
        begun: u64,
        username: &str,
        known: Option<&str>,
        result: &Result<Fetched, FetchError>,
    ) -> Self {
        Self::One(Fetch {
            begun,
            ended: 0,
            username: username.to_owned(),
            known: known.map(str::to_owned),
            result: Found::of(result),
        })
    }

    /// The same of many users; `None` if the plugin asks for one at a time, so
    /// that nobody was asked.
    pub(crate) fn many(
        begun: u64,
        usernames: &[String],
        result: &Result<Many, ManyError>,
    ) -> Option<Self> {
        let result = Together::of(result)?;
        Some(Self::Many(Batch {
            begun,
            ended: 0,
            usernames: usernames.to_vec(),
            result,
        }))
    }

    /// The same, ended then.
    pub(crate) fn ended_at(mut self, at: u64) -> Self {
        match &mut self {
            Self::One(fetch) => fetch.ended = at,
            Self::Many(batch) => batch.ended = at,
        }
        self
    }

    pub(super) fn begun(&self) -> u64 {
        match self {
            Self::One(fetch) => fetch.begun,
            Self::Many(batch) => batch.begun,
        }
    }

    pub(crate) fn ended(&self) -> u64 {
        match self {
            Self::One(fetch) => fetch.ended,
            Self::Many(batch) => batch.ended,
        }
    }

    /// How many users it was about.
    pub(crate) fn users(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(batch) => batch.usernames.len(),
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::One(fetch) => fetch.bytes(),
            Self::Many(batch) => batch.bytes(),
        }
    }
}
