//! Removes misplaced passwords from error messages, which may end in a build log or a ticket: `--host user:password@host`, a URL
//! without its flag, a variable with another flag's value.

use std::ffi::OsString;

/// The replacement for a password.
const HIDDEN: &str = "***";

/// `text` without the passwords in this process's arguments and in its variables with our prefix.
pub(crate) fn redacted(text: &str) -> String {
    let variables = std::env::vars_os().filter(|(name, _)| super::environment::is_ours(name));
    redact(std::env::args_os().chain(variables.map(|(_, value)| value)), text)
}

fn redact(given: impl Iterator<Item = OsString>, text: &str) -> String {
    given.fold(text.to_owned(), |text, given| {
        let given = given.to_string_lossy();
        let Some(password) = password(&given) else { return text };
        let shown = format!(":{HIDDEN}@");
        // Error messages quote the value.
        let quoted: String = password.escape_debug().collect();
        text.replace(&format!(":{password}@"), &shown).replace(&format!(":{quoted}@"), &shown)
    })
}

/// The text between the first colon and the last `@`; after a scheme, this includes the user name.
fn password(given: &str) -> Option<&str> {
    let (before, _host) = given.rsplit_once('@')?;
    let (_user, password) = before.split_once(':')?;
    (!password.is_empty()).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn a_password_before_a_host_is_redacted_however_it_was_quoted() {
        for (given, said) in [
            ("mqtt://me:hunter2@host", "unexpected argument 'mqtt://me:hunter2@host' found"),
            ("--host=me:hunter2@host", "--host=me:hunter2@host"),
            ("me:hunter2 \"@\" x@host", "--port: \"me:hunter2 \\\"@\\\" x@host\" is not in range"),
            ("me:a://hunter2@host", "me:a://hunter2@host"),
        ] {
            let shown = redact([given.into()].into_iter(), said);
            assert!(!shown.contains("hunter2") && shown.contains(":***@"), "{shown}");
        }
    }

    #[test]
    fn text_without_a_password_is_unchanged() {
        for given in ["me@host", "host:1883", "-P", "", "a:@b"] {
            let said = format!("{given:?} is no host");
            assert_eq!(redact([given.into()].into_iter(), &said), said);
        }
    }
}
