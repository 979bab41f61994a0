//! The control client: a second client with another Keep Alive shows whether the broker or a device in between cut the first
//! one.
//!
//! A load balancer, a proxy or a firewall closes idle connections after a time of its own, whatever the Keep Alive. A broker that
//! cuts too early because of the Keep Alive does so at a fraction of it.

use std::time::Duration;

use ungraceful_mqtt::{Connect, ProtocolVersion};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::{micros, time};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::{Watch, observe_silently};

use super::{Silence, connect, cut_of};
use crate::peer::Peer;

/// Fact: how the control client was cut, compared with the client that was cut without a reason. Absent when no client was.
pub const CONTROL: FactOf<Control> = FactOf::new("control_client");

ungraceful_record::words! {
    /// What a control client shows.
    pub enum Control: "control client" {
        /// At the same share of its Keep Alive: the broker cuts because of the Keep Alive.
        FollowsKeepAlive = "cut at the same share of another Keep Alive",
        /// After the same time: the cut does not depend on the Keep Alive.
        FixedTime = "cut after the same time with another Keep Alive",
        /// Neither, or not at all.
        Neither = "cut at another time, or not at all",
        /// It could not connect, or the broker gave it the same Server Keep Alive.
        NotTried = "could not be tried",
    }
}

/// Measure: the silence of a client that was cut after the same time as its control client.
pub const FIXED_CUT_AFTER: Measure = Measure::new("cut_after_fixed_us");

/// The control client's Keep Alive, as a multiple of the client's.
const TIMES: u16 = 2;
/// Two times are the same when they differ by less than this part of them, or by less than [`SAME_WITHIN`].
const SAME_SHARE: u32 = 8;
/// The margin for timers and a busy machine.
const SAME_WITHIN: Duration = Duration::from_millis(150);

/// How much longer an attempt may take because of its control client, at this Keep Alive.
#[must_use]
pub fn longest(keep_alive: Duration) -> Duration {
    // Until somewhat after the control client would be cut because of its Keep Alive.
    keep_alive * 3 / 2 * u32::from(TIMES) * 5 / 4 + Duration::from_secs(1)
}

/// A client that was cut without a reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutClient {
    pub(super) silence: Silence,
    /// The requested Keep Alive, in seconds.
    pub(super) asked_s: u16,
    /// The effective Keep Alive.
    pub(super) keep_alive: Duration,
}

/// Has a control client fall silent, and records how it was cut. Records nothing when the run stops meanwhile.
pub(super) async fn compare(
    stage: &Stage,
    log: &mut AttemptLog<'_>,
    version: ProtocolVersion,
    cut: CutClient,
) {
    let client_id = log.companion(Companion::OnlyConnects);
    let Some(word) = stage.unless_stopped(try_control(stage, &client_id, version, cut)).await else { return };
    log.fact(CONTROL, word);
    if word == Control::FixedTime {
        log.measure(FIXED_CUT_AFTER, micros(cut.silence.measured));
    }
}

async fn try_control(stage: &Stage, client_id: &str, version: ProtocolVersion, cut: CutClient) -> Control {
    // The double of the longest Keep Alives is no valid Keep Alive.
    let keep_alive_s = cut.asked_s.checked_mul(TIMES).unwrap_or(cut.asked_s / TIMES);
    let Ok((client, _)) = stage.open(version).await else { return Control::NotTried };
    let mut peer = Peer::new(client);
    let first = Connect { keep_alive_s, ..Client::honest_connect(client_id, &stage.credentials) };
    let Ok(connected) = connect(stage, &mut peer, &first).await else { return Control::NotTried };
    if connected.keep_alive == cut.keep_alive {
        peer.client.leave().await;
        return Control::NotTried;
    }
    let silence = cut.silence.measured;
    let by_keep_alive = silence.mul_f64(connected.keep_alive.as_secs_f64() / cut.keep_alive.as_secs_f64());
    let within = silence.max(by_keep_alive) * 5 / 4 + SAME_WITHIN * 2;
    let provoked_at = connected.connect.at;
    let watch = Watch { provoked_at, within, connacks_due: 0, subscribed: false };
    let seen = observe_silently(&mut peer.client, &stage.clock, &stage.stop, watch).await;
    peer.client.leave().await;
    match cut_of(&seen.reactions) {
        Some((at_us, _)) => {
            let control = Silence::until(stage.clock.at(at_us), connected.connect).measured;
            judge(control, silence, by_keep_alive)
        }
        None => Control::Neither,
    }
}

/// Compares a control client that was cut after `control` with the first client, which was cut after `fixed`: the same share
/// of the control client's Keep Alive is `by_keep_alive`.
fn judge(control: Duration, fixed: Duration, by_keep_alive: Duration) -> Control {
    let is = |expected: Duration| control.abs_diff(expected) <= (expected / SAME_SHARE).max(SAME_WITHIN);
    match (is(fixed), is(by_keep_alive)) {
        (true, false) => Control::FixedTime,
        (false, true) => Control::FollowsKeepAlive,
        // Also times too short to distinguish.
        _ => Control::Neither,
    }
}

/// Clients that were cut without a reason and, as the control client showed, because of the Keep Alive.
pub(super) fn cut_for_keep_alive(case: &CaseRecord) -> u64 {
    case.count(CONTROL, Control::FollowsKeepAlive)
}

/// Why cuts of this case cannot be attributed to the broker: they came after a fixed time of silence, whatever the Keep Alive.
/// Absent when the control clients showed no such time.
pub(super) fn something_between(case: &CaseRecord) -> Option<String> {
    let fixed = Some(case.measured(FIXED_CUT_AFTER)).filter(|fixed| fixed.count > 0)?;
    let (first, last) = (time(fixed.min.unwrap_or_default()), time(fixed.max.unwrap_or_default()));
    let after = if first == last { first } else { format!("{first} to {last}") };
    Some(format!(
        "{} clients were cut after {after} without a packet, and so were their control clients with another Keep Alive: \
         something between client and broker (a load balancer, a proxy or a firewall), or the broker itself, closes idle \
         connections after that time; bypass it, or raise its idle timeout above the Keep Alive",
        fixed.count
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Control, judge};

    #[test]
    fn a_control_client_distinguishes_a_fixed_time_from_the_keep_alive() {
        for (control_ms, first_ms, expected) in [
            (3_000, 3_000, Control::FixedTime),
            (3_300, 3_000, Control::FixedTime),
            (6_000, 3_000, Control::FollowsKeepAlive),
            (5_300, 3_000, Control::FollowsKeepAlive),
            (4_500, 3_000, Control::Neither),
            (9_000, 3_000, Control::Neither),
            (100, 3_000, Control::Neither),
            // Both are equally near.
            (200, 150, Control::Neither),
        ] {
            let [control, first] = [control_ms, first_ms].map(Duration::from_millis);
            assert_eq!(judge(control, first, first * 2), expected, "{control_ms} {first_ms}");
        }
    }
}
