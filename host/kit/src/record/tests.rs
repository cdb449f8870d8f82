//! A recording stays within its bounds, and tells no name unless it is asked to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_plugin::{Contact, Subscription};

use super::*;

fn about() -> About {
    About {
        domain: "example.test".to_owned(),
        url: "http://app.test/api/people/%s/friends".to_owned(),
        rosters_url: Some("http://app.test/api/everybody".to_owned()),
        origins: vec![("http://app.test".to_owned(), vec!["GET".to_owned()])],
        deny_all_stubs: false,
    }
}

/// One of them goes into every request of the plugin.
fn settings() -> Settings {
    let key = ("api_key".to_owned(), "secret of/the plugin".to_owned());
    Settings::new(vec![key, ("page_size".to_owned(), "100".to_owned())])
}

fn contact(jid: &str, name: &str) -> Contact {
    Contact {
        jid: jid.to_owned(),
        name: Some(name.to_owned()),
        groups: vec!["Friends".to_owned(), "Climbing club".to_owned()],
        subscription: Subscription::Both,
    }
}

fn fetch(recorder: &Recorder, user: &str, body: &str, contacts: Vec<Contact>) {
    let begun = recorder.begins(&[user]);
    answered(recorder, user, body);
    let fetched = Fetched::Roster {
        contacts,
        validator: None,
        skipped: 0,
    };
    recorder.fetched(begun, user, None, &Ok(fetched));
}

/// One request of the plugin for this user.
fn answered(recorder: &Recorder, user: &str, body: &str) {
    let request = Request::get(format!(
        "http://app.test/api/people/{user}/friends?key=secret%20of%2Fthe%20plugin"
    ));
    let request = request.header("if-none-match", "\"1\"");
    let request = request.header("authorization", "Bearer secret-of-the-plugin");
    let answer = Response::builder()
        .header("content-type", "application/json")
        .header("set-cookie", "session=secret-of-the-app")
        .body(Bytes::copy_from_slice(body.as_bytes()));
    recorder.answered(request.body(Bytes::new()).unwrap(), answer.unwrap());
}

fn recorder(fetches: usize, bytes: usize) -> (Recorder, Arc<AtomicUsize>) {
    let full = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&full);
    let recorder = Recorder::new(Bounds { fetches, bytes }, move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    (recorder, full)
}

const BODY: &str = r#"{"friends": [
    {"handle": "marie", "name": "Marie Curie", "state": "mutual", "lists": ["Friends"], "id": 17},
    {"handle": null, "name": "Ada Lovelace", "mail": "ada@lovelace.example", "state": "invited"}
], "next": "/api/people/john/friends?page=2", "cursor": "b3BhcXVl=="}"#;

#[test]
fn no_name_is_told_and_the_same_names_have_the_same_pseudonyms() {
    let (recorder, _) = recorder(10, 1 << 20);
    fetch(
        &recorder,
        "john",
        BODY,
        vec![contact("marie@example.test", "Marie Curie")],
    );
    let mut headers = Request::post("/roster_admin/hook").header("x-signature", "sha256=00");
    headers = headers.header("authorization", "Bearer token-of-the-app");
    let request = headers.body(Bytes::from_static(
        br#"{"event": "changed", "people": ["john"]}"#,
    ));
    recorder.handled(&request.unwrap(), vec!["john".to_owned()], None);

    let eyes = Eyes::Anybody { keep: Vec::new() };
    let told = recorder.recording(about(), "00".to_owned(), &settings(), &eyes);
    let text = serde_json::to_string_pretty(&told).unwrap();
    for name in [
        "john",
        "marie",
        "Marie",
        "Curie",
        "Ada",
        "ada",
        "ovelace",
        "Climbing",
        "b3BhcXVl",
        "secret",
        "token",
        "sha256=00",
        "session",
    ] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    assert!(told.redacted);
    let Found::List(list) = &told.fetches[0].result else {
        panic!("{told:?}");
    };
    let user = &told.fetches[0].username;
    let marie = list[0].jid.strip_suffix("@example.test").unwrap();
    // A word is one pseudonym wherever it stands, with its capital.
    let name = list[0].name.clone().unwrap();
    assert_eq!(name.split(' ').next().unwrap(), marie.replace('p', "P"));
    assert_eq!(
        list[0].groups[0], "Friends",
        "a word of the operator's own URL"
    );
    let exchange = &told.exchanges[0];
    let path = format!("/api/people/{user}/friends");
    assert_eq!(exchange.target, format!("{path}?key=setting-api_key"));
    let body: serde_json::Value = serde_json::from_str(exchange.body.as_ref().unwrap()).unwrap();
    assert_eq!(body["friends"][0]["handle"], marie);
    assert_eq!(body["friends"][0]["name"], name);
    assert_eq!(body["friends"][0]["id"], 17);
    assert_eq!(body["friends"][0]["state"], "mutual", "a kind, no name");
    let next = body["next"].as_str().unwrap();
    let path = format!("/api/people/{user}/friends?");
    assert!(next.starts_with(&path) && next.ends_with("=2"), "{next}");
    assert_eq!(&told.refreshes[0].usernames[0], user);
    assert!(told.refreshes[0].body.as_ref().unwrap().contains(user));

    let raw = recorder.recording(about(), "00".to_owned(), &settings(), &Eyes::Operator);
    let text = serde_json::to_string(&raw).unwrap();
    assert!(text.contains("Marie Curie") && text.contains("x-signature"));
    for credential in ["secret", "token", "session"] {
        assert!(!text.contains(credential), "{credential} in {text}");
    }
    // What was written down can be read again.
    assert_eq!(serde_json::from_str::<Recording>(&text).unwrap(), raw);
}

