//! The program around the library: a broker that behaves as its flags say, until its standard input ends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::process::ExitCode;

use clap::Parser;
use ungraceful_scripted_broker::{Deliveries, Greeting, Script, ScriptedBroker, SecondConnect, Wills};

/// A broker on 127.0.0.1 that conforms by default and misbehaves by name; runs until standard input ends
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What happens on a second CONNECT
    #[arg(long, value_name = "NAME", default_value_t)]
    second_connect: SecondConnect,
    /// What becomes of Wills
    #[arg(long, value_name = "NAME", default_value_t)]
    wills: Wills,
    /// What happens on the first CONNECT
    #[arg(long, value_name = "NAME", default_value_t)]
    greeting: Greeting,
    /// What becomes of messages on their way to subscribers
    #[arg(long, value_name = "NAME", default_value_t)]
    deliveries: Deliveries,
    /// The Receive Maximum in the CONNACK; none is sent by default
    #[arg(long, value_name = "N")]
    receive_maximum: Option<NonZeroU16>,
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Name everything there is, and do nothing else
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.list { list() } else { serve(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be told to if this fails as well.
            let _ = writeln!(std::io::stderr(), "scripted-broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> std::io::Result<()> {
    let script = Script {
        greeting: arguments.greeting,
        second_connect: arguments.second_connect,
        wills: arguments.wills,
        deliveries: arguments.deliveries,
        receive_maximum: arguments.receive_maximum,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let broker = ScriptedBroker::start_on(address, script)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", broker.address())?;
    stdout.flush()?;
    std::io::copy(&mut std::io::stdin().lock().by_ref(), &mut std::io::sink())?;
    Ok(())
}

fn list() -> std::io::Result<()> {
    write_names("--second-connect", SecondConnect::names())?;
    write_names("--wills", Wills::names())?;
    write_names("--greeting", Greeting::names())?;
    write_names("--deliveries", Deliveries::names())
}

fn write_names(flag: &str, names: impl Iterator<Item = (&'static str, &'static str)>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (name, meaning) in names {
        writeln!(stdout, "{flag} {name}: {meaning}")?;
    }
    Ok(())
}
