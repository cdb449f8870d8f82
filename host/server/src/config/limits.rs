//! `[limits]`: the bounds of everything that a client, the app or a plugin can make grow.
//!
//! Each has a default, a key and a bound of its own. The values go as they are to the decoder
//! (RFC 6120 names no numbers; XEP-0478 advertises them), to the HTTP listener, to the gate for
//! outbound requests and to the sandbox.

use std::time::Duration;

use super::audit_limits::AuditLimits;
use super::backend_limits::BackendLimits;
use super::plugin_limits::PluginLimits;
use super::quantity::Size;
use super::reader::Section;
use super::refresh::RefreshLimits;
use super::storage::StorageLimits;
use super::telemetry::TelemetryLimits;
use super::virtual_host::VirtualHost;

pub(super) const KIB: usize = 1024;
pub(super) const MIB: usize = 1024 * KIB;

/// Every limit of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `limits.drain`: how long a stop waits for streams and requests to end. Default 5 s.
    pub drain: Duration,
    /// `[limits.xmpp]`
    pub xmpp: XmppLimits,
    /// `[limits.tls]`
    pub tls: TlsLimits,
    /// `[limits.http]`
    pub http: HttpLimits,
    /// `[limits.bosh]`
    pub bosh: BoshLimits,
    /// `[limits.backend]`
    pub backend: BackendLimits,
    /// `[limits.refresh]`
    pub refresh: RefreshLimits,
    /// `[limits.audit]`
    pub audit: AuditLimits,
    /// `limits.plugin.wasm_stack_bytes`: the stack of a plugin's code, the same for all virtual
    /// hosts. Default 512 KiB.
    pub wasm_stack_bytes: usize,
    /// `[limits.plugin]`
    pub plugin: PluginLimits,
    /// `[limits.storage]`
    pub storage: StorageLimits,
    /// `[limits.telemetry]`
    pub telemetry: TelemetryLimits,
}

/// What one client stream may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmppLimits {
    /// Connections at the same time. Default 20,000; more are closed at once.
    pub connections: usize,
    /// Connections from one address at the same time; an IPv6 network of 64 bits is one address.
    /// Default 1,000.
    pub connections_per_address: usize,
    /// New connections from one address within a minute. Default 1,200.
    pub connects_per_minute: usize,
    /// Connections at the same time that have not logged in. Default 5,000.
    pub unauthenticated: usize,
    /// Until the client has authenticated. Default 8 KiB, 32 elements, depth 16.
    pub before_auth: StanzaLimits,
    /// Afterwards. Default 256 KiB, 2,000 elements, depth 64.
    pub after_auth: StanzaLimits,
    /// How fast a client is read before it has authenticated. Default 4 KiB and 10 stanzas a
    /// second, 8 s of them at once.
    pub rate_before_auth: RateLimits,
    /// Afterwards. Default 128 KiB and 100 stanzas a second, 10 s of them at once.
    pub rate_after_auth: RateLimits,
    /// Attributes and namespace declarations of one element. Default 64.
    pub attributes: usize,
    /// From the first byte to a bound resource, in all, not idle time. Default 30 s.
    pub auth_timeout: Duration,
    /// Failed logins from one address within a minute (an IPv6 network of 64 bits is one
    /// address) after which each further attempt waits. Default 100.
    pub login_failures: usize,
    /// New sessions of one account within a minute, after which each further one waits.
    /// Default 60.
    pub sessions_per_minute: usize,
    /// How long it waits then. Default 5 s.
    pub login_delay: Duration,
    /// Bytes of a token that takes the place of a password. Default 4 KiB; `before_auth` bounds
    /// the element that carries it, in base64.
    pub login_token_bytes: usize,
    /// Bound resources of one user. Default 10.
    pub resources_per_user: usize,
    /// Stanzas that wait for one slow client. Default 1,000; then its stream is closed.
    pub mailbox_messages: usize,
    /// Bytes that wait for one slow client. Default 1 MiB; then its stream is closed.
    pub mailbox_bytes: usize,
    /// Presences and chat states that wait for one inactive client (XEP-0352), one a sender.
    /// Default 100; then they are sent.
    pub held_stanzas: usize,
    /// How long a session outlives its connection (XEP-0198). Default 5 min.
    pub resume_timeout: Duration,
    /// Sessions without a connection. Default 10,000; more end with their connection.
    pub parked_sessions: usize,
    /// Silence after which a client is asked for a sign of life. Default 60 s.
    pub idle_ping: Duration,
    /// How long it may take to give one. Default 30 s.
    pub ping_timeout: Duration,
}

/// What one stanza may hold; counted by the tokeniser before any tree exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StanzaLimits {
    /// Bytes on the wire.
    pub bytes: usize,
    /// Elements, the stanza itself included.
    pub elements: usize,
    /// Nested elements, the stanza itself included. At most 256.
    pub depth: usize,
}