#[test]
fn what_is_kept_in_documents_is_kept_in_what_was_made_of_them() {
    let (recorder, _) = recorder(10, 1 << 20);
    let body = r#"{"friends": [{"handle": "marie", "lists": ["Family"], "note": "Family"}]}"#;
    let mut marie = contact("marie@example.test", "Marie");
    marie.groups = vec!["Family".to_owned(), "Book club".to_owned()];
    fetch(&recorder, "john", body, vec![marie]);
    let keep = vec!["lists".to_owned()];
    let eyes = Eyes::Anybody { keep };
    let told = recorder.recording(about(), String::new(), &settings(), &eyes);
    let Found::List(list) = &told.fetches[0].result else {
        panic!("{told:?}");
    };
    assert_eq!(list[0].groups[0], "Family");
    assert!(!list[0].groups[1].contains("club"), "{list:?}");
    let text = serde_json::to_string(&told).unwrap();
    assert!(!text.contains("marie") && !text.contains("Marie"), "{text}");
}

/// Fetches many users in one request, to which the app says this.
fn fetch_many(recorder: &Recorder, users: &[&str], body: &str, lists: Many) {
    let begun = recorder.begins(users);
    let users: Vec<_> = users.iter().map(|user| (*user).to_owned()).collect();
    let asked = serde_json::to_vec(&users).unwrap();
    let request = Request::post("http://app.test/api/everybody").body(Bytes::from(asked));
    let answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    recorder.answered(request.unwrap(), answer);
    recorder.fetched_many(begun, &users, &Ok(lists));
}

#[test]
fn many_in_one_request_have_the_pseudonyms_that_they_have_alone() {
    let (recorder, _) = recorder(10, 1 << 20);
    let marie = contact("marie@example.test", "Marie Curie");
    fetch(&recorder, "john", BODY, vec![marie.clone()]);
    let body = r#"{"john": {"marie@example.test": {"name": "Marie Curie"}}, "paul": null}"#;
    let list = Fetched::Roster {
        contacts: vec![marie],
        validator: None,
        skipped: 0,
    };
    let lists = vec![Ok(list), Err(FetchError::NotFound)];
    fetch_many(&recorder, &["john", "paul"], body, lists);
    let none = Err(ManyError::Unsupported);
    recorder.fetched_many(recorder.begins(&["rose"]), &["rose".to_owned()], &none);

    let eyes = Eyes::Anybody { keep: Vec::new() };
    let told = recorder.recording(about(), String::new(), &settings(), &eyes);
    let text = serde_json::to_string(&told).unwrap();
    for name in ["john", "paul", "marie", "Marie", "Curie"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    let [batch] = &told.batches[..] else {
        panic!("nobody was asked by a plugin that does not: {text}");
    };
    let john = &told.fetches[0].username;
    assert_eq!(&batch.usernames[0], john);
    let Together::Each(found) = &batch.result else {
        panic!("{batch:?}");
    };
    assert_eq!(found[0], told.fetches[0].result);
    assert_eq!(found[1], Found::Error("not-found".to_owned()));
    let exchange = &told.exchanges[1];
    assert_eq!(exchange.target, "/api/everybody", "the operator's own URL");
    let asked: Vec<String> = serde_json::from_str(&exchange.asked).unwrap();
    assert_eq!(asked, batch.usernames);
    let body: serde_json::Value = serde_json::from_str(exchange.body.as_ref().unwrap()).unwrap();
    assert!(body[john].is_object() && body[&batch.usernames[1]].is_null());
    assert_eq!(serde_json::from_str::<Recording>(&text).unwrap(), told);
}

#[test]
fn every_user_of_a_batch_is_a_fetch() {
    let (recorder, _) = recorder(3, 1 << 20);
    fetch(&recorder, "a", "{}", Vec::new());
    fetch_many(
        &recorder,
        &["b", "c"],
        "{}",
        vec![Err(FetchError::NotFound); 2],
    );
    assert_eq!(recorder.load().0, 3);
    fetch(&recorder, "d", "{}", Vec::new());
    let kept = recorder.recording(about(), String::new(), &settings(), &Eyes::Operator);
    assert_eq!((kept.fetches.len(), kept.batches.len()), (1, 1));
    fetch(&recorder, "e", "{}", Vec::new());
    assert_eq!(recorder.load().0, 2, "a batch goes as a whole");
    recorder.forget();
    assert_eq!(recorder.load(), (0, 0));
    let kept = recorder.recording(about(), String::new(), &settings(), &Eyes::Operator);
    assert!(kept.fetches.is_empty() && kept.exchanges.is_empty());
}

#[test]
fn a_fetch_that_found_nothing_new_takes_its_place_as_well() {
    let (recorder, full) = recorder(1_000_000, 100_000);
    for user in 0..10_000 {
        let username = format!("user{user}");
        recorder.fetched(
            recorder.begins(&[&username]),
            &username,
            None,
            &Ok(Fetched::Unchanged),
        );
    }
    let (fetches, bytes) = recorder.load();
    assert!(bytes <= 100_000, "{bytes}");
    assert!((100..2_000).contains(&fetches), "{fetches}");
    assert!(full.load(Ordering::Relaxed) > 0);
}

#[test]
fn documents_by_name_have_pseudonyms_for_keys() {
    let (recorder, _) = recorder(10, 1 << 20);
    let body = r#"{"marie@example.test": {"name": "Marie"},
        "by_handle": {"paul": {"x": 1}, "rose": {"x": 2}}}"#;
    fetch(&recorder, "john", body, Vec::new());
    let eyes = Eyes::Anybody { keep: Vec::new() };
    let told = recorder.recording(about(), String::new(), &settings(), &eyes);
    let body = told.exchanges[0].body.as_ref().unwrap();
    for name in ["marie", "paul", "rose"] {
        assert!(!body.contains(name), "{name} in {body}");
    }
    assert!(body.contains("by_handle") && body.contains("@example.test"));
}

