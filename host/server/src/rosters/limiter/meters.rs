//! What of the turns is counted, for one virtual host.

use std::time::Duration;

use metrics::{Gauge, Histogram};

use super::line::Class;

pub(super) struct Meters {
    pub(super) limit: Gauge,
    pub(super) under_way: Gauge,
    pub(super) waiting: [Gauge; 3],
    waited: [Histogram; 3],
}

impl Meters {
    pub(super) fn new(domain: &str) -> Meters {
        let vhost = || domain.to_owned();
        Meters {
            limit: metrics::gauge!("muster_fetch_limit", "vhost" => vhost()),
            under_way: metrics::gauge!("muster_fetches_under_way", "vhost" => vhost()),
            waiting: Class::ALL.map(|class| {
                metrics::gauge!("muster_fetches_waiting", "vhost" => vhost(), "class" => class.label())
            }),
            waited: Class::ALL.map(|class| {
                metrics::histogram!("muster_fetch_wait_seconds", "vhost" => vhost(), "class" => class.label())
            }),
        }
    }

    pub(super) fn waited(&self, class: Class, waited: Duration) {
        let [login, refresh, background] = &self.waited;
        let histogram = match class {
            Class::Login => login,
            Class::Refresh => refresh,
            Class::Background => background,
        };
        histogram.record(waited);
    }
}
