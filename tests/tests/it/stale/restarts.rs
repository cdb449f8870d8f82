//! What outlives the process: the last known rosters, as far as they are still
//! to be kept, and never more than what the app says.

use super::*;

/// Promise 9. The process is killed at whatever moment: with the app there, the
/// next roster is what the app says, whatever was or was not written.
#[tokio::test]
async fn after_a_kill_the_app_has_the_word() {
    let app = App::start().await;
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    for round in 0..4 {
        let contact = |n: usize| format!("contact{n}@example.test");
        app.set_contacts("john", json!({ contact(2 * round): {} }));
        let mut john = login(&process, "john").await;
        assert_eq!(
            items(&john.roster().await),
            [format!("{} both", contact(2 * round))]
        );
        app.set_contacts("john", json!({ contact(2 * round + 1): {} }));
        let summary = muster_tests::muster::refresh(process.http(), DOMAIN, &["john"]).await;
        assert_eq!(summary, Summary::new("ok", 1, 0));
        if round % 2 == 0 {
            // Two writes a round, if both came to be.
            until_kept(&process, 1.0).await;
        }
        process.kill().await;
        process.restart(binary()).await;
        let mut john = login(&process, "john").await;
        assert_eq!(
            items(&john.roster().await),
            [format!("{} both", contact(2 * round + 1))],
            "round {round}"
        );
        john.leave().await;
    }
}

/// Row 71: with the app dead, and then with the app there: a validator belongs
/// to the very roster that was written with it.
#[tokio::test]
async fn after_a_kill_the_last_known_roster_is_there() {
    let app = App::start().await;
    let address = app.address();
    let setup = Setup::for_app(&app).with(SOON);
    let mut process = Process::start(binary(), &setup).await;
    app.set_contacts("john", json!({"marie@example.test": {"name": "Marie"}}));
    let mut john = login(&process, "john").await;
    john.roster().await;
    until_kept(&process, 1.0).await;
    app.set_contacts("john", json!({"aaron@example.test": {}}));
    muster_tests::muster::refresh(process.http(), DOMAIN, &["john"]).await;
    until_kept(&process, 2.0).await;
    drop(app);
    process.kill_and_restart(binary()).await;
    let mut john = login(&process, "john").await;
    assert_eq!(items(&john.roster().await), ["aaron@example.test both"]);
    assert_eq!(served(&process, "stale").await, 1.0);
    // The app comes back as it was: it confirms what is kept.
    let app = App::start_at(address).await;
    app.set_contacts("john", json!({"aaron@example.test": {}}));
    app.wait_for_requests("john", 1).await;
    assert!(
        app.requests_for("john")[0]
            .header("if-none-match")
            .is_some()
    );
    process.kill_and_restart(binary()).await;
    let mut john = login(&process, "john").await;
    assert_eq!(items(&john.roster().await), ["aaron@example.test both"]);
    let requests = app.requests_for("john");
    let last = requests.last().expect("a request");
    assert!(last.header("if-none-match").is_some(), "a 304 will do");
    assert_eq!(
        kept(&process, "kept").await,
        0.0,
        "an unchanged roster is not written again"
    );
    assert_eq!(served(&process, "app").await, 1.0);
}

/// What is no longer to be kept is taken out at the start, and so is what
/// belongs to a host that is gone; another app is not asked about versions of
/// the first.
#[tokio::test]
async fn a_change_of_the_configuration_is_heeded() {
    let app = App::start().await;
    let other = App::start().await;
    let setup = Setup::for_app(&app);
    let mut process = Process::start(binary(), &setup).await;
    for app in [&app, &other] {
        app.set_contacts("john", json!({"marie@example.test": {}}));
    }
    login(&process, "john").await.roster().await;
    until_kept(&process, 1.0).await;

    process
        .kill_and_restart_with(binary(), &Setup::for_app(&other))
        .await;
    login(&process, "john").await.roster().await;
    until_kept(&process, 1.0).await;
    let asked = other.requests_for("john");
    assert_eq!(asked[0].header("if-none-match"), None, "not its own");

    for without in [
        Setup::for_app(&app).roster_keys("on_backend_failure = \"reject\""),
        Setup::new().host("other.test", "kind = \"any\"", &app.roster_url()),
    ] {
        process.kill_and_restart_with(binary(), &setup).await;
        login(&process, "john").await.roster().await;
        // For what the app calls it, which is another's in the first round.
        until_kept(&process, 1.0).await;
        app.set_outage(Some(Answer::Status(500)));
        process.kill_and_restart_with(binary(), &setup).await;
        let mut john = login(&process, "john").await;
        assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
        process.kill_and_restart_with(binary(), &without).await;
        within("the clean-up", async {
            while kept(&process, "forgotten").await < 1.0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        process.kill_and_restart_with(binary(), &setup).await;
        let mut john = login(&process, "john").await;
        assert!(error_of(&john.roster().await).starts_with("wait/"));
        // So that nobody is owed what the next round is to be the first to see.
        john.leave().await;
        app.set_outage(None);
    }
}

/// A file that cannot be read costs the last known rosters and nothing else.
#[tokio::test]
async fn a_damaged_file_costs_nothing_but_the_fallback() {
    let app = App::start().await;
    app.set_contacts("john", json!({"marie@example.test": {}}));
    let mut process = Process::start(binary(), &Setup::for_app(&app)).await;
    process.kill().await;
    let file = process.directory().join("data/muster.redb");
    std::fs::write(&file, vec![b'x'; 100_000]).expect("a file");
    process.restart(binary()).await;
    let mut john = login(&process, "john").await;
    assert_eq!(items(&john.roster().await), ["marie@example.test both"]);
    john.leave().await;
    app.set_outage(Some(Answer::Status(500)));
    let mut marie = login(&process, "marie").await;
    assert!(error_of(&marie.roster().await).starts_with("wait/"));
    marie.settle().await;
}
