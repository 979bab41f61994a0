//! What happens when clients come back before the broker noticed that they were gone?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::TAKEOVER, std::env::args_os())
}
