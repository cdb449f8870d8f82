//! `auth.kind = "static"`: the users of the configuration and of its file.
//!
//! Owns that a stranger cannot tell an unknown user from a wrong password, by
//! the answer or by the time that it takes: whoever is asked about, there are
//! credentials, and the same work is done with them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use metrics::Counter;
use muster_xmpp::sasl::{
    AccountCredentials, AccountParameters, CredentialsAnswer, DEFAULT_ITERATIONS, SALT_BYTES,
    ScramKind, Verdict,
};
use muster_xmpp::{BareJid, NodePart};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::config::Credential;

/// The configured users of one virtual host.
pub(crate) struct StaticUsers {
    users: HashMap<NodePart, StaticUser>,
    /// What a stranger can tell of each user; one who does not exist looks like
    /// one of them.
    models: Vec<AccountParameters>,
    /// What the credentials of users who do not exist are derived from.
    secret: Zeroizing<[u8; 32]>,
    /// Every configured password has its credentials. Until then each login
    /// costs the derivation of somebody's.
    settled: AtomicBool,
    /// Iterations of PBKDF2: the work of a login.
    iterations: Counter,
}

/// A configured user.
struct StaticUser {
    credential: Credential,
    /// The credentials of a password that stands in the configuration.
    derived: OnceLock<Option<Arc<AccountCredentials>>>,
}

impl StaticUsers {
    /// The users of the configuration. Credentials of passwords are derived in
    /// the background. `secret` is drawn once a process: a user who does not
    /// exist keeps the salt for as long.
    pub(super) fn new(
        users: HashMap<NodePart, Credential>,
        secret: Zeroizing<[u8; 32]>,
    ) -> Arc<StaticUsers> {
        let iterations = metrics::counter!("muster_password_iterations_total");
        let users = Arc::new(StaticUsers::unsettled(users, secret, iterations));
        let settling = Arc::downgrade(&users);
        tokio::task::spawn_blocking(move || settle(&settling));
        users
    }

    fn unsettled(
        users: HashMap<NodePart, Credential>,
        secret: Zeroizing<[u8; 32]>,
        iterations: Counter,
    ) -> StaticUsers {
        let model = |credential: &Credential| match credential {
            Credential::Scram(credentials) => credentials.parameters(),
            Credential::Password(_) => AccountParameters::default(),
        };
        let settled = users.values().all(|it| matches!(it, Credential::Scram(_)));
        StaticUsers {
            models: users.values().map(model).collect(),
            users: users.into_iter().map(StaticUser::entry).collect(),
            secret,
            settled: AtomicBool::new(settled),
            iterations,
        }
    }

    /// What SCRAM needs to know of `account`, whether it exists or not.
    pub(super) async fn credentials(
        self: &Arc<Self>,
        account: &BareJid,
        kind: ScramKind,
    ) -> CredentialsAnswer {
        match self.look_up(account).await {
            Some(credentials) => CredentialsAnswer::Found(credentials.of(kind).clone()),
            None => CredentialsAnswer::TemporarilyUnavailable,
        }
    }

    /// Whether `offered` is the account's password.
    pub(super) async fn verify(
        self: &Arc<Self>,
        account: &BareJid,
        offered: SecretString,
    ) -> Verdict {
        let Some(credentials) = self.look_up(account).await else {
            return Verdict::TemporarilyUnavailable;
        };
        let iterations = credentials.sha256.iterations();
        self.iterations.increment(iterations.into());
        // Away from the executor's threads: it takes milliseconds, on purpose.
        let checked =
            tokio::task::spawn_blocking(move || credentials.verify_plain(offered.expose_secret()));
        match checked.await {
            Ok(true) => Verdict::Accepted,
            Ok(false) => Verdict::Rejected,
            Err(_) => Verdict::TemporarilyUnavailable,
        }
    }

    /// The account's credentials, or those that it would have; `None` if they
    /// cannot be made. The work is the same for every account.
    async fn look_up(self: &Arc<Self>, account: &BareJid) -> Option<Arc<AccountCredentials>> {
        let decoy = AccountCredentials::for_unknown(&self.secret, account.as_str(), &self.models);
        let name = account.node().map(ToOwned::to_owned);
        if !self.settled.load(Ordering::Acquire) {
            let (users, name) = (Arc::clone(self), name.clone());
            let derived =
                tokio::task::spawn_blocking(move || users.derive_something(name.as_ref()));
            derived.await.ok()?;
        }
        match name.and_then(|name| self.users.get(&name)) {
            Some(user) => user.credentials(),
            None => Some(Arc::new(decoy)),
        }
    }

    /// Whether the account is one of them.
    pub(super) fn has(&self, account: &BareJid) -> bool {
        let name = account.node();
        name.is_some_and(|name| self.users.contains_key(name))
    }

    /// Derives the credentials of that user; or, if there is nothing to derive,
    /// some that nobody needs.
    fn derive_something(&self, name: Option<&NodePart>) {
        let user = name.and_then(|name| self.users.get(name));
        let needed = user.is_some_and(|user| user.derive(&self.iterations));
        if !needed {
            drop(derive(&SecretString::from("a password"), &self.iterations));
        }
    }
}

impl StaticUser {
    fn entry((name, credential): (NodePart, Credential)) -> (NodePart, StaticUser) {
        let derived = OnceLock::new();
        (
            name,
            StaticUser {
                credential,
                derived,
            },
        )
    }

    /// Derives the credentials of a password that has none yet; false if that
    /// was not needed.
    fn derive(&self, iterations: &Counter) -> bool {
        let Credential::Password(password) = &self.credential else {
            return false;
        };
        let mut needed = false;
        self.derived.get_or_init(|| {
            needed = true;
            derive(password, iterations).map(Arc::new)
        });
        needed
    }

    fn credentials(&self) -> Option<Arc<AccountCredentials>> {
        match &self.credential {
            Credential::Scram(credentials) => Some(Arc::clone(credentials)),
            Credential::Password(_) => self.derived.get()?.clone(),
        }
    }
}

/// Derives the credentials of every password, one after the other, for as long
/// as somebody needs them.
fn settle(users: &Weak<StaticUsers>) {
    let names = match users.upgrade() {
        Some(users) => users.users.keys().cloned().collect::<Vec<_>>(),
        None => return,
    };
    for name in names {
        // A server that stops in the meantime does not wait for the rest.
        let Some(users) = users.upgrade() else {
            return;
        };
        if let Some(user) = users.users.get(&name) {
            user.derive(&users.iterations);
        }
    }
    if let Some(users) = users.upgrade() {
        users.settled.store(true, Ordering::Release);
    }
}

/// `None`, and a line in the log, for a password that SASLprep refuses.
fn derive(password: &SecretString, iterations: &Counter) -> Option<AccountCredentials> {
    let mut salts = [[0; SALT_BYTES]; 2];
    getrandom::fill(salts.as_flattened_mut()).ok()?;
    iterations.increment(2 * u64::from(DEFAULT_ITERATIONS));
    // As a user of the file of `muster user add` would have them.
    let derived =
        AccountCredentials::from_password(password.expose_secret(), salts, DEFAULT_ITERATIONS);
    derived
        .inspect_err(
            |error| tracing::error!(%error, "a configured password cannot be used for SCRAM"),
        )
        .ok()
}

#[cfg(test)]
#[path = "static_users_tests.rs"]
mod tests;
