//! A recording replayed into another build: whose contacts would change.
//!
//! Owns the comparison of what a build makes of recorded answers with what was
//! made of them then. Nothing leaves the machine: the app's answers come from
//! the recording ([`tape`]). What the build asks and nobody recorded cannot be
//! compared, and is said so.

mod report;
pub mod tape;
mod together;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use jid::BareJid;
use muster_plugin::{
    AllowedOrigin, Candidate, EgressPolicy, Engine, Limits, LoadError, Origin, Plugin, Settings,
    Stubs, Verification,
};
use muster_xmpp::roster::{Contact, Snapshot, Subscription};

pub use self::report::{Difference, Replayed, Verdict};
use self::tape::Tape;
use self::together::in_order;
use crate::record::{self, About, Call, Fetch, Found, Listed, Recording, Refresh};
use crate::run::{Host, limits};
use crate::stage::Stage;

/// For one answer of the tape, which needs none.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a recording cannot be replayed. Reach: the command.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is of another version.
    #[error(
        "the recording has the form {found}, and this program knows {known}",
        known = 1
    )]
    Version {
        /// Which.
        found: u32,
    },
    /// What it says about its virtual host makes no sense.
    #[error("the recording's {0} makes no sense")]
    About(&'static str),
    /// The build cannot be loaded.
    #[error("the plugin is refused")]
    Load(#[from] LoadError),
}

/// What a build in front of a tape is told, and may cost.
#[derive(Debug)]
pub struct Terms {
    /// Its name in metrics and logs.
    pub name: String,
    /// Where it runs.
    pub about: About,
    /// `[virtual_host.plugin.settings]`.
    pub settings: record::Settings,
    /// Which components are taken.
    pub verification: Verification,
    /// Its bounds.
    pub limits: Limits,
}

/// A build in front of a tape.
pub struct Replayer {
    plugin: Plugin,
    tape: Arc<Tape>,
    domain: BareJid,
}

/// Replays all of a recording into a build. `settings` are those of
/// `[virtual_host.plugin.settings]`, which no recording has.
///
/// # Errors
/// [`ReplayError`]; nothing is left running.
pub async fn replay(
    engine: &Engine,
    candidate: Candidate,
    recording: Recording,
    settings: record::Settings,
) -> Result<Replayed, ReplayError> {
    if recording.version != record::VERSION {
        return Err(ReplayError::Version {
            found: recording.version,
        });
    }
    let about = &recording.about;
    let tape = Tape::new(recording.exchanges, settings.clone());
    let terms = Terms {
        name: about.domain.clone(),
        about: about.clone(),
        settings,
        verification: Verification::default(),
        limits: limits(TIMEOUT),
    };
    let replayer = Replayer::load(engine, candidate, terms, tape).await?;
    let mut replayed = Replayed::new(recording.left_out);
    for call in in_order(recording.fetches, recording.batches) {
        for (username, verdict) in replayer.call(&call).await {
            replayed.add(&username, verdict);
        }
    }
    for refresh in &recording.refreshes {
        let verdict = replayer.refresh(refresh, recording.redacted).await;
        replayed.add_refresh(&refresh.target, verdict);
    }
    replayer.end().await;
    Ok(replayed)
}

impl Replayer {
    /// Loads the build.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing is left running.
    pub async fn load(
        engine: &Engine,
        candidate: Candidate,
        terms: Terms,
        tape: Arc<Tape>,
    ) -> Result<Self, ReplayError> {
        let Terms {
            name,
            about,
            settings,
            verification,
            limits,
        } = terms;
        let domain = BareJid::new(&about.domain).map_err(|_| ReplayError::About("domain"))?;
        let mut config = vec![
            ("http_roster_url".to_owned(), about.url.clone()),
            ("domain".to_owned(), about.domain.clone()),
        ];
        let many = about.rosters_url.iter();
        config.extend(many.map(|url| ("http_rosters_url".to_owned(), url.clone())));
        config.extend(settings.pairs());
        let origins = about.origins.iter().map(|(origin, methods)| {
            let methods = methods.iter().map(|method| method.parse());
            let origin = Origin::of_url(origin).map_err(|_| ReplayError::About("origin"))?;
            Ok(AllowedOrigin {
                methods: methods
                    .collect::<Result<_, _>>()
                    .map_err(|_| ReplayError::About("method"))?,
                ..AllowedOrigin::get(origin)
            })
        });
        let settings = Settings {
            name,
            config,
            egress: EgressPolicy {
                origins: origins.collect::<Result<_, ReplayError>>()?,
            },
            resolver: Stage::new(Arc::clone(&tape) as _),
            stubs: match about.deny_all_stubs {
                true => Stubs::DenyAll,
                false => Stubs::Absent,
            },
            verification,
            limits,
        };
        Ok(Self {
            plugin: Plugin::load(engine, candidate, settings).await?,
            tape,
            domain,
        })
    }

    /// What the build makes of a call, against what was made of it; for each
    /// user.
    pub(crate) async fn call(&self, recorded: &Call) -> Vec<(String, Verdict)> {
        match recorded {
            Call::One(fetch) => vec![(fetch.username.clone(), self.fetch(fetch).await)],
            Call::Many(batch) => self.fetch_many(batch).await,
        }
    }

    /// What the build makes of a fetch, against what was made of it.
    async fn fetch(&self, recorded: &Fetch) -> Verdict {
        self.tape.wind_to(recorded.ended);
        let (username, known) = (&recorded.username, recorded.known.as_deref());
        let found = Found::of(&self.plugin.fetch(username, known).await);
        if let Some(asked) = self.tape.missed() {
            return match &recorded.result {
                // The app gave no answer then, so there is none now.
                Found::Error(_) => Verdict::Same,
                _ => Verdict::NotRecorded { asked },
            };
        }
        self.verdict(username, &recorded.result, &found)
    }

    /// What the build makes of a request, against what was made of it.
    async fn refresh(&self, recorded: &Refresh, redacted: bool) -> Verdict {
        let Some(request) = request(recorded) else {
            let asked = recorded.target.clone();
            return Verdict::NotRecorded { asked };
        };
        self.tape.wind_to(u64::MAX);
        let host = Arc::new(Host::default());
        let answered = self.plugin.handle(request, Arc::clone(&host) as _).await;
        if let Some(asked) = self.tape.missed() {
            return Verdict::NotRecorded { asked };
        }
        let status = answered.ok().map(|response| response.status().as_u16());
        let usernames = host.asked();
        match (usernames == recorded.usernames, status == recorded.status) {
            (true, _) => Verdict::Same,
            // Its signature, if it had one, was of other bytes.
            (false, false) if redacted => Verdict::NotRecorded {
                asked: format!("{} as it was signed", recorded.target),
            },
            (false, _) => Verdict::Other {
                was: format!("a refresh of {:?}", recorded.usernames),
                is: format!("a refresh of {usernames:?}"),
            },
        }
    }

    fn verdict(&self, username: &str, was: &Found, is: &Found) -> Verdict {
        let owner = crate::fixture::expect::owner(username, &self.domain);
        let lists = match (was, is) {
            (Found::List(was), Found::List(is)) => snapshot(&owner, was).zip(snapshot(&owner, is)),
            _ => None,
        };
        match lists {
            Some((was, is)) => Verdict::of_lists(&was, &is),
            None if was.is_same(is) => Verdict::Same,
            None => Verdict::Other {
                was: was.in_words(),
                is: is.in_words(),
            },
        }
    }

    /// Lets the build go.
    pub async fn end(self) {
        self.plugin.shutdown(Duration::ZERO).await;
    }
}

impl Found {
    fn in_words(&self) -> String {
        match self {
            Self::Unchanged => "\"unchanged\"".to_owned(),
            Self::List(list) => format!("a list of {}", list.len()),
            Self::Error(error) => format!("the error \"{error}\""),
        }
    }
}

/// The roster that a server makes of a list.
fn snapshot(owner: &BareJid, list: &[Listed]) -> Option<Snapshot> {
    let contacts = list.iter().map(|listed| Contact {
        jid: listed.jid.clone(),
        name: listed.name.clone(),
        groups: listed.groups.clone(),
        subscription: match listed.subscription.as_str() {
            "none" => Subscription::None,
            "to" => Subscription::To,
            "from" => Subscription::From,
            _ => Subscription::Both,
        },
    });
    let made = Snapshot::from_contacts(owner, contacts.collect(), list.len());
    made.ok().map(|(roster, _)| roster)
}

/// `None` for a body that was left out, and for what is no request.
fn request(recorded: &Refresh) -> Option<Request<Bytes>> {
    let body = recorded.body.clone()?;
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = recorded.method.parse().ok()?;
    *request.uri_mut() = format!("http://muster.test{}", recorded.target)
        .parse()
        .ok()?;
    for (name, value) in &recorded.headers {
        let name: HeaderName = name.parse().ok()?;
        let value: HeaderValue = value.parse().ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

#[cfg(test)]
mod tests;
