//! What the two handlers do when they are asked: the same for both, so that
//! one table of tests holds for both.
//!
//! The username, or what stands behind `/roster_admin/`, chooses the deed.
//! Everybody else's contacts are asked of the app, and its answer is passed on:
//! all that a plugin of this kind need do.

/// What a request comes to.
pub(crate) enum Deed {
    /// The app is asked for the same, and its answer passed on.
    Ask,
    /// An answer at once.
    Say(Reply),
    /// What the operator has set under this name.
    Setting(String),
    /// An error of `wasi:http` instead of one.
    Error,
    Trap,
    Spin,
    Grow,
    Recurse,
    /// Handles until there are no more.
    Flood,
    /// The same of requests that are as large as the host lets them be.
    Hoard,
    /// Waits for years.
    Never,
    /// Ends without an answer, where the interface lets it.
    Mute,
    /// A body without an end.
    Torrent,
    /// The head and a piece of the body, and then it ends.
    Unfinished,
    /// The same, and then it traps.
    TrapLate,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
}

/// The content type that asks the host for a refresh.
const REFRESH: &str = "application/vnd.muster.refresh+json";

pub(crate) fn deed(method: &str, target: &str, headers: &str, body: Vec<u8>) -> Deed {
    let path = target.split('?').next().unwrap_or(target);
    match path.strip_prefix("/roster_admin/") {
        Some(path) => admin(method, path, headers, body),
        None => contacts(path.strip_prefix("/contacts/").unwrap_or(path)),
    }
}

fn contacts(user: &str) -> Deed {
    let roster = br#"{"marie@example.test":{"name":"Marie"}}"#.to_vec();
    match user {
        // Nothing leaves during the self-test.
        "muster-self-test" | "honest" => say(200, &[("etag", "\"v1\"")], roster),
        "unchanged" => say(304, &[], Vec::new()),
        "vague" => say(200, &[("etag", "\"v1\""), ("etag", "\"v2\"")], roster),
        "page" => say(200, &[("content-type", "text/html")], b"<html>".to_vec()),
        "teapot" => say(418, &[], roster),
        "later" => say(503, &[("retry-after", "7")], Vec::new()),
        "many" => say(200, &[], many()),
        "lying" => say(200, &[("content-length", "5")], roster),
        other => misdeed(other).unwrap_or(Deed::Ask),
    }
}

fn admin(method: &str, path: &str, headers: &str, body: Vec<u8>) -> Deed {
    let text = ("content-type", "text/plain");
    match (method, path.split_once('/').unwrap_or((path, ""))) {
        ("POST", ("refresh", "")) => say(200, &[("content-type", REFRESH)], body),
        ("POST", ("refresh", user)) => {
            let list = format!("[\"{user}\"]").into_bytes();
            say(200, &[("content-type", REFRESH)], list)
        }
        (_, ("setting", name)) => Deed::Setting(name.to_owned()),
        (_, ("no-list", _)) => say(200, &[("content-type", REFRESH)], b"{}".to_vec()),
        (_, ("headers", _)) => say(200, &[text], headers.as_bytes().to_vec()),
        (_, ("browser", _)) => say(200, &BROWSER, b"ok".to_vec()),
        (_, ("redirect", _)) => say(307, &[("location", "http://evil.test/")], Vec::new()),
        (_, ("no", _)) => say(422, &[text], b"no".to_vec()),
        (_, (other, _)) => misdeed(other).unwrap_or_else(|| say(404, &[], Vec::new())),
    }
}

/// None of these is the name of a fault of the tests' apps.
fn misdeed(name: &str) -> Option<Deed> {
    Some(match name {
        "error" => Deed::Error,
        "trap" => Deed::Trap,
        "spin" => Deed::Spin,
        "grow" => Deed::Grow,
        "recurse" => Deed::Recurse,
        "flood" => Deed::Flood,
        "hoard" => Deed::Hoard,
        "never" => Deed::Never,
        "mute" => Deed::Mute,
        "torrent" => Deed::Torrent,
        "unfinished" => Deed::Unfinished,
        "trap-late" => Deed::TrapLate,
        _ => return None,
    })
}

/// Fields that speak to a browser or a proxy for the whole origin.
const BROWSER: [(&str, &str); 4] = [
    ("content-type", "text/plain"),
    ("set-cookie", "session=stolen"),
    ("access-control-allow-origin", "*"),
    ("x-accel-redirect", "/internal"),
];

/// The answer about a setting.
pub(crate) fn told(value: Option<String>) -> Reply {
    Reply {
        status: if value.is_some() { 200 } else { 404 },
        headers: vec![("content-type", "text/plain")],
        body: value.unwrap_or_default().into_bytes(),
    }
}

fn say(status: u16, headers: &[(&'static str, &'static str)], body: Vec<u8>) -> Deed {
    Deed::Say(Reply {
        status,
        headers: headers.to_vec(),
        body,
    })
}

/// More contacts than anybody may have.
fn many() -> Vec<u8> {
    let entries: Vec<_> = (0..20_000)
        .map(|n| format!("\"user{n}@example.test\":{{}}"))
        .collect();
    format!("{{{}}}", entries.join(",")).into_bytes()
}

/// Where the app is: as a test of the sandbox says, or as the URL of rosters.
pub(crate) fn origin(get: impl Fn(&str) -> Option<String>) -> String {
    let from_url = || {
        let url = get("http_roster_url")?;
        let rest = url.split("://").nth(1)?;
        Some(rest.split('/').next()?.to_owned())
    };
    get("authority").or_else(from_url).unwrap_or_default()
}

/// Fields that nearly fill what a map of them may have.
pub(crate) fn large_fields() -> Vec<(String, Vec<u8>)> {
    vec![("x-hoard".to_owned(), vec![b'x'; 15 << 10])]
}

/// A request target of nearly 8 KiB.
pub(crate) fn large_target() -> String {
    format!("/{}", "x".repeat(8_000))
}

/// Fields that no handler can set, and values that would begin another one.
pub(crate) const SMUGGLED: [(&str, &str); 5] = [
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("authorization", "Bearer x"),
    ("x-a", "b\r\nset-cookie: c=d"),
    ("x a", "b"),
];

pub(crate) fn spin() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

pub(crate) fn grow() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

/// Little on the stack in linear memory, so that the host's own ends first.
#[allow(unconditional_recursion, reason = "the deed")]
pub(crate) fn recurse(n: u64) -> u64 {
    std::hint::black_box(recurse(n + 1)).wrapping_add(n)
}
