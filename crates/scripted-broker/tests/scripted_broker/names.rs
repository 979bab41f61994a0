//! Every listed name is one, and every policy writes itself as it is read.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ungraceful_mqtt::{ConnectReturnCode, ReasonCode};
use ungraceful_scripted_broker::{Deliveries, Greeting, SecondConnect, UnknownName, Wills};

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
        assert!(name.chars().all(|letter| is_kebab_case(letter) || "-.".contains(letter)), "{name}");
    }
}

#[test]
fn every_listed_name_can_be_read_and_is_written_the_same() {
    all_can_be_read::<SecondConnect>(SecondConnect::names());
    all_can_be_read::<Wills>(Wills::names());
    all_can_be_read::<Greeting>(Greeting::names());
    all_can_be_read::<Deliveries>(Deliveries::names());
}

#[test]
fn the_first_name_of_each_policy_is_the_conforming_default() {
    assert_eq!(
        SecondConnect::names().next().map(|(name, _)| name.parse()),
        Some(Ok(SecondConnect::default()))
    );
    assert_eq!(Wills::names().next().map(|(name, _)| name.parse()), Some(Ok(Wills::default())));
    assert_eq!(Greeting::names().next().map(|(name, _)| name.parse()), Some(Ok(Greeting::default())));
    assert_eq!(Deliveries::names().next().map(|(name, _)| name.parse()), Some(Ok(Deliveries::default())));
}

#[test]
fn names_carry_their_values() {
    assert_eq!("disconnect-0x81".parse(), Ok(SecondConnect::DisconnectCode(0x81)));
    let two_seconds = std::time::Duration::from_secs(2);
    assert_eq!("close-after-2s".parse(), Ok(SecondConnect::CloseAfter(two_seconds)));
    assert_eq!("refuse-0x87".parse(), Ok(Greeting::refuse(ReasonCode::NOT_AUTHORIZED)));
    let both = Greeting::RefuseWith(ReasonCode(0x87), ConnectReturnCode(3));
    assert_eq!("refuse-0x87-0x03".parse(), Ok(both));
}

#[test]
fn what_is_no_name_is_refused_with_a_hint() {
    for wrong in ["", "Disconnect", "disconnect-0xNN", "disconnect-82", "close-after-", "close-after-1h"] {
        assert!(wrong.parse::<SecondConnect>().is_err(), "{wrong:?}");
    }
    for wrong in ["lose-every-0", "lose-every-", "delay-5", "delay-5ms-while-attacked-", "swap-every-N"] {
        assert!(wrong.parse::<Deliveries>().is_err(), "{wrong:?}");
    }
    assert!("refuse-0x87-".parse::<Greeting>().is_err());
    let error = "sometimes".parse::<Wills>().expect_err("no such policy");
    assert_eq!(error.to_string(), "no wills policy is named `sometimes`: see `scripted-broker --list`");
}
