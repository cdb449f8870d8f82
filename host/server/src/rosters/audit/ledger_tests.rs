//! What an audit finds in lists that are given, and its bounds.

use super::*;

const DOMAIN: &str = "example.test";

fn jid(name: &str) -> BareJid {
    BareJid::new(&format!("{name}@{DOMAIN}")).unwrap()
}

/// `"marie:to"` is marie of this domain, seen by the user; without a word, both.
fn contact(text: &str) -> Contact {
    let (name, word) = text.split_once(':').unwrap_or((text, "both"));
    let all = [
        Subscription::None,
        Subscription::To,
        Subscription::From,
        Subscription::Both,
    ];
    Contact {
        jid: match name.contains('@') || name.contains(' ') {
            true => name.to_owned(),
            false => format!("{name}@{DOMAIN}"),
        },
        subscription: all.into_iter().find(|it| it.name() == word).unwrap(),
        ..Contact::default()
    }
}

type Lists = HashMap<&'static str, &'static [&'static str]>;

fn audit(named: &[&str], scope: Scope, limits: AuditLimits, lists: &Lists) -> AuditReport {
    let mut ledger = Ledger::new(DOMAIN, limits, scope);
    for name in named {
        ledger.name(jid(name).as_str());
    }
    while let Some(account) = ledger.next() {
        let owner = BareJid::new(&account).unwrap();
        let name = owner.node().unwrap().to_string();
        let heard = match lists.get(&*name) {
            Some(list) => Heard::Roster(list.iter().map(|it| contact(it)).collect(), 0),
            None => Heard::Unknown,
        };
        ledger.hear(&owner, heard);
    }
    ledger.report()
}

fn told(report: &AuditReport) -> Vec<String> {
    let tell = |finding: &Finding| match finding.clone() {
        Finding::OneSided {
            user,
            contact,
            says,
            other,
        } => format!("{user} {says} {contact} {other}"),
        Finding::UnknownContact { user, contact } => format!("{user} ? {contact}"),
        Finding::UnknownUser { user } => format!("{user} ?"),
        Finding::Collision {
            user,
            contact,
            entries,
        } => format!("{user} {contact} {entries:?}"),
        Finding::SelfListed { user, entry } => format!("{user} self {entry}"),
        Finding::Invalid { user, entry } => format!("{user} {entry:?}"),
        Finding::LeftOut { user, entries } => format!("{user} left out {entries}"),
    };
    let told = report.findings.iter().map(tell);
    told.map(|it| it.replace("@example.test", "")).collect()
}

#[test]
fn subscriptions_that_fit_and_that_do_not() {
    use Subscription::{Both, From, None as No, To};
    for (one, other, fits) in [
        (Both, Some(Both), true),
        (Both, Some(To), false),
        (Both, None, false),
        (To, Some(From), true),
        (From, Some(To), true),
        (To, Some(To), false),
        (To, Some(Both), false),
        (To, None, false),
        (From, None, false),
        (No, None, true),
        (No, Some(No), true),
        (No, Some(From), false),
    ] {
        assert_eq!(fit(one, other), fits, "{one:?} {other:?}");
        if let Some(other) = other {
            assert_eq!(fit(other, Some(one)), fits, "either way round");
        }
    }
}

#[test]
fn everything_that_does_not_fit_is_found_once() {
    let lists = Lists::from([
        (
            "ada",
            &["bob", "cleo:to", "ghost", "x@elsewhere.test"] as &[_],
        ),
        ("bob", &["ada:from", "BOB@example.test", "a b", "emil:none"]),
        ("cleo", &["ada:from", "dora", "DORA@EXAMPLE.test:to"]),
        ("dora", &[]),
        ("emil", &[]),
    ]);
    let limits = AuditLimits::default();
    let report = audit(&["ada", "nobody"], Scope::Everybody, limits, &lists);
    let expected = [
        "ada both bob from",
        "cleo both dora absent",
        "ada ? ghost",
        "nobody ?",
        "cleo dora [\"dora\", \"DORA@EXAMPLE.test\"]",
        "bob self BOB",
        "bob \"a b\"",
    ];
    assert_eq!(told(&report), expected);
    assert_eq!((report.users, report.contacts), (7, 11));
    assert!(report.complete && report.failed == 0);
    assert_eq!(report.found(), 7);
}

/// By a plugin that does not pass on what is no contact.
#[test]
fn what_the_plugin_left_out_is_a_number() {
    let mut ledger = Ledger::new(DOMAIN, AuditLimits::default(), Scope::Everybody);
    ledger.name(jid("ada").as_str());
    ledger.hear(&jid("ada"), Heard::Roster(vec![contact("x@y.test")], 2));
    let report = ledger.report();
    assert_eq!(told(&report), ["ada left out 2"]);
    assert_eq!((report.contacts, report.found()), (1, 1));
}

#[test]
fn for_named_users_their_contacts_are_asked_and_nobody_else() {
    let lists = Lists::from([
        ("ada", &["bob"] as &[_]),
        ("bob", &["cleo", "dora"]),
        ("cleo", &[]),
        ("dora", &[]),
    ]);
    let report = audit(&["ada"], Scope::Named, AuditLimits::default(), &lists);
    assert_eq!(told(&report), ["ada both bob absent"]);
    assert_eq!(report.users, 2);
}

#[test]
fn the_bounds_are_told() {
    let lists = Lists::from([
        ("ada", &["bob", "cleo", "dora"] as &[_]),
        ("bob", &["ada"]),
        ("cleo", &[]),
        ("dora", &[]),
    ]);
    let audit = |limits| audit(&["ada"], Scope::Everybody, limits, &lists);
    let limits = AuditLimits::default;
    let few = audit(AuditLimits {
        users: 2,
        ..limits()
    });
    assert_eq!((few.users, few.cut.as_deref()), (2, Some("users")));
    assert!(told(&few).is_empty(), "whom nobody asked for says nothing");
    let short = audit(AuditLimits {
        contacts: 2,
        ..limits()
    });
    assert_eq!(short.cut.as_deref(), Some("contacts"));
    // What bob says of ada was not noted, and is not said to be missing.
    assert_eq!(told(&short), ["ada both cleo absent"]);
    let brief = audit(AuditLimits {
        findings: 1,
        ..limits()
    });
    assert_eq!((brief.findings.len(), brief.found()), (1, 2));
    assert!(brief.complete, "they are counted");
}

#[test]
fn an_entry_is_quoted_so_that_no_terminal_obeys_it() {
    assert_eq!(quoted("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    let long = quoted(&"x".repeat(5_000));
    assert_eq!(long.len(), QUOTED_BYTES + '…'.len_utf8());
}
