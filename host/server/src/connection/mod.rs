//! One client connection: moves bytes between the socket and the session
//! machine, and does what the machine asks for.
//!
//! Owns the socket, the machine and the bound resource, as plain `&mut`. One
//! task, one writer. While an answer for the machine is on its way nothing
//! more is read, so a client's stanzas are handled in order (RFC 6120, section
//! 10.1); what others send is delivered all the same.

mod backlog;
mod bound;
mod login;
mod parking;
mod stanzas;

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use muster_xmpp::error::{StanzaError, StreamCondition, StreamError};
use muster_xmpp::session::{
    self, Action, Channel, CredentialsAnswer, NotResumed, ServiceAnswer, Session, TokenVerdict,
    Verdict,
};
use muster_xmpp::stanza::{Presence, StanzaKind};
use muster_xmpp::{BareJid, FullJid, Jid, ResourcePart};
use tracing::Span;

use self::backlog::Backlog;
use self::bound::Bound;
pub(crate) use self::parking::Handover;
use self::parking::{Parked, SessionTicket};
use crate::admission::Slot;
use crate::limit::Limit;
use crate::mailbox::{Inbox, Mail};
use crate::resumption::Reply;
use crate::rosters::{Obtained, SourceError};
use crate::services::Services;
use crate::store::{StoreError, Waiting};
use crate::telemetry;
use crate::transport::{HungUp, OUTPUT_HIGH_WATER, Transport};

/// A client connection.
pub(crate) struct Connection {
    transport: Transport,
    /// The connection's place, while there is a peer.
    slot: Option<Slot>,
    /// The peer's address, for the delay of those who fail too often.
    address: IpAddr,
    session: Session,
    services: Arc<Services>,
    bound: Option<Bound>,
    /// The answer that the session, or the client's next stanza, waits for.
    pending: Option<Pending>,
    /// The peer is gone: nothing more can be read or written.
    hung_up: bool,
    /// An earlier session is on its way here: what `pending` is about.
    resuming: bool,
    /// By which another connection gets this session.
    ticket: Option<Box<SessionTicket>>,
    /// The session lives on without a peer.
    parked: Option<Parked>,
    /// Of the session, below that of the stream.
    span: Span,
}

/// An answer on its way.
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a pending answer turned out to be.
enum Answer {
    Credentials(CredentialsAnswer),
    Verdict(Verdict),
    Token(TokenVerdict),
    /// An account that comes too often may bind now.
    Turn {
        account: BareJid,
        resource: ResourcePart,
    },
    Roster {
        loaded: Result<Obtained, SourceError>,
        then: Then,
    },
    /// A message that nobody was there to take.
    Kept {
        id: Option<String>,
        to: Option<Jid>,
        kept: Result<(), StanzaError>,
    },
    Resumed(Result<Box<Handover>, NotResumed>),
    /// The resource is bound and can be reached.
    Bound(FullJid),
    Served {
        reply: session::Reply,
        answer: Result<ServiceAnswer, StanzaError>,
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
    Backlog(Result<Waiting, StoreError>),
    Overflow,
    HandOver(Reply<Box<Handover>>),
    Deadline,
    Stop,
}

impl Connection {
    /// A connection that was just accepted. `entropy` as in [`Session::new`].
    pub(crate) fn new(
        transport: Transport,
        channel: Channel,
        slot: Slot,
        services: Arc<Services>,
        entropy: [u8; 32],
    ) -> Connection {
        let session = Session::new(
            Arc::clone(&services.session_config),
            channel,
            entropy,
            Instant::now(),
        );
        Connection {
            transport,
            address: slot.address(),
            slot: Some(slot),
            session,
            services,
            bound: None,
            pending: None,
            hung_up: false,
            resuming: false,
            ticket: None,
            parked: None,
            span: Span::none(),
        }
    }

    /// Serves the client until the stream ends.
    ///
    /// Boxed, because an asynchronous function holds what it is given a second
    /// time: a waiting task is as large as all that it could ever hold.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        Box::new(self).serve()
    }

