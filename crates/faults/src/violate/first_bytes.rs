//! A connection whose first bytes are of another protocol, or of no layer that the port expects: HTTP or TLS on a port for MQTT, MQTT
//! in clear on a port for TLS or WebSocket, and a TLS handshake that is never finished.
//!
//! Scanners, health checks and clients with the wrong port do this. Each such connection holds a descriptor until the broker closes
//! it. The broker's log then has "Protocol error", "http request" (OpenSSL) or "bad protocol" lines, or nothing.

use std::sync::Arc;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Named, Versions, Wanted, chosen};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::offers::Offers;
use ungraceful_record::reaction::Outcome;
use ungraceful_rig::attempts::client::{Client, encode_connect};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Watch, observe_silently};
use ungraceful_wire::{ConnectOptions, PACKET_BYTES_MAX, Transport};

use crate::ending::{Unfinished, attempted, confirm, prepared};
use crate::judging::{evidence_count, no_sample};
use crate::mode::{FaultMode, each_case};

/// The fault's name.
pub const ID: &str = "first-bytes";
/// Fact: whether MQTT in clear was answered.
pub const IN_CLEAR: FactOf<InClear> = FactOf::new("in clear");

ungraceful_record::words! {
    /// The answer to a CONNECT without the layers of the port.
    pub enum InClear: "answer" {
        /// The broker accepted it.
        Accepted = "CONNACK",
        /// No CONNACK came.
        NotAnswered = "no CONNACK",
    }
}

ungraceful_record::words! {
    /// What the first bytes are.
    pub enum Variant: "variant" {
        /// A request of HTTP/1.1.
        Http = "http",
        /// A whole ClientHello of TLS 1.2, and then nothing.
        TlsHello = "tls-hello",
        /// The beginning of a ClientHello, and then nothing.
        TlsPart = "tls-part",
        /// A CONNECT without TLS and WebSocket, on a port for them.
        MqttInClear = "mqtt-in-clear",
    }
}

/// An HTTP request, long enough to be a whole packet where its first bytes are read as one.
const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: broker\r\nUser-Agent: ungraceful\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n";

/// A ClientHello of TLS 1.2 (RFC 5246 section 7.4.1.2) with common suites, curves and signatures.
fn client_hello() -> Vec<u8> {
    const SUITES: [u8; 12] = [0xC0, 0x2F, 0xC0, 0x30, 0xC0, 0x2B, 0xC0, 0x2C, 0x00, 0x9C, 0x00, 0x2F];
    // Supported groups, formats of points, signature algorithms.
    const EXTENSIONS: [u8; 36] = [
        0, 10, 0, 8, 0, 6, 0, 29, 0, 23, 0, 24, // x25519, secp256r1, secp384r1
        0, 11, 0, 2, 1, 0, // uncompressed
        0, 13, 0, 14, 0, 12, 4, 3, 5, 3, 8, 4, 8, 5, 4, 1, 5, 1,
    ];
    let mut body = vec![3, 3];
    body.extend([0x5A; 32]);
    body.push(0);
    body.extend([0, 12]);
    body.extend(SUITES);
    body.extend([1, 0, 0, 36]);
    body.extend(EXTENSIONS);
    // Everything is far below 256 bytes.
    let length = body.len().to_be_bytes();
    let mut hello = vec![22, 3, 1, 0, length[7] + 4, 1, 0, 0, length[7]];
    hello.extend(body);
    hello
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: http, tls-hello, tls-part, mqtt-in-clear [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "HTTP, TLS or MQTT in clear on a port for something else: when does the broker close it?";
    const LONG_ABOUT: &'static str = "Opens TCP connections beneath TLS and WebSocket and sends bytes that the port does not \
         expect: an HTTP request, a TLS ClientHello that is whole or cut and that nothing follows, and, on a port for TLS or \
         WebSocket, a CONNECT in clear. On a port for plain MQTT, TLS and HTTP are the wrong protocol; on a port for TLS, the \
         ClientHello begins a handshake that is never finished. Reports whether the broker closes the connection within \
         --reaction-timeout, and how fast. The standard does not limit that time, so nothing here is a violation; a connection \
         that stays open is a note, because it holds a descriptor.";
    const CHECKS: &'static [&'static [Check]] = &[CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let newest = spoken.iter().max().copied();
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            // Only the CONNECT has a version.
            let is_needed = variant == Variant::MqttInClear || Some(version) == newest;
            is_needed.then_some(FirstBytes { variant, version })
        })
    }
}

/// A connection with these first bytes.
#[derive(Clone, Copy, Debug)]
struct FirstBytes {
    variant: Variant,
    version: ProtocolVersion,
}

impl Fault for FirstBytes {
    fn case(&self) -> Case {
        Case::new(ID, self.variant, self.version)
    }

    fn describe(&self) -> String {
        match self.variant {
            Variant::Http => "TCP, GET / HTTP/1.1, and then nothing".to_owned(),
            Variant::TlsHello => "TCP, a TLS ClientHello, and then nothing".to_owned(),
            Variant::TlsPart => "TCP, half a TLS ClientHello, and then nothing".to_owned(),
            Variant::MqttInClear => "TCP without TLS and WebSocket, CONNECT".to_owned(),
        }
    }

