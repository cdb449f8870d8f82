//! File descriptors: how many the process may have, and how they are shared out.
//!
//! Owns the raise of the soft limit to the hard one and the split between XMPP
//! connections, HTTP connections and everything else (listeners, requests to
//! the app, files). With the split neither kind of connections can take the
//! other's descriptors, so that the operator still gets an answer while clients
//! use up all of theirs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process holds beside connections of peers: listeners, the runtime,
/// standard streams, files, the store.
const OTHERS: usize = 64;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) xmpp: usize,
    pub(crate) http: usize,
}

/// Raises the limit of the process as far as it may, and fits what is
/// `configured` into it. `outgoing` is how many connections to apps there may
/// be. Says so in the log if it had to take something away.
pub(crate) fn fit(configured: Share, outgoing: usize) -> Share {
    let Some(available) = raise() else {
        return configured;
    };
    let share = split(configured, outgoing, available);
    if share != configured {
        tracing::warn!(
            available,
            xmpp = share.xmpp,
            http = share.http,
            "the process may have too few file descriptors for limits.xmpp.connections and \
             limits.http.connections (ulimit -n); they are lowered"
        );
    }
    share
}

/// How many descriptors the process may have now; `None` if there is no limit
/// or it is not known.
fn raise() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if raised.current != limit.current
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!(%error, "the limit of file descriptors stays as it is");
    }
    let current = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(current).unwrap_or(usize::MAX))
}

/// HTTP gets what it is configured to have up to a quarter; XMPP gets the rest.
/// What else needs descriptors has them first, up to a half.
fn split(configured: Share, outgoing: usize, available: usize) -> Share {
    let others = OTHERS.saturating_add(outgoing).min(available / 2);
    let peers = available - others;
    if configured.xmpp.saturating_add(configured.http) <= peers {
        return configured;
    }
    let http = configured.http.min((peers / 4).max(1));
    let xmpp = configured.xmpp.min(peers.saturating_sub(http).max(1));
    Share { xmpp, http }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Share = Share {
        xmpp: 20_000,
        http: 5_000,
    };

    #[test]
    fn what_fits_stays() {
        assert_eq!(split(CONFIGURED, 128, 25_192), CONFIGURED);
    }

    #[test]
    fn what_does_not_fit_is_lowered_and_leaves_room_for_the_rest() {
        for available in [0, 1, 4, 10, 256, 1_024, 20_000, 25_191] {
            let share = split(CONFIGURED, 128, available);
            assert!(share.xmpp >= 1 && share.http >= 1, "{available}: {share:?}");
            let rest = available.saturating_sub(share.xmpp + share.http);
            assert!(
                rest >= (OTHERS + 128).min(available / 2).saturating_sub(1),
                "{available}: {share:?}"
            );
        }
        assert_eq!(split(CONFIGURED, 128, 256), Share { xmpp: 96, http: 32 });
    }

    #[test]
    fn little_is_left_to_whoever_wants_little() {
        let configured = Share {
            xmpp: 20_000,
            http: 10,
        };
        assert_eq!(
            split(configured, 0, 1_064),
            Share {
                xmpp: 990,
                http: 10
            }
        );
    }
}
