//! SASL as RFC 6120 §6 wraps it, and STARTTLS before it (§5).
//!
//! Owns the XML around the messages of an [`Exchange`], the count of failures
//! and what follows a success. The exchange is in [`crate::sasl`], the accounts
//! with the shell.

use jid::BareJid;
use secrecy::ExposeSecret as _;

use super::{
    Action, ChannelBindings, CredentialsAnswer, Encryption, Session, State, TokenVerdict, Verdict,
};
use crate::decoder::{Nonza, NonzaKind};
use crate::encode;
use crate::error::{StreamCondition, StreamError};
use crate::sasl::{self, Answer, Exchange, Failure, Offer, Question, Step};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// TLS, where it can be had (RFC 6120 §5.4.1).
pub(super) fn push_starttls(out: &mut String, encryption: &Encryption, required: bool) {
    if matches!(encryption, Encryption::StartTls) {
        out.push_str("<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\">");
        out.push_str(if required { "<required/>" } else { "" });
        out.push_str("</starttls>");
    }
}

/// The mechanisms (RFC 6120 §6.4.1), and what they can bind to (XEP-0440 §3).
pub(super) fn push_mechanisms(out: &mut String, offer: Offer<'_>) {
    let mut offered = offer.mechanisms().peekable();
    if offered.peek().is_none() {
        return;
    }
    out.push_str("<mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">");
    for mechanism in offered {
        out.push_str("<mechanism>");
        out.push_str(mechanism.name());
        out.push_str("</mechanism>");
    }
    out.push_str("</mechanisms>");
    let mut types = offer.binding_types().peekable();
    if types.peek().is_none() {
        return;
    }
    out.push_str("<sasl-channel-binding xmlns=\"urn:xmpp:sasl-cb:0\">");
    for binding_type in types {
        out.push_str("<channel-binding");
        encode::push_attribute(out, "type", binding_type);
        out.push_str("/>");
    }
    out.push_str("</sasl-channel-binding>");
}

impl Session {
    /// A first-level element that is no stanza.
    pub(super) fn nonza(&mut self, nonza: Nonza) -> Option<Action> {
        match nonza.kind {
            NonzaKind::StartTls if self.offers_tls() => {
                self.scratch
                    .push_str("<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>");
                self.flush();
                // What was sent along could be anybody's: it is not to be
                // taken for something that came under TLS.
                self.decoder.discard();
                self.decoder.restart();
                self.state = State::AwaitingTls;
                return Some(Action::StartTls);
            }
            NonzaKind::StartTls => {
                // Not offered: the failure ends the stream (RFC 6120 §5.4.2.2).
                self.scratch
                    .push_str("<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"/>");
                self.flush();
                self.close(None);
                return None;
            }
            NonzaKind::Compress => {
                self.scratch.push_str(
                    "<failure xmlns=\"http://jabber.org/protocol/compress\"><unsupported-method/></failure>",
                );
                self.flush();
                return None;
            }
            NonzaKind::Auth { .. } | NonzaKind::Response | NonzaKind::Abort => {}
            NonzaKind::Management(request) if self.is_open() => return self.manage(request),
            NonzaKind::Active if self.is_open() => {
                self.active();
                return None;
            }
            NonzaKind::Inactive if self.is_open() => {
                self.inactive();
                return None;
            }
            NonzaKind::Management(_) | NonzaKind::Active | NonzaKind::Inactive => {
                self.close(Some(StreamCondition::NotAuthorized.into()));
                return None;
            }
            // The decoder makes stream events of them.
            NonzaKind::Open(_) | NonzaKind::Close => return None,
        }
        let State::Login(exchange) = &mut self.state else {
            // SASL is over (RFC 6120 §6.4.6).
            self.close(Some(StreamCondition::NotAuthorized.into()));
            return None;
        };
        let exchange = exchange.take().map(|exchange| *exchange);
        let told = matches!(exchange, Some(Exchange::Refused));
        match self.sasl(&nonza, exchange) {
            Ok(step) => self.take_step(step),
            Err(failure) if told => {
                self.tell_failure(failure);
                None
            }
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    /// Whether the stream has begun, so that an element can be answered.
    fn is_open(&self) -> bool {
        matches!(
            self.state,
            State::Login(_) | State::Binding(_) | State::Bound
        )
    }

    fn offers_tls(&self) -> bool {
        matches!(self.encryption, Encryption::StartTls) && matches!(self.state, State::Login(None))
    }

    fn sasl(&self, nonza: &Nonza, exchange: Option<Exchange>) -> Result<Step, Failure> {
        let text = nonza.text.expose_secret();
        match (&nonza.kind, exchange) {
            (NonzaKind::Abort, _) => Err(Failure::Aborted),
            (NonzaKind::Auth { mechanism }, None) => {
                let offer = self.offer()?;
                // Without an initial response it is asked for; `=` is one of no bytes.
                let initial = (!text.is_empty()).then(|| sasl::decode(text)).transpose();
                match initial {
                    Ok(initial) => {
                        Exchange::begin(offer, mechanism, initial.as_deref().map(Vec::as_slice))
                    }
                    // Of two faults, the mechanism is the one to tell first.
                    Err(fault) => Err(Exchange::begin(offer, mechanism, None)
                        .err()
                        .unwrap_or(fault)),
                }
            }
            (NonzaKind::Response, Some(exchange)) => {
                exchange.respond(self.offer()?, &sasl::decode(text)?)
            }
            _ => Err(Failure::MalformedRequest),
        }
    }

    /// What the client may choose from.
    ///
    /// # Errors
    ///
    /// [`Failure::EncryptionRequired`] where credentials may not travel.
    pub(super) fn offer(&self) -> Result<Offer<'_>, Failure> {
        const NOTHING: &ChannelBindings = &ChannelBindings {
            exporter: None,
            end_point: None,
        };
        if !self.is_secure() {
            return Err(Failure::EncryptionRequired);
        }
        let domain = self.host.as_ref().ok_or(Failure::TemporaryAuthFailure)?;
        let host = self.config.hosts.get(domain);
        let host = host.ok_or(Failure::TemporaryAuthFailure)?;
        Ok(Offer {
            domain,
            mechanisms: &host.mechanisms,
            bindings: match &self.encryption {
                Encryption::Tls(bindings) => bindings,
                Encryption::None | Encryption::StartTls => NOTHING,
            },
            secret_bytes: host.secret_bytes,
        })
    }

    fn take_step(&mut self, step: Step) -> Option<Action> {
        let (question, then) = match step {
            Step::Accept(account, message) => {
                self.succeed(account, message.as_deref());
                return None;
            }
            Step::Challenge(message, then) => {
                if matches!(then, Exchange::Refused) {
                    // The client knows by now, and need not answer: whoever
                    // guesses must not go uncounted.
                    self.login = Some(Err(Failure::NotAuthorized));
                }
                self.sasl_element("challenge", message.as_deref());
                self.state = State::Login(Some(Box::new(then)));
                return None;
            }
            Step::Ask(question, then) => (question, then),
        };
        self.state = State::Login(Some(Box::new(then)));
        Some(match question {
            Question::Credentials { account, kind } => Action::Credentials { account, kind },
            Question::Password { account, password } => {
                Action::VerifyPassword { account, password }
            }
            Question::Token { domain, token } => Action::VerifyToken { domain, token },
        })
    }

    /// Answers [`Action::Credentials`]; ignored at any other time.
    pub fn credentials(&mut self, found: CredentialsAnswer) {
        self.answered(Answer::Credentials(found));
    }

    /// Answers [`Action::VerifyPassword`]; ignored at any other time.
    pub fn password_verified(&mut self, verdict: Verdict) {
        self.answered(Answer::Password(verdict));
    }

    /// Answers [`Action::VerifyToken`]; ignored at any other time.
    pub fn token_verified(&mut self, verdict: TokenVerdict) {
        self.answered(Answer::Token(verdict));
    }

    fn answered(&mut self, answer: Answer) {
        let State::Login(exchange) = &mut self.state else {
            return;
        };
        let Some(exchange) = exchange.take_if(|exchange| exchange.awaits(&answer)) else {
            return;
        };
        match exchange.answer(answer, self.entropy.draw()) {
            // No answer leads to a further question.
            Ok(step) => drop(self.take_step(step)),
            Err(failure) => self.fail(failure),
        }
    }

    /// The peer is `account`. A new stream begins (RFC 6120 §6.4.6), with the
    /// bounds of somebody who is known.
    fn succeed(&mut self, account: BareJid, message: Option<&[u8]>) {
        self.sasl_element("success", message);
        self.login = Some(Ok(()));
        self.state = State::Reopening(account);
        self.opened = false;
        self.lang = None;
        self.decoder.restart();
        self.decoder.set_limits(self.config.limits.after_auth);
        self.intake.authenticated();
    }

    /// The attempt failed, for the shell as well.
    fn fail(&mut self, failure: Failure) {
        self.login = Some(Err(failure));
        self.tell_failure(failure);
    }

    /// Tells the client that the attempt failed; there may be another one, but
    /// not for ever.
    fn tell_failure(&mut self, failure: Failure) {
        self.scratch
            .push_str("<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><");
        self.scratch.push_str(failure.name());
        self.scratch.push_str("/></failure>");
        self.flush();
        self.state = State::Login(None);
        self.failures += 1;
        if self.failures >= self.config.limits.sasl_failures {
            self.close(Some(
                StreamError::new(StreamCondition::PolicyViolation)
                    .with_text("too many failed attempts to log in"),
            ));
        }
    }

    fn sasl_element(&mut self, name: &str, message: Option<&[u8]>) {
        self.scratch.push('<');
        self.scratch.push_str(name);
        encode::push_attribute(&mut self.scratch, "xmlns", SASL);
        match message {
            None => self.scratch.push_str("/>"),
            Some(message) => {
                self.scratch.push('>');
                self.scratch.push_str(&sasl::encode(message));
                self.scratch.push_str("</");
                self.scratch.push_str(name);
                self.scratch.push('>');
            }
        }
        self.flush();
    }
}
