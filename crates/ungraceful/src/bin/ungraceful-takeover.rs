//! What happens when clients come back before the broker noticed that they were gone?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
