//! How does the broker perform under load?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::BENCH, std::env::args_os())
}
