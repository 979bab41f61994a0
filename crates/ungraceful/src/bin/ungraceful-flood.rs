//! What happens past what was agreed?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::flood::TOOL, std::env::args_os())
}
