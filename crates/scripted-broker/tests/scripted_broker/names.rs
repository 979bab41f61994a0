//! Every listed name is one, and every policy writes itself as it is read.

use std::fmt::{Debug, Display};
use std::num::NonZeroU32;
use std::str::FromStr;

use ungraceful_mqtt::{ConnectReturnCode, ReasonCode};
use ungraceful_scripted_broker::{
    ConnectWait, Deliveries, Expiry, Flow, Greeting, KeepAlive, OfflineQueue, Pubacks, Readmission,
    Reauthentication, Removal, Retained, Rights, SecondConnect, Sessions, SlowReader, Stall, SubscriberFlow,
    TakeOver, UnknownName, Wills,
};

fn all_can_be_read<P>(names: impl Iterator<Item = (&'static str, &'static str)>)
where
    P: FromStr<Err = UnknownName> + Display + PartialEq + Debug,
{
    for (name, meaning) in names {
        assert!(!meaning.is_empty(), "{name}");
        let name = name.replace("0xNN", "0x8a").replace("0xMM", "0x03").replace("DURATION", "800ms");
        let name = name.replace("-N", "-3");
        let policy: P = name.parse().expect("every listed name can be read");
        assert_eq!(policy.to_string(), name);
        let is_kebab_case = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let is_other = |letter| !is_kebab_case(letter) && !"-.".contains(letter);
        assert!(!name.is_empty() && !name.contains(is_other), "{name}");
    }
}

fn starts_with_default<P>(mut names: impl Iterator<Item = (&'static str, &'static str)>)
where
    P: FromStr<Err = UnknownName> + PartialEq + Debug + Default,
{
    let (name, meaning) = names.next().expect("a policy has names");
    assert_eq!(name.parse(), Ok(P::default()));
    assert!(meaning.ends_with("conforms"), "{meaning}");
}

#[test]
fn every_listed_name_can_be_read_and_is_written_the_same() {
    all_can_be_read::<SecondConnect>(SecondConnect::names());
    all_can_be_read::<Wills>(Wills::names());
    all_can_be_read::<Retained>(Retained::names());
    all_can_be_read::<Rights>(Rights::names());
    all_can_be_read::<Greeting>(Greeting::names());
    all_can_be_read::<ConnectWait>(ConnectWait::names());
    all_can_be_read::<Readmission>(Readmission::names());
    all_can_be_read::<Deliveries>(Deliveries::names());
    all_can_be_read::<TakeOver>(TakeOver::names());
    all_can_be_read::<Sessions>(Sessions::names());
    all_can_be_read::<Flow>(Flow::names());
    all_can_be_read::<Pubacks>(Pubacks::names());
    all_can_be_read::<SubscriberFlow>(SubscriberFlow::names());
    all_can_be_read::<OfflineQueue>(OfflineQueue::names());
    all_can_be_read::<SlowReader>(SlowReader::names());
    all_can_be_read::<Stall>(Stall::names());
    all_can_be_read::<KeepAlive>(KeepAlive::names());
    all_can_be_read::<Removal>(Removal::names());
    all_can_be_read::<Expiry>(Expiry::names());
    all_can_be_read::<Reauthentication>(Reauthentication::names());
}

#[test]
fn the_first_name_of_each_policy_is_the_conforming_default() {
    starts_with_default::<SecondConnect>(SecondConnect::names());
    starts_with_default::<Wills>(Wills::names());
    starts_with_default::<Retained>(Retained::names());
    starts_with_default::<Rights>(Rights::names());
    starts_with_default::<Greeting>(Greeting::names());
    starts_with_default::<ConnectWait>(ConnectWait::names());
    starts_with_default::<Readmission>(Readmission::names());
    starts_with_default::<Deliveries>(Deliveries::names());
    starts_with_default::<TakeOver>(TakeOver::names());
    starts_with_default::<Sessions>(Sessions::names());
    starts_with_default::<Flow>(Flow::names());
    starts_with_default::<Pubacks>(Pubacks::names());
    starts_with_default::<SubscriberFlow>(SubscriberFlow::names());
    starts_with_default::<OfflineQueue>(OfflineQueue::names());
    starts_with_default::<SlowReader>(SlowReader::names());
    starts_with_default::<Stall>(Stall::names());
    starts_with_default::<KeepAlive>(KeepAlive::names());
    starts_with_default::<Removal>(Removal::names());
    starts_with_default::<Expiry>(Expiry::names());
    starts_with_default::<Reauthentication>(Reauthentication::names());
}

#[test]
fn names_carry_their_values() {
    assert_eq!("disconnect-0x81".parse(), Ok(SecondConnect::DisconnectCode(0x81)));
    let two_seconds = std::time::Duration::from_secs(2);
    assert_eq!("close-after-2s".parse(), Ok(SecondConnect::CloseAfter(two_seconds)));
    assert_eq!("refuse-0x87".parse(), Ok(Greeting::refuse(ReasonCode::NOT_AUTHORIZED)));
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
