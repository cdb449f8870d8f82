//! What a caller asks for beyond the old protocol: by the header `Prefer`
//! (RFC 7240) and by two names in the query. Pure; a caller who asks for
//! nothing gets [`Wishes::default`].
//!
//! A preference that is unknown or cannot be read is ignored, as the RFC wants
//! it; a word of ours in the query that makes no sense is a fault, because
//! `?dry_run=maybe` must not refresh.

use std::time::Duration;

use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName};
use url::form_urlencoded;

use crate::rosters::Mode;

/// The request header (RFC 7240, section 2).
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The names in the query that are the host's.
const DETAILS: &str = "details";
const DRY_RUN: &str = "dry_run";

/// What the caller of a request wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The outcome of each user.
    pub(super) details: bool,
    /// That a `Prefer` asked for them, which the answer has to say.
    pub(super) details_preferred: bool,
    pub(super) mode: Mode,
    pub(super) manner: Manner,
}

/// When the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// When all is done.
    WhenDone,
    /// At once, or after so much time, and the rest from a job.
    AsJob {
        /// `wait` (RFC 7240, section 4.3).
        wait: Duration,
    },
}

/// A word in the query that cannot be meant. Reach: the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` in the query takes true or false, or nothing, which is true")]
pub(super) struct WishFault {
    name: &'static str,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes {
            details: false,
            details_preferred: false,
            mode: Mode::Real,
            manner: Manner::WhenDone,
        }
    }
}

impl Wishes {
    /// Reads them from a request's head.
    pub(super) fn of(head: &Parts) -> Result<Wishes, WishFault> {
        let preferences = Preferences::of(&head.headers);
        let query = head.uri.query().unwrap_or_default();
        let dry_run = flag(query, DRY_RUN)?.unwrap_or(false);
        let details = flag(query, DETAILS)?.unwrap_or(preferences.representation) || dry_run;
        Ok(Wishes {
            details,
            details_preferred: details && preferences.representation,
            mode: if dry_run { Mode::Dry } else { Mode::Real },
            manner: match preferences.respond_async {
                true => Manner::AsJob {
                    wait: preferences.wait.unwrap_or_default(),
                },
                false => Manner::WhenDone,
            },
        })
    }

    /// Something that differs for requests that want different answers.
    pub(super) fn to_bytes(self) -> [u8; 3] {
        [
            self.details.into(),
            (self.mode == Mode::Dry).into(),
            (self.manner != Manner::WhenDone).into(),
        ]
    }
}

/// Takes the host's names out of the query, so that a plugin gets what its app
/// has sent.
pub(super) fn strip(head: &mut Parts) {
    let Some(query) = head.uri.query() else {
        return;
    };
    let is_ours = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes())
            .next()
            .is_some_and(|(name, _)| matches!(&*name, DETAILS | DRY_RUN))
    };
    if !query.split('&').any(|pair| is_ours(&pair)) {
        return;
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_ours(pair)).collect();
    let path = head.uri.path();
    let target = match rest.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", rest.join("&")),
    };
    // A part of a valid target is one.
    if let Ok(target) = PathAndQuery::try_from(target) {
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.path_and_query = Some(target);
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// The last of the values of `name` in the query.
fn flag(query: &str, name: &'static str) -> Result<Option<bool>, WishFault> {
    let values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    values
        .last()
        .map(|(_, value)| match &*value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(WishFault { name }),
        })
        .transpose()
}

/// The preferences that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Preferences {
    /// `return=representation`
    representation: bool,
    /// `respond-async`
    respond_async: bool,
    /// `wait=<seconds>`
    wait: Option<Duration>,
}

impl Preferences {
    fn of(headers: &HeaderMap) -> Preferences {
        let mut found = Preferences::default();
        let mut seen: Vec<String> = Vec::new();
        let lines = headers.get_all(PREFER).into_iter();
        for line in lines.filter_map(|line| line.to_str().ok()) {
            for preference in outside_quotes(line, ',') {
                // Parameters of preferences mean nothing here.
                let preference = outside_quotes(preference, ';').next().unwrap_or_default();
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                let name = name.trim().to_ascii_lowercase();
                // Of two for one name, the first counts (section 2).
                if seen.contains(&name) {
                    continue;
                }
                found.add(&name, unquoted(value.trim()));
                seen.push(name);
            }
        }
        found
    }

