//! What `/admin/guards/…` answers, as JSON: the server writes it, `muster
//! guard` reads it. The rules of [`report`](super::report) hold here too.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::report::seconds;
use crate::rosters::GuardStatus;

/// `GET /admin/guards`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Guards {
    pub(crate) guards: Vec<Guard>,
}

/// The guard of one virtual host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Guard {
    pub(crate) virtual_host: String,
    /// `off`, `watching`, `holding` or `released`.
    pub(crate) state: String,
    /// How long it has been holding.
    pub(crate) holding_seconds: Option<f64>,
    /// How long everything is honoured yet.
    pub(crate) released_seconds: Option<f64>,
    /// Users who are online and keep their contacts though the app says otherwise.
    pub(crate) held: usize,
    /// Users who lost their contacts within the window, or since it holds.
    pub(crate) drained: usize,
    /// How many of these are let pass.
    pub(crate) limit: usize,
    pub(crate) online: usize,
    /// Since the server started.
    pub(crate) trips: u64,
    pub(crate) window_seconds: f64,
}

/// `POST /admin/guards/…/release` and `…/arm`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Released {
    pub(crate) status: String,
    pub(crate) message: String,
    /// Users for whom something was held, and for whom the app is asked now.
    pub(crate) asked: usize,
    pub(crate) guard: Option<Guard>,
}

impl Guard {
    pub(crate) fn of(virtual_host: String, status: GuardStatus) -> Guard {
        Guard {
            virtual_host,
            state: status.phase.to_owned(),
            holding_seconds: status.holding.map(seconds),
            released_seconds: status.released.map(seconds),
            held: status.held,
            drained: status.drained,
            limit: status.limit,
            online: status.online,
            trips: status.trips,
            window_seconds: seconds(status.terms.window),
        }
    }
}
