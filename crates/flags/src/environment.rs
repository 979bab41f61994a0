//! The environment variable of each flag, derived from its name.

use clap::{ArgAction, Command};

/// The prefix of all variables.
pub const VARIABLE_PREFIX: &str = "UNGRACEFUL_";
/// Flags for a single call, which no variable sets.
const WITHOUT_VARIABLE: [&str; 7] = ["help", "help-all", "version", "print-plan", "follow", "code", "list"];

/// The variable of a flag, by its long name.
#[must_use]
pub fn variable_of(long: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", long.replace('-', "_").to_uppercase())
}

/// Lets the environment set the command's flags: `--will-wait` by `UNGRACEFUL_WILL_WAIT`. A number may begin with a hyphen, so that
/// `--count -5` is an invalid count and not an unknown flag `-5`. Help texts show neither a variable, whose name follows from the flag's,
/// nor its value, which may be a password: they are pasted into tickets.
#[must_use]
pub fn with_environment(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(long) = arg.get_long().filter(|long| !WITHOUT_VARIABLE.contains(long)) else { return arg };
        let variable = variable_of(long);
        let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
        let takes_hyphen =
            takes_value && arg.get_value_names().is_some_and(|names| is_number(names[0].as_str()));
        let arg = arg.env(variable).hide_env(true).hide_env_values(true);
        if takes_hyphen { arg.allow_hyphen_values(true) } else { arg }
    })
}

/// Whether values of this name are numbers or times, so that `-5` is an invalid one and not a flag.
fn is_number(value_name: &str) -> bool {
    matches!(
        value_name,
        "TIME"
            | "SECONDS"
            | "N"
            | "BYTES"
            | "MIB"
            | "PORT"
            | "PID"
            | "PER_SECOND"
            | "PAIRS"
            | "NUMBER"
            | "STAGES"
            | "TEXT"
    )
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::with_environment;

    #[test]
    fn a_variable_is_named_after_its_flag_and_may_be_negative() {
        let command = with_environment(
            Command::new("call")
                .arg(Arg::new("will_wait").long("will-wait").value_name("TIME"))
                .arg(Arg::new("host").long("host").value_name("HOST"))
                .arg(Arg::new("quiet").long("quiet").action(ArgAction::SetTrue))
                .arg(Arg::new("print_plan").long("print-plan").action(ArgAction::SetTrue)),
        );
        let of = |id: &str| command.get_arguments().find(|arg| arg.get_id() == id).unwrap();
        let variable = |id: &str| of(id).get_env().map(|name| name.to_str().unwrap().to_owned());
        assert_eq!(variable("will_wait").as_deref(), Some("UNGRACEFUL_WILL_WAIT"));
        assert_eq!(variable("quiet").as_deref(), Some("UNGRACEFUL_QUIET"));
        assert_eq!(variable("print_plan"), None);
        assert!(of("will_wait").is_allow_hyphen_values_set() && !of("host").is_allow_hyphen_values_set());
    }
}
