//! Everything: the front, and every tool, as `ungraceful double-connect …` or under the name `ungraceful-double-connect`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::front::main(std::env::args_os())
}