    fn add(&mut self, name: &str, value: &str) {
        match name {
            "return" => self.representation = value == "representation",
            "respond-async" => self.respond_async = true,
            "wait" => self.wait = value.parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
}

/// A token, or what is in a quoted string; nothing of ours needs an escape.
fn unquoted(value: &str) -> &str {
    let inside = value.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
    match inside {
        None => value,
        Some(inside) => inside.unwrap_or_default(),
    }
}

/// The pieces of `text` between separators that are not in a quoted string
/// (RFC 9110, section 5.6.4).
fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, prefer: &[&str]) -> Parts {
        let mut request = http::Request::builder().uri(target);
        for line in prefer {
            request = request.header(PREFER, *line);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn wishes(target: &str, prefer: &[&str]) -> Wishes {
        Wishes::of(&head(target, prefer)).unwrap()
    }

    #[test]
    fn who_asks_for_nothing_gets_nothing_new() {
        for (target, prefer) in [
            ("/roster_admin/refresh", &[] as &[&str]),
            ("/roster_admin/refresh?x=1&detail=1", &["handling=strict"]),
            ("/?details=false&dry_run=0", &["return=minimal"]),
            ("/", &["return=\"representation", "RETURN=Representation"]),
            ("/", &["x;return=representation", "x=\"a, respond-async\""]),
            ("/", &["return=minimal, return=representation"]),
            ("/", &["wait=10", ",,;;=,", "\u{e9}"]),
        ] {
            assert_eq!(
                wishes(target, prefer),
                Wishes::default(),
                "{target} {prefer:?}"
            );
        }
    }

    #[test]
    fn details_are_asked_for_by_header_or_query() {
        for (target, prefer, preferred) in [
            ("/?details", &[] as &[&str], false),
            ("/?a=b&details=true", &[], false),
            ("/?details=1", &["return=minimal"], false),
            ("/", &["return=representation"], true),
            ("/", &["Return = \"representation\" ; a=b"], true),
            ("/", &["x=\"\\\",\", return=representation"], true),
            ("/", &["foo", "return=representation"], true),
        ] {
            let found = wishes(target, prefer);
            assert!(found.details, "{target} {prefer:?}");
            assert_eq!(found.details_preferred, preferred, "{target} {prefer:?}");
        }
        assert!(!wishes("/?details=0", &["return=representation"]).details);
    }

    #[test]
    fn a_dry_run_is_explained() {
        let found = wishes("/?dry_run", &[]);
        assert_eq!((found.mode, found.details), (Mode::Dry, true));
        for (target, name) in [("/?dry_run=maybe", DRY_RUN), ("/?details=all", DETAILS)] {
            assert_eq!(Wishes::of(&head(target, &[])), Err(WishFault { name }));
        }
    }

    #[test]
    fn a_job_is_asked_for_with_or_without_patience() {
        let manner = |prefer| wishes("/", &[prefer]).manner;
        let wait = Duration::ZERO;
        assert_eq!(manner("respond-async"), Manner::AsJob { wait });
        assert_eq!(manner("Respond-Async, wait=x"), Manner::AsJob { wait });
        let wait = Duration::from_secs(10);
        assert_eq!(manner("respond-async, wait=10"), Manner::AsJob { wait });
        assert_eq!(manner("wait=10, respond-async"), Manner::AsJob { wait });
    }

    #[test]
    fn the_plugin_does_not_see_the_words_of_the_host() {
        for (target, expected) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?x=%20&y", "/a?x=%20&y"),
            ("/a?details", "/a"),
            ("/a?x=%20&details=1&y&dry_run", "/a?x=%20&y"),
            ("/a?%64etails=1&&detail", "/a?&detail"),
        ] {
            let mut head = head(target, &[]);
            strip(&mut head);
            assert_eq!(head.uri.to_string(), expected, "{target}");
        }
    }
}
