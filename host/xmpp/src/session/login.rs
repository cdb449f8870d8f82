//! SASL around the mechanisms (RFC 6120 §6).
//!
//! Owns the XML around the mechanisms' messages and their order. The mechanisms
//! are in [`crate::sasl`], the accounts with the shell. A client cannot tell an
//! unknown account from a wrong password: the former goes through the same
//! exchange with credentials that are made up.

use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jid::{BareJid, NodePart};
use secrecy::ExposeSecret as _;

use super::{Action, CredentialsAnswer, Encryption, Host, Session, State, Verdict, is_secure};
use crate::decoder::{Nonza, NonzaKind};
use crate::encode;
use crate::error::{StreamCondition, StreamError};
use crate::sasl::{self, Binding, ClientFirst, Failure, Mechanism, Plain, Scram, ScramCredentials};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// How far SASL is.
pub(super) enum Exchange {
    /// Nothing was sent yet, or the last attempt failed.
    Idle,
    /// The client's first message is due; it did not come with `<auth/>`.
    AwaitingFirst(Mechanism),
    /// The shell owes credentials.
    AwaitingCredentials {
        first: ClientFirst,
        account: BareJid,
    },
    /// The client's answer to the challenge is due.
    AwaitingProof { scram: Scram, account: BareJid },
    /// The shell owes a verdict.
    AwaitingVerdict { account: BareJid },
}

impl Exchange {
    pub(super) fn awaits_shell(&self) -> bool {
        matches!(
            self,
            Self::AwaitingCredentials { .. } | Self::AwaitingVerdict { .. }
        )
    }
}

