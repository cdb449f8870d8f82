//! Promises 2 and 4 to 10 while everything goes wrong at once: the app fails in
//! every way, connections break, plugins are exchanged for bad ones, the process
//! is killed, stopped and suspended. Meanwhile lists change, the app tells of
//! it, and clients come and go.
//!
//! A run is made from a seed ([`plan`]). The app is a model ([`truth`]) that
//! knows each version of each list; its calls ([`app`]) and the clients
//! ([`client`]) are held against it all the time, and everything after each
//! round, once the faults have ended: whatever a client sees must be what the
//! app says.
//!
//! `just chaos SEED` runs one for ten minutes; `MUSTER_CHAOS_SEED` and
//! `MUSTER_CHAOS_TIME` (in seconds) choose.

mod app;
mod client;
mod plan;
mod scene;
mod tale;
mod truth;

use self::app::Caller;
use self::client::{Handle, Order, Sight};
use self::plan::{CLIENTS, Deed, Event, Plan, Round, USERS};
use self::scene::Scene;
use self::tale::Tale;
use self::truth::{Truth, jid};
use muster_tests::app::App;
use muster_tests::dice::from_environment;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// After the end of the faults everything is as it should be within this time;
/// in a fraction of it where the machine does nothing else.
const REST: Duration = Duration::from_secs(60);

/// Everything of one run.
struct Run {
    scene: Arc<Scene>,
    caller: Arc<Caller>,
    clients: Arc<Vec<Handle>>,
    truth: Arc<Truth>,
    tale: Arc<Tale>,
    /// Clients that are to be there.
    wanted: BTreeSet<usize>,
}

#[test]
fn the_plan_of_a_seed_is_always_the_same() {
    let plan = |seed| Plan::new(seed, Duration::from_secs(600)).to_string();
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
    let (rounds, events) = (plan(7).matches("round").count(), plan(7).lines().count());
    assert!(
        rounds == 20 && events > 1_000,
        "{rounds} rounds, {events} lines"
    );
}

/// Two seeds, each for some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_run_keeps_every_promise() {
    for seed in [1, 2] {
        println!("{}", run(seed, Duration::from_secs(12)).await);
    }
}

/// One seed, for as long as one likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes; `just chaos SEED`"]
async fn a_long_run_keeps_every_promise() {
    let time = from_environment("MUSTER_CHAOS_TIME", 600);
    let seed = from_environment("MUSTER_CHAOS_SEED", 1);
    let time = Duration::from_secs(time);
    if std::env::var_os("MUSTER_CHAOS_PLAN").is_some() {
        println!("{}", Plan::new(seed, time));
    }
    println!("{}", run(seed, time).await);
}

/// Runs it; says in numbers what was done.
///
/// # Panics
/// If a promise was broken: with the seed, what happened, and the difference.
async fn run(seed: u64, time: Duration) -> String {
    let plan = Plan::new(seed, time);
    let tale = Arc::new(Tale::new());
    let mut run = Run::prepare(&tale).await;
    let begun = Instant::now();
    for (number, round) in plan.rounds.iter().enumerate() {
        tale.note(format!("round {number} begins"));
        run.play(round).await;
        run.come_to_rest().await;
        if tale.is_broken() {
            break;
        }
    }
    let log = run.scene.log().await;
    let Run { scene, .. } = run;
    if let Some(scene) = Arc::into_inner(scene) {
        scene.close().await;
    }
    let (took, summary) = (begun.elapsed(), tale.summary());
    assert!(
        !tale.is_broken(),
        "{}\n\nthe host's log ends so:\n{log}\n\nseed {seed} ({}); {summary}",
        tale.verdict(),
        "MUSTER_CHAOS_PLAN=1 prints its plan"
    );
    format!("seed {seed}, {took:.0?}: {summary}")
}