    fn unsupported_reason(&self, _offers: Offers, transport: &Transport) -> Option<String> {
        let is_expected = self.variant == Variant::MqttInClear && !transport.is_layered();
        is_expected.then(|| "on a port for plain MQTT, a CONNECT in clear is right".to_owned())
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl FirstBytes {
    fn bytes(self, stage: &Stage, client_id: &str) -> Result<Vec<u8>, String> {
        Ok(match self.variant {
            Variant::Http => HTTP.to_vec(),
            Variant::TlsHello => client_hello(),
            Variant::TlsPart => {
                let mut hello = client_hello();
                hello.truncate(hello.len() / 2);
                hello
            }
            Variant::MqttInClear => {
                let mut bytes = Vec::new();
                let connect = Client::honest_connect(client_id, &stage.credentials);
                encode_connect(&connect, self.version, PACKET_BYTES_MAX, &mut bytes)
                    .map_err(|error| format!("CONNECT can't be encoded: {error}"))?;
                bytes
            }
        })
    }

    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let bytes = self.bytes(stage, log.client_id())?;
        let options = ConnectOptions { transport: Transport::default(), ..stage.options.clone() };
        let opening = async {
            let opened = stage.open_with(self.version, &options).await;
            opened.map_err(|error| format!("cannot connect: {error}"))
        };
        let (mut client, established) = prepared(stage, opening).await?;
        log.established(established);
        let sent = client.connection.send(&bytes).await;
        let sent = sent.map_err(|_ended| "the connection ended before the first bytes")?;
        log.provoked(sent.at);
        let in_clear = self.variant == Variant::MqttInClear;
        let watch = Watch {
            provoked_at: sent.at,
            within: stage.reaction_timeout,
            connacks_due: u32::from(in_clear),
            subscribed: false,
        };
        let seen = observe_silently(&mut client, &stage.clock, &stage.stop, watch).await;
        let accepted = seen.connack_at.is_some() && seen.refused.is_none();
        let confirmed = confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await;
        if in_clear && confirmed.outcome.is_evidence() {
            log.fact(IN_CLEAR, if accepted { InClear::Accepted } else { InClear::NotAnswered });
        }
        client.connection.close();
        Ok(())
    }
}

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("closes_other_protocols", closes_other_protocols),
    Check::prose("accepts_no_mqtt_in_clear", accepts_no_mqtt_in_clear),
];

/// No statement of MQTT limits how long a connection may stay open without a CONNECT (MQTT 5.0 and 3.1.1 section 3.1.4 leave the time
/// to the broker).
fn closes_other_protocols(case: &Judged<'_>) -> Option<Finding> {
    let (all, open) = (evidence_count(case), case.outcome(Outcome::NoReaction));
    let evidence = format!(
        "of {all} connections, the broker closed {}, and {open} stayed open to the end of the watch",
        all - open
    );
    Some(match (all, open) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::differs(
            all,
            "connections that do not speak MQTT stay open, and hold descriptors",
            evidence,
        ),
    })
}

/// That a port for TLS or WebSocket takes MQTT in clear too is the operator's choice, or a hole.
fn accepts_no_mqtt_in_clear(case: &Judged<'_>) -> Option<Finding> {
    let (all, accepted) = (case.total(IN_CLEAR), case.count(IN_CLEAR, InClear::Accepted));
    if case.case.variant != Variant::MqttInClear.name() {
        return None;
    }
    let evidence = format!("the broker accepted {accepted} of {all} CONNECTs without TLS and WebSocket");
    Some(match (all, accepted) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::differs(all, "the port takes MQTT in clear too", evidence),
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::testing::{
        assert_differs, assert_holds, assert_inconclusive, case, empty_record, with_fact,
    };
    use ungraceful_record::verdict::{Verdict, judge};

    use super::{ID, IN_CLEAR, Outcome, client_hello};

    /// The verdicts on attempts of one variant with these outcomes, and answers in clear.
    fn verdicts(variant: &str, outcomes: &[(Outcome, u64)], in_clear: &[(&str, u64)]) -> Vec<Verdict> {
        let mut record = empty_record();
        let mut case = case(ID, variant, "5.0", outcomes);
        for (answer, count) in in_clear {
            with_fact(&mut case, IN_CLEAR, answer, *count);
        }
        record.cases = vec![case];
        judge(&mut record, &crate::find(ID).unwrap().checks());
        record.verdicts.retain(|verdict| verdict.case.is_some());
        record.verdicts
    }

    #[test]
    fn a_connection_that_stays_open_is_a_note() {
        let closed = verdicts("http", &[(Outcome::Closed, 2), (Outcome::Reset, 1)], &[]);
        assert_eq!(closed.len(), 1);
        assert_holds(&closed[0]);
        let open = verdicts("tls-part", &[(Outcome::Closed, 2), (Outcome::NoReaction, 1)], &[]);
        assert_differs(&open[0], "connections that do not speak MQTT stay open, and hold descriptors");
        assert_inconclusive(&verdicts("tls-hello", &[(Outcome::NotActed, 3)], &[])[0], "none of");
    }

    #[test]
    fn mqtt_in_clear_that_is_accepted_is_a_note() {
        let of = |answer| verdicts("mqtt-in-clear", &[(Outcome::NoReaction, 3)], &[(answer, 3)]).remove(1);
        assert_differs(&of("CONNACK"), "the port takes MQTT in clear too");
        assert_holds(&of("no CONNACK"));
    }

    #[test]
    fn the_client_hello_is_one_whole_record() {
        let hello = client_hello();
        assert_eq!(usize::from(hello[4]), hello.len() - 5);
        assert_eq!(usize::from(hello[8]), hello.len() - 9);
    }
}
