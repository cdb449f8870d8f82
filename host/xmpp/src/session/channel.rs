//! What carries a stream, as far as the machine has to know: how elements are
//! framed, and who can read along.

pub use crate::sasl::ChannelBindings;

/// What carries a stream.
#[derive(Debug)]
pub struct Channel {
    /// How elements are cut out of what arrives, and written.
    pub framing: Framing,
    /// Who can read along.
    pub encryption: Encryption,
}

/// How the elements of a stream travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One XML document in each direction (RFC 6120 §4).
    Stream,
    /// One element a WebSocket message (RFC 7395): `<open/>` and `<close/>` in
    /// place of the tags of the stream.
    WebSocket,
    /// Elements within the `<body/>` of HTTP requests (XEP-0206), which stands
    /// for the tags of the stream: the machine writes none.
    Bosh,
}

/// Who can read along.
#[derive(Debug)]
pub enum Encryption {
    /// Anybody on the way, and TLS cannot be had on this channel.
    None,
    /// Anybody on the way, until the client asks for TLS (RFC 6120 §5).
    StartTls,
    /// Nobody.
    Tls(ChannelBindings),
}
