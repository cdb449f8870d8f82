//! Stream errors and stanza errors: the names of RFC 6120 §4.9.3 and §8.3.3.
//!
//! Owns the conditions as closed enums and nothing else; [`crate::encode`]
//! writes them. A stream error ends the stream, a stanza error answers one
//! stanza.

/// A fault that ends the stream (RFC 6120 §4.9).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream error: {}", condition.name())]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// More about the fault, for programs.
    pub application: Option<ApplicationCondition>,
    /// More about the fault, for people. Never taken from what the peer sent.
    pub text: Option<&'static str>,
}

impl StreamError {
    /// An error with nothing but its condition.
    pub const fn new(condition: StreamCondition) -> Self {
        Self {
            condition,
            application: None,
            text: None,
        }
    }

    /// The same error with a sentence for people.
    pub const fn with_text(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }

    /// `policy-violation` with `stanza-too-big`: a stanza exceeded a budget.
    pub const fn too_big(text: &'static str) -> Self {
        Self {
            condition: StreamCondition::PolicyViolation,
            application: Some(ApplicationCondition::StanzaTooBig),
            text: Some(text),
        }
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self::new(condition)
    }
}

/// Conditions of extensions, beside a defined condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationCondition {
    /// A stanza exceeded a budget (XEP-0205 §3.3).
    StanzaTooBig,
    /// The account has as many resources as it may have (XEP-0205 §3.2).
    ResourceLimitExceeded,
    /// More was acknowledged than was sent (XEP-0198 §4; in its own namespace).
    HandledCountTooHigh {
        /// What the peer says it handled.
        handled: u32,
        /// What it was sent.
        sent: u32,
    },
    /// The sender blocks the recipient (XEP-0191 §3.2).
    Blocked,
}

impl ApplicationCondition {
    /// Namespace of its element.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::StanzaTooBig | Self::ResourceLimitExceeded => "urn:xmpp:errors",
            Self::HandledCountTooHigh { .. } => "urn:xmpp:sm:3",
            Self::Blocked => "urn:xmpp:blocking:errors",
        }
    }

    /// Name of its element.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StanzaTooBig => "stanza-too-big",
            Self::ResourceLimitExceeded => "resource-limit-exceeded",
            Self::HandledCountTooHigh { .. } => "handled-count-too-high",
            Self::Blocked => "blocked",
        }
    }
}

