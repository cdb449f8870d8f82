//! The client's side of SCRAM (RFC 5802), written apart from the host's on
//! purpose: two readings of the RFC must agree.

use super::Mechanism;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac_array;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// One exchange. A test may bend any message before it sends it.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    gs2: String,
    /// What the client sees of its channel.
    channel: Vec<u8>,
    bare: String,
    password: String,
    server_signature: Vec<u8>,
}

impl Exchange {
    /// An exchange with this GS2 header (`n,,`, `y,,`, `p=tls-exporter,,`) and a fixed nonce,
    /// which is enough for a peer that adds its own.
    pub fn new(mechanism: Mechanism, gs2: &str, user: &str, password: &str) -> Exchange {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Exchange {
            mechanism,
            gs2: gs2.to_owned(),
            channel: Vec::new(),
            bare: format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL"),
            password: password.to_owned(),
            server_signature: Vec::new(),
        }
    }

    /// The same exchange, bound to a channel of which the client sees this.
    #[must_use]
    pub fn bound_to(mut self, channel: &[u8]) -> Exchange {
        channel.clone_into(&mut self.channel);
        self
    }

    /// client-first-message.
    pub fn first(&self) -> String {
        format!("{}{}", self.gs2, self.bare)
    }

    /// client-final-message, the answer to server-first-message.
    pub fn answer(&mut self, challenge: &str) -> String {
        let field = |name: &str| {
            let value = challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name));
            value.unwrap_or_else(|| panic!("no {name} in {challenge}"))
        };
        let nonce = field("r=");
        assert!(
            nonce.len() > "fyko+d2lbbFgONRv9qkxdawL".len(),
            "the host adds to the nonce"
        );
        let salt = BASE64.decode(field("s=")).expect("a salt in base64");
        let iterations = field("i=").parse().expect("a number of iterations");
        let binding = BASE64.encode([self.gs2.as_bytes(), &self.channel].concat());
        let without_proof = format!("c={binding},r={nonce}");
        let auth = format!("{},{challenge},{without_proof}", self.bare);
        let salted = self.salt(&salt, iterations);
        let client_key = self.mac(&salted, b"Client Key");
        let signature = self.mac(&self.hash(&client_key), auth.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, mask)| key ^ mask)
            .collect();
        self.server_signature = self.mac(&self.mac(&salted, b"Server Key"), auth.as_bytes());
        format!("{without_proof},p={}", BASE64.encode(proof))
    }

    /// Whether server-final-message proves that the host knows the account.
    pub fn verifies(&self, last: &str) -> bool {
        last.strip_prefix("v=")
            .and_then(|text| BASE64.decode(text).ok())
            .as_ref()
            == Some(&self.server_signature)
    }

    fn salt(&self, salt: &[u8], iterations: u32) -> Vec<u8> {
        let password = self.password.as_bytes();
        match self.mechanism {
            Mechanism::ScramSha1 => {
                pbkdf2_hmac_array::<Sha1, 20>(password, salt, iterations).to_vec()
            }
            _ => pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
        }
    }

    fn mac(&self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self.mechanism {
            Mechanism::ScramSha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("any key does");
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
            _ => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key does");
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
        }
    }

    fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        match self.mechanism {
            Mechanism::ScramSha1 => Sha1::digest(bytes).to_vec(),
            _ => Sha256::digest(bytes).to_vec(),
        }
    }
}
