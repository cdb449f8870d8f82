//! One client connection: moves bytes between the socket and the session
//! machine, and does what the machine asks for.
//!
//! Owns the socket, the machine and the bound resource, as plain `&mut`. One
//! task, one writer. While an answer for the machine is on its way nothing
//! more is read, so a client's stanzas are handled in order (RFC 6120, section
//! 10.1); what others send is delivered all the same.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use muster_xmpp::error::{StanzaError, StreamCondition, StreamError};
use muster_xmpp::session::{
    Action, BindRefusal, CredentialsAnswer, Session, SessionConfig, Verdict,
};
use muster_xmpp::stanza::{Presence, Stanza, StanzaKind};
use muster_xmpp::{BareJid, FullJid, Jid, ResourcePart, encode, roster};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::hosts::Hosts;
use crate::mailbox::{Inbox, Mail, MailboxLimits, mailbox};
use crate::presence::Presences;
use crate::registration::Registration;
use crate::rosters::{Rosters, SourceError, User};
use crate::router::Router;
use crate::sessions::Sessions;
use crate::telemetry;

/// What the connections of a listener share.
pub(crate) struct Services {
    pub(crate) session_config: Arc<SessionConfig>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) router: Arc<Router>,
    pub(crate) presences: Arc<Presences>,
    pub(crate) mailbox_limits: MailboxLimits,
    /// Cancelled when the drain begins.
    pub(crate) stop: CancellationToken,
}

/// Bytes of output above which nothing more is taken out of the mailbox: a
/// client that does not read fills its mailbox, and is closed by its bounds.
const OUTPUT_HIGH_WATER: usize = 64 * 1024;

/// Output buffers larger than this are given back once they are written.
const OUTPUT_KEPT: usize = 4 * 1024;

/// How long the peer may take to read the last words of a stream and to close
/// its side.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client connection.
pub(crate) struct Connection<S> {
    stream: S,
    session: Session,
    services: Arc<Services>,
    bound: Option<Bound>,
    /// The answer that the session, or the client's next stanza, waits for.
    pending: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// The peer is gone: nothing more can be read or written.
    hung_up: bool,
}

/// A bound resource, as its connection holds it.
struct Bound {
    registration: Registration,
    inbox: Inbox,
    pushes: u64,
}

/// What a pending answer turned out to be.
enum Answer {
    Credentials(CredentialsAnswer),
    Verdict(Verdict),
    Roster {
        loaded: Result<(), SourceError>,
        then: Then,
    },
}

/// What waits for the roster.
enum Then {
    Get { id: String, known: Option<String> },
    Presence(Presence),
}

/// What a connection waits for.
enum Event {
    Transferred,
    HungUp,
    Answer(Answer),
    Mail(Mail),
    Overflow,
    Deadline,
    Stop,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection that was just accepted. `entropy` as in [`Session::new`].
    pub(crate) fn new(stream: S, services: Arc<Services>, entropy: [u8; 32]) -> Connection<S> {
        let session = Session::new(
            Arc::clone(&services.session_config),
            entropy,
            Instant::now(),
        );
        Connection {
            stream,
            session,
            services,
            bound: None,
            pending: None,
            hung_up: false,
        }
    }

    /// Serves the client until the stream ends.
    pub(crate) async fn run(mut self) {
        while self.advance() {
            match self.next_event().await {
                Event::Transferred => {}
                Event::HungUp => {
                    self.hung_up = true;
                    break;
                }
                Event::Answer(answer) => self.answer(answer),
                Event::Mail(mail) => self.take(mail),
                Event::Overflow => {
                    let error = StreamError::new(StreamCondition::PolicyViolation);
                    self.session.close(Some(error.with_text(
                        "too much waits for this client; it does not read fast enough",
                    )));
                }
                Event::Deadline => self.session.timeout(Instant::now()),
                Event::Stop => self
                    .session
                    .close(Some(StreamCondition::SystemShutdown.into())),
            }
        }
        self.finish().await;
    }

