//! Command lines that are made of the user's own, for the several runs of one call.

use std::ffi::OsString;

/// The arguments without these flags and their values. A short flag may have its value attached to it.
pub(crate) fn without(arguments: &[OsString], flags: &[&str]) -> Vec<OsString> {
    let is_short = |flag: &&&str| flag.len() == 2;
    let mut words = Vec::new();
    let mut is_value = false;
    for word in arguments {
        if std::mem::take(&mut is_value) {
            continue;
        }
        let text = word.to_string_lossy();
        let (flag, value) = text.split_once('=').map_or((&*text, None), |(flag, value)| (flag, Some(value)));
        if flags.contains(&flag) {
            is_value = value.is_none();
        } else if text.starts_with("--")
            || !flags.iter().filter(is_short).any(|short| text.starts_with(*short))
        {
            words.push(word.clone());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::without;

    #[test]
    fn flags_go_with_their_values_however_they_are_written() {
        let arguments = [
            "bench",
            "--seed",
            "7",
            "-odir",
            "-o",
            "dir",
            "--output=dir",
            "--rate=1",
            "-R",
            "5",
            "--repeats",
            "2",
        ];
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        assert_eq!(
            without(&arguments, &["--seed", "--output", "-o", "--repeat"]),
            ["bench", "--rate=1", "-R", "5", "--repeats", "2"]
        );
    }
}