/// Writes an enum whose variants are element names.
macro_rules! conditions {
    ($(#[$meta:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident => $name:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$doc])* $variant,)+ }

        impl $enum {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Name of its element.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

conditions! {
    /// Defined conditions of stream errors (RFC 6120 §4.9.3).
    StreamCondition {
        /// XML that cannot be processed here, such as text between stanzas.
        BadFormat => "bad-format",
        /// A prefix that may not be used.
        BadNamespacePrefix => "bad-namespace-prefix",
        /// A newer stream took this one's place.
        Conflict => "conflict",
        /// The peer was too slow, in all.
        ConnectionTimeout => "connection-timeout",
        /// The host is not served any more.
        HostGone => "host-gone",
        /// The host is not served here.
        HostUnknown => "host-unknown",
        /// A stanza without a usable address.
        ImproperAddressing => "improper-addressing",
        /// A fault of ours.
        InternalServerError => "internal-server-error",
        /// A `from` that is not the peer's.
        InvalidFrom => "invalid-from",
        /// A stream or content namespace that is not ours.
        InvalidNamespace => "invalid-namespace",
        /// XML that breaks a schema.
        InvalidXml => "invalid-xml",
        /// Something that needs SASL or resource binding first.
        NotAuthorized => "not-authorized",
        /// XML that is not well-formed.
        NotWellFormed => "not-well-formed",
        /// A local rule was broken: budgets, failures.
        PolicyViolation => "policy-violation",
        /// Another server cannot be reached.
        RemoteConnectionFailed => "remote-connection-failed",
        /// The stream has to begin anew.
        Reset => "reset",
        /// This server lacks the means.
        ResourceConstraint => "resource-constraint",
        /// Comments, processing instructions, DTDs, entities.
        RestrictedXml => "restricted-xml",
        /// The client is sent elsewhere.
        SeeOtherHost => "see-other-host",
        /// The server goes down.
        SystemShutdown => "system-shutdown",
        /// None of the others.
        UndefinedCondition => "undefined-condition",
        /// An encoding other than UTF-8.
        UnsupportedEncoding => "unsupported-encoding",
        /// A required feature is not supported.
        UnsupportedFeature => "unsupported-feature",
        /// A first-level element that is no stanza of ours.
        UnsupportedStanzaType => "unsupported-stanza-type",
        /// A stream version that is not ours.
        UnsupportedVersion => "unsupported-version",
    }
}

/// The answer to a stanza that cannot be handled (RFC 6120 §8.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stanza error: {}", condition.name())]
pub struct StanzaError {
    /// What the sender may do about it.
    pub type_: ErrorType,
    /// The defined condition.
    pub condition: StanzaCondition,
    /// More about the fault, for programs.
    pub application: Option<ApplicationCondition>,
    /// More about the fault, for people.
    pub text: Option<&'static str>,
}

impl StanzaError {
    /// An error with nothing but type and condition.
    pub const fn new(type_: ErrorType, condition: StanzaCondition) -> Self {
        Self {
            type_,
            condition,
            application: None,
            text: None,
        }
    }

    /// The same error with a sentence for people.
    pub const fn with_text(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }

    /// `modify` / `bad-request`.
    pub const BAD_REQUEST: Self = Self::new(ErrorType::Modify, StanzaCondition::BadRequest);
    /// `modify` / `jid-malformed`.
    pub const JID_MALFORMED: Self = Self::new(ErrorType::Modify, StanzaCondition::JidMalformed);
    /// `cancel` / `service-unavailable`.
    pub const SERVICE_UNAVAILABLE: Self =
        Self::new(ErrorType::Cancel, StanzaCondition::ServiceUnavailable);
    /// `cancel` / `not-acceptable` with `blocked`: the sender blocks the
    /// recipient.
    pub const BLOCKED: Self = Self {
        application: Some(ApplicationCondition::Blocked),
        ..Self::new(ErrorType::Cancel, StanzaCondition::NotAcceptable)
    };
    /// `auth` / `forbidden`.
    pub const FORBIDDEN: Self = Self::new(ErrorType::Auth, StanzaCondition::Forbidden);
}

/// What the sender of a stanza may do about its error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after giving credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed; this was a warning.
    Continue,
    /// Retry with other data.
    Modify,
    /// Retry later.
    Wait,
}

impl ErrorType {
    /// Value of the `type` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}

conditions! {
    /// Defined conditions of stanza errors (RFC 6120 §8.3.3).
    StanzaCondition {
        /// The stanza is malformed or breaks a schema.
        BadRequest => "bad-request",
        /// There is something by that name already.
        Conflict => "conflict",
        /// The feature is not implemented.
        FeatureNotImplemented => "feature-not-implemented",
        /// The sender may not do this.
        Forbidden => "forbidden",
        /// The recipient cannot be reached at this address any more.
        Gone => "gone",
        /// A fault of ours.
        InternalServerError => "internal-server-error",
        /// There is no such thing.
        ItemNotFound => "item-not-found",
        /// An address is not a JID.
        JidMalformed => "jid-malformed",
        /// The stanza breaks a local rule that its sender can meet.
        NotAcceptable => "not-acceptable",
        /// Nobody may do this.
        NotAllowed => "not-allowed",
        /// The sender has to authenticate first.
        NotAuthorized => "not-authorized",
        /// A local rule was broken.
        PolicyViolation => "policy-violation",
        /// The recipient is not there at the moment.
        RecipientUnavailable => "recipient-unavailable",
        /// The sender is sent elsewhere.
        Redirect => "redirect",
        /// The sender has to register first.
        RegistrationRequired => "registration-required",
        /// The recipient's server does not exist.
        RemoteServerNotFound => "remote-server-not-found",
        /// The recipient's server did not answer in time.
        RemoteServerTimeout => "remote-server-timeout",
        /// The means to do this are lacking now.
        ResourceConstraint => "resource-constraint",
        /// Nobody here provides this.
        ServiceUnavailable => "service-unavailable",
        /// The sender has to subscribe first.
        SubscriptionRequired => "subscription-required",
        /// None of the others.
        UndefinedCondition => "undefined-condition",
        /// The stanza came at a wrong moment.
        UnexpectedRequest => "unexpected-request",
    }
}
