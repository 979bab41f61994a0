//! What happens when negotiated limits are exceeded?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::FLOOD, std::env::args_os())
}
