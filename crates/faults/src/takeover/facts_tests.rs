//! The facts that the modes log about brokers that misbehave, and those that they must not log.

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

/// Carries `fault` out against a broker with this script.
async fn against(script: Script, fault: &dyn Fault) -> Attempt {
    Scene::with(script).attempt(fault).await
}

/// Carries `fault` out against a broker that handles take-overs like this.
async fn against_take_over(take_over: TakeOver, fault: &dyn Fault) -> Attempt {
    against(Script { take_over, ..Script::default() }, fault).await
}

/// Carries `fault` out against a broker with sessions like these.
async fn against_sessions(sessions: Sessions, fault: &dyn Fault) -> Attempt {
    against(Script { sessions, ..Script::default() }, fault).await
}

/// Carries `fault` out against a broker that is killed `after` this time.
async fn against_a_broker_that_dies(after: Duration, fault: &dyn Fault) -> Attempt {
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
async fn a_storm_on_a_conforming_broker_has_the_expected_facts() {
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
async fn a_storm_detects_a_message_delivered_twice_and_two_live_connections() {
    let storm = storm(Situation::Resume, &[]);
    let attempt = against_sessions(Sessions::ForgetReceived, &storm).await;
    assert_eq!(fact_of(&attempt, REPEATED), Some(Repeated::Twice));
    let attempt = against_take_over(TakeOver::KeepBoth, &storm).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Two)));
}

#[tokio::test]
async fn a_newcomer_with_session_present_0_repeats_no_exchange() {
    // The broker delivers a QoS 2 PUBLISH anew, which is right for a client without a session.
    let attempt = against_sessions(Sessions::LieAbsent, &storm(Situation::Resume, &[])).await;
    assert_eq!(fact_of(&attempt, SESSION_PRESENT), Some(Resumption::Unannounced), "{attempt:?}");
    assert_eq!(fact_of(&attempt, REPEATED), None, "{attempt:?}");
    let shares = (fact_of(&attempt, SENT_AGAIN), fact_of(&attempt, QUEUED));
    assert_eq!(shares, (Some(Share::All), Some(Share::All)), "{attempt:?}");
}

#[tokio::test]
async fn remains_of_an_ended_session_are_a_fact_only_when_observable() {
    let ended = storm(Situation::Ended, &["--in-flight=0", "--queued=0"]);
    for (script, left_over) in [
        (Script { sessions: Sessions::NeverExpire, ..Script::default() }, Some(Remains::Some)),
        (Script { sessions: Sessions::LiePresent, ..Script::default() }, Some(Remains::None)),
        // The broker refuses the message that would have found the subscription.
        (
            Script { sessions: Sessions::LiePresent, pubacks: Pubacks::Refuse(0x97), ..Script::default() },
            Some(Remains::Unknown),
        ),
        (Script::default(), None),
    ] {
        let attempt = against(script, &ended).await;
        assert_eq!(fact_of(&attempt, LEFT_OVER), left_over, "{script:?}: {attempt:?}");
    }
}

#[tokio::test]
async fn messages_missing_after_less_than_a_minute_may_still_arrive() {
    for (sessions, owed) in [(Sessions::LoseUnacknowledged, SENT_AGAIN), (Sessions::LoseQueued, QUEUED)] {
        let attempt = against_sessions(sessions, &storm(Situation::Resume, &[])).await;
        assert_eq!(fact_of(&attempt, owed), Some(Share::NotYet), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_newcomer_whose_broker_dies_is_owed_nothing() {
    // The broker dies between the newcomer's CONNACK, which comes at once, and the last expected message.
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
    let facts = facts(&attempt);
    assert_eq!(facts.get("newcomer").map(String::as_str), Some("accepted"), "{attempt:?}");
    for absent in ["sent_again", "queued", "repeated"] {
        assert_eq!(facts.get(absent), None, "{absent} in {facts:?}");
    }
    assert!(attempt.messages.is_empty(), "none of its messages counts as lost");
}

const RACE: Race = Race { version: V5, contenders: 4 };

#[tokio::test]
async fn a_race_in_which_all_others_are_refused_has_no_take_over() {
    let attempt = against_take_over(TakeOver::RefuseNewcomer, &RACE).await;
    assert_eq!(attempt.outcome, Outcome::NoReaction, "no connection was closed: {attempt:?}");
    assert_eq!(fact_of(&attempt, ALIVE), Some(Alive::One));
    assert_eq!(attempt.measures["contenders_accepted"], 1);
}

#[tokio::test]
async fn a_race_reports_one_or_several_survivors() {
    let attempt = Scene::conforming().attempt(&RACE).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    let attempt = against_take_over(TakeOver::KeepBoth, &RACE).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Several)));
}

fn dead_peer(words: &[&str]) -> DeadPeer {
    DeadPeer { state: PeerState::Silent, versions: VersionPair::both(V5), flags: flags(words) }
}

