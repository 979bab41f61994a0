//! Warnings about mistyped environment variables, which would otherwise be ignored silently.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::{Arg, Command};
use strsim::damerau_levenshtein;
use ungraceful_flags::VARIABLE_PREFIX;

/// Maximum edit distance at which another name is suggested.
const WRONG_LETTERS_MAX: usize = 3;

/// Whether a variable has our prefix.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(VARIABLE_PREFIX)
}

/// A warning for each variable with our prefix that no tool reads. Its value is not repeated.
///
/// `commands` returns the command lines of all tools: a variable for another tool is no mistake. It is called only when there is a
/// variable with our prefix.
pub(crate) fn warnings(commands: impl FnOnce() -> Vec<Command>) -> Vec<String> {
    let set: BTreeSet<String> = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_ours(name))
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if set.is_empty() {
        return Vec::new();
    }
    let known = known(&commands());
    set.iter().filter(|name| !known.contains(*name)).map(|name| warning(name, &known)).collect()
}

fn known(commands: &[Command]) -> BTreeSet<String> {
    let names = commands.iter().flat_map(Command::get_arguments).filter_map(Arg::get_env);
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

fn warning(name: &str, known: &BTreeSet<String>) -> String {
    let nearest = known.iter().min_by_key(|known| damerau_levenshtein(name, known));
    let meant = nearest.filter(|nearest| damerau_levenshtein(name, nearest) <= WRONG_LETTERS_MAX);
    let cure = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "--help lists the variable of each flag".to_owned(),
    };
    format!("warning: no tool reads the environment variable {name}; {cure}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::warning;

    #[test]
    fn a_mistyped_variable_gets_a_suggestion_or_a_hint() {
        let known: BTreeSet<String> =
            ["UNGRACEFUL_HOST", "UNGRACEFUL_PORT", "UNGRACEFUL_PW_FILE"].map(str::to_owned).into();
        for (name, cure) in [
            ("UNGRACEFUL_HOTS", "did you mean UNGRACEFUL_HOST?"),
            ("UNGRACEFUL_PWFILE", "did you mean UNGRACEFUL_PW_FILE?"),
            ("UNGRACEFUL_PASSWORD", "--help lists"),
        ] {
            let warning = warning(name, &known);
            assert!(warning.contains(name) && warning.contains(cure), "{warning}");
        }
    }
}
