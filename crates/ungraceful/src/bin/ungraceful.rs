//! The front and every tool: `ungraceful double-connect …`, or called by the name `ungraceful-double-connect`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::front::main(std::env::args_os())
}