impl Run {
    async fn prepare(tale: &Arc<Tale>) -> Run {
        let app = App::start_at(([127, 0, 0, 1], 0).into()).await;
        let app = Arc::new(app);
        let truth = Arc::new(Truth::new(Arc::clone(&app)));
        let scene = Scene::open(app, Arc::clone(tale)).await;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let user = match number.checked_sub(USERS) {
                None => number,
                Some(second) => second * 3,
            };
            let (truth, tale) = (Arc::clone(&truth), Arc::clone(tale));
            clients.push(Handle::start(number, user, scene.xmpp, truth, tale).await);
        }
        let clients = Arc::new(clients);
        let caller = Caller::new(
            scene.http,
            Arc::clone(&truth),
            Arc::clone(tale),
            Arc::clone(&clients),
        );
        let mut run = Run {
            scene: Arc::new(scene),
            caller: Arc::new(caller),
            clients,
            truth,
            tale: Arc::clone(tale),
            wanted: BTreeSet::new(),
        };
        // Two of three are there from the beginning.
        for client in (0..CLIENTS).filter(|client| client % 3 != 2) {
            run.do_it(client, Deed::Come).await;
        }
        run.come_to_rest().await;
        run
    }

    /// Lets the events of a round happen, and waits until each is over.
    async fn play(&mut self, round: &Round) {
        let begun = tokio::time::Instant::now();
        let mut under_way = JoinSet::new();
        for (at, event) in &round.events {
            tokio::time::sleep_until(begun + *at).await;
            self.tale.note(event.to_string());
            match event.clone() {
                Event::Client { client, deed } => self.do_it(client, deed).await,
                event => self.begin(event, &mut under_way),
            }
        }
        while let Some(ended) = under_way.join_next().await {
            if let Err(error) = ended {
                self.tale
                    .broken(format!("a part of the run itself: {error}"));
            }
        }
    }

    fn begin(&self, event: Event, under_way: &mut JoinSet<()>) {
        let (scene, caller) = (Arc::clone(&self.scene), Arc::clone(&self.caller));
        let truth = Arc::clone(&self.truth);
        match event {
            Event::Change { user, change } => under_way.spawn(async move {
                let mut lists = BTreeSet::from([user]);
                if let plan::Change::Befriend(other) = change {
                    lists.insert(other);
                }
                let _kept = caller.kept(&lists).await;
                truth.change(user, change);
            }),
            Event::Call { style, users } => {
                under_way.spawn(async move { caller.call(style, &users).await })
            }
            Event::Backend {
                fault,
                one_in,
                time,
            } => under_way.spawn(async move { scene.spoil(fault, one_in, time).await }),
            Event::Deaf { time } => under_way.spawn(async move { scene.deafen(time).await }),
            Event::Plugin(build) => under_way.spawn(async move { scene.exchange(build).await }),
            Event::Process(jolt) => under_way.spawn(async move { scene.jolt(jolt, &caller).await }),
            Event::Client { .. } => return,
        };
    }

    async fn do_it(&mut self, client: usize, deed: Deed) {
        match deed {
            Deed::Come => self.wanted.insert(client),
            Deed::Leave | Deed::Vanish => self.wanted.remove(&client),
            _ => false,
        };
        self.clients[client].order(Order::Do(deed)).await;
    }

    /// Ends the faults, makes up for what was not confirmed, and waits until
    /// every client sees what the app says.
    async fn come_to_rest(&self) {
        self.tale.note("coming to rest");
        let begun = Instant::now();
        self.scene.mend().await;
        let mut wrong = Vec::new();
        while begun.elapsed() < REST {
            self.caller.make_up().await;
            wrong = self.wrong().await;
            if wrong.is_empty() && self.truth.unconfirmed().is_empty() {
                self.tale.took("came to rest", begun.elapsed());
                self.tale.count("times at rest");
                return self.tale.note("at rest");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        wrong.extend(
            self.truth
                .unconfirmed()
                .iter()
                .map(|user| format!("u{user} is not confirmed")),
        );
        let all = wrong.join("\n  ");
        self.tale
            .broken(format!("not as it should be after {REST:?}:\n  {all}"));
    }

    /// What clients see that they should not, or should and do not.
    async fn wrong(&self) -> Vec<String> {
        let wanted = self.wanted.iter().map(|client| &self.clients[*client]);
        let looks = wanted.map(|client| async move { (client, client.look().await) });
        let sights = futures_util::future::join_all(looks).await;
        let mut wrong = Vec::new();
        for (client, sight) in &sights {
            let (number, user) = (client.number, client.user);
            let Some(sight) = sight else {
                wrong.push(format!("client {number} (u{user}) has no session"));
                continue;
            };
            if sight.version != Some(self.truth.version(user)) {
                let seen = sight.version;
                let difference = self.truth.difference(user, &sight.view);
                wrong.push(format!(
                    "client {number} (u{user}) sees version {seen:?}: {difference}"
                ));
            }
            wrong.extend(self.wrong_presence(client, sight));
        }
        wrong
    }

    /// Presence passes if both lists say so and the contact is there.
    fn wrong_presence(&self, client: &Handle, sight: &Sight) -> Option<String> {
        let user = client.user;
        let others = self.wanted.iter().map(|client| &self.clients[*client]);
        let due = others.filter(|it| it.user == user || self.truth.sees(user, it.user));
        let due: BTreeSet<String> = due.map(|it| it.full_jid.clone()).collect();
        let own = jid(user);
        let missing: Vec<_> = due.difference(&sight.available).collect();
        let surplus: Vec<_> = sight.available.difference(&due).collect();
        let is_wrong = !missing.is_empty() || !surplus.is_empty();
        is_wrong.then(|| {
            format!(
                "client {} ({own}) does not see {missing:?}, and sees {surplus:?}",
                client.number
            )
        })
    }
}
