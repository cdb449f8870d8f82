//! Channel binding: what both ends of one TLS connection know (RFC 5056).
//!
//! Owns the types of binding and their names (RFC 9266, RFC 5929), and what a
//! client's mechanism may use of them. Does not own TLS: the shell brings the
//! data. From the session to the SCRAM exchange.

use std::fmt;

use zeroize::Zeroizing;

/// What both ends of one TLS connection know of it and nobody between them can
/// forge. Nothing where something else ends the TLS of the client.
///
/// `Debug` shows which types there are, not the data.
#[derive(Clone, Default)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): 32 bytes, of TLS 1.3 only.
    pub exporter: Option<Box<Zeroizing<[u8; 32]>>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of our certificate.
    pub end_point: Option<Box<[u8]>>,
}

impl ChannelBindings {
    /// The registered names of the types that there are, the strongest first.
    pub fn types(&self) -> impl Iterator<Item = &'static str> {
        self.all().map(|(name, _)| name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }

    /// The data of the type with that registered name.
    pub(super) fn data(&self, name: &str) -> Option<&[u8]> {
        self.all()
            .find_map(|(known, data)| (known == name).then_some(data))
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let exporter = self.exporter.as_deref().map(|data| data.as_slice());
        let exporter = exporter.map(|data| ("tls-exporter", data));
        let end_point = self.end_point.as_deref();
        let end_point = end_point.map(|data| ("tls-server-end-point", data));
        exporter.into_iter().chain(end_point)
    }
}

impl fmt::Debug for ChannelBindings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.types()).finish()
    }
}

/// How one exchange stands to channel binding (RFC 5802 §6).
#[derive(Clone, Copy, Debug)]
pub enum Binding<'c> {
    /// No `-PLUS` mechanism was offered: `n` and `y` are both fine.
    Unavailable,
    /// `-PLUS` was offered and the client chose the mechanism without it. A
    /// client that says `y` did not see the offer, so somebody removed it.
    Declined,
    /// The client chose `-PLUS`; it must name a type that this channel has, and
    /// prove that it sees the same channel.
    Used(&'c ChannelBindings),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_those_that_have_data() {
        let none = ChannelBindings::default();
        assert!(none.is_empty());
        let both = ChannelBindings {
            exporter: Some(Box::new([7; 32].into())),
            end_point: Some(Box::from([1, 2, 3])),
        };
        assert!(both.types().eq(["tls-exporter", "tls-server-end-point"]));
        assert_eq!(both.data("tls-exporter"), Some([7; 32].as_slice()));
        assert_eq!(
            both.data("tls-server-end-point"),
            Some([1, 2, 3].as_slice())
        );
        for unknown in ["tls-unique", "TLS-EXPORTER", ""] {
            assert_eq!(both.data(unknown), None);
        }
        let old = ChannelBindings {
            exporter: None,
            ..both
        };
        assert!(old.types().eq(["tls-server-end-point"]));
        assert_eq!(old.data("tls-exporter"), None);
        assert_eq!(format!("{old:?}"), "{\"tls-server-end-point\"}");
    }
}
