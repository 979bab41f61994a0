//! Our variables in the environment: which there are, and which were meant. A variable that nobody reads changes nothing, so
//! one whose name is mistyped would change nothing without a word.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::{Arg, Command};
use strsim::damerau_levenshtein;
use ungraceful_flags::VARIABLE_PREFIX;

/// Letters that may be wrong in a name, at the most, for another to have been meant.
const WRONG_LETTERS_MAX: usize = 3;

/// Whether a variable is named as ours are.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(VARIABLE_PREFIX)
}

/// A warning for each variable that is named as ours are and that no tool reads. Its value is not repeated.
///
/// `commands` are the command lines of all tools, which are made only where there is such a variable: what one tool reads is
/// no mistake where another is called.
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
        None => "each flag's variable is in its help text".to_owned(),
    };
    format!("warning: the environment variable {name} sets no flag of any tool; {cure}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::warning;

    #[test]
    fn a_mistyped_variable_is_told_the_nearest_one_and_a_strange_one_where_to_look() {
        let known: BTreeSet<String> =
            ["UNGRACEFUL_HOST", "UNGRACEFUL_PORT", "UNGRACEFUL_PW_FILE"].map(str::to_owned).into();
        for (name, cure) in [
            ("UNGRACEFUL_HOTS", "did you mean UNGRACEFUL_HOST?"),
            ("UNGRACEFUL_PWFILE", "did you mean UNGRACEFUL_PW_FILE?"),
            ("UNGRACEFUL_PASSWORD", "in its help text"),
        ] {
            let warning = warning(name, &known);
            assert!(warning.contains(name) && warning.contains(cure), "{warning}");
        }
    }
}