/// How fast one connection is read; beyond, the client waits. The keys are in the same sections
/// as those of the stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Bytes in a second, lasting.
    pub bytes_per_second: usize,
    /// Stanzas in a second, lasting.
    pub stanzas_per_second: usize,
    /// What may come at once after a rest: so many seconds' worth of both together.
    pub burst: Duration,
}

/// What TLS may cost, and how soon a newer certificate is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsLimits {
    /// For a whole handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// How often the files of certificates are looked at. Default 5 s; what was changed is in use
    /// after the second look that sees it.
    pub certificate_poll: Duration,
}

/// What one request to our HTTP listener may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at the same time. Default 5,000; more are closed at once.
    pub connections: usize,
    /// Connections from one address at the same time; an IPv6 network of 64 bits is one address.
    /// Default 1,000.
    pub connections_per_address: usize,
    /// New connections from one address within a minute. Default 12,000.
    pub connects_per_minute: usize,
    /// Bytes of a request's body. Default 1 MiB.
    pub body_bytes: usize,
    /// User names in one refresh. Default 10,000.
    pub names: usize,
    /// Until the request's header is complete. Default 10 s.
    pub header_timeout: Duration,
    /// Until the request's body is complete. Default 30 s.
    pub body_timeout: Duration,
}

/// What one BOSH session may cost (XEP-0124). Times count in whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoshLimits {
    /// How long a request may wait for news; a client may want less. Default 60 s.
    pub wait: Duration,
    /// How long a session lasts without a request. Default 45 s.
    pub inactivity: Duration,
    /// How long it lasts if its client says that it will be away. Default 120 s.
    pub pause: Duration,
    /// How often a client may ask for nothing but news while one of its requests waits for them.
    /// Default 2 s.
    pub polling: Duration,
    /// Bytes of a request, and of requests that wait to be handled. Default 512 KiB.
    pub body_bytes: usize,
    /// Bytes of stanzas after which an answer takes no further one. Default 64 KiB.
    pub answer_bytes: usize,
}

/// Less than this is not enough for a component to start.
const SMALLEST_STACK: Size = Size(64 * KIB);
/// Every call of a plugin maps a stack of this size.
const LARGEST_STACK: Size = Size(16 * MIB);

impl Limits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let (refresh, of_requests) = section.section("refresh", |section| {
            let place = section.has("requests").then(|| section.place("requests"));
            (RefreshLimits::read(section), place)
        });
        let (wasm_stack_bytes, plugin) = section.section("plugin", |section| {
            let stack = Size(default.wasm_stack_bytes);
            let stack = section.at_least("wasm_stack_bytes", stack, SMALLEST_STACK);
            let stack = section.at_most("wasm_stack_bytes", stack, LARGEST_STACK).0;
            // What all hosts share has no key in a section of one of them.
            let cache = Size(default.plugin.cache_bytes);
            let shared = PluginLimits {
                cache_bytes: section.value("cache_bytes", cache).0,
                ..default.plugin.clone()
            };
            let refresh = (&refresh, of_requests);
            (stack, PluginLimits::read_of_all(section, &shared, refresh))
        });
        Self {
            drain: section.value("drain", default.drain),
            xmpp: section.section("xmpp", XmppLimits::read),
            tls: section.section("tls", TlsLimits::read),
            http: section.section("http", HttpLimits::read),
            bosh: section.section("bosh", BoshLimits::read),
            backend: section.section("backend", |section| {
                BackendLimits::read(section, &default.backend)
            }),
            refresh,
            audit: section.section("audit", AuditLimits::read),
            wasm_stack_bytes,
            plugin,
            storage: section.section("storage", StorageLimits::read),
            telemetry: section.section("telemetry", TelemetryLimits::read),
        }
    }
}

impl Limits {
    /// The limits as they are for one virtual host.
    #[must_use]
    pub fn of_host(&self, host: &VirtualHost) -> Self {
        Self {
            backend: host.backend.clone(),
            plugin: host.plugin.limits.clone(),
            ..self.clone()
        }
    }
}

impl XmppLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let (before_auth, rate_before_auth) = section.section("before_auth", |section| {
            let stanza = stanza_limits(section, default.before_auth);
            (stanza, rate_limits(section, default.rate_before_auth))
        });
        let (after_auth, rate_after_auth) = section.section("after_auth", |section| {
            let stanza = stanza_limits(section, default.after_auth);
            (stanza, rate_limits(section, default.rate_after_auth))
        });
        Self {
            connections: section.value("connections", default.connections),
            connections_per_address: section
                .value("connections_per_address", default.connections_per_address),
            connects_per_minute: section.value("connects_per_minute", default.connects_per_minute),
            unauthenticated: section.value("unauthenticated", default.unauthenticated),
            before_auth,
            after_auth,
            rate_before_auth,
            rate_after_auth,
            attributes: section.value("attributes", default.attributes),
            auth_timeout: section.value("auth_timeout", default.auth_timeout),
            login_failures: section.value("login_failures", default.login_failures),
            sessions_per_minute: section.value("sessions_per_minute", default.sessions_per_minute),
            login_delay: section.value("login_delay", default.login_delay),
            login_token_bytes: section
                .value("login_token_bytes", Size(default.login_token_bytes))
                .0,
            resources_per_user: section.value("resources_per_user", default.resources_per_user),
            mailbox_messages: section.value("mailbox_messages", default.mailbox_messages),
            mailbox_bytes: section
                .value("mailbox_bytes", Size(default.mailbox_bytes))
                .0,
            held_stanzas: section.value("held_stanzas", default.held_stanzas),
            resume_timeout: section.value("resume_timeout", default.resume_timeout),
            parked_sessions: section.value("parked_sessions", default.parked_sessions),
            idle_ping: section.value("idle_ping", default.idle_ping),
            ping_timeout: section.value("ping_timeout", default.ping_timeout),
        }
    }
}

