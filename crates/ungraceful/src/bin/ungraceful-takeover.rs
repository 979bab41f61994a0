//! What happens when clients come back before the broker has noticed that they are gone?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