/// What is on offer before SASL: TLS where it can be had, and mechanisms where
/// credentials may travel (RFC 6120 §5.4.1, §6.4.1).
pub(super) fn push_login_features(
    out: &mut String,
    host: Option<&Host>,
    encryption: &Encryption,
    required: bool,
) {
    if matches!(encryption, Encryption::StartTls) {
        out.push_str("<starttls xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\">");
        out.push_str(if required { "<required/>" } else { "" });
        out.push_str("</starttls>");
    }
    let offered = host.map_or(&[][..], |host| &host.mechanisms);
    if offered.is_empty() || !is_secure(encryption, required) {
        return;
    }
    out.push_str("<mechanisms xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\">");
    for mechanism in offered {
        out.push_str("<mechanism>");
        out.push_str(mechanism.name());
        out.push_str("</mechanism>");
    }
    out.push_str("</mechanisms>");
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
            // The decoder makes stream events of them.
            NonzaKind::Open(_) | NonzaKind::Close => return None,
        }
        let State::Login(exchange) = &mut self.state else {
            // SASL is over (RFC 6120 §6.4.6).
            self.close(Some(StreamCondition::NotAuthorized.into()));
            return None;
        };
        let exchange = mem::replace(exchange, Exchange::Idle);
        match self.sasl(&nonza, exchange) {
            Ok(action) => action,
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    fn offers_tls(&self) -> bool {
        matches!(self.encryption, Encryption::StartTls)
            && matches!(self.state, State::Login(Exchange::Idle))
    }

    fn sasl(&mut self, nonza: &Nonza, exchange: Exchange) -> Result<Option<Action>, Failure> {
        let text = nonza.text.expose_secret();
        match (&nonza.kind, exchange) {
            (NonzaKind::Abort, _) => Err(Failure::Aborted),
            (NonzaKind::Auth { mechanism }, Exchange::Idle) => {
                let mechanism = self.choose(mechanism)?;
                if text.is_empty() {
                    // No initial response: ask for it with an empty challenge.
                    self.scratch
                        .push_str("<challenge xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"/>");
                    self.flush();
                    self.state = State::Login(Exchange::AwaitingFirst(mechanism));
                    return Ok(None);
                }
                self.first_message(mechanism, text).map(Some)
            }
            (NonzaKind::Response, Exchange::AwaitingFirst(mechanism)) => {
                self.first_message(mechanism, text).map(Some)
            }
            (NonzaKind::Response, Exchange::AwaitingProof { scram, account }) => {
                let message = sasl::decode(text)?;
                let last = scram.finish(&message).map_err(|fault| fault.failure())?;
                self.succeed(account, Some(last.as_bytes()));
                Ok(None)
            }
            _ => Err(Failure::MalformedRequest),
        }
    }

    /// The mechanism by that name, if it may be used now.
    fn choose(&self, name: &str) -> Result<Mechanism, Failure> {
        if !self.is_secure() {
            return Err(Failure::EncryptionRequired);
        }
        let mechanism = Mechanism::from_name(name).ok_or(Failure::InvalidMechanism)?;
        let host = self.host.as_ref().and_then(|it| self.config.hosts.get(it));
        if !host.is_some_and(|host| host.mechanisms.contains(&mechanism)) {
            return Err(Failure::InvalidMechanism);
        }
        Ok(mechanism)
    }

    fn first_message(&mut self, mechanism: Mechanism, text: &str) -> Result<Action, Failure> {
        let message = sasl::decode(text)?;
        let (exchange, action) = match mechanism {
            Mechanism::Scram(kind) => {
                let first = ClientFirst::parse(kind, &message, &Binding::Unavailable)
                    .map_err(|fault| fault.failure())?;
                let account = self.account(first.username())?;
                sasl::authorize(first.authzid(), &account)?;
                let action = Action::Credentials {
                    account: account.clone(),
                    kind,
                };
                (Exchange::AwaitingCredentials { first, account }, action)
            }
            Mechanism::Plain => {
                let plain = Plain::parse(&message).map_err(|fault| fault.failure())?;
                let account = self.account(&plain.authcid)?;
                sasl::authorize(plain.authzid.as_deref(), &account)?;
                let action = Action::VerifyPassword {
                    account: account.clone(),
                    password: plain.password,
                };
                (Exchange::AwaitingVerdict { account }, action)
            }
        };
        self.state = State::Login(exchange);
        Ok(action)
    }

    /// The account by that localpart. One that cannot exist fails like one that
    /// does not.
    fn account(&self, localpart: &str) -> Result<BareJid, Failure> {
        let node = NodePart::new(localpart).map_err(|_| Failure::NotAuthorized)?;
        let host = self.host.as_ref().ok_or(Failure::TemporaryAuthFailure)?;
        Ok(host.with_node(&node))
    }

    pub(super) fn challenge(&mut self, found: CredentialsAnswer) {
        let State::Login(exchange) = &mut self.state else {
            return;
        };
        match mem::replace(exchange, Exchange::Idle) {
            Exchange::AwaitingCredentials { first, account } => {
                if let Err(failure) = self.send_challenge(first, account, found) {
                    self.fail(failure);
                }
            }
            other => *exchange = other,
        }
    }

    fn send_challenge(
        &mut self,
        first: ClientFirst,
        account: BareJid,
        found: CredentialsAnswer,
    ) -> Result<(), Failure> {
        let credentials = match found {
            CredentialsAnswer::Found(credentials) => credentials,
            CredentialsAnswer::Unknown => {
                let host = self.host.as_ref().and_then(|it| self.config.hosts.get(it));
                ScramCredentials::for_unknown(
                    first.kind(),
                    self.config.unknown_accounts.expose(),
                    account.as_str(),
                    host.map_or(sasl::DEFAULT_ITERATIONS, |host| host.scram_iterations),
                )
            }
            CredentialsAnswer::TemporarilyUnavailable => {
                return Err(Failure::TemporaryAuthFailure);
            }
        };
        let nonce = STANDARD.encode(self.entropy.draw::<18>());
        let (scram, message) = first
            .challenge(&credentials, &nonce)
            .map_err(|fault| fault.failure())?;
        self.sasl_element("challenge", Some(message.as_bytes()));
        self.state = State::Login(Exchange::AwaitingProof { scram, account });
        Ok(())
    }

    pub(super) fn conclude_plain(&mut self, verdict: Verdict) {
        let State::Login(exchange) = &mut self.state else {
            return;
        };
        match mem::replace(exchange, Exchange::Idle) {
            Exchange::AwaitingVerdict { account } => match verdict {
                Verdict::Accepted => self.succeed(account, None),
                Verdict::Rejected => self.fail(Failure::NotAuthorized),
                Verdict::TemporarilyUnavailable => self.fail(Failure::TemporaryAuthFailure),
            },
            other => *exchange = other,
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

    /// The attempt failed; there may be another one, but not for ever.
    fn fail(&mut self, failure: Failure) {
        self.scratch
            .push_str("<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><");
        self.scratch.push_str(failure.name());
        self.scratch.push_str("/></failure>");
        self.flush();
        self.state = State::Login(Exchange::Idle);
        self.login = Some(Err(failure));
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
