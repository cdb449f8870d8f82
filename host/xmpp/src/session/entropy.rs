//! Unpredictable names out of one seed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// HMAC-SHA-256 of a counter: as good as the seed, and the session needs no
/// generator of its own.
pub(super) struct Entropy {
    seed: Zeroizing<[u8; 32]>,
    drawn: u64,
}

impl Entropy {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Zeroizing::new(seed),
            drawn: 0,
        }
    }

    /// The next `N` bytes, at most 32.
    pub(super) fn draw<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        self.drawn += 1;
        let mut out = [0; N];
        // HMAC takes keys of any length.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.seed) {
            mac.update(&self.drawn.to_be_bytes());
            let block = mac.finalize().into_bytes();
            for (to, from) in out.iter_mut().zip(block) {
                *to = from;
            }
        }
        out
    }

    /// A name of 24 hexadecimal digits.
    pub(super) fn name(&mut self) -> String {
        let bytes: [u8; 12] = self.draw();
        bytes
            .iter()
            .fold(String::with_capacity(24), |mut name, byte| {
                for nibble in [byte >> 4, byte & 15] {
                    name.extend(char::from_digit(u32::from(nibble), 16));
                }
                name
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_repeat_and_depend_on_the_seed() {
        let mut one = Entropy::new([1; 32]);
        let mut other = Entropy::new([2; 32]);
        let names = [one.name(), one.name(), other.name(), other.name()];
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 24);
            assert!(!names[..index].contains(name));
        }
    }
}
