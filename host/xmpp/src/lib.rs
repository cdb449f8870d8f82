//! The XMPP side without I/O: decoder, encoder, session machine, SASL, rosters, presence, routing.
