//! What the modes make of brokers that misbehave: above all, what they must not make of them.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Command;
use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::fact::YesNo;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{fact_of, measure_of};
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_scripted_broker::{Pubacks, Script, Sessions, TakeOver};

use super::after_takeover::{CUT_AFTER, LATER, Later, SUBSCRIPTION, Subscription};
use super::dead_peer::{DeadPeer, PeerState};
use super::duel::{Duel, Sessions as OfDuel};
use super::flap::{BANNED, Banned, Flap, OTHERS_SERVED};
use super::race::Race;
use super::storm::{QUEUED, REPEATED, Repeated, SENT_AGAIN, Share, Situation, Storm};
use super::{ALIVE, Alive, Answer, NEWCOMER, VersionPair};
use crate::mode::FaultMode;
use crate::resumption::{LEFT_OVER, Remains, Resumption, SESSION_PRESENT};
use crate::testing::Scene;

fn facts(attempt: &Attempt) -> BTreeMap<&str, String> {
    attempt.facts.iter().map(|(name, fact)| (name.as_str(), fact.to_string())).collect()
}

/// Carries `fault` out before a broker that is killed `after`.
async fn before_a_broker_that_dies(after: Duration, fault: &dyn Fault) -> Attempt {
    let scene = Scene::mortal(Script::default());
    let die = async {
        sleep(after).await;
        scene.broker.stop_abruptly();
    };
    tokio::join!(scene.attempt(fault), die).0
}

/// The flags of a mode as a command line gives them.
fn flags<M: FaultMode>(words: &[&str]) -> M {
    let command = M::augment_args(Command::new("mode").no_binary_name(true));
    M::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn storm(situation: Situation, words: &[&str]) -> Storm {
    let flags = flags(&[&["--resend-wait=3s"], words].concat());
    Storm { situation, versions: VersionPair::both(V5), flags }
}

#[tokio::test]
async fn a_storm_on_a_conforming_broker_tells_that_all_is_as_it_should_be() {
    let attempt = Scene::conforming().attempt(&storm(Situation::Resume, &[])).await;
    assert_eq!(attempt.outcome, Outcome::Closed);
    let expected = [
        ("alive", "1"),
        ("dup", "set"),
        ("identifiers", "kept"),
        ("newcomer", "accepted"),
        ("queued", "all"),
        ("repeated", "once"),
        ("sent_again", "all"),
        ("session_present", "yes"),
    ];
    let expected: BTreeMap<&str, String> = expected.map(|(name, value)| (name, value.to_owned())).into();
    assert_eq!(facts(&attempt), expected);
}

#[tokio::test]
async fn a_storm_tells_of_a_message_that_was_delivered_twice_and_of_two_connections_that_live() {
    let scene = Scene::with(Script { sessions: Sessions::ForgetReceived, ..Script::default() });
    let attempt = scene.attempt(&storm(Situation::Resume, &[])).await;
    assert_eq!(fact_of(&attempt, REPEATED), Some(Repeated::Twice));
    let scene = Scene::with(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    let attempt = scene.attempt(&storm(Situation::Resume, &[])).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Two)));
}

#[tokio::test]
async fn a_newcomer_that_is_told_of_no_session_repeats_no_exchange_of_it() {
    // The broker delivers a QoS 2 PUBLISH anew, as it does rightly to a client that has no session.
    let scene = Scene::with(Script { sessions: Sessions::LieAbsent, ..Script::default() });
    let attempt = scene.attempt(&storm(Situation::Resume, &[])).await;
    assert_eq!(fact_of(&attempt, SESSION_PRESENT), Some(Resumption::Unannounced), "{attempt:?}");
    assert_eq!(fact_of(&attempt, REPEATED), None, "{attempt:?}");
    let told = (fact_of(&attempt, SENT_AGAIN), fact_of(&attempt, QUEUED));
    assert_eq!(told, (Some(Share::All), Some(Share::All)), "{attempt:?}");
}

#[tokio::test]
async fn what_is_left_of_a_session_that_must_have_ended_is_told_only_where_it_could_be_seen() {
    let ended = storm(Situation::Ended, &["--in-flight=0", "--queued=0"]);
    for (script, left_over) in [
        (Script { sessions: Sessions::NeverExpire, ..Script::default() }, Some(Remains::Some)),
        (Script { sessions: Sessions::LiePresent, ..Script::default() }, Some(Remains::None)),
        // The message that would have found the subscription is not taken.
        (
            Script { sessions: Sessions::LiePresent, pubacks: Pubacks::Refuse(0x97), ..Script::default() },
            Some(Remains::Unknown),
        ),
        (Script::default(), None),
    ] {
        let attempt = Scene::with(script).attempt(&ended).await;
        assert_eq!(fact_of(&attempt, LEFT_OVER), left_over, "{script:?}: {attempt:?}");
    }
}

