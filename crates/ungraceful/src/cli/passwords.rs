//! Passwords that were typed where none belongs, kept out of what is printed: `--host user:password@host`, a URL without
//! its flag, a variable that holds another flag's value. Whoever complains about a value repeats it, and the complaint ends
//! in a terminal's history, a build log or a ticket.

use std::ffi::OsString;

/// What stands in place of a password.
const HIDDEN: &str = "***";

/// `text` without any password of this call: of its arguments, and of our variables in its environment.
pub(crate) fn hidden(text: &str) -> String {
    let variables = std::env::vars_os().filter(|(name, _)| super::environment::is_ours(name));
    hidden_of(std::env::args_os().chain(variables.map(|(_, value)| value)), text)
}

fn hidden_of(given: impl Iterator<Item = OsString>, text: &str) -> String {
    given.fold(text.to_owned(), |text, given| {
        let given = given.to_string_lossy();
        let Some(password) = password(&given) else { return text };
        let shown = format!(":{HIDDEN}@");
        // Complaints quote what was given.
        let quoted: String = password.escape_debug().collect();
        text.replace(&format!(":{password}@"), &shown).replace(&format!(":{quoted}@"), &shown)
    })
}

/// Whatever stands between the first colon and the last `@`: with a scheme before it, also the user name.
fn password(given: &str) -> Option<&str> {
    let (before, _host) = given.rsplit_once('@')?;
    let (_user, password) = before.split_once(':')?;
    (!password.is_empty()).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::hidden_of;

    #[test]
    fn a_password_before_a_host_is_hidden_however_it_was_given_and_quoted() {
        for (given, said) in [
            ("mqtt://me:hunter2@host", "unexpected argument 'mqtt://me:hunter2@host' found"),
            ("--host=me:hunter2@host", "--host=me:hunter2@host"),
            ("me:hunter2 \"@\" x@host", "--port: \"me:hunter2 \\\"@\\\" x@host\" is not in range"),
            ("me:a://hunter2@host", "me:a://hunter2@host"),
        ] {
            let shown = hidden_of([given.into()].into_iter(), said);
            assert!(!shown.contains("hunter2") && shown.contains(":***@"), "{shown}");
        }
    }

    #[test]
    fn what_holds_no_password_stays_as_it_is() {
        for given in ["me@host", "host:1883", "-P", "", "a:@b"] {
            let said = format!("{given:?} is no host");
            assert_eq!(hidden_of([given.into()].into_iter(), &said), said);
        }
    }
}
