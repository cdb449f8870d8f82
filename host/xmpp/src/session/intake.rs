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
    /// A pause that the shell was not told of.
    news: bool,
    paused_until: Option<Instant>,
}

/// A client was faster than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Before its login.
    BeforeAuth,
    /// After it.
    AfterAuth,
}

impl Intake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            meter: Meter::new(now),
            bytes: 0,
            stanzas: 0,
            authenticated: false,
            news: false,
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
        self.news |= self.paused_until.is_none() && until.is_some();
        self.paused_until = until;
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

    /// Whether such a pause has begun since this was last asked: for the
    /// metrics.
    pub fn take_pause(&mut self) -> Option<Pause> {
        std::mem::take(&mut self.intake.news).then_some(match self.intake.authenticated {
            true => Pause::AfterAuth,
            false => Pause::BeforeAuth,
        })
    }
}
