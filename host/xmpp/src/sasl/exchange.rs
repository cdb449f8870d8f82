//! One authentication, from the choice of a mechanism to its outcome.
//!
//! Owns what may be chosen, the order of the messages and the questions to the
//! shell. Knows no XML and no base64: whoever carries the messages wraps them,
//! RFC 6120 §6 or another profile of SASL. From the session to the session.

use jid::{BareJid, DomainPart, DomainRef, NodePart};
use secrecy::SecretString;

use super::{
    Binding, ChannelBindings, ClientFirst, Failure, Mechanism, OAuthBearer, Plain, Scram,
    ScramCredentials, ScramKind, authorize, server_nonce,
};

/// What a stream lets its client choose from. The stream is one that
/// credentials may travel on.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The virtual host.
    pub domain: &'a DomainRef,
    /// What the host's accounts can use, in the order of the offer.
    pub mechanisms: &'a [Mechanism],
    /// What the stream's channel can be bound to.
    pub bindings: &'a ChannelBindings,
    /// Longest password or token, in bytes.
    pub secret_bytes: usize,
}

impl<'a> Offer<'a> {
    /// The mechanisms on offer: those with channel binding only where there is
    /// a channel to bind to.
    pub fn mechanisms(self) -> impl Iterator<Item = Mechanism> + 'a {
        let bound = !self.bindings.is_empty();
        let offered = self.mechanisms.iter().copied();
        offered.filter(move |mechanism| bound || !matches!(mechanism, Mechanism::ScramPlus(_)))
    }

    /// The types of channel binding that come with them (XEP-0440).
    pub fn binding_types(self) -> impl Iterator<Item = &'static str> + 'a {
        let types = self.bindings.types();
        types.filter(move |_| self.binds())
    }

    /// Whether a mechanism with channel binding is on offer.
    fn binds(self) -> bool {
        self.mechanisms()
            .any(|mechanism| matches!(mechanism, Mechanism::ScramPlus(_)))
    }

    /// How a SCRAM exchange without `-PLUS` stands to channel binding.
    fn unbound(self) -> Binding<'a> {
        if self.binds() {
            Binding::Declined
        } else {
            Binding::Unavailable
        }
    }

    /// The account by that localpart. One that cannot exist fails like one that
    /// does not.
    fn account(self, localpart: &str) -> Result<BareJid, Failure> {
        let node = NodePart::new(localpart).map_err(|_| Failure::NotAuthorized)?;
        Ok(self.domain.with_node(&node))
    }
}

/// An exchange under way, by what it waits for.
#[derive(Debug)]
pub enum Exchange {
    /// The client's first message.
    First(Mechanism),
    /// The shell's answer to [`Question::Credentials`].
    Credentials {
        /// What the client said.
        first: ClientFirst,
        /// Whom it says it is.
        account: BareJid,
    },
    /// The client's answer to the challenge of SCRAM.
    Proof {
        /// The exchange so far.
        scram: Box<Scram>,
        /// Whom the client says it is.
        account: BareJid,
    },
    /// The shell's answer to [`Question::Password`].
    Password {
        /// Whom the client says it is.
        account: BareJid,
    },
    /// The shell's answer to [`Question::Token`].
    Token {
        /// The account that the client wants to act as.
        authzid: Option<String>,
    },
    /// The client's answer to the error that a token met (RFC 7628 §3.2.3). It
    /// may say what it likes: the exchange has failed.
    Refused,
}

/// What an exchange does next.
#[derive(Debug)]
pub enum Step {
    /// Send a challenge; without a message where the client's first one is
    /// missing.
    Challenge(Option<Vec<u8>>, Exchange),
    /// Ask the shell.
    Ask(Question, Exchange),
    /// The client is who it says it is; the message goes with the success.
    Accept(BareJid, Option<Vec<u8>>),
}

/// What only the shell knows.
#[derive(Debug)]
pub enum Question {
    /// What is stored for an account.
    Credentials {
        /// The account, on the stream's domain.
        account: BareJid,
        /// Which of its credentials.
        kind: ScramKind,
    },
    /// Whether a password is the account's.
    Password {
        /// The account, on the stream's domain.
        account: BareJid,
        /// What the client says.
        password: SecretString,
    },
    /// Whose a token is.
    Token {
        /// The stream's domain.
        domain: DomainPart,
        /// What the client says.
        token: SecretString,
    },
}

/// What the shell found.
#[derive(Debug)]
pub enum Answer {
    /// For [`Question::Credentials`].
    Credentials(CredentialsAnswer),
    /// For [`Question::Password`].
    Password(Verdict),
    /// For [`Question::Token`].
    Token(TokenVerdict),
}

/// What the shell found for [`Question::Credentials`].
#[derive(Debug)]
pub enum CredentialsAnswer {
    /// The account's credentials of the kind that was asked for; for one that
    /// does not exist [`ScramCredentials::for_unknown`], so that the client
    /// cannot tell it from a wrong password.
    Found(ScramCredentials),
    /// They could not be looked up now.
    TemporarilyUnavailable,
}

/// What the shell found for [`Question::Password`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the account's password.
    Accepted,
    /// It is not, or there is no such account.
    Rejected,
    /// It could not be checked now.
    TemporarilyUnavailable,
}

/// What the shell found for [`Question::Token`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It is a token of this account of the domain.
    Accepted(BareJid),
    /// It is not a token that is good here.
    Rejected,
    /// It could not be checked now.
    TemporarilyUnavailable,
}

