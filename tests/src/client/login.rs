//! How a client proves who it is, and gets its resource.

use super::{Client, Mechanism, ScramExchange, decode, ns, show};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use xmpp_parsers::minidom::Element;

impl Client {
    /// Proves who this is; the failure element if the host is not convinced.
    ///
    /// # Errors
    /// The `<failure/>`.
    pub async fn authenticate(
        &mut self,
        user: &str,
        password: &str,
        mechanism: Mechanism,
    ) -> Result<(), Box<Element>> {
        let last = match mechanism {
            Mechanism::Plain => {
                self.auth("PLAIN", format!("\0{user}\0{password}").as_bytes())
                    .await;
                self.element("the outcome of SASL").await
            }
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                let mut exchange = ScramExchange::new(mechanism, "n,,", user, password);
                self.auth(mechanism.name(), exchange.first().as_bytes())
                    .await;
                let challenge = self.element("a SCRAM challenge").await;
                if challenge.name() != "challenge" {
                    return Err(Box::new(challenge));
                }
                let answer = exchange.answer(&decode(&challenge));
                self.respond(answer.as_bytes()).await;
                let outcome = self.element("the outcome of SASL").await;
                if outcome.name() == "success" {
                    assert!(
                        exchange.verifies(&decode(&outcome)),
                        "the host's signature is wrong"
                    );
                }
                outcome
            }
        };
        match last.name() {
            "success" => Ok(()),
            _ => Err(Box::new(last)),
        }
    }

    /// Sends `<auth/>` with an initial response.
    pub async fn auth(&mut self, mechanism: &str, initial: &[u8]) {
        let text = BASE64.encode(initial);
        self.send(format!(
            "<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>",
            ns::SASL
        ))
        .await;
    }

    /// Sends a SASL `<response/>`.
    pub async fn respond(&mut self, response: &[u8]) {
        let text = BASE64.encode(response);
        self.send(format!("<response xmlns='{}'>{text}</response>", ns::SASL))
            .await;
    }

    /// Binds a resource and remembers the JID.
    pub async fn bind(&mut self, resource: Option<&str>) {
        let wish = resource
            .map(|resource| format!("<resource>{resource}</resource>"))
            .unwrap_or_default();
        let reply = self
            .iq(
                "set",
                None,
                &format!("<bind xmlns='{}'>{wish}</bind>", ns::BIND),
            )
            .await;
        let jid = reply
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("jid", ns::BIND));
        self.jid = jid
            .unwrap_or_else(|| panic!("no JID in {}", show(&reply)))
            .text();
    }
}
