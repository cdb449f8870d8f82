//! Failed logins by address: who fails too often waits before each further
//! attempt.
//!
//! Owns the count and the delay. An account is never locked: whoever guesses
//! passwords from one address cannot keep the account's owner out from another.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The span over which failures are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered. Beyond, everything is forgotten at once:
/// better than growing, and a flood from that many addresses is not slowed by
/// any delay per address.
const MAX_ADDRESSES: usize = 100_000;

/// The failed logins of the last minute.
#[derive(Debug)]
pub(crate) struct Attempts {
    allowed: usize,
    delay: Duration,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: usize,
}

impl Attempts {
    /// After `allowed` failures within a minute, each further attempt from the
    /// address waits for `delay`.
    pub(crate) fn new(allowed: usize, delay: Duration) -> Attempts {
        Attempts {
            allowed,
            delay,
            failures: Mutex::default(),
        }
    }

    /// A login from `address` failed.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) {
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_ADDRESSES {
            failures.retain(|_, failures| !failures.is_over(now));
            if failures.len() >= MAX_ADDRESSES {
                failures.clear();
            }
        }
        let entry = failures.entry(site(address)).or_insert(Failures {
            since: now,
            count: 0,
        });
        if entry.is_over(now) {
            *entry = Failures {
                since: now,
                count: 0,
            };
        }
        entry.count = entry.count.saturating_add(1);
    }

    /// How long an attempt from `address` has to wait; `None` for most.
    pub(crate) fn delay(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock();
        let entry = failures.get(&site(address))?;
        let delayed = !entry.is_over(now) && entry.count >= self.allowed;
        delayed.then_some(self.delay)
    }
}

/// Waits out an attempt's delay.
pub(crate) async fn wait(delay: Option<Duration>) {
    if let Some(delay) = delay {
        metrics::counter!("muster_logins_delayed_total").increment(1);
        tokio::time::sleep(delay).await;
    }
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// What one party holds: an IPv4 address, or an IPv6 network of 64 bits.
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(5);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_fails_too_often_waits_until_the_minute_is_over() {
        let attempts = Attempts::new(3, DELAY);
        let (guesser, other, now) = (address("192.0.2.1"), address("192.0.2.2"), Instant::now());
        for _ in 0..3 {
            assert_eq!(attempts.delay(guesser, now), None);
            attempts.failed(guesser, now);
        }
        assert_eq!(attempts.delay(guesser, now), Some(DELAY));
        assert_eq!(attempts.delay(other, now), None);
        assert_eq!(attempts.delay(guesser, now + WINDOW), None);
        attempts.failed(guesser, now + WINDOW);
        assert_eq!(
            attempts.delay(guesser, now + WINDOW),
            None,
            "a new minute, a new count"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_party_and_a_mapped_address_its_ipv4_one() {
        let attempts = Attempts::new(1, DELAY);
        let now = Instant::now();
        attempts.failed(address("2001:db8:1:2::1"), now);
        attempts.failed(address("::ffff:192.0.2.1"), now);
        for (text, delay) in [
            ("2001:db8:1:2:ffff::9", Some(DELAY)),
            ("2001:db8:1:3::1", None),
            ("192.0.2.1", Some(DELAY)),
        ] {
            assert_eq!(attempts.delay(address(text), now), delay, "{text}");
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let attempts = Attempts::new(1, DELAY);
        let now = Instant::now();
        for n in 0..MAX_ADDRESSES as u32 + 10 {
            attempts.failed(IpAddr::V4(n.into()), now);
        }
        assert!(attempts.failures.lock().len() <= MAX_ADDRESSES);
    }
}
