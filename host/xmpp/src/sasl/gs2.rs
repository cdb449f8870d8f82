//! The header that SCRAM and OAUTHBEARER begin with (RFC 5801 §4).
//!
//! Owns its grammar and its limits. What the flag means is the mechanism's
//! affair. From the mechanisms back to them.

/// Longest name in a message (`saslname`), in bytes as sent: a bare JID of two
/// 1,023-byte parts, each byte of which may take three.
const MAX_NAME_BYTES: usize = 3 * 2_047;

/// The header, cut off the message.
pub(super) struct Gs2<'m> {
    /// `n`, `y` or `p=` and the name of a type of channel binding; unchecked.
    pub(super) flag: &'m str,
    /// The account to act as, decoded.
    pub(super) authzid: Option<String>,
    /// The header itself, with both commas.
    pub(super) header: &'m str,
    /// What comes after it.
    pub(super) rest: &'m str,
}

/// Why a header cannot be read. Reach: the attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gs2Error {
    Malformed,
    TooLong,
}

impl<'m> Gs2<'m> {
    /// Cuts the header off `message`.
    pub(super) fn split(message: &'m str) -> Result<Self, Gs2Error> {
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Gs2Error::Malformed);
        };
        let header = message.strip_suffix(rest).ok_or(Gs2Error::Malformed)?;
        let authzid = match authzid {
            "" => None,
            text => Some(decode_name(
                text.strip_prefix("a=").ok_or(Gs2Error::Malformed)?,
            )?),
        };
        Ok(Self {
            flag,
            authzid,
            header,
            rest,
        })
    }
}

/// `saslname`: `=2C` is a comma, `=3D` an equals sign, any other `=` a fault.
pub(super) fn decode_name(name: &str) -> Result<String, Gs2Error> {
    if name.len() > MAX_NAME_BYTES {
        return Err(Gs2Error::TooLong);
    }
    if name.is_empty() || name.contains('\0') {
        return Err(Gs2Error::Malformed);
    }
    let mut pieces = name.split('=');
    let mut decoded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(Gs2Error::Malformed),
        };
        decoded.push(character);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_header_ends_with_the_second_comma() {
        let gs2 = Gs2::split("p=tls-exporter,a=john=40example.test,n=john,r=a,b");
        assert_eq!(gs2.err(), Some(Gs2Error::Malformed), "=40 is no escape");
        let gs2 = Gs2::split("y,a=jo=2Chn,n=john,r=a").unwrap();
        assert_eq!((gs2.flag, gs2.header), ("y", "y,a=jo=2Chn,"));
        assert_eq!(gs2.authzid.as_deref(), Some("jo,hn"));
        assert_eq!(gs2.rest, "n=john,r=a");
        let bare = Gs2::split("n,,").unwrap();
        assert_eq!((bare.authzid, bare.header, bare.rest), (None, "n,,", ""));
        let long = format!("n,a={},", "a".repeat(MAX_NAME_BYTES + 1));
        assert_eq!(Gs2::split(&long).err(), Some(Gs2Error::TooLong));
    }

    proptest! {
        #[test]
        fn names_round_trip(name in "[^\0]{1,40}") {
            let sent = name.replace('=', "=3D").replace(',', "=2C");
            prop_assert_eq!(decode_name(&sent).unwrap(), name);
        }

        #[test]
        fn no_text_panics(message in "\\PC{0,60}") {
            if let Ok(gs2) = Gs2::split(&message) {
                prop_assert_eq!(format!("{}{}", gs2.header, gs2.rest), message);
            }
        }
    }
}
