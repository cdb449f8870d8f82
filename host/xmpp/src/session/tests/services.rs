//! What the server answers by itself and what it asks of its shell, service by
//! service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jid::Jid;
use sha1::{Digest as _, Sha1};
use xmpp_parsers::minidom::Element;

use super::*;
use crate::error::{ErrorType, StanzaCondition, StanzaError};

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";

fn request(type_: &str, to: &str, payload: &str) -> String {
    let to = match to {
        "" => String::new(),
        to => format!(" to='{to}'"),
    };
    format!("<iq id='1' type='{type_}'{to}>{payload}</iq>")
}

/// What the shell is asked.
fn asked(xml: &str) -> (Reply, ServiceRequest) {
    match Stream::bound().say(xml).pop() {
        Some(Action::Serve { reply, request }) => (reply, request),
        other => panic!("{xml}: {other:?}"),
    }
}

/// What the client hears when the shell answers.
fn told(xml: &str, answer: Result<ServiceAnswer, StanzaError>) -> String {
    let mut stream = Stream::bound();
    let Some(Action::Serve { reply, .. }) = stream.say(xml).pop() else {
        panic!("{xml} is not the shell's");
    };
    stream.session.request_served(&reply, answer);
    stream.heard()
}

/// The features of the server or of the own account.
fn features(stream: &mut Stream, to: &str) -> Vec<String> {
    let info = stream.ask(&request(
        "get",
        to,
        &format!("<query xmlns='{DISCO_INFO}'/>"),
    ));
    let iq: Element = info
        .replacen("<iq", "<iq xmlns='jabber:client'", 1)
        .parse()
        .unwrap();
    let query = iq.get_child("query", DISCO_INFO).unwrap();
    let features = query.children().filter(|it| it.name() == "feature");
    features
        .map(|feature| feature.attr("var").unwrap().to_owned())
        .collect()
}

#[test]
fn disco_lists_what_is_answered() {
    let server = features(&mut Stream::bound(), "example.test");
    for feature in [
        DISCO_INFO,
        "http://jabber.org/protocol/disco#items",
        "jabber:iq:last",
        "jabber:iq:private",
        "jabber:iq:roster",
        "jabber:iq:version",
        "msgoffline",
        "urn:xmpp:blocking",
        "urn:xmpp:carbons:2",
        "urn:xmpp:carbons:rules:0",
        "urn:xmpp:ping",
        "urn:xmpp:time",
        "vcard-temp",
    ] {
        assert!(server.iter().any(|it| it == feature), "{feature}");
    }
    let account = features(&mut Stream::bound(), "");
    let at_server_alone = ["jabber:iq:version", "urn:xmpp:time"];
    for feature in &server {
        let expected = !at_server_alone.contains(&feature.as_str());
        assert_eq!(account.contains(feature), expected, "{feature}");
    }
    let mut config = config();
    for host in config.hosts.values_mut() {
        host.offline_messages = false;
    }
    let mut stream = Stream::bound_with(config);
    assert!(!features(&mut stream, "example.test").contains(&"msgoffline".to_owned()));
}

/// The hash of XEP-0115 §5.1, computed as a client does: from what it is told.
fn verification(query: &Element) -> String {
    const FORMS: &str = "jabber:x:data";
    let attribute = |element: &Element, name: &str| element.attr(name).unwrap_or("").to_owned();
    let mut identities: Vec<String> = query
        .children()
        .filter(|it| it.name() == "identity")
        .map(|it| {
            let [category, type_, name] =
                ["category", "type", "name"].map(|name| attribute(it, name));
            format!("{category}/{type_}//{name}<")
        })
        .collect();
    identities.sort();
    let mut features: Vec<String> = query
        .children()
        .filter(|it| it.name() == "feature")
        .map(|it| attribute(it, "var") + "<")
        .collect();
    features.sort();
    let mut text = identities.concat() + &features.concat();
    if let Some(form) = query.get_child("x", FORMS) {
        let mut fields = Vec::new();
        for field in form.children() {
            let mut values: Vec<String> = field.children().map(|it| it.text() + "<").collect();
            values.sort();
            match field.attr("var") {
                Some("FORM_TYPE") => text.push_str(&values.concat()),
                Some(var) => fields.push(format!("{var}<{}", values.concat())),
                None => panic!("a field without a name"),
            }
        }
        fields.sort();
        text.push_str(&fields.concat());
    }
    BASE64.encode(Sha1::digest(text))
}