    /// Performs what the session asks for. False when the stream has ended.
    fn advance(&mut self) -> bool {
        while self.pending.is_none() {
            let action = self.session.poll(Instant::now());
            if let Some(login) = self.session.take_login() {
                telemetry::login(login);
            }
            let Some(action) = action else { break };
            if let Action::Close = action {
                return false;
            }
            self.perform(action);
        }
        true
    }

    async fn next_event(&mut self) -> Event {
        let Connection {
            stream,
            session,
            services,
            bound,
            pending,
            ..
        } = self;
        let deadline = session.deadline().map(tokio::time::Instant::from_std);
        let awaits = pending.is_some();
        let congested = session.output().len() >= OUTPUT_HIGH_WATER;
        tokio::select! {
            biased;
            answer = async { pending.as_mut()?.await.into() }, if awaits => match answer {
                Some(answer) => {
                    *pending = None;
                    Event::Answer(answer)
                }
                None => Event::Transferred,
            },
            transferred = poll_fn(|cx| transfer(cx, stream, session, !awaits)) => match transferred {
                Ok(()) => Event::Transferred,
                Err(HungUp) => Event::HungUp,
            },
            event = inbox_event(bound.as_mut(), congested), if bound.is_some() => event,
            () = services.stop.cancelled(), if bound.is_none() => Event::Stop,
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => Event::Deadline,
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Credentials { account, kind } => {
                let host = self.services.hosts.of(&account).cloned();
                self.pending = Some(Box::pin(async move {
                    Answer::Credentials(match host {
                        Some(host) => host.auth.credentials(&account, kind).await,
                        None => CredentialsAnswer::Unknown,
                    })
                }));
            }
            Action::VerifyPassword { account, password } => {
                let host = self.services.hosts.of(&account).cloned();
                self.pending = Some(Box::pin(async move {
                    Answer::Verdict(match host {
                        Some(host) => host.auth.verify(&account, password).await,
                        None => Verdict::Rejected,
                    })
                }));
            }
            Action::Bind {
                account, resource, ..
            } => {
                let bound = self.bind(&account, &resource);
                self.session.bound(bound);
            }
            Action::RosterGet { id, ver } => self.with_roster(Then::Get { id, known: ver }),
            Action::Presence(presence) => {
                telemetry::stanza(StanzaKind::Presence);
                self.presence_or_roster_first(presence);
            }
            Action::Route(stanza) => {
                telemetry::stanza(stanza.kind());
                self.route(&stanza);
            }
            Action::Close => {}
        }
    }

    fn bind(&mut self, account: &BareJid, resource: &ResourcePart) -> Result<FullJid, BindRefusal> {
        let (mailbox, inbox) = mailbox(self.services.mailbox_limits);
        let registration = Registration::new(&self.services, account, resource, mailbox)?;
        let jid = registration.jid().clone();
        tracing::debug!(%jid, "resource bound");
        self.bound = Some(Bound {
            registration,
            inbox,
            pushes: 0,
        });
        if self.services.stop.is_cancelled() {
            // Bound behind the back of the drain, which tells bound sessions
            // by mail.
            self.session
                .close(Some(StreamCondition::SystemShutdown.into()));
        }
        Ok(jid)
    }

    /// Does `then` once the roster is known, or is known to be out of reach.
    fn with_roster(&mut self, then: Then) {
        let Some(bound) = &self.bound else { return };
        let user = Arc::clone(bound.registration.user());
        if user.snapshot().is_some() {
            return self.proceed(Ok(()), then);
        }
        let rosters = Arc::clone(&self.services.rosters);
        self.pending = Some(Box::pin(async move {
            Answer::Roster {
                loaded: rosters.load(&user).await,
                then,
            }
        }));
    }

