//! What happens on malformed and forbidden packets, frames, first bytes and certificates?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
