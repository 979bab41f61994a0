//! Are clients disconnected when their credentials expire, or when an operator removes them?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::EXPIRE, std::env::args_os())
}
