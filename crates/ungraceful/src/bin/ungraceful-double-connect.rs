//! What happens on a second CONNECT?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::double_connect::TOOL, std::env::args_os())
}
