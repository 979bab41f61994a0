//! The program around the library: a broker that behaves as its flags say, until it is killed.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

/// A broker on 127.0.0.1 that conforms by default and misbehaves by name; runs until it is killed
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    script: Script,
    /// The port; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Exit when standard input is closed, for a program that starts this one and must not leave it behind. Without this
    /// flag, standard input is never read
    #[arg(long)]
    until_stdin_closes: bool,
    /// List every policy by name, and exit
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.list { list() } else { serve(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If this fails too, there is nowhere left to report it.
            let _ = writeln!(std::io::stderr(), "scripted-broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> std::io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let broker = ScriptedBroker::start_on(address, arguments.script)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", broker.address())?;
    stdout.flush()?;
    if arguments.until_stdin_closes {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
        return Ok(());
    }
    // Not by reading standard input: that would stop a background job, and end at once on /dev/null.
    loop {
        std::thread::park();
    }
}

fn list() -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (flag, name, meaning) in Script::policies() {
        writeln!(stdout, "--{flag} {name}: {meaning}")?;
    }
    Ok(())
}
