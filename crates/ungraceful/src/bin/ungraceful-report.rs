//! What did a run find?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
