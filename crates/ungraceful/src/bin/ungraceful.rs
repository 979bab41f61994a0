//! The front: `ungraceful double-connect …` is `ungraceful-double-connect …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::front::main(std::env::args_os())
}
