//! What happens on a second CONNECT?

use std::process::ExitCode;

fn main() -> ExitCode {
    ungraceful::launch::main(&ungraceful::tools::double_connect::DoubleConnectTool, std::env::args_os())
}
