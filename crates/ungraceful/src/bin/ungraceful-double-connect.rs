//! What happens on a second CONNECT?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::DOUBLE_CONNECT, std::env::args_os())
}
