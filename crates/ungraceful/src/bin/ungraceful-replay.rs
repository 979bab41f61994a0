//! What does this broker do with the packets in a file?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
