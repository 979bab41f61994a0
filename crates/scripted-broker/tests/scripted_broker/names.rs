//! The names of policies, with the values that they carry.

use std::num::NonZeroU32;

use ungraceful_mqtt::{ConnectReturnCode, ReasonCode};
use ungraceful_scripted_broker::{
    ConnectWait, Deliveries, Expiry, Flow, Greeting, KeepAlive, Malformed, OfflineQueue, Pubacks, Refused,
    Removal, SecondConnect, SlowReader, Stall, SubscriberFlow, TakeOver, Wills,
};

#[test]
fn names_carry_their_values() {
    assert_eq!("disconnect-0x81".parse(), Ok(SecondConnect::DisconnectCode(0x81)));
    let two_seconds = std::time::Duration::from_secs(2);
    assert_eq!("close-after-2s".parse(), Ok(SecondConnect::CloseAfter(two_seconds)));
    assert_eq!("refuse-0x87".parse(), Ok(Greeting::Refuse(ReasonCode::NOT_AUTHORIZED)));
    let both = Greeting::RefuseWith(ReasonCode(0x87), ConnectReturnCode(3));
    assert_eq!("refuse-0x87-0x03".parse(), Ok(both));
    assert_eq!("disconnect-0x8c".parse(), Ok(TakeOver::DisconnectCode(0x8C)));
    assert_eq!("close-after-2s".parse(), Ok(TakeOver::CloseAfter(two_seconds)));
    assert_eq!("newcomer-waits-2s".parse(), Ok(TakeOver::NewcomerWaits(two_seconds)));
    assert_eq!("serve-for-2s".parse(), Ok(TakeOver::ServeFor(two_seconds)));
    assert_eq!("refuse-0x97".parse(), Ok(Flow::Refuse(0x97)));
    assert_eq!("late-puback-2s".parse(), Ok(Pubacks::Late(two_seconds)));
    assert_eq!("refuse-0x95".parse(), Ok(Pubacks::Refuse(0x95)));
    assert_eq!("exceed-by-3".parse(), Ok(SubscriberFlow::ExceedBy(NonZeroU32::MIN.saturating_add(2))));
    assert_eq!("gap-2s".parse(), Ok(ConnectWait::Gap(two_seconds)));
    assert_eq!("late-2s".parse(), Ok(Wills::Late(two_seconds)));
    assert_eq!("cut-after-2s".parse(), Ok(SlowReader::CutAfter(two_seconds)));
    let sixty = NonZeroU32::MIN.saturating_add(59);
    assert_eq!("at-connect-60-for-2s".parse(), Ok(Stall::AtConnect(sixty, two_seconds)));
    assert_eq!("serve-for-2s".parse(), Ok(SecondConnect::ServeFor(two_seconds)));
    assert_eq!("serve-for-2s".parse(), Ok(Refused::ServeFor(two_seconds)));
    assert_eq!("crash-broker".parse(), Ok(Malformed::CrashBroker));
    assert_eq!("close-at-percent-60".parse(), Ok(KeepAlive::CloseAtPercent(sixty)));
    assert_eq!("fin-at-percent-60".parse(), Ok(KeepAlive::FinAtPercent(sixty)));
    assert_eq!("sweep-every-2s".parse(), Ok(KeepAlive::SweepEvery(two_seconds)));
    assert_eq!("at-publish-60-for-2s".parse(), Ok(Stall::AtPublish(sixty, two_seconds)));
    assert_eq!("at-most-60".parse(), Ok(Greeting::AtMost(sixty)));
    assert_eq!("at-most-60-per-second".parse(), Ok(Greeting::AtMostPerSecond(sixty)));
    assert_eq!("disconnect-0x87".parse(), Ok(Removal::DisconnectCode(0x87)));
    assert_eq!("disconnect-0xa0".parse(), Ok(Expiry::DisconnectCode(0xA0)));
    assert_eq!("cut-after-2s".parse(), Ok(Expiry::CutAfter(two_seconds)));
}

#[test]
fn what_is_no_name_is_refused_with_a_hint() {
    for wrong in ["", "Disconnect", "disconnect-0xNN", "disconnect-82", "close-after-", "close-after-1h"] {
        assert!(wrong.parse::<SecondConnect>().is_err(), "{wrong:?}");
    }
    for wrong in ["lose-every-0", "lose-every-", "delay-5", "delay-5ms-while-attacked-", "swap-every-N"] {
        assert!(wrong.parse::<Deliveries>().is_err(), "{wrong:?}");
    }
    for wrong in ["disconnect-", "newcomer-waits-5", "close-after-"] {
        assert!(wrong.parse::<TakeOver>().is_err(), "{wrong:?}");
    }
    assert!("whole-2h".parse::<ConnectWait>().is_err() && "late-".parse::<Wills>().is_err());
    assert!("refuse-97".parse::<Flow>().is_err());
    assert!("sweep-every-0s".parse::<KeepAlive>().is_err());
    assert!("at-connect-0-for-2s".parse::<Stall>().is_err() && "at-connect-5".parse::<Stall>().is_err());
    assert!("close-at-percent-0".parse::<KeepAlive>().is_err());
    assert!("exceed-by-0".parse::<SubscriberFlow>().is_err());
    assert!("drop-oldest-over-".parse::<OfflineQueue>().is_err());
    assert!("refuse-0x87-".parse::<Greeting>().is_err());
    let error = "sometimes".parse::<Wills>().expect_err("no such policy");
    assert_eq!(error.to_string(), "no wills policy is named `sometimes`: see `scripted-broker --list`");
}
