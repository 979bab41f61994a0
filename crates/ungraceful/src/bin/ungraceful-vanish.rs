//! What happens when clients vanish without a DISCONNECT?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::VANISH, std::env::args_os())
}