#[tokio::test]
async fn what_does_not_come_again_within_less_than_a_minute_may_come_yet() {
    for (sessions, owed) in [(Sessions::LoseUnacknowledged, SENT_AGAIN), (Sessions::LoseQueued, QUEUED)] {
        let scene = Scene::with(Script { sessions, ..Script::default() });
        let attempt = scene.attempt(&storm(Situation::Resume, &[])).await;
        assert_eq!(fact_of(&attempt, owed), Some(Share::NotYet), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_newcomer_that_is_cut_off_by_a_broker_that_dies_is_owed_nothing() {
    // Between the newcomer's CONNACK, which comes at once, and the last of what it looks for.
    let storm = storm(Situation::Resume, &["--in-flight=50"]);
    let scene = Scene::mortal(Script { sessions: Sessions::LoseUnacknowledged, ..Script::default() });
    let die = async {
        while scene.broker.log().take_overs() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(100)).await;
        scene.broker.stop_abruptly();
    };
    let (attempt, ()) = tokio::join!(scene.attempt(&storm), die);
    let told = facts(&attempt);
    assert_eq!(told.get("newcomer").map(String::as_str), Some("accepted"), "{attempt:?}");
    for absent in ["sent_again", "queued", "repeated"] {
        assert_eq!(told.get(absent), None, "{absent} in {told:?}");
    }
    assert!(attempt.messages.is_empty(), "and none of its messages is called lost");
}

#[tokio::test]
async fn a_race_in_which_all_others_are_refused_took_nobody_over() {
    let scene = Scene::with(Script { take_over: TakeOver::RefuseNewcomer, ..Script::default() });
    let attempt = scene.attempt(&Race { version: V5, contenders: 4 }).await;
    assert_eq!(attempt.outcome, Outcome::NoReaction, "nobody was closed: {attempt:?}");
    assert_eq!(fact_of(&attempt, ALIVE), Some(Alive::One));
    assert_eq!(attempt.measures["contenders_accepted"], 1);
}

#[tokio::test]
async fn a_race_has_one_survivor_or_more() {
    let race = Race { version: V5, contenders: 4 };
    let attempt = Scene::conforming().attempt(&race).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    let scene = Scene::with(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    let attempt = scene.attempt(&race).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Several)));
}

fn dead_peer(words: &[&str]) -> DeadPeer {
    DeadPeer { state: PeerState::Silent, versions: VersionPair::both(V5), flags: flags(words) }
}

/// What becomes of a newcomer, its subscription and its Will when the older connection ends late.
async fn after_a_late_end(take_over: TakeOver) -> Attempt {
    let dead_peer = dead_peer(&["--keepalive=2s", "--look-on=500ms"]);
    let scene = Scene::with(Script { take_over, ..Script::default() });
    scene.attempt(&dead_peer).await
}

#[tokio::test]
async fn a_newcomer_is_looked_at_until_the_older_keep_alive_is_over() {
    let cut = after_a_late_end(TakeOver::LateEndCuts).await;
    assert_eq!(fact_of(&cut, LATER), Some(Later::Cut("FIN".to_owned())), "{cut:?}");
    assert_eq!((fact_of(&cut, SUBSCRIPTION), cut.outcome), (None, Outcome::Closed));
    // Our time begins when our write returns, which may be after the broker has read.
    assert!(measure_of(&cut, CUT_AFTER).unwrap() >= 2_500_000);
    let gone = after_a_late_end(TakeOver::LateEndUnsubscribes).await;
    assert_eq!(fact_of(&gone, LATER), Some(Later::Served), "{gone:?}");
    assert_eq!(fact_of(&gone, SUBSCRIPTION), Some(Subscription::Gone));
    let kept = after_a_late_end(TakeOver::LateEndPublishesWill).await;
    assert_eq!(fact_of(&kept, SUBSCRIPTION), Some(Subscription::Delivers), "{kept:?}");
}

