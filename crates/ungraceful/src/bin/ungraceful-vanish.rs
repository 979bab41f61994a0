//! What happens when clients go without a word?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::vanish::TOOL, std::env::args_os())
}
