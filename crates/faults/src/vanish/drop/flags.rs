//! The flags of the drop.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Mistake, Named, PositiveTime, Seconds, Versions, Wanted, Whole, chosen};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::Check;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::fault::Fault;

use super::variant::SessionLife;
use super::{DropConnection, Variant, WHOLE_SECOND};
use crate::mode::{Call, ConnectionsOf, FaultMode, each_case};
use crate::vanish::drop_checks;

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: fin, rst, half-close, disconnect (the control), session-ends; over WebSocket also ws-close, over TLS also close-notify; and on MQTT 5 also disconnect-with-will, will-delay, back-before-will-delay, will-at-session-end, before-expiry, after-expiry [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Session Expiry Interval of sessions that outlive the absence; 3.1.1 has none and uses Clean Session 0
    #[arg(short = 'x', long, value_name = "SECONDS", default_value = "60s")]
    pub(super) session_expiry_interval: Seconds,
    /// Session Expiry Interval of will-at-session-end, before-expiry and after-expiry; at least 3s
    #[arg(long, value_name = "SECONDS", default_value = "4s")]
    pub(super) short_expiry: Seconds,
    /// Will Delay Interval of the variants with a delayed Will; at least 3s
    #[arg(long, value_name = "SECONDS", default_value = "3s")]
    pub(super) will_delay: Seconds,
    /// Minimum time that a client stays away; where a Will is due, it waits for that first
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub(super) away: PositiveTime,
    /// How long after the end of its session the client of after-expiry returns; below 10s, a session that is still there is only a note
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(super) grace: PositiveTime,
    // Few enough for any broker's queue limit; `flood` covers what happens beyond it.
    /// Messages of QoS 1, and as many of QoS 2, published for each client while it is away; at most 20
    #[arg(long, value_name = "N", default_value = "3")]
    pub(super) messages: Whole<0, 20>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = super::ID;
    const ABOUT: &'static str =
        "Working clients disconnect by FIN, RST or half-close: what happens to Will, session and messages?";
    const LONG_ABOUT: &'static str = "Ends the connections of working clients without DISCONNECT: by FIN or RST beneath TLS and WebSocket (over TLS, a FIN is a truncated \
         close), by a WebSocket Close frame, or by close_notify of TLS. Reports whether the Will is published once \
         and when it is due, whether the session is kept for its Session Expiry Interval and no longer, and whether \
         messages published during the absence are delivered on return, in order. Variants with DISCONNECT 0x00 and \
         0x04 are the controls. Each variant and version runs --attempts times.";
    const CHECKS: &'static [&'static [Check]] = &[drop_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        for (flag, seconds) in [("--short-expiry", self.short_expiry), ("--will-delay", self.will_delay)] {
            if seconds.0 < 3 {
                let what = "brokers may count in whole seconds, so less than 3s is too short to judge; give 3s or more";
                mistakes.push(Mistake::new(flag, what));
            }
        }
        let old = ProtocolVersion::V3_1_1;
        if self.wanted().versions == [old] && !self.variants().iter().any(|variant| variant.is_in(old)) {
            let what = "MQTT 3.1.1 has no Will Delay Interval, no Session Expiry Interval and no Reason Code in \
                        DISCONNECT; choose fin, rst, half-close, ws-close, close-notify, disconnect or session-ends, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
        self.check_times(mistakes);
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, and the publisher.
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        let pause = |variant: &Variant| match variant {
            Variant::AfterExpiry => self.short_expiry.time() + *self.grace,
            Variant::WillAtSessionEnd | Variant::BeforeExpiry => self.short_expiry.time(),
            Variant::WillDelay | Variant::BackBeforeWillDelay => self.will_delay.time() + *self.away,
            _ => *self.away,
        };
        self.variants().iter().map(pause).max().unwrap_or_default()
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&self.variants(), spoken, |variant, version| {
            variant.is_in(version).then(|| DropConnection { variant, version, flags: self.clone() })
        })
    }
}

impl Flags {
    fn variants(&self) -> Vec<Variant> {
        chosen(&Variant::ALL, &self.variant)
    }

    /// Rejects times with which a variant could not reach a conclusion.
    fn check_times(&self, mistakes: &mut Vec<Mistake>) {
        let variants = self.variants();
        let (delay, away, expiry) = (self.will_delay.time(), *self.away, self.session_expiry_interval);
        if variants.contains(&Variant::BackBeforeWillDelay) && away + WHOLE_SECOND >= delay {
            let what = format!(
                "{} is too long: the client of back-before-will-delay must return well before the {} s of \
                 --will-delay are over; give less, or a longer --will-delay",
                span(away),
                self.will_delay.0
            );
            mistakes.push(Mistake::new("--away", what));
        }
        let longest = if variants.contains(&Variant::WillDelay) { delay.max(away) } else { away };
        let least = longest + 2 * WHOLE_SECOND;
        if variants.iter().any(|variant| variant.session_life() == SessionLife::Long)
            && expiry.time() <= least
        {
            let what = format!(
                "{} s would be over before the clients return; give more than {} s",
                expiry.0,
                least.as_secs()
            );
            mistakes.push(Mistake::new("--session-expiry-interval", what));
        }
    }
}