    async fn serve(mut self: Box<Self>) {
        while self.advance() {
            match self.next_event().await {
                Event::Transferred => {}
                Event::HungUp => {
                    if !self.hang_up() {
                        break;
                    }
                }
                Event::Answer(answer) => self.answer(answer),
                Event::Mail(mail) => self.take(mail),
                Event::Backlog(read) => self.backlog_read(read),
                Event::Overflow => {
                    let error = StreamError::new(StreamCondition::PolicyViolation);
                    self.session.close(Some(error.with_text(
                        "too much waits for this client; it does not read fast enough",
                    )));
                }
                Event::HandOver(reply) => self.hand_over(reply),
                Event::Deadline if self.parked.is_some() => self.expire(),
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
        if self.hung_up {
            return self.resuming || self.parked.is_some() && !self.session.is_closed();
        }
        if self.session.is_closed() && !self.resuming {
            // Nobody is left to hear the answer.
            self.pending = None;
        }
        self.continue_backlog();
        while self.pending.is_none() {
            let action = self.session.poll(Instant::now());
            if let Some(login) = self.session.take_login() {
                telemetry::login(login);
                if login.is_err() {
                    self.services.attempts.failed(self.address, Instant::now());
                } else if let Some(slot) = &mut self.slot {
                    slot.logged_in();
                }
            }
            if let Some(limit) = self.session.take_reached() {
                Limit::from(limit).reached();
            }
            let Some(action) = action else { break };
            match action {
                Action::Close => return false,
                Action::Lost => {
                    metrics::counter!("muster_peers_lost_total").increment(1);
                    return self.hang_up();
                }
                action => self.perform(action),
            }
        }
        true
    }

    async fn next_event(&mut self) -> Event {
        let Connection {
            transport,
            session,
            services,
            bound,
            pending,
            ticket,
            parked,
            ..
        } = self;
        let deadline = match (self.hung_up, parked) {
            // Nothing of the session is due but its end.
            (true, parked) => parked.as_ref().map(Parked::until),
            (false, _) => {
                let wake = [session.deadline(), session.paused_until()];
                wake.into_iter().flatten().min()
            }
        };
        let deadline = deadline.map(tokio::time::Instant::from_std);
        let awaits = pending.is_some();
        let backlog = bound.as_ref().and_then(|it| it.backlog.as_ref());
        let writing = backlog.is_some_and(Backlog::is_writing) && session.is_settled();
        let hung_up = self.hung_up;
        let congested =
            hung_up || !session.wants_mail() || session.output().len() >= OUTPUT_HIGH_WATER;
        let drains = bound.is_none() && !session.is_closed();
        tokio::select! {
            biased;
            answer = async { pending.as_mut()?.await.into() }, if awaits => match answer {
                Some(answer) => {
                    *pending = None;
                    Event::Answer(answer)
                }
                None => Event::Transferred,
            },
            reply = async { ticket.as_mut()?.asked().await.into() }, if ticket.is_some() => match reply {
                Some(reply) => Event::HandOver(reply),
                None => Event::Transferred,
            },
            transferred = poll_fn(|cx| match transport.transfer(cx, session, !awaits) {
                Poll::Pending if writing && session.output().is_empty() => Poll::Ready(Ok(())),
                transferred => transferred,
            }), if !hung_up => match transferred {
                Ok(()) => Event::Transferred,
                Err(HungUp) => Event::HungUp,
            },
            event = inbox_event(bound.as_mut(), congested, hung_up), if bound.is_some() => event,
            () = services.stop.cancelled(), if drains => Event::Stop,
            () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => Event::Deadline,
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Credentials { account, kind } => self.look_up(account, kind),
            Action::VerifyPassword { account, password } => self.verify(account, password),
            Action::VerifyToken { domain, token } => self.verify_token(domain, token),
            Action::Bind {
                account, resource, ..
            } => self.bind_in_turn(account, resource),
            Action::Serve { reply, request } => self.answer_request(reply, request),
            Action::RosterGet { id, ver } => self.with_roster(Then::Get { id, known: ver }),
            Action::Presence(presence) => {
                telemetry::stanza(StanzaKind::Presence);
                self.presence_or_roster_first(presence);
            }
            Action::Route(stanza) => {
                telemetry::stanza(stanza.kind());
                self.route(&stanza);
            }
            Action::StartTls => self.start_tls(),
            Action::Enable { id, max } => self.enable(id, max),
            Action::Resume { account, previd } => self.resume(account, previd),
            Action::Lost | Action::Close => {}
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Credentials(found) => self.session.credentials(found),
            Answer::Verdict(verdict) => self.session.password_verified(verdict),
            Answer::Token(verdict) => self.session.token_verified(verdict),
            Answer::Turn { account, resource } => self.bind(&account, &resource),
            Answer::Roster { loaded, then } => self.proceed(loaded, then),
            Answer::Kept { id, to, kept } => {
                if let Err(error) = kept {
                    self.refuse(StanzaKind::Message, id.as_deref(), to.as_ref(), &error);
                }
            }
            Answer::Resumed(obtained) => self.resumed(obtained),
            Answer::Bound(jid) => self.session.bound(Ok(jid)),
            Answer::Served { reply, answer } => self.session.request_served(&reply, answer),
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
            bound.write(mail, &mut self.session);
            if self.session.wants_mail() && self.session.output().len() < OUTPUT_HIGH_WATER {
                next = bound.inbox.try_receive();
            }
        }
    }

    /// Takes the resource out, then writes the last words for as long as the
    /// peer takes them.
    async fn finish(&mut self) {
        if let Some(condition) = self.session.closed_by() {
            telemetry::stream_ended(condition, self.session.jid());
        }
        // The farewell first: it does not depend on what the peer still takes.
        let left = self.leave();
        let Connection {
            transport,
            session,
            services,
            hung_up,
            ..
        } = self;
        let settled = async {
            if let Some(left) = left {
                services.undelivered.settle(left).await;
            }
        };
        let said = async {
            if !*hung_up {
                transport.finish(session).await;
            }
        };
        // Boxed as well: this room is needed once, at the end.
        Box::pin(async { tokio::join!(settled, said) }).await;
    }
}

async fn inbox_event(bound: Option<&mut Bound>, congested: bool, hung_up: bool) -> Event {
    let Some(bound) = bound else {
        return std::future::pending().await;
    };
    match &mut bound.backlog {
        // What was kept goes first, so what is new waits.
        Some(backlog) if !hung_up => tokio::select! {
            read = backlog.read() => Event::Backlog(read),
            ended = ended(&bound.inbox) => ended,
        },
        Some(_) => ended(&bound.inbox).await,
        None if congested => ended(&bound.inbox).await,
        None => {
            let mail = bound.inbox.receive().await;
            mail.map_or(Event::Overflow, Event::Mail)
        }
    }
}

/// What ends a stream that takes no mail at the moment.
async fn ended(inbox: &Inbox) -> Event {
    let ended = inbox.ended().await;
    ended.map_or(Event::Overflow, |error| Event::Mail(Mail::Close(error)))
}
