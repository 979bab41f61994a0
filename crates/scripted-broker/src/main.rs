//! The program around the library: a broker that behaves as its flags say, until it is killed.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::process::ExitCode;

use clap::Parser;
use ungraceful_mqtt::QoS;
use ungraceful_scripted_broker::{
    ConnectWait, Deliveries, Expiry, Flow, Greeting, KeepAlive, OfflineQueue, Pubacks, Readmission,
    Reauthentication, Removal, Retained, Rights, Script, ScriptedBroker, SecondConnect, Sessions, SlowReader,
    Stall, SubscriberFlow, TakeOver, Wills,
};

/// A broker on 127.0.0.1 that conforms by default and misbehaves by name; runs until it is killed
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What happens on a second CONNECT
    #[arg(long, value_name = "NAME", default_value_t)]
    second_connect: SecondConnect,
    /// What happens to the older connection when a CONNECT with its ClientID comes
    #[arg(long, value_name = "NAME", default_value_t)]
    take_over: TakeOver,
    /// What becomes of a session when its Client comes back
    #[arg(long, value_name = "NAME", default_value_t)]
    sessions: Sessions,
    /// What becomes of Wills
    #[arg(long, value_name = "NAME", default_value_t)]
    wills: Wills,
    /// What becomes of retained messages
    #[arg(long, value_name = "NAME", default_value_t)]
    retained: Retained,
    /// What happens on the first CONNECT
    #[arg(long, value_name = "NAME", default_value_t)]
    greeting: Greeting,
    /// How long a CONNECT is waited for
    #[arg(long, value_name = "NAME", default_value_t)]
    connect_wait: ConnectWait,
    /// Whether a Client that comes back is let in again
    #[arg(long, value_name = "NAME", default_value_t)]
    readmission: Readmission,
    /// What a Client may do with topics, and which QoS is served
    #[arg(long, value_name = "NAME", default_value_t)]
    rights: Rights,
    /// What becomes of messages on their way to subscribers
    #[arg(long, value_name = "NAME", default_value_t)]
    deliveries: Deliveries,
    /// What happens past the Receive Maximum in the CONNACK
    #[arg(long, value_name = "NAME", default_value_t)]
    flow: Flow,
    /// Whether and when QoS 1 is acknowledged
    #[arg(long, value_name = "NAME", default_value_t)]
    pubacks: Pubacks,
    /// How a Client's Receive Maximum is kept to
    #[arg(long, value_name = "NAME", default_value_t)]
    subscriber_flow: SubscriberFlow,
    /// How much is kept for a session without a connection
    #[arg(long, value_name = "NAME", default_value_t)]
    offline_queue: OfflineQueue,
    /// What happens to a Client that does not read
    #[arg(long, value_name = "NAME", default_value_t)]
    slow_reader: SlowReader,
    /// When a Client that says nothing is closed
    #[arg(long, value_name = "NAME", default_value_t)]
    keep_alive: KeepAlive,
    /// Whether the whole broker stops for a while
    #[arg(long, value_name = "NAME", default_value_t)]
    stall: Stall,
    /// What happens when an administrator removes a Client's user
    #[arg(long, value_name = "NAME", default_value_t)]
    removal: Removal,
    /// What happens when the token in a Client's Password or User Name runs out
    #[arg(long, value_name = "NAME", default_value_t)]
    expiry: Expiry,
    /// What happens when a Client authenticates itself anew (method JWT)
    #[arg(long, value_name = "NAME", default_value_t)]
    reauthentication: Reauthentication,
    /// The Receive Maximum in the CONNACK; none is sent by default
    #[arg(long, value_name = "N")]
    receive_maximum: Option<NonZeroU16>,
    /// The Server Keep Alive in the CONNACK; none is sent by default
    #[arg(long, value_name = "SECONDS")]
    server_keep_alive: Option<u16>,
    /// The Maximum QoS in the CONNACK; none is sent by default
    #[arg(long, value_name = "0|1", value_parser = maximum_qos)]
    maximum_qos: Option<QoS>,
    /// The Maximum Packet Size in the CONNACK; none is sent by default
    #[arg(long, value_name = "BYTES")]
    maximum_packet_size: Option<NonZeroU32>,
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// End when standard input is closed: for a program that starts this one and must not leave it behind. Without it,
    /// standard input is never read
    #[arg(long)]
    until_stdin_closes: bool,
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
        connect_wait: arguments.connect_wait,
        readmission: arguments.readmission,
        second_connect: arguments.second_connect,
        take_over: arguments.take_over,
        sessions: arguments.sessions,
        wills: arguments.wills,
        retained: arguments.retained,
        rights: arguments.rights,
        deliveries: arguments.deliveries,
        flow: arguments.flow,
        pubacks: arguments.pubacks,
        subscriber_flow: arguments.subscriber_flow,
        offline_queue: arguments.offline_queue,
        slow_reader: arguments.slow_reader,
        keep_alive: arguments.keep_alive,
        stall: arguments.stall,
        removal: arguments.removal,
        expiry: arguments.expiry,
        reauthentication: arguments.reauthentication,
        receive_maximum: arguments.receive_maximum,
        server_keep_alive_s: arguments.server_keep_alive,
        maximum_qos: arguments.maximum_qos,
        maximum_packet_size: arguments.maximum_packet_size,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let broker = ScriptedBroker::start_on(address, script)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", broker.address())?;
    stdout.flush()?;
    if arguments.until_stdin_closes {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
        return Ok(());
    }
    // A job in the background that reads its terminal is stopped, and /dev/null is at its end at once: neither ends it.
    loop {
        std::thread::park();
    }
}

fn list() -> std::io::Result<()> {
    write_names("--second-connect", SecondConnect::names())?;
    write_names("--take-over", TakeOver::names())?;
    write_names("--sessions", Sessions::names())?;
    write_names("--wills", Wills::names())?;
    write_names("--retained", Retained::names())?;
    write_names("--greeting", Greeting::names())?;
    write_names("--connect-wait", ConnectWait::names())?;
    write_names("--readmission", Readmission::names())?;
    write_names("--rights", Rights::names())?;
    write_names("--deliveries", Deliveries::names())?;
    write_names("--flow", Flow::names())?;
    write_names("--pubacks", Pubacks::names())?;
    write_names("--subscriber-flow", SubscriberFlow::names())?;
    write_names("--offline-queue", OfflineQueue::names())?;
    write_names("--slow-reader", SlowReader::names())?;
    write_names("--keep-alive", KeepAlive::names())?;
    write_names("--stall", Stall::names())?;
    write_names("--removal", Removal::names())?;
    write_names("--expiry", Expiry::names())?;
    write_names("--reauthentication", Reauthentication::names())
}

fn maximum_qos(text: &str) -> Result<QoS, &'static str> {
    match text {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        _ => Err("write 0 or 1"),
    }
}

fn write_names(flag: &str, names: impl Iterator<Item = (&'static str, &'static str)>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (name, meaning) in names {
        writeln!(stdout, "{flag} {name}: {meaning}")?;
    }
    Ok(())
}
