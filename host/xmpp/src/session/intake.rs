//! How fast a client is listened to.
//!
//! Owns what a client has taken of its rate: bytes and stanzas together, since
//! small stanzas cost by number and large ones by size. Beyond the rate nothing
//! more is read for a while, so that the client's own system makes it wait;
//! that is no error. Does not own the reading.

use std::time::Instant;

use super::Session;
use crate::limits::{Limits, RateLimits};
use crate::pace::{Meter, price};

/// What one client has taken of its rate.
#[derive(Debug)]
pub(super) struct Intake {
    meter: Meter,
    /// Not charged yet, for want of the time.
    bytes: usize,
    stanzas: usize,
    authenticated: bool,
    /// What the shell was not told of.
    news: Option<Reached>,
    paused_until: Option<Instant>,
}

/// A limit of the stream that is no reason to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The client was faster than it may be, before its login.
    RateBeforeAuth,
    /// The same after it.
    RateAfterAuth,
    /// More waited for an inactive client than may wait (XEP-0352).
    HeldStanzas,
}

impl Intake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            meter: Meter::new(now),
            bytes: 0,
            stanzas: 0,
            authenticated: false,
            news: None,
            paused_until: None,
        }
    }

    /// The rate after SASL holds from here on.
    pub(super) fn authenticated(&mut self) {
        self.authenticated = true;
    }

    /// `bytes` arrived.
    pub(super) fn bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// A stanza was complete.
    pub(super) fn stanza(&mut self) {
        self.stanzas += 1;
    }

    /// Charges what came, and says until when nothing more is welcome.
    pub(super) fn settle(&mut self, limits: &Limits, now: Instant) {
        let RateLimits {
            bytes_per_second,
            stanzas_per_second,
            burst,
        } = match self.authenticated {
            true => limits.rate_after_auth,
            false => limits.rate_before_auth,
        };
        let bytes = price(std::mem::take(&mut self.bytes), bytes_per_second);
        let stanzas = price(std::mem::take(&mut self.stanzas), stanzas_per_second);
        self.meter.take(bytes.saturating_add(stanzas), now);
        let until = self.meter.blocked_until(burst, now);
        if self.paused_until.is_none() && until.is_some() {
            self.news = Some(match self.authenticated {
                true => Reached::RateAfterAuth,
                false => Reached::RateBeforeAuth,
            });
        }
        self.paused_until = until;
    }

    /// The shell is to hear of it.
    pub(super) fn reached(&mut self, limit: Reached) {
        self.news = Some(limit);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }
}

impl Session {
    /// Until when the client is not listened to, because it was too fast: the
    /// shell polls again then.
    pub fn paused_until(&self) -> Option<Instant> {
        self.intake.paused_until
    }

    /// A limit that was reached since this was last asked, the last one: for
    /// the metrics.
    pub fn take_reached(&mut self) -> Option<Reached> {
        self.intake.news.take()
    }
}
