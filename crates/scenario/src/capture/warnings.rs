//! Warnings: the wording that they share, and those about connections.

use super::{CapturedConnection, Side};

/// How many of many similar things a warning names.
const NAMED_MAX: usize = 3;

/// "1 packet" or "7 packets".
pub(super) fn packets(count: usize) -> String {
    format!("{count} {}", if count == 1 { "packet" } else { "packets" })
}

/// "1 byte" or "7 bytes".
fn bytes(count: u64) -> String {
    format!("{count} {}", if count == 1 { "byte" } else { "bytes" })
}

/// The first few of the names, and how many more there are.
fn some_of(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn name(connection: &CapturedConnection) -> String {
    format!("{} -> {}", connection.client, connection.server)
}

/// What the warnings about connections are made of.
#[derive(Debug, Default)]
pub(super) struct Findings {
    without_beginning: Vec<String>,
    client_by_port: Vec<String>,
    with_gaps: Vec<String>,
}

impl Findings {
    /// The client is assumed by the ports.
    pub(super) fn note_client_by_port(&mut self, connection: &CapturedConnection) {
        self.client_by_port.push(name(connection));
    }

    pub(super) fn note(
        &mut self,
        connection: &CapturedConnection,
        missing_from_client: u64,
        missing_from_server: u64,
    ) {
        let name = name(connection);
        if connection.gaps > 0 {
            let missing = |side, at_end: u64| {
                let segments = connection.segments.iter().filter(|segment| segment.from == side);
                segments.map(|segment| segment.missing_before).fold(at_end, u64::saturating_add)
            };
            let from_client = missing(Side::Client, missing_from_client);
            let from_server = missing(Side::Server, missing_from_server);
            let (client, server) = (bytes(from_client), bytes(from_server));
            self.with_gaps.push(match (from_client, from_server) {
                (_, 0) => format!("{name} ({client} from the client)"),
                (0, _) => format!("{name} ({server} from the server)"),
                _ => format!("{name} ({client} from the client, {server} from the server)"),
            });
        }
        if !connection.has_beginning {
            self.without_beginning.push(name);
        }
    }

    pub(super) fn report(&self, warnings: &mut Vec<String>) {
        let mut warn = |names: &[String], what: &str, cure: &str| {
            if !names.is_empty() {
                warnings.push(format!("{what}: {}{cure}", some_of(names)));
            }
        };
        warn(
            &self.without_beginning,
            "the capture lacks the handshake of",
            "; start the capture before the client connects",
        );
        warn(
            &self.client_by_port,
            "neither handshake nor packets show which side is the client; assumed the side with the higher port",
            "",
        );
        warn(
            &self.with_gaps,
            "bytes are missing from",
            "; capture again with -s 0 and a larger buffer, such as `tcpdump -B 65536`",
        );
    }
}