    fn proceed(&mut self, loaded: Result<(), SourceError>, then: Then) {
        let Some(bound) = &self.bound else { return };
        match then {
            Then::Get { id, known } => {
                let user = bound.registration.user();
                self.services.rosters.answer_get(
                    user,
                    bound.registration.id(),
                    id,
                    known,
                    loaded.err(),
                );
            }
            Then::Presence(presence) => self.presence(presence),
        }
    }

    fn presence_or_roster_first(&mut self, presence: Presence) {
        match &self.bound {
            Some(bound) if Presences::needs_roster(&presence, bound.registration.user()) => {
                self.with_roster(Then::Presence(presence));
            }
            _ => self.presence(presence),
        }
    }

    fn presence(&mut self, presence: Presence) {
        let Some(Bound { registration, .. }) = &self.bound else {
            return;
        };
        let (id, to) = (presence.id.clone(), presence.to.clone());
        let owed = self.services.presences.handle(
            registration.user(),
            registration.id(),
            registration.jid(),
            presence,
        );
        if let Some(error) = owed {
            self.refuse(StanzaKind::Presence, id.as_deref(), to.as_ref(), &error);
        }
    }

    fn route(&mut self, stanza: &Stanza) {
        let Some(Bound { registration, .. }) = &self.bound else {
            return;
        };
        let from = registration.jid();
        // A stanza to nobody is for the sender's own account (RFC 6120, section 10.3).
        let own;
        let to = match stanza.to() {
            Some(to) => to,
            None => {
                own = Jid::from(from.to_bare());
                &own
            }
        };
        if let Some(error) = self.services.router.deliver(stanza, from, to) {
            self.refuse(stanza.kind(), stanza.id(), stanza.to(), &error);
        }
    }

    fn refuse(
        &mut self,
        kind: StanzaKind,
        id: Option<&str>,
        from: Option<&Jid>,
        error: &StanzaError,
    ) {
        if let Some(bound) = &self.bound {
            let to = Jid::from(bound.registration.jid().clone());
            let reply = encode::error_reply(kind, id, from, Some(&to), error);
            self.session.output().extend_from_slice(&reply);
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Credentials(found) => self.session.credentials(found),
            Answer::Verdict(verdict) => self.session.password_verified(verdict),
            Answer::Roster { loaded, then } => self.proceed(loaded, then),
        }
    }

    /// Writes `mail` and what waits behind it, up to the high water mark: one
    /// system call for many stanzas.
    fn take(&mut self, mail: Mail) {
        let mut next = Some(mail);
        while let (Some(mail), Some(bound)) = (next.take(), self.bound.as_mut()) {
            if let Mail::Close(error) = mail {
                return self.session.close(Some(error));
            }
            bound.write(mail, self.session.output());
            if self.session.output().len() < OUTPUT_HIGH_WATER {
                next = bound.inbox.try_receive();
            }
        }
    }

    /// Takes the resource out, then writes the last words for as long as the
    /// peer takes them.
    async fn finish(mut self) {
        self.pending = None;
        // The farewell first: it does not depend on what the peer still takes.
        self.bound = None;
        if let Some(condition) = self.session.closed_by() {
            telemetry::stream_ended(condition, self.session.jid());
        }
        if self.hung_up {
            return;
        }
        let Connection {
            stream, session, ..
        } = &mut self;
        let output = session.output();
        let written = tokio::time::timeout(LAST_WORDS, async {
            poll_fn(|cx| drain(cx, stream, output)).await?;
            poll_fn(|cx| Pin::new(&mut *stream).poll_shutdown(cx))
                .await
                .map_err(|_| HungUp)?;
            poll_fn(|cx| discard(cx, stream)).await;
            Ok::<(), HungUp>(())
        });
        if !matches!(written.await, Ok(Ok(()))) {
            tracing::debug!("the peer did not take the end of its stream");
        }
    }
}