#[test]
fn the_capabilities_in_the_features_are_those_of_disco() {
    let mut stream = Stream::authenticated();
    let features = stream.ask(HEADER);
    let start = features.find("<c xmlns=").expect("capabilities");
    let end = start + features[start..].find("/>").unwrap() + 2;
    let caps: Element = features[start..end].parse().unwrap();
    assert_eq!(caps.ns(), "http://jabber.org/protocol/caps");
    assert_eq!(caps.attr("hash"), Some("sha-1"));
    let (node, ver) = (caps.attr("node").unwrap(), caps.attr("ver").unwrap());
    assert!(node.starts_with("https://"));

    let mut stream = Stream::bound();
    for node in [None, Some(format!("{node}#{ver}"))] {
        let attribute = node.as_ref().map(|node| format!("node='{node}'"));
        let query = format!(
            "<query xmlns='{DISCO_INFO}' {}/>",
            attribute.unwrap_or_default()
        );
        let info = stream.ask(&request("get", "example.test", &query));
        let iq: Element = info
            .replacen("<iq", "<iq xmlns='jabber:client'", 1)
            .parse()
            .unwrap();
        let query = iq.get_child("query", DISCO_INFO).unwrap();
        assert_eq!(query.attr("node"), node.as_deref());
        assert_eq!(verification(query), ver);
        assert!(info.contains("<value>mailto:abuse@example.test</value>"));
    }
    let outdated = format!("<query xmlns='{DISCO_INFO}' node='{node}#outdated'/>");
    let heard = stream.ask(&request("get", "example.test", &outdated));
    assert!(heard.contains("<item-not-found "), "{heard}");
}

#[test]
fn time_and_uptime_are_the_shells() {
    let (_, uptime) = asked(&request(
        "get",
        "example.test",
        "<query xmlns='jabber:iq:last'/>",
    ));
    assert_eq!(uptime, ServiceRequest::Uptime);
    let last = request("get", "example.test", "<query xmlns='jabber:iq:last'/>");
    let heard = told(
        &last,
        Ok(ServiceAnswer::Uptime(Duration::from_millis(903_900))),
    );
    assert_eq!(
        heard,
        "<iq from=\"example.test\" to=\"john@example.test/phone\" id=\"1\" type=\"result\">\
         <query xmlns=\"jabber:iq:last\" seconds=\"903\"/></iq>"
    );
    let time = request("get", "example.test", "<time xmlns='urn:xmpp:time'/>");
    assert_eq!(asked(&time).1, ServiceRequest::Time);
    let heard = told(&time, Ok(ServiceAnswer::Time(Duration::from_secs(86_399))));
    assert!(
        heard.contains(
            "<time xmlns=\"urn:xmpp:time\"><tzo>+00:00</tzo><utc>1970-01-01T23:59:59Z</utc></time>"
        ),
        "{heard}"
    );
    // One's own account is in use.
    for to in ["", "john@example.test"] {
        let heard = Stream::bound().ask(&request("get", to, "<query xmlns='jabber:iq:last'/>"));
        assert!(heard.contains("<query xmlns=\"jabber:iq:last\" seconds=\"0\"/>"));
    }
}

#[test]
fn carbons_are_turned_on_and_off() {
    for (name, enabled) in [("enable", true), ("disable", false)] {
        let xml = request("set", "", &format!("<{name} xmlns='urn:xmpp:carbons:2'/>"));
        assert_eq!(asked(&xml).1, ServiceRequest::Carbons { enabled });
        assert_eq!(
            told(&xml, Ok(ServiceAnswer::Done)),
            "<iq to=\"john@example.test/phone\" id=\"1\" type=\"result\"/>"
        );
    }
}

#[test]
fn vcards_are_read_and_replaced_whole() {
    let get = request("get", "john@example.test", "<vCard xmlns='vcard-temp'/>");
    assert_eq!(asked(&get).1, ServiceRequest::VcardGet);
    let vcard = "<vCard xmlns=\"vcard-temp\"><FN>John &amp; Co</FN></vCard>";
    match asked(&request("set", "", vcard)).1 {
        ServiceRequest::VcardSet(payload) => assert_eq!(payload.as_str(), vcard),
        other => panic!("{other:?}"),
    }
    for (found, expected) in [
        (None, "<vCard xmlns=\"vcard-temp\"/>"),
        (Some(vcard), vcard),
    ] {
        let heard = told(&get, Ok(ServiceAnswer::Vcard(found.map(str::to_owned))));
        assert_eq!(
            heard,
            format!(
                "<iq from=\"john@example.test\" to=\"john@example.test/phone\" id=\"1\" type=\"result\">{expected}</iq>"
            )
        );
    }
    let full = StanzaError::new(ErrorType::Modify, StanzaCondition::PolicyViolation);
    let heard = told(&request("set", "", vcard), Err(full));
    assert!(heard.contains("<policy-violation "), "{heard}");
}

