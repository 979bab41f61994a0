//! Why was the client disconnected?

mod thin;

fn main() -> std::process::ExitCode {
    thin::main(env!("CARGO_BIN_NAME"))
}