/// A dead peer whose connection the broker ends late.
async fn after_a_late_end(take_over: TakeOver) -> Attempt {
    against_take_over(take_over, &dead_peer(&["--keepalive=2s", "--look-on=500ms"])).await
}

#[tokio::test]
async fn a_newcomer_is_observed_until_the_older_keep_alive_expires() {
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
async fn a_longer_server_keep_alive_is_not_waited_for_but_reported() {
    for (server_keep_alive_s, reported) in [(11, "11 s"), (u16::MAX, "65535 s"), (0, "0 s")] {
        let script = Script { server_keep_alive_s: Some(server_keep_alive_s), ..Script::default() };
        let attempt = against(script, &dead_peer(&["--look-on=0"])).await;
        // The take-over itself is still observed.
        assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
        assert_eq!(fact_of(&attempt, LATER), Some(Later::NotAwaited(reported.to_owned())), "{attempt:?}");
    }
}

#[tokio::test]
async fn a_refused_newcomer_beside_a_dead_peer_has_no_number_of_live_connections() {
    let attempt = against_take_over(TakeOver::RefuseNewcomer, &dead_peer(&["--look-on=0"])).await;
    assert_eq!(attempt.outcome, Outcome::Tolerated);
    let Some(Answer::Refused(how)) = fact_of(&attempt, NEWCOMER) else { panic!("{attempt:?}") };
    assert!(how.starts_with("CONNACK 0x85"), "{attempt:?}");
    assert_eq!(fact_of(&attempt, ALIVE), None);
}

#[tokio::test]
async fn the_time_to_close_a_dead_peer_starts_when_the_newcomer_is_accepted() {
    let held_back = TakeOver::NewcomerWaits(Duration::from_millis(800));
    let attempt = against_take_over(held_back, &dead_peer(&["--look-on=0"])).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    // Our time begins when our write returns, which may be after the broker has read.
    assert!(attempt.measures["newcomer_connack_us"] >= 750_000);
}

#[tokio::test]
async fn a_newcomer_beside_a_dead_peer_keeps_the_server_keep_alive() {
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
async fn a_duel_reports_live_contenders_and_lost_messages() {
    let attempt = Scene::conforming().attempt(&duel()).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Closed, Some(Alive::One)));
    assert_eq!(attempt.measures["lost_per_1000_takeovers"], 0, "{attempt:?}");
    let attempt = against_take_over(TakeOver::KeepBoth, &duel()).await;
    assert_eq!((attempt.outcome, fact_of(&attempt, ALIVE)), (Outcome::Tolerated, Some(Alive::Several)));
}

#[tokio::test]
async fn a_duel_with_a_late_close_has_one_survivor() {
    // After the contenders' time to notice it, within the broker's reaction timeout.
    let late = TakeOver::CloseAfter(Duration::from_millis(700));
    let attempt = against_take_over(late, &duel()).await;
    assert_ne!(fact_of(&attempt, ALIVE), Some(Alive::Several), "{attempt:?}");
}

#[tokio::test]
async fn a_duel_that_could_not_be_drained_reports_no_losses() {
    let attempt = against_a_broker_that_dies(Duration::from_millis(300), &duel()).await;
    assert_eq!(attempt.outcome, Outcome::BrokerDown, "{attempt:?}");
    assert!(attempt.messages.is_empty() && !attempt.measures.contains_key("lost_per_1000_takeovers"));
    assert!(attempt.trouble.is_some());
}

const FLAP: Flap =
    Flap { version: V5, every: Duration::from_millis(20), lasting: Duration::from_millis(400) };

#[tokio::test]
async fn a_conforming_broker_never_bans_a_client_that_flaps() {
    let attempt = Scene::conforming().attempt(&FLAP).await;
    let facts = (fact_of(&attempt, BANNED), fact_of(&attempt, OTHERS_SERVED));
    assert_eq!(facts, (Some(Banned::Never), Some(YesNo::Yes)));
    assert_eq!(attempt.outcome, Outcome::Tolerated);
}

#[tokio::test]
async fn a_broker_that_dies_while_a_client_flaps_has_not_banned_it() {
    let attempt = against_a_broker_that_dies(Duration::from_millis(200), &FLAP).await;
    assert_eq!(attempt.outcome, Outcome::BrokerDown, "{attempt:?}");
    assert_eq!(facts(&attempt), BTreeMap::new());
}

#[tokio::test]
async fn a_client_that_was_never_accepted_is_not_banned_for_reconnecting() {
    let script = Script { greeting: "refuse-0x87".parse().unwrap(), ..Script::default() };
    let attempt = against(script, &FLAP).await;
    assert!(!attempt.outcome.is_evidence() && facts(&attempt).is_empty(), "{attempt:?}");
    assert!(attempt.trouble.is_some_and(|why| why.starts_with("never accepted: CONNACK 0x87")));
}
