//! The embedded broker alone: prints the address it serves on, and ends with its standard input or its parent.
//! Used by this crate's tests, and to look at the broker by hand: `cargo run --example serve`.

use std::io::Write;

use ungraceful_embedded_broker::{ServeError, Settings, serve};

fn main() -> Result<(), ServeError> {
    serve(&Settings::default(), |address| {
        let mut stdout = std::io::stdout().lock();
        // A parent that closed the pipe will not read the port, and ends this process in its own way.
        let _ = writeln!(stdout, "{address}").and_then(|()| stdout.flush());
    })
}