#[tokio::test]
async fn a_keep_alive_that_the_broker_makes_longer_than_is_planned_for_is_not_waited_for_and_told() {
    for (server_keep_alive_s, told) in [(11, "11 s"), (u16::MAX, "65535 s"), (0, "0 s")] {
        let script = Script { server_keep_alive_s: Some(server_keep_alive_s), ..Script::default() };
        let attempt = Scene::with(script).attempt(&dead_peer(&["--look-on=0"])).await;
        // The take-over was seen all the same.
        assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
        assert_eq!(fact_of(&attempt, LATER), Some(Later::NotAwaited(told.to_owned())), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_dead_peer_beside_a_newcomer_that_was_refused_is_no_live_connection_too_few() {
    let scene = Scene::with(Script { take_over: TakeOver::RefuseNewcomer, ..Script::default() });
    let attempt = scene.attempt(&dead_peer(&["--look-on=0"])).await;
    assert_eq!(attempt.outcome, Outcome::Tolerated);
    let Some(Answer::Refused(how)) = fact_of(&attempt, NEWCOMER) else { panic!("{attempt:?}") };
    assert!(how.starts_with("CONNACK 0x85"), "{attempt:?}");
    assert_eq!(fact_of(&attempt, ALIVE), None);
}

#[tokio::test]
async fn the_broker_has_all_of_its_time_to_close_a_dead_peer_after_it_has_accepted_the_newcomer() {
    let held_back = TakeOver::NewcomerWaits(Duration::from_millis(800));
    let scene = Scene::with(Script { take_over: held_back, ..Script::default() });
    let attempt = scene.attempt(&dead_peer(&["--look-on=0"])).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    // Our time begins when our write returns, which may be after the broker has read.
    assert!(attempt.measures["newcomer_connack_us"] >= 750_000);
}

#[tokio::test]
async fn a_newcomer_beside_a_dead_peer_keeps_the_keep_alive_that_the_broker_asks_for() {
    let script = Script { take_over: TakeOver::KeepBoth, server_keep_alive_s: Some(1), ..Script::default() };
    let mut scene = Scene::with(script);
    scene.stage.reaction_timeout = Duration::from_secs(3);
    let attempt = scene.attempt(&dead_peer(&["--look-on=0"])).await;
    assert_eq!(fact_of(&attempt, ALIVE), Some(Alive::Two), "{attempt:?}");
}

fn duel() -> Duel {
    let flags = flags(&["--backoff=fixed:20ms", "--for=600ms", "--publish-rate=100"]);
    Duel { sessions: OfDuel::Resume, version: V5, flags }
}

#[tokio::test]
async fn a_duel_tells_who_is_left_and_what_was_lost() {
    let attempt = Scene::conforming().attempt(&duel()).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    assert_eq!(attempt.measures["lost_per_1000_takeovers"], 0, "{attempt:?}");
    let scene = Scene::with(Script { take_over: TakeOver::KeepBoth, ..Script::default() });
    let attempt = scene.attempt(&duel()).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Several)));
}

#[tokio::test]
async fn a_duel_whose_broker_closes_the_older_connection_late_has_one_survivor() {
    // Later than contenders are given to find out, sooner than the broker has to react.
    let late = TakeOver::CloseAfter(Duration::from_millis(700));
    let scene = Scene::with(Script { take_over: late, ..Script::default() });
    let attempt = scene.attempt(&duel()).await;
    assert_ne!(fact_of(&attempt, ALIVE), Some(Alive::Several), "{attempt:?}");
}

#[tokio::test]
async fn a_duel_after_which_nobody_could_look_has_lost_nothing_for_certain() {
    let attempt = before_a_broker_that_dies(Duration::from_millis(300), &duel()).await;
    assert_eq!(attempt.outcome, Outcome::BrokerDown, "{attempt:?}");
    assert!(attempt.messages.is_empty() && !attempt.measures.contains_key("lost_per_1000_takeovers"));
    assert!(attempt.trouble.is_some());
}

const FLAP: Flap =
    Flap { version: V5, every: Duration::from_millis(20), lasting: Duration::from_millis(400) };

#[tokio::test]
async fn a_client_that_flaps_on_a_conforming_broker_is_never_banned() {
    let attempt = Scene::conforming().attempt(&FLAP).await;
    let told = (fact_of(&attempt, BANNED), fact_of(&attempt, OTHERS_SERVED));
    assert_eq!(told, (Some(Banned::Never), Some(YesNo::Yes)));
    assert_eq!(attempt.outcome, Outcome::Tolerated);
}

#[tokio::test]
async fn a_broker_that_dies_while_a_client_flaps_has_banned_nobody() {
    let attempt = before_a_broker_that_dies(Duration::from_millis(200), &FLAP).await;
    assert_eq!(attempt.outcome, Outcome::BrokerDown, "{attempt:?}");
    assert_eq!(facts(&attempt), BTreeMap::new());
}

#[tokio::test]
async fn a_client_that_was_never_accepted_was_not_banned_for_coming_back() {
    let scene = Scene::with(Script { greeting: "refuse-0x87".parse().unwrap(), ..Script::default() });
    let attempt = scene.attempt(&FLAP).await;
    assert!(!attempt.outcome.is_evidence() && facts(&attempt).is_empty(), "{attempt:?}");
    assert!(attempt.trouble.is_some_and(|why| why.starts_with("never accepted: CONNACK 0x87")));
}
