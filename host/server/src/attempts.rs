//! Who tries too often waits before each further attempt: addresses whose logins
//! fail, and accounts that log in again and again.
//!
//! Owns the count and the delay. An account is never locked: whoever guesses
//! passwords from one address cannot keep the account's owner out from another,
//! and only those who know the password can make an account wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use muster_xmpp::BareJid;
use parking_lot::Mutex;

/// The span over which attempts are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Parties that are remembered. Beyond, everything is forgotten at once: better
/// than growing, and a flood from that many parties is not slowed by any delay
/// for each.
const MAX_PARTIES: usize = 100_000;

/// The attempts of the last minute, by address or by account.
#[derive(Debug)]
pub(crate) struct Attempts<K> {
    allowed: usize,
    delay: Duration,
    counts: Mutex<HashMap<K, Count>>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    attempts: usize,
}

impl<K: Hash + Eq> Attempts<K> {
    /// After `allowed` attempts within a minute, each further one waits for
    /// `delay`.
    pub(crate) fn new(allowed: usize, delay: Duration) -> Attempts<K> {
        Attempts {
            allowed,
            delay,
            counts: Mutex::default(),
        }
    }

    /// Counts an attempt.
    fn count(&self, party: K, now: Instant) {
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_PARTIES {
            counts.retain(|_, count| !count.is_over(now));
            if counts.len() >= MAX_PARTIES {
                counts.clear();
            }
        }
        let fresh = || Count {
            since: now,
            attempts: 0,
        };
        let count = counts.entry(party).or_insert_with(fresh);
        if count.is_over(now) {
            *count = fresh();
        }
        count.attempts = count.attempts.saturating_add(1);
    }

    /// How long the next attempt has to wait; `None` for most.
    fn wait(&self, party: &K, now: Instant) -> Option<Duration> {
        let counts = self.counts.lock();
        let count = counts.get(party)?;
        let delayed = !count.is_over(now) && count.attempts >= self.allowed;
        delayed.then_some(self.delay)
    }
}

impl Attempts<IpAddr> {
    /// A login from `address` failed.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) {
        self.count(site(address), now);
    }

    /// How long an attempt from `address` has to wait; `None` for most.
    pub(crate) fn delay(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        self.wait(&site(address), now)
    }
}

impl Attempts<BareJid> {
    /// `account` begins a new session. Returns how long it has to wait for it;
    /// `None` for most.
    pub(crate) fn begin(&self, account: &BareJid, now: Instant) -> Option<Duration> {
        let delay = self.wait(account, now);
        self.count(account.clone(), now);
        delay
    }
}

/// Waits out an attempt's delay.
pub(crate) async fn wait(delay: Option<Duration>) {
    if let Some(delay) = delay {
        metrics::counter!("muster_logins_delayed_total").increment(1);
        tokio::time::sleep(delay).await;
    }
}

impl Count {
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
    fn an_account_that_comes_too_often_waits_and_is_let_in() {
        let attempts = Attempts::new(2, DELAY);
        let (john, marie) = ("john@example.test", "marie@example.test");
        let jid = |text| BareJid::new(text).unwrap();
        let now = Instant::now();
        assert_eq!(attempts.begin(&jid(john), now), None);
        assert_eq!(attempts.begin(&jid(john), now), None);
        for _ in 0..100 {
            assert_eq!(attempts.begin(&jid(john), now), Some(DELAY), "never more");
        }
        assert_eq!(attempts.begin(&jid(marie), now), None);
        assert_eq!(attempts.begin(&jid(john), now + WINDOW), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let attempts = Attempts::new(1, DELAY);
        let now = Instant::now();
        for n in 0..MAX_PARTIES as u32 + 10 {
            attempts.failed(IpAddr::V4(n.into()), now);
        }
        assert!(attempts.counts.lock().len() <= MAX_PARTIES);
    }
}