impl Bound {
    /// Encodes `mail` for this resource.
    fn write(&mut self, mail: Mail, output: &mut BytesMut) {
        let jid = self.registration.jid();
        match mail {
            Mail::Stanza(stanza) => output.extend_from_slice(&stanza),
            Mail::Presence { from, stanza } => {
                if may_see(self.registration.user(), &from) {
                    output.extend_from_slice(&stanza);
                }
            }
            Mail::Roster {
                id,
                known,
                snapshot,
            } => {
                let to = Jid::from(jid.clone());
                output.extend_from_slice(&roster::encode_result(
                    &snapshot,
                    &id,
                    known.as_deref(),
                    &to,
                ));
            }
            Mail::RosterFailed { id, error } => {
                let to = Jid::from(jid.clone());
                output.extend_from_slice(&encode::error_reply(
                    StanzaKind::Iq,
                    Some(&id),
                    None,
                    Some(&to),
                    &error,
                ));
            }
            Mail::Pushes { old, new } => {
                let to = Jid::from(jid.clone());
                for change in roster::diff(&old, &new) {
                    self.pushes += 1;
                    let id = format!("push-{}", self.pushes);
                    output.extend_from_slice(&roster::encode_push(&change, new.ver(), &id, &to));
                    metrics::counter!("muster_roster_pushes_total").increment(1);
                }
            }
            // `take` ends the stream instead.
            Mail::Close(_) => {}
        }
    }
}

/// The receiver's side of the agreement about presence: its own roster must
/// say that it sees the sender, at the moment at which it is written.
fn may_see(user: &User, from: &BareJid) -> bool {
    *from == user.account || user.state().sees(from.as_str())
}

async fn inbox_event(bound: Option<&mut Bound>, congested: bool) -> Event {
    let Some(bound) = bound else {
        return std::future::pending().await;
    };
    if congested {
        bound.inbox.overflowed().await;
        return Event::Overflow;
    }
    bound
        .inbox
        .receive()
        .await
        .map_or(Event::Overflow, Event::Mail)
}

/// The peer is gone, or the socket failed: nothing more to be done with it.
struct HungUp;

/// Writes what there is and, if `read`, reads what comes. Ready when the
/// session has something new, or has room for mail again.
fn transfer<S>(
    cx: &mut Context<'_>,
    stream: &mut S,
    session: &mut Session,
    read: bool,
) -> Poll<Result<(), HungUp>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let congested = session.output().len() >= OUTPUT_HIGH_WATER;
    match drain(cx, stream, session.output()) {
        Poll::Ready(Ok(())) | Poll::Pending => {}
        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
    }
    if congested && session.output().len() < OUTPUT_HIGH_WATER {
        return Poll::Ready(Ok(()));
    }
    if !read || !session.wants_read() || congested {
        return Poll::Pending;
    }
    // On the stack, not in the connection: an idle client holds no buffer.
    let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
    let mut buffer = ReadBuf::uninit(&mut space);
    match ready!(Pin::new(stream).poll_read(cx, &mut buffer)) {
        Ok(()) if !buffer.filled().is_empty() => {
            session.receive(buffer.filled());
            Poll::Ready(Ok(()))
        }
        _ => Poll::Ready(Err(HungUp)),
    }
}

/// Reads and throws away what the peer still sends, until it closes as well: a
/// socket that is closed with unread input resets the connection, and the peer
/// may never see why its stream ended.
fn discard<S: AsyncRead + Unpin>(cx: &mut Context<'_>, stream: &mut S) -> Poll<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
    loop {
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}

/// Writes `output` out.
fn drain<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    output: &mut BytesMut,
) -> Poll<Result<(), HungUp>> {
    while !output.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, output)) {
            Ok(written) if written > 0 => output.advance(written),
            _ => return Poll::Ready(Err(HungUp)),
        }
    }
    if output.capacity() > OUTPUT_KEPT {
        *output = BytesMut::new();
    }
    Pin::new(stream).poll_flush(cx).map_err(|_| HungUp)
}
