//! Who may connect: so many connections in all, so many from one address, so
//! many new ones a minute, and so many that have not logged in yet.
//!
//! Owns the counts. Whoever accepts a connection asks [`Admission::admit`] and
//! closes it without a word when the answer is no: nothing was read of it and
//! nothing is owed to it. The [`Slot`] that comes with a yes lives as long as
//! the connection and frees its place when it is dropped, whatever way the
//! connection's task ends.
//!
//! There is one for XMPP and one for HTTP. A stream over WebSocket or BOSH
//! begins on an HTTP connection, which has a slot of its own; it needs one of
//! XMPP as well, by the client's address as a trusted proxy tells it:
//!
//! ```text
//! let Some(slot) = services.admission.admit(client, Instant::now()) else {
//!     return 503 with Retry-After;
//! };
//! Connection::new(transport, channel, slot, services, entropy)
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use muster_xmpp::pace::Meter;
use parking_lot::Mutex;

use crate::attempts::site;
use crate::limit::Limit;

/// The bounds of one kind of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionLimits {
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// Connections from one address at the same time.
    pub(crate) per_address: usize,
    /// New connections from one address within a minute.
    pub(crate) per_minute: usize,
    /// Connections at the same time that have not logged in.
    pub(crate) unauthenticated: usize,
}

/// How the connections and their bounds are called in the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdmissionNames {
    pub(crate) kind: &'static str,
    pub(crate) connections: Limit,
    pub(crate) per_address: Limit,
    pub(crate) per_minute: Limit,
    pub(crate) unauthenticated: Limit,
}

/// The names of the bounds of XMPP connections.
pub(crate) const XMPP: AdmissionNames = AdmissionNames {
    kind: "xmpp",
    connections: Limit::XmppConnections,
    per_address: Limit::XmppConnectionsPerAddress,
    per_minute: Limit::XmppConnectsPerMinute,
    unauthenticated: Limit::XmppUnauthenticated,
};

/// The names of the bounds of HTTP connections, which log in to nothing.
pub(crate) const HTTP: AdmissionNames = AdmissionNames {
    kind: "http",
    connections: Limit::HttpConnections,
    per_address: Limit::HttpConnectionsPerAddress,
    per_minute: Limit::HttpConnectsPerMinute,
    unauthenticated: Limit::HttpConnections,
};

/// Who may connect.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    names: AdmissionNames,
    /// Peers that speak for many: the bounds of an address are not for them.
    proxies: Vec<IpNet>,
    /// A leaf lock: held for one lookup, and now and then for a sweep.
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    open: usize,
    unauthenticated: usize,
    addresses: HashMap<IpAddr, Party>,
    /// The number of addresses at which those without a connection are
    /// forgotten.
    sweep_at: usize,
}

/// What one address has.
#[derive(Debug)]
struct Party {
    open: usize,
    connects: Meter,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Below this many addresses nothing is forgotten.
const FEW_ADDRESSES: usize = 1_024;

impl Admission {
    /// `proxies` connect for others: they are bound by the number of all
    /// connections alone.
    pub(crate) fn new(
        limits: AdmissionLimits,
        names: AdmissionNames,
        proxies: Vec<IpNet>,
    ) -> Arc<Admission> {
        Arc::new(Admission {
            limits,
            names,
            proxies,
            counts: Mutex::new(Counts {
                open: 0,
                unauthenticated: 0,
                addresses: HashMap::new(),
                sweep_at: FEW_ADDRESSES,
            }),
        })
    }

    /// A place for a connection of `address`, or none; that is counted and
    /// logged already.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Option<Slot> {
        let admitted = self.counts.lock().admit(address, self, now);
        match admitted {
            Ok(()) => Some(Slot {
                admission: Arc::clone(self),
                address,
                authenticated: false,
            }),
            Err(limit) => {
                limit.reached();
                None
            }
        }
    }

    fn speaks_for_others(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|proxy| proxy.contains(&address))
    }

    fn tell(&self, counts: &Counts) {
        let kind = self.names.kind;
        metrics::gauge!("muster_connections", "kind" => kind).set(counts.open as f64);
    }
}

impl Counts {
    fn admit(&mut self, address: IpAddr, admission: &Admission, now: Instant) -> Result<(), Limit> {
        let Admission { limits, names, .. } = admission;
        if self.addresses.len() >= self.sweep_at {
            self.addresses
                .retain(|_, party| party.open > 0 || !party.connects.is_paid(now));
            self.sweep_at = FEW_ADDRESSES.max(self.addresses.len() * 2);
        }
        let party = self.addresses.entry(site(address)).or_insert(Party {
            open: 0,
            connects: Meter::new(now),
        });
        // Every attempt counts against the rate, also one that fails for
        // another reason: that is what makes trying again no use.
        let alone = !admission.speaks_for_others(address);
        let price = MINUTE / u32::try_from(limits.per_minute).unwrap_or(u32::MAX).max(1);
        if alone && !party.connects.try_take(price, MINUTE, now) {
            return Err(names.per_minute);
        }
        if alone && party.open >= limits.per_address {
            return Err(names.per_address);
        }
        if self.open >= limits.connections {
            return Err(names.connections);
        }
        if self.unauthenticated >= limits.unauthenticated {
            return Err(names.unauthenticated);
        }
        party.open += 1;
        self.open += 1;
        self.unauthenticated += 1;
        admission.tell(self);
        Ok(())
    }
}