impl Exchange {
    /// Begins with the mechanism of that name and the client's initial
    /// response, if it sent one.
    ///
    /// # Errors
    ///
    /// The mechanism is not on offer, or refuses the message.
    pub fn begin(offer: Offer<'_>, name: &str, initial: Option<&[u8]>) -> Result<Step, Failure> {
        let mechanism = offer
            .mechanisms()
            .find(|mechanism| mechanism.name() == name)
            .ok_or(Failure::InvalidMechanism)?;
        match initial {
            None => Ok(Step::Challenge(None, Self::First(mechanism))),
            Some(message) => first_message(offer, mechanism, message),
        }
    }

    /// Takes the client's next message.
    ///
    /// # Errors
    ///
    /// The mechanism refuses it, or none was due.
    pub fn respond(self, offer: Offer<'_>, message: &[u8]) -> Result<Step, Failure> {
        match self {
            Self::First(mechanism) => first_message(offer, mechanism, message),
            Self::Proof { scram, account } => {
                let last = scram.finish(message).map_err(|fault| fault.failure())?;
                Ok(Step::Accept(account, Some(last.into_bytes())))
            }
            Self::Refused => Err(Failure::NotAuthorized),
            Self::Credentials { .. } | Self::Password { .. } | Self::Token { .. } => {
                Err(Failure::MalformedRequest)
            }
        }
    }

    /// Whether the shell owes an answer.
    pub fn awaits_shell(&self) -> bool {
        matches!(
            self,
            Self::Credentials { .. } | Self::Password { .. } | Self::Token { .. }
        )
    }

    /// Whether that is the answer that the shell owes.
    pub fn awaits(&self, answer: &Answer) -> bool {
        matches!(
            (self, answer),
            (Self::Credentials { .. }, Answer::Credentials(_))
                | (Self::Password { .. }, Answer::Password(_))
                | (Self::Token { .. }, Answer::Token(_))
        )
    }

    /// Takes the shell's answer. `random` is for the nonce of SCRAM.
    ///
    /// # Errors
    ///
    /// The answer is a refusal; or it is none to the question, a fault of ours.
    pub fn answer(self, answer: Answer, random: [u8; 18]) -> Result<Step, Failure> {
        match (self, answer) {
            (Self::Credentials { first, account }, Answer::Credentials(found)) => {
                let CredentialsAnswer::Found(credentials) = found else {
                    return Err(Failure::TemporaryAuthFailure);
                };
                let challenge = first.challenge(&credentials, &server_nonce(random));
                let (scram, message) = challenge.map_err(|fault| fault.failure())?;
                let scram = Box::new(scram);
                let then = Self::Proof { scram, account };
                Ok(Step::Challenge(Some(message.into_bytes()), then))
            }
            (Self::Password { account }, Answer::Password(verdict)) => match verdict {
                Verdict::Accepted => Ok(Step::Accept(account, None)),
                Verdict::Rejected => Err(Failure::NotAuthorized),
                Verdict::TemporarilyUnavailable => Err(Failure::TemporaryAuthFailure),
            },
            (Self::Token { authzid }, Answer::Token(verdict)) => match verdict {
                TokenVerdict::Accepted(account) => {
                    authorize(authzid.as_deref(), &account)?;
                    Ok(Step::Accept(account, None))
                }
                TokenVerdict::Rejected => Ok(refuse_token()),
                TokenVerdict::TemporarilyUnavailable => Err(Failure::TemporaryAuthFailure),
            },
            _ => Err(Failure::TemporaryAuthFailure),
        }
    }
}

fn first_message(offer: Offer<'_>, mechanism: Mechanism, message: &[u8]) -> Result<Step, Failure> {
    match mechanism {
        Mechanism::ScramPlus(kind) => {
            scram_first(offer, kind, message, Binding::Used(offer.bindings))
        }
        Mechanism::Scram(kind) => scram_first(offer, kind, message, offer.unbound()),
        Mechanism::Plain => {
            let plain = Plain::parse(message, offer.secret_bytes);
            let plain = plain.map_err(|fault| fault.failure())?;
            let account = offer.account(&plain.authcid)?;
            authorize(plain.authzid.as_deref(), &account)?;
            let question = Question::Password {
                account: account.clone(),
                password: plain.password,
            };
            Ok(Step::Ask(question, Exchange::Password { account }))
        }
        Mechanism::OAuthBearer => {
            let bearer = OAuthBearer::parse(message, offer.secret_bytes);
            let bearer = bearer.map_err(|fault| fault.failure())?;
            let Some(token) = bearer.token else {
                return Ok(refuse_token());
            };
            let authzid = bearer.authzid;
            let domain = offer.domain.to_owned();
            let question = Question::Token { domain, token };
            Ok(Step::Ask(question, Exchange::Token { authzid }))
        }
    }
}

fn scram_first(
    offer: Offer<'_>,
    kind: ScramKind,
    message: &[u8],
    binding: Binding<'_>,
) -> Result<Step, Failure> {
    let first = ClientFirst::parse(kind, message, binding).map_err(|fault| fault.failure())?;
    let account = offer.account(first.username())?;
    authorize(first.authzid(), &account)?;
    let question = Question::Credentials {
        account: account.clone(),
        kind,
    };
    Ok(Step::Ask(
        question,
        Exchange::Credentials { first, account },
    ))
}

fn refuse_token() -> Step {
    Step::Challenge(Some(OAuthBearer::REFUSAL.to_vec()), Exchange::Refused)
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