#[test]
fn a_body_that_is_no_json_is_left_out() {
    let (recorder, _) = recorder(10, 1 << 20);
    fetch(&recorder, "john", "<b>Marie</b>", Vec::new());
    let eyes = Eyes::Anybody { keep: Vec::new() };
    let told = recorder.recording(about(), String::new(), &settings(), &eyes);
    assert_eq!(told.exchanges[0].body, None);
}

/// Requests have names in them before their fetch has ended, and after it is
/// forgotten.
#[test]
fn no_name_is_told_of_whom_no_fetch_is_kept() {
    let (recorder, _) = recorder(1, 1 << 20);
    let not_found = Err(FetchError::NotFound);
    let [alba, bruno] = ["alba", "bruno"].map(|user| recorder.begins(&[user]));
    recorder.begins(&["carla"]);
    for user in ["alba", "bruno", "carla"] {
        answered(&recorder, user, "{}");
    }
    recorder.fetched(bruno, "bruno", None, &not_found);
    recorder.fetched(alba, "alba", None, &not_found);
    let eyes = Eyes::Anybody { keep: Vec::new() };
    let recording = recorder.recording(about(), String::new(), &settings(), &eyes);
    assert_eq!((recording.fetches.len(), recording.exchanges.len()), (1, 3));
    let text = serde_json::to_string(&recording).unwrap();
    for name in ["alba", "bruno", "carla"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}

#[test]
fn a_plugins_words_about_a_document_are_not_told() {
    let (recorder, _) = recorder(10, 1 << 20);
    let begun = recorder.begins(&["john"]);
    let reason = "invalid type: string \"Marie Curie\"".to_owned();
    recorder.fetched(begun, "john", None, &Err(FetchError::Malformed(reason)));
    let recording = |eyes| recorder.recording(about(), String::new(), &settings(), &eyes);
    let raw = recording(Eyes::Operator);
    let redacted = recording(Eyes::Anybody { keep: Vec::new() });
    let found = &redacted.fetches[0].result;
    assert_eq!(*found, Found::Error("malformed".to_owned()));
    assert!(found.is_same(&raw.fetches[0].result));
}

#[test]
fn the_oldest_go_beyond_either_bound() {
    let (recorder, full) = recorder(3, 1 << 20);
    for user in ["a", "b", "c", "d", "e"] {
        fetch(&recorder, user, "{}", Vec::new());
    }
    let kept = recorder.recording(about(), String::new(), &settings(), &Eyes::Operator);
    let users: Vec<_> = kept.fetches.iter().map(|it| it.username.as_str()).collect();
    assert_eq!(users, ["c", "d", "e"]);
    assert_eq!(kept.exchanges.len(), 3, "those of the others went along");
    assert_eq!(kept.left_out, 4);
    assert_eq!(full.load(Ordering::Relaxed), 0);

    let (recorder, full) = self::recorder(1_000, 10_000);
    let large = format!("{{\"x\": \"{}\"}}", "y".repeat(3_000));
    for user in 0..10 {
        fetch(&recorder, &user.to_string(), &large, Vec::new());
    }
    let kept = recorder.recording(about(), String::new(), &settings(), &Eyes::Operator);
    assert!(
        (1..=3).contains(&kept.exchanges.len()),
        "{}",
        kept.exchanges.len()
    );
    assert!(full.load(Ordering::Relaxed) > 0);
}
