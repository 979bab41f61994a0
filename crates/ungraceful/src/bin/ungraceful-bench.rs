//! What does the broker do under honest load?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::BENCH, std::env::args_os())
}
