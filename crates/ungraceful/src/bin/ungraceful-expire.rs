//! Are clients disconnected when their credentials expire, or when an operator removes them?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
