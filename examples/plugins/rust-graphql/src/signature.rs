//! Whether a webhook is from the app: HMAC-SHA256 over its body (RFC 2104).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether `signature`, as `sha256=<hex>`, is the one of `body`. Compares in
/// constant time: how far a guess is right cannot be measured.
pub fn verifies(secret: &str, body: &[u8], signature: Option<&[u8]>) -> bool {
    let digits = signature.and_then(|text| text.strip_prefix(b"sha256="));
    let Some(signature) = digits.and_then(bytes) else {
        return false;
    };
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    mac.chain_update(body).verify_slice(&signature).is_ok()
}

/// What pairs of hexadecimal digits say.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pairs = digits.chunks(2);
    let pairs = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}
