//! What happens on malformed and forbidden packets?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::VIOLATE, std::env::args_os())
}