/// The largest depth that is accepted: trees are built and dropped recursively for the payloads
/// that the server itself reads, and 256 levels fit every stack many times over.
const DEEPEST: usize = 256;

fn stanza_limits(section: &mut Section<'_>, default: StanzaLimits) -> StanzaLimits {
    StanzaLimits {
        bytes: section.value("bytes", Size(default.bytes)).0,
        elements: section.value("elements", default.elements),
        depth: section.at_most("depth", default.depth, DEEPEST),
    }
}

fn rate_limits(section: &mut Section<'_>, default: RateLimits) -> RateLimits {
    let bytes = Size(default.bytes_per_second);
    RateLimits {
        bytes_per_second: section.value("bytes_per_second", bytes).0,
        stanzas_per_second: section.value("stanzas_per_second", default.stanzas_per_second),
        burst: section.value("burst", default.burst),
    }
}

impl TlsLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            handshake_timeout: section.value("handshake_timeout", default.handshake_timeout),
            certificate_poll: section.value("certificate_poll", default.certificate_poll),
        }
    }
}

impl HttpLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            connections: section.value("connections", default.connections),
            connections_per_address: section
                .value("connections_per_address", default.connections_per_address),
            connects_per_minute: section.value("connects_per_minute", default.connects_per_minute),
            body_bytes: section.value("body_bytes", Size(default.body_bytes)).0,
            names: section.value("names", default.names),
            header_timeout: section.value("header_timeout", default.header_timeout),
            body_timeout: section.value("body_timeout", default.body_timeout),
        }
    }
}

impl BoshLimits {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            wait: section.value("wait", default.wait),
            inactivity: section.value("inactivity", default.inactivity),
            pause: section.value("pause", default.pause),
            polling: section.value("polling", default.polling),
            body_bytes: section.value("body_bytes", Size(default.body_bytes)).0,
            answer_bytes: section.value("answer_bytes", Size(default.answer_bytes)).0,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(5),
            xmpp: XmppLimits::default(),
            tls: TlsLimits::default(),
            http: HttpLimits::default(),
            bosh: BoshLimits::default(),
            backend: BackendLimits::default(),
            refresh: RefreshLimits::default(),
            audit: AuditLimits::default(),
            wasm_stack_bytes: 512 * KIB,
            plugin: PluginLimits::default(),
            storage: StorageLimits::default(),
            telemetry: TelemetryLimits::default(),
        }
    }
}

impl Default for XmppLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1_000,
            connects_per_minute: 1_200,
            unauthenticated: 5_000,
            before_auth: StanzaLimits {
                bytes: 8 * KIB,
                elements: 32,
                depth: 16,
            },
            after_auth: StanzaLimits {
                bytes: 256 * KIB,
                elements: 2_000,
                depth: 64,
            },
            rate_before_auth: RateLimits {
                bytes_per_second: 4 * KIB,
                stanzas_per_second: 10,
                burst: Duration::from_secs(8),
            },
            rate_after_auth: RateLimits {
                bytes_per_second: 128 * KIB,
                stanzas_per_second: 100,
                burst: Duration::from_secs(10),
            },
            attributes: 64,
            auth_timeout: Duration::from_secs(30),
            login_failures: 100,
            sessions_per_minute: 60,
            login_delay: Duration::from_secs(5),
            login_token_bytes: 4 * KIB,
            resources_per_user: 10,
            mailbox_messages: 1_000,
            mailbox_bytes: MIB,
            held_stanzas: 100,
            resume_timeout: Duration::from_secs(300),
            parked_sessions: 10_000,
            idle_ping: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for TlsLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            certificate_poll: Duration::from_secs(5),
        }
    }
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 5_000,
            connections_per_address: 1_000,
            connects_per_minute: 12_000,
            body_bytes: MIB,
            names: 10_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for BoshLimits {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(60),
            inactivity: Duration::from_secs(45),
            pause: Duration::from_secs(120),
            polling: Duration::from_secs(2),
            body_bytes: 512 * KIB,
            answer_bytes: 64 * KIB,
        }
    }
}
