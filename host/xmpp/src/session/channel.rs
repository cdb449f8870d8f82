//! What carries a stream, as far as the machine has to know: how elements are
//! framed, and who can read along.

use zeroize::Zeroizing;

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

/// What both ends of one TLS connection know of it and nobody between them can
/// forge (RFC 5056). Nothing where something else ends the TLS of the client.
#[derive(Clone, Default)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): 32 bytes, of TLS 1.3 only.
    pub exporter: Option<Box<Zeroizing<[u8; 32]>>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of our certificate.
    pub end_point: Option<Box<[u8]>>,
}

impl std::fmt::Debug for ChannelBindings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ChannelBindings")
            .field("exporter", &self.exporter.is_some())
            .field("end_point", &self.end_point.is_some())
            .finish()
    }
}
