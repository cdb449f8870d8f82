//! Which trace a span is part of, and how that is said in a header
//! (W3C Trace Context, level 1).
//!
//! Owns the ids and the choice of the traces that are kept.

use std::sync::atomic::{AtomicU64, Ordering};

/// A span's place: its trace, itself, and whether the trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) sampled: bool,
}

/// The share of traces that are kept, of those that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

/// Not a share. Reach: the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number from 0 to 1")]
pub struct RatioError;

impl Ratio {
    /// All of them.
    pub const ALL: Ratio = Ratio(1.0);

    /// A share from 0 to 1.
    ///
    /// # Errors
    /// [`RatioError`] for any other number.
    pub fn new(share: f64) -> Result<Ratio, RatioError> {
        match (0.0..=1.0).contains(&share) {
            true => Ok(Ratio(share)),
            false => Err(RatioError),
        }
    }

    /// Whether this trace is kept. By its id, so that whoever else decides by
    /// the id keeps the same ones.
    fn keeps(self, trace: u128) -> bool {
        // 63 bits, as other implementations of OpenTelemetry take them.
        const RANGE: f64 = 9_223_372_036_854_775_808.0;
        let place = (trace as u64) >> 1;
        (place as f64) < self.0 * RANGE
    }
}

/// Makes ids: different ones in this process, and not those of another.
#[derive(Debug)]
pub(crate) struct Ids {
    next: AtomicU64,
    salt: u64,
}

impl Ids {
    /// `entropy` is 16 random bytes.
    pub(crate) fn new(entropy: [u8; 16]) -> Ids {
        let number = u128::from_le_bytes(entropy);
        Ids {
            next: AtomicU64::new(number as u64),
            salt: (number >> 64) as u64,
        }
    }

    /// SplitMix64: one addition for whoever is at the counter, and
    /// never the same number twice before all others.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.next.fetch_add(STEP, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An id of a span: any number but zero.
    pub(crate) fn span(&self) -> u64 {
        self.draw().max(1)
    }

    /// The context of a span that has no parent.
    pub(crate) fn root(&self, ratio: Ratio) -> Context {
        let high = self.draw() ^ self.salt;
        let trace = (u128::from(high) << 64 | u128::from(self.draw())).max(1);
        Context {
            trace,
            span: self.span(),
            sampled: ratio.keeps(trace),
        }
    }

    /// The context of a span below `parent`.
    pub(crate) fn child(&self, parent: Context) -> Context {
        Context {
            span: self.span(),
            ..parent
        }
    }
}

impl Context {
    /// The header `traceparent`.
    pub(crate) fn to_header(self) -> String {
        let flags = u8::from(self.sampled);
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }

    /// Reads the header; what is no such header is none.
    pub(crate) fn from_header(text: &str) -> Option<Context> {
        let mut parts = text.split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        // Later versions may say more; this one does not.
        let complete = version > 0 || parts.next().is_none();
        if version == 0xff || trace == 0 || span == 0 || !complete {
            return None;
        }
        Some(Context {
            trace,
            span: u64::try_from(span).ok()?,
            sampled: flags & 1 == 1,
        })
    }
}

/// So many digits, in lower case as the specification has them.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_round_trips() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = Context::from_header(text).unwrap();
        assert_eq!(context.to_header(), text);
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert!(context.sampled);
        let newer = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what";
        assert!(!Context::from_header(newer).unwrap().sampled);
    }

    #[test]
    fn what_is_no_header_is_none() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::from_header(text), None, "{text}");
        }
    }

    #[test]
    fn a_share_of_the_traces_is_kept() {
        assert!(Ratio::new(1.1).is_err() && Ratio::new(-0.1).is_err());
        assert!(Ratio::new(f64::NAN).is_err());
        let ids = Ids::new([7; 16]);
        let kept = |share: f64| {
            let ratio = Ratio::new(share).unwrap();
            (0..10_000).filter(|_| ids.root(ratio).sampled).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        assert!((900..1_100).contains(&kept(0.1)));
    }

    #[test]
    fn a_child_is_in_its_parents_trace() {
        let ids = Ids::new([7; 16]);
        let parent = ids.root(Ratio::ALL);
        let child = ids.child(parent);
        assert_eq!((child.trace, child.sampled), (parent.trace, true));
        assert_ne!(child.span, parent.span);
    }
}
