//! Numbers for people: times scaled with their unit, counts with thousands separators, ratios. JSON and CSV have integer µs
//! instead.

use std::time::Duration;

/// A count with thousands separators: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A rate per second, exact to a thousandth: `12,500/s`, `0.5/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    let whole = per_second.trunc();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and bounded"
    )]
    let mut shown = count(whole as u64);
    let fraction = format!("{:.3}", per_second - whole);
    let digits = fraction.trim_end_matches('0').trim_end_matches('.').trim_start_matches('0');
    shown.push_str(digits);
    shown + "/s"
}

/// A time in µs, with three significant digits and its unit: `210 µs`, `1.23 ms`, `45.6 s`. From 1,000 s on in whole seconds.
#[must_use]
pub fn time(us: u64) -> String {
    if us < 1_000 {
        return format!("{us} µs");
    }
    // Rounded before the unit is chosen: 999.9 ms are 1.00 s, and not 1,000 ms.
    let step = 10_u64.pow(us.ilog10().saturating_sub(2).min(6));
    let rounded = us.saturating_add(step / 2) / step * step;
    let (unit_us, unit) = if rounded < 1_000_000 { (1_000, "ms") } else { (1_000_000, "s") };
    let whole = rounded / unit_us;
    let hundredths = rounded % unit_us / (unit_us / 100);
    match whole {
        0..10 => format!("{whole}.{hundredths:02} {unit}"),
        10..100 => format!("{whole}.{} {unit}", hundredths / 10),
        _ => format!("{} {unit}", count(whole)),
    }
}

/// A configured time, exact to the µs: `0 s`, `700 ms`, `1.5 s`, `3,600 s`.
#[must_use]
pub fn span(time: Duration) -> String {
    let us = micros(time);
    let (unit_us, unit, digits) = match us {
        1..1_000 => (1, "µs", 0),
        1_000..1_000_000 => (1_000, "ms", 3),
        _ => (1_000_000, "s", 6),
    };
    let fraction = format!(".{:0digits$}", us % unit_us);
    let fraction = if digits == 0 { "" } else { fraction.trim_end_matches('0').trim_end_matches('.') };
    format!("{}{fraction} {unit}", count(us / unit_us))
}

/// The ratio of a time to `base_us`, such as `×1.3`; absent when they are within 10 % of each other, or for a zero base.
#[must_use]
pub fn ratio(us: u64, base_us: u64) -> Option<String> {
    let tenths = us.saturating_mul(10).saturating_add(base_us / 2).checked_div(base_us)?;
    match tenths {
        9..=11 => None,
        0..100 => Some(format!("×{}.{}", tenths / 10, tenths % 10)),
        _ => Some(format!("×{}", count(tenths / 10))),
    }
}

/// A number of bytes, with three significant digits and its unit: `512 B`, `4.10 MiB`, `1,020 KiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    // The largest unit that fits at least once.
    let power = usize::try_from(bytes.ilog2() / 10).unwrap_or(1).min(UNITS.len());
    let unit_bytes = 1_u64 << (10 * power);
    let hundredths = u128::from(bytes) * 100 / u128::from(unit_bytes);
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let number = match whole {
        0..10 => format!("{whole}.{rest:02}"),
        10..100 => format!("{whole}.{}", rest / 10),
        _ => count(u64::try_from(whole).unwrap_or(u64::MAX)),
    };
    format!("{number} {}", UNITS[power - 1])
}

/// `1 case`, `2 cases`: a count with its noun, whose plural ends in `s`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A duration in whole microseconds; saturates at 584,000 years.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, count, counted, listed, ratio, span, time};

    #[test]
    fn thousands_are_separated_by_commas() {
        let shown = [0, 7, 999, 1_000, 12_345, 123_456, 1_234_567].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "123,456", "1,234,567"]);
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_time_has_three_digits_and_a_fitting_unit() {
        let shown = [0, 1, 999, 1_000, 1_234, 12_345, 123_456].map(time);
        assert_eq!(shown, ["0 µs", "1 µs", "999 µs", "1.00 ms", "1.23 ms", "12.3 ms", "123 ms"]);
        let shown = [1_000_000, 1_234_567, 12_345_678, 123_456_789, 3_599_600_000].map(time);
        assert_eq!(shown, ["1.00 s", "1.23 s", "12.3 s", "123 s", "3,600 s"]);
    }

    #[test]
    fn a_time_that_rounds_up_changes_its_unit() {
        let shown = [999_499, 999_500, 999_999, 9_999, 99_950].map(time);
        assert_eq!(shown, ["999 ms", "1.00 s", "1.00 s", "10.0 ms", "100 ms"]);
        assert!(time(u64::MAX).ends_with(" s"));
    }

    #[test]
    fn a_configured_time_is_shown_exactly() {
        let shown = [0, 1, 999, 1_000, 1_500, 700_000, 999_999].map(|us| span(Duration::from_micros(us)));
        assert_eq!(shown, ["0 s", "1 µs", "999 µs", "1 ms", "1.5 ms", "700 ms", "999.999 ms"]);
        let shown =
            [1_000_000, 1_500_000, 31_050_001, 3_600_000_000].map(|us| span(Duration::from_micros(us)));
        assert_eq!(shown, ["1 s", "1.5 s", "31.050001 s", "3,600 s"]);
    }

    #[test]
    fn bytes_have_three_digits_and_a_fitting_unit() {
        let shown = [0, 1_023, 1_024, 4_299_161, 55_555_555, 1_048_575, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.00 KiB", "4.09 MiB", "52.9 MiB", "1,023 KiB", "16,383 PiB"]);
    }

    #[test]
    fn a_ratio_is_shown_when_it_differs_by_more_than_a_tenth() {
        assert_eq!(ratio(130, 100).as_deref(), Some("×1.3"));
        assert_eq!(ratio(50, 100).as_deref(), Some("×0.5"));
        assert_eq!(ratio(123_456, 100).as_deref(), Some("×1,234"));
        assert_eq!((ratio(114, 100), ratio(86, 100)), (None, None));
        assert_eq!((ratio(100, 0), ratio(0, 0)), (None, None));
    }

    #[test]
    fn nouns_and_lists_read_as_english() {
        assert_eq!((counted(1, "case"), counted(1_000, "case")), ("1 case".into(), "1,000 cases".into()));
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([0, 1, 2, 3].map(|n| listed(&items[..n])), ["", "a", "a and b", "a, b and c"]);
    }
}