/// The place of one connection, for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    address: IpAddr,
    authenticated: bool,
}

impl Slot {
    /// The address by which the connection was counted.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// The connection has logged in: makes room for another that has not.
    pub(crate) fn logged_in(&mut self) {
        if !std::mem::replace(&mut self.authenticated, true) {
            self.admission.counts.lock().unauthenticated -= 1;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.open -= 1;
        if !self.authenticated {
            counts.unauthenticated -= 1;
        }
        if let Some(party) = counts.addresses.get_mut(&site(self.address)) {
            party.open -= 1;
        }
        self.admission.tell(&counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Admission {
        fn open(&self) -> usize {
            self.counts.lock().open
        }
    }

    const LIMITS: AdmissionLimits = AdmissionLimits {
        connections: 100,
        per_address: 100,
        per_minute: 100,
        unauthenticated: 100,
    };

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    /// How many of `attempts` from distinct or equal addresses get a place.
    fn admitted(admission: &Arc<Admission>, addresses: impl Iterator<Item = IpAddr>) -> Vec<Slot> {
        let now = Instant::now();
        addresses
            .filter_map(|address| admission.admit(address, now))
            .collect()
    }

    #[test]
    fn each_bound_holds_and_a_dropped_slot_makes_room() {
        let alone = || std::iter::repeat_n(address(1), 20);
        let many = || (0..20).map(address);
        let bounds = [
            AdmissionLimits {
                connections: 5,
                ..LIMITS
            },
            AdmissionLimits {
                per_address: 5,
                ..LIMITS
            },
            AdmissionLimits {
                unauthenticated: 5,
                ..LIMITS
            },
        ];
        for (limits, from_many) in bounds.into_iter().zip([5, 20, 5]) {
            let admission = Admission::new(limits, XMPP, Vec::new());
            let mut slots = admitted(&admission, alone());
            assert_eq!(slots.len(), 5, "{limits:?}");
            slots.pop();
            slots.extend(admitted(&admission, alone()));
            assert_eq!((slots.len(), admission.open()), (5, 5), "{limits:?}");
            slots.clear();
            assert_eq!(admitted(&admission, many()).len(), from_many, "{limits:?}");
            assert_eq!(admission.open(), 0, "{limits:?}");
        }
    }

    #[test]
    fn who_has_logged_in_does_not_count_as_silent() {
        let limits = AdmissionLimits {
            unauthenticated: 1,
            ..LIMITS
        };
        let admission = Admission::new(limits, XMPP, Vec::new());
        let mut slots = admitted(&admission, (0..2).map(address));
        assert_eq!(slots.len(), 1);
        slots.iter_mut().for_each(Slot::logged_in);
        slots.iter_mut().for_each(Slot::logged_in);
        slots.extend(admitted(&admission, (0..2).map(address)));
        assert_eq!(slots.len(), 2);
        drop(slots);
        assert_eq!(admission.counts.lock().unauthenticated, 0);
    }

    #[test]
    fn a_proxy_is_bound_by_the_number_of_all_alone() {
        let limits = AdmissionLimits {
            connections: 5,
            per_address: 1,
            per_minute: 2,
            ..LIMITS
        };
        let admission = Admission::new(limits, HTTP, vec!["0.0.0.0/24".parse().unwrap()]);
        let mut slots = admitted(&admission, std::iter::repeat_n(address(1), 4));
        assert_eq!(slots.len(), 4);
        let elsewhere = std::iter::repeat_n(address(1 << 16), 4);
        slots.extend(admitted(&admission, elsewhere));
        assert_eq!(slots.len(), 5, "one of an address that is no proxy");
        slots.extend(admitted(&admission, std::iter::once(address(1))));
        assert_eq!(slots.len(), 5);
    }

    #[test]
    fn an_address_that_comes_too_often_has_to_wait() {
        let limits = AdmissionLimits {
            per_minute: 60,
            ..LIMITS
        };
        let admission = Admission::new(limits, XMPP, Vec::new());
        let now = Instant::now();
        let passed = |now| {
            (0..100)
                .filter(|_| admission.admit(address(1), now).is_some())
                .count()
        };
        assert_eq!(passed(now), 60);
        assert_eq!(passed(now + Duration::from_secs(5)), 5);
        assert!(admission.admit(address(2), now).is_some());
    }

    #[test]
    fn addresses_without_connections_are_forgotten() {
        let admission = Admission::new(LIMITS, XMPP, Vec::new());
        let now = Instant::now();
        for n in 0..10_000_u32 {
            // One after another, so that what the last one owes is paid.
            let now = now + Duration::from_secs(u64::from(n));
            assert!(admission.admit(address(n), now).is_some());
        }
        assert!(admission.counts.lock().addresses.len() <= FEW_ADDRESSES + 1);
    }
}
