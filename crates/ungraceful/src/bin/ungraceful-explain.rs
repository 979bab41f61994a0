//! Why was the client disconnected?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::explain::main(std::env::args_os())
}
