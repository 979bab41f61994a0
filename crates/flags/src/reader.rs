//! Reads the value of a flag. clap stops at the first invalid value; here all mistakes are collected.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::mistake::Mistake;

thread_local! {
    /// The mistakes of the call that this thread is reading; absent while it reads none.
    static MISTAKES: RefCell<Option<Vec<Mistake>>> = const { RefCell::new(None) };
}

/// The result of `read`, and the mistakes in values that a [`Reader`] found meanwhile on this thread, each once.
pub fn collecting<T>(read: impl FnOnce() -> T) -> (T, Vec<Mistake>) {
    let before = MISTAKES.replace(Some(Vec::new()));
    let done = read();
    (done, MISTAKES.replace(before).unwrap_or_default())
}

/// Whether the mistake was collected, which it is while this thread is [collecting].
fn collect(mistake: Mistake) -> bool {
    MISTAKES.with_borrow_mut(|mistakes| {
        let Some(mistakes) = mistakes else { return false };
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
        true
    })
}

/// A reader of `T` for clap's `value_parser`. Types of this crate need none.
#[must_use]
pub fn reader<T>() -> Reader<T> {
    Reader(PhantomData)
}

/// Reads a `T` by its `FromStr`. While [collecting], the flag's default, or else that of the type, replaces an invalid value, so that
/// the rest of the call can be checked as well.
pub struct Reader<T>(PhantomData<fn() -> T>);

impl<T> Clone for Reader<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T> TypedValueParser for Reader<T>
where
    T: FromStr + Default + Clone + Send + Sync + 'static,
    T::Err: fmt::Display,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let text = value.to_string_lossy();
        let what = match text.trim().parse() {
            Ok(value) => return Ok(value),
            Err(what) => what,
        };
        let flag = arg.and_then(Arg::get_long).unwrap_or_default();
        let mistake = Mistake::new(format!("--{flag}"), T::Err::to_string(&what));
        if !collect(mistake.clone()) {
            return Err(
                clap::Error::raw(ErrorKind::ValueValidation, format!("{mistake}\n")).with_cmd(command)
            );
        }
        let default = arg.and_then(|arg| arg.get_default_values().first()?.to_str()?.parse().ok());
        Ok(default.unwrap_or_default())
    }
}

/// A valid or invalid value of a type without a default.
#[derive(Clone, Debug)]
pub struct Given<T>(Result<T, String>);

impl<T: FromStr> FromStr for Given<T>
where
    T::Err: fmt::Display,
{
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.parse().map_err(|what: T::Err| what.to_string())))
    }
}

impl<T: Clone> Given<T> {
    /// The value; absent if invalid, with the mistake in `flag` added to the list.
    pub fn take(&self, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
        match &self.0 {
            Ok(value) => Some(value.clone()),
            Err(what) => {
                mistakes.push(Mistake::new(flag, what));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{collecting, reader};
    use crate::{PositiveTime, Whole};

    #[derive(Parser, Debug)]
    struct Call {
        #[arg(long, default_value = "2s")]
        every: PositiveTime,
        #[arg(long, value_delimiter = ',')]
        number: Vec<Whole<1, 9>>,
        #[arg(long, value_parser = reader::<bool>())]
        flag: Option<bool>,
    }

    fn read(words: &[&str]) -> (Call, Vec<String>) {
        let words = std::iter::once(&"call").chain(words);
        let (call, mistakes) = collecting(|| Call::try_parse_from(words));
        (call.unwrap(), mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_mistake_is_collected_and_replaced_by_the_default() {
        let (call, mistakes) = read(&["--every", "soon", "--number", "1,12,3", "--flag", "perhaps"]);
        assert_eq!(call.every.as_secs(), 2);
        assert_eq!(call.number, [Whole(1), Whole(1), Whole(3)]);
        assert_eq!(call.flag, Some(false));
        let flags: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(flags, ["--every", "--number", "--flag"]);
    }

    #[test]
    fn a_valid_call_has_its_values_and_no_mistake() {
        let (call, mistakes) = read(&["--every", "250ms", "--number", "7"]);
        assert_eq!((call.every.as_millis(), call.number, mistakes.len()), (250, vec![Whole(7)], 0));
    }

    #[test]
    fn without_collecting_a_mistake_is_an_error() {
        let error = Call::try_parse_from(["call", "--number", "12"]).unwrap_err();
        assert!(error.to_string().contains("--number"), "{error}");
    }
}