#[test]
fn private_data_is_kept_by_element() {
    let query = |inside: &str| format!("<query xmlns='jabber:iq:private'>{inside}</query>");
    let bookmarks = "<storage xmlns=\"storage:bookmarks\"><conference jid=\"a@b\"/></storage>";
    let private = |xml: &str| Private {
        namespace: "storage:bookmarks".to_owned(),
        name: "storage".to_owned(),
        xml: xml.to_owned(),
    };
    assert_eq!(
        asked(&request("set", "", &query(bookmarks))).1,
        ServiceRequest::PrivateSet(private(bookmarks))
    );
    // What is asked for is an element by its name, whatever is in it.
    let get = request("get", "", &query(bookmarks));
    let empty = private("<storage xmlns=\"storage:bookmarks\"/>");
    assert_eq!(asked(&get).1, ServiceRequest::PrivateGet(empty));
    let heard = told(&get, Ok(ServiceAnswer::Private(private(bookmarks))));
    assert!(
        heard.contains(&format!(
            "<query xmlns=\"jabber:iq:private\">{bookmarks}</query>"
        )),
        "{heard}"
    );
    for inside in [
        "",
        "<a xmlns='urn:a'/><b xmlns='urn:a'/>",
        "<own/>",
        "<none xmlns=''/>",
    ] {
        for type_ in ["get", "set"] {
            let heard = Stream::bound().ask(&request(type_, "", &query(inside)));
            assert!(
                heard.contains("<not-acceptable "),
                "{type_} {inside}: {heard}"
            );
        }
    }
}

#[test]
fn blocking_commands_are_read() {
    let command = |name: &str, items: &str| {
        let type_ = if name == "blocklist" { "get" } else { "set" };
        request(
            type_,
            "",
            &format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"),
        )
    };
    let jid = |text: &str| Jid::new(text).unwrap();
    let marie = "<item jid='MARIE@example.test'/>";
    let both = "<item jid='other.test.'/><item jid='marie@example.test'/><item jid='other.test'/>";
    for (xml, expected) in [
        (command("blocklist", ""), ServiceRequest::Blocklist),
        (
            command("block", marie),
            ServiceRequest::Block(vec![jid("marie@example.test")]),
        ),
        (
            command("block", both),
            ServiceRequest::Block(vec![jid("marie@example.test"), jid("other.test")]),
        ),
        (
            command("unblock", both),
            ServiceRequest::Unblock(vec![jid("marie@example.test"), jid("other.test")]),
        ),
        (command("unblock", ""), ServiceRequest::Unblock(Vec::new())),
    ] {
        assert_eq!(asked(&xml).1, expected, "{xml}");
    }
    for (xml, error) in [
        (command("block", ""), "<bad-request "),
        (command("block", "<item/>"), "<bad-request "),
        (
            command("block", "<x xmlns='urn:x' jid='a@b'/>"),
            "<bad-request ",
        ),
        (command("block", "<item jid='@'/>"), "<jid-malformed "),
        (
            command("unblock", &format!("{marie}<item jid=''/>")),
            "<jid-malformed ",
        ),
    ] {
        let heard = Stream::bound().ask(&xml);
        assert!(heard.contains(error), "{xml}: {heard}");
    }
    let heard = told(
        &command("blocklist", ""),
        Ok(ServiceAnswer::Blocklist(vec![
            "a@b".to_owned(),
            "c".to_owned(),
        ])),
    );
    assert!(
        heard.contains(
            "<blocklist xmlns=\"urn:xmpp:blocking\"><item jid=\"a@b\"/><item jid=\"c\"/></blocklist>"
        ),
        "{heard}"
    );
}

/// There is no PEP; who looks for a node of it is told so at once.
#[test]
fn a_node_of_the_own_account_is_not_found() {
    let payload = |namespace: &str| {
        format!(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub{namespace}'><items node='urn:xmpp:bookmarks:1'/></pubsub>"
        )
    };
    for to in ["", "john@example.test"] {
        for (type_, namespace, error) in [
            ("get", "", "<item-not-found "),
            ("get", "#owner", "<item-not-found "),
            ("set", "", "<service-unavailable "),
        ] {
            let heard = Stream::bound().ask(&request(type_, to, &payload(namespace)));
            assert!(heard.contains(error), "{type_} {to}: {heard}");
        }
    }
}

/// What belongs to an account is not at the server, and the other way round.
#[test]
fn services_are_where_they_belong() {
    for (type_, to, payload) in [
        ("get", "example.test", "<vCard xmlns='vcard-temp'/>"),
        (
            "get",
            "example.test",
            "<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>",
        ),
        (
            "set",
            "example.test",
            "<enable xmlns='urn:xmpp:carbons:2'/>",
        ),
        (
            "get",
            "example.test",
            "<blocklist xmlns='urn:xmpp:blocking'/>",
        ),
        ("get", "", "<query xmlns='jabber:iq:version'/>"),
        ("get", "", "<time xmlns='urn:xmpp:time'/>"),
        ("get", "", "<enable xmlns='urn:xmpp:carbons:2'/>"),
        ("set", "", "<blocklist xmlns='urn:xmpp:blocking'/>"),
    ] {
        let heard = Stream::bound().ask(&request(type_, to, payload));
        assert!(
            heard.contains("<service-unavailable "),
            "{payload}: {heard}"
        );
    }
}
