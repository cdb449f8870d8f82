//! The bounds of one stream, as plain data.
//!
//! Owns the numbers and their defaults, not their enforcement: the decoder
//! counts bytes, elements, depth and attributes; the session counts failures
//! and time. Every number is an upper bound that is still accepted.

use std::time::Duration;

/// The bounds of one client stream. The defaults suit a public server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What a stanza, a SASL element or the stream header may cost before SASL
    /// succeeded.
    pub before_auth: StanzaLimits,
    /// What they may cost after it.
    pub after_auth: StanzaLimits,
    /// How fast a client is listened to before SASL succeeded.
    pub rate_before_auth: RateLimits,
    /// How fast after it.
    pub rate_after_auth: RateLimits,
    /// Attributes and namespace declarations of one element, counted together.
    /// Twice as many namespace prefixes may be in scope at any point.
    pub attributes: usize,
    /// Bytes of one name or one attribute value. Text is not bound by it.
    pub token_bytes: usize,
    /// From the connection until a resource is bound, in all (not idle time).
    pub auth_timeout: Duration,
    /// SASL failures on one stream; the one that reaches this number closes it.
    pub sasl_failures: u32,
    /// Bytes that are read ahead while the shell owes an answer.
    pub read_ahead_bytes: usize,
    /// Stanzas that wait for their acknowledgement (XEP-0198) until no more mail
    /// is taken; with twice as many, answers included, the stream ends.
    pub unacknowledged_stanzas: usize,
    /// Bytes of such stanzas, likewise.
    pub unacknowledged_bytes: usize,
    /// Stanzas that wait for an inactive client (XEP-0352); more are sent.
    pub held_stanzas: usize,
    /// Silence after which a client is asked for a sign of life.
    pub idle_ping: Duration,
    /// How long it may take to give one.
    pub ping_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            before_auth: StanzaLimits {
                bytes: 8 * 1024,
                elements: 32,
                depth: 16,
            },
            after_auth: StanzaLimits {
                bytes: 256 * 1024,
                elements: 2_000,
                depth: 64,
            },
            rate_before_auth: RateLimits {
                bytes_per_second: 4 * 1024,
                stanzas_per_second: 10,
                burst: Duration::from_secs(8),
            },
            rate_after_auth: RateLimits {
                bytes_per_second: 128 * 1024,
                stanzas_per_second: 100,
                burst: Duration::from_secs(10),
            },
            attributes: 64,
            token_bytes: 8 * 1024,
            auth_timeout: Duration::from_secs(30),
            sasl_failures: 6,
            read_ahead_bytes: 16 * 1024,
            unacknowledged_stanzas: 1_000,
            unacknowledged_bytes: 1024 * 1024,
            held_stanzas: 100,
            idle_ping: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(30),
        }
    }
}

/// The bounds of one first-level element of a stream, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StanzaLimits {
    /// Bytes on the wire, from the `<` of its start tag to the `>` of its end
    /// tag. Its re-serialised children may take twice as many (escaping and
    /// namespace declarations can grow them).
    pub bytes: usize,
    /// Elements.
    pub elements: usize,
    /// Depth of nesting; a stanza without children has depth 1.
    pub depth: usize,
}

/// How fast a client is listened to. Each byte and each stanza takes its share
/// of a second; a client that is faster is not read for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Bytes in a second.
    pub bytes_per_second: usize,
    /// Stanzas in a second.
    pub stanzas_per_second: usize,
    /// What a client may take at once, after a rest: so many seconds' worth.
    pub burst: Duration,
}
