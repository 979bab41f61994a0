//! Faults and loads over TLS and WebSocket: on Mosquitto they are seen as over plain TCP, and what is wrong is said in one sentence.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::Record;
use ungraceful_record::testing::{FactsByText, every, until};
use ungraceful_record::verdict::Conclusion;

use crate::real_brokers::RealBroker;
use crate::support::{Call, VERSIONS, binary, call, free_port, tour};

/// A Mosquitto with these listeners, and the files of its certificate authority.
pub(crate) struct SecuredMosquitto {
    folder: TempDir,
    child: Child,
    plain: SocketAddr,
    tls: SocketAddr,
    /// Requires a client certificate.
    mutual: SocketAddr,
    /// Its certificate is for another name.
    other_name: SocketAddr,
    /// Requires a client certificate, and trusts one that signed itself.
    careless: SocketAddr,
    expired: SocketAddr,
    websocket: SocketAddr,
    /// WebSocket over TLS.
    both: SocketAddr,
}

/// The certificate of the variant self-signed.
const SELF_SIGNED: &str = include_str!("../../../faults/src/violate/certificate/self-signed.pem");

/// Devices with a certificate of their own: three that act, a pair of bystanders, the witness, and the one that reads `$SYS`.
const DEVICES: usize = 7;

/// A folder with the certificates of an authority: `ca.pem`; `server`, `other`, `expired` and `client` and the devices, each with its key.
pub(crate) fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let issue = |file: &str, name: &str, is_expired: bool| {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        if is_expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(folder.path().join(format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(folder.path().join(format!("{file}.key")), key.serialize_pem()).unwrap();
    };
    issue("server", "localhost", false);
    issue("other", "other.example", false);
    issue("expired", "localhost", true);
    issue("client", "client", false);
    for number in 0..DEVICES {
        issue(&format!("device{number}"), "device", false);
    }
    folder
}

impl SecuredMosquitto {
    pub(crate) fn start() -> Self {
        let folder = certificates();
        let [plain, tls, mutual, careless, other_name, expired, websocket, both] =
            [(); 8].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let at = |file: &str| folder.path().join(file).display().to_string();
        let listener = |address: SocketAddr| format!("listener {} 127.0.0.1\n", address.port());
        let secured = |address: SocketAddr, file: &str| {
            let (ca, certificate, key) =
                (at("ca.pem"), at(&format!("{file}.pem")), at(&format!("{file}.key")));
            format!("{}cafile {ca}\ncertfile {certificate}\nkeyfile {key}\n", listener(address))
        };
        let configuration = [
            "user root\nallow_anonymous true\nmax_inflight_messages 1000\n".to_owned(),
            listener(plain),
            secured(tls, "server"),
            secured(mutual, "server") + "require_certificate true\nuse_identity_as_username true\n",
            secured(careless, "server").replace(&at("ca.pem"), &at("careless.pem"))
                + "require_certificate true\n",
            secured(other_name, "other"),
            secured(expired, "expired"),
            listener(websocket) + "protocol websockets\n",
            secured(both, "server") + "protocol websockets\n",
        ];
        let authority = fs::read_to_string(at("ca.pem")).unwrap();
        fs::write(folder.path().join("careless.pem"), authority + SELF_SIGNED).unwrap();
        fs::write(folder.path().join("mosquitto.conf"), configuration.concat()).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(if fs::exists("/usr/sbin/mosquitto").unwrap() {
            "/usr/sbin/mosquitto"
        } else {
            "mosquitto"
        })
        .args(["-c", &at("mosquitto.conf")])
        .stderr(log)
        .spawn()
        .unwrap();
        let broker =
            Self { folder, child, plain, tls, mutual, careless, other_name, expired, websocket, both };
        for address in [plain, tls, mutual, careless, other_name, expired, websocket, both] {
            until("Mosquitto listens", || TcpStream::connect(address).is_ok());
        }
        broker
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Flags for this listener, with TLS and the authority.
    fn over_tls(&self, address: SocketAddr) -> String {
        format!("--url mqtts://localhost:{} --cafile {}", address.port(), self.file("ca.pem"))
    }

    fn over_tcp(&self, address: SocketAddr) -> String {
        format!("--url mqtt://localhost:{}", address.port())
    }

    pub(crate) fn over_websocket(&self) -> String {
        format!("--url ws://localhost:{}", self.websocket.port())
    }

    /// WebSocket over TLS, in frames of other sizes than packets.
    pub(crate) fn over_both(&self) -> String {
        let port = self.both.port();
        format!("--url wss://localhost:{port}/any --cafile {} --ws-frame-size 7", self.file("ca.pem"))
    }
}

impl Drop for SecuredMosquitto {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What a run saw of the broker, without what depends on time: how often is left out.
type Reactions = BTreeMap<String, Vec<String>>;

fn reactions(record: &Record) -> Reactions {
    let cases = record.cases.iter();
    cases.map(|case| (case.case.to_string(), case.outcomes.keys().cloned().collect())).collect()
}

/// The conclusions on the fault, by check and case.
fn conclusions(record: &Record) -> Vec<(String, String, Conclusion)> {
    let verdicts = record.verdicts.iter();
    let of_cases = verdicts.filter_map(|verdict| {
        Some((verdict.check.clone(), verdict.case.as_ref()?.to_string(), verdict.conclusion))
    });
    of_cases.collect()
}

/// Asserts that the broker was seen to do the same in two runs, which lost no bystander.
#[track_caller]
fn assert_same(of_tcp: &Record, of_layers: &Record, runs: &str) {
    let (reactions_of_tcp, conclusions_of_tcp) = (reactions(of_tcp), conclusions(of_tcp));
    assert!(!reactions_of_tcp.is_empty() && !conclusions_of_tcp.is_empty(), "{runs}");
    assert_eq!(reactions_of_tcp, reactions(of_layers), "{runs}");
    assert_eq!(conclusions_of_tcp, conclusions(of_layers), "{runs}");
    let lost = [of_tcp, of_layers].map(|record| record.bystanders.as_ref().unwrap().connections_lost.len());
    assert_eq!(lost, [0, 0], "{runs}");
}

/// Each mode with its flags.
type Runs<'a> = [(&'a str, &'a str, &'a str)];

/// Runs each mode over plain TCP and over `target`, and asserts that the broker is seen to do the same.
#[track_caller]
fn assert_seen_as_over_tcp(plain: &str, target: &str, name: &str, runs: &Runs<'_>) {
    let mut handshakes = 0;
    for (tool, mode, flags) in runs {
        let run = |target: &str| call(tool, mode, &format!("{target} --bystanders 1 {flags}"));
        let (plain, layered) = (run(plain), run(target));
        assert_same(&plain.record(), &layered.record(), &format!("{plain}\n{layered}"));
        layered.assert_prints(&[name, "localhost"]);
        // Some attempts are many connections, none of which is timed.
        let timed =
            |call: &Call, time: fn(&Attempt) -> Option<u64>| call.attempts().iter().filter_map(time).count();
        let (of_tcp, of_layers) =
            (timed(&layered, |attempt| attempt.established_us), timed(&layered, Attempt::handshake_time_us));
        assert_eq!((of_layers, timed(&plain, Attempt::handshake_time_us)), (of_tcp, 0), "{layered}");
        handshakes += of_layers;
    }
    assert!(handshakes > 0);
}

#[test]
fn faults_over_tls_are_seen_as_over_tcp() {
    let broker = SecuredMosquitto::start();
    let runs = [
        ("ungraceful-double-connect", "", "--attempts 2"),
        ("ungraceful-takeover", "storm", "--count 6 --variant resume,clean,discard"),
        ("ungraceful-takeover", "race", "--attempts 2"),
        ("ungraceful-vanish", "drop", "--attempts 2 --variant rst,fin,disconnect"),
        // Mosquitto looks for silent clients every five seconds only, so a shorter wait sees some of them cut and some not.
        (
            "ungraceful-vanish",
            "silence",
            "--attempts 2 --reaction-timeout 10s --variant idle-1s,half-open-1s,downlink-1s",
        ),
        ("ungraceful-vanish", "knock", "--attempts 2 --wait 1s"),
        ("ungraceful-flood", "unacked-subscriber", "--attempts 1 --variant k3-qos1,k3-qos2"),
        ("ungraceful-flood", "quota-leak", "--attempts 1 --messages 3000"),
        ("ungraceful-violate", "topic-filter", "--attempts 2"),
    ];
    assert_seen_as_over_tcp(&broker.over_tcp(broker.plain), &broker.over_tls(broker.tls), " over TLS", &runs);
}

#[test]
fn faults_over_websocket_are_seen_as_over_tcp() {
    let broker = SecuredMosquitto::start();
    let runs = [
        ("ungraceful-double-connect", "", "--attempts 2"),
        ("ungraceful-takeover", "duel", "--attempts 2"),
        ("ungraceful-vanish", "drop", "--attempts 2 --variant rst,fin,disconnect"),
        ("ungraceful-flood", "unacked-subscriber", "--attempts 1 --variant k3-qos1,k3-qos2"),
        ("ungraceful-violate", "topic-filter", "--attempts 2"),
    ];
    assert_seen_as_over_tcp(
        &broker.over_tcp(broker.plain),
        &broker.over_websocket(),
        " over WebSocket (path /mqtt)",
        &runs,
    );
}

#[test]
fn faults_over_websocket_and_tls_are_seen_as_over_tcp() {
    let broker = SecuredMosquitto::start();
    let runs = [
        ("ungraceful-takeover", "storm", "--count 6 --variant resume,clean,discard"),
        ("ungraceful-takeover", "race", "--attempts 2"),
        (
            "ungraceful-vanish",
            "silence",
            "--attempts 2 --reaction-timeout 10s --variant idle-1s,half-open-1s,downlink-1s",
        ),
        ("ungraceful-flood", "quota-leak", "--attempts 1 --messages 3000"),
    ];
    assert_seen_as_over_tcp(
        &broker.over_tcp(broker.plain),
        &broker.over_both(),
        " over WebSocket and TLS (path /any)",
        &runs,
    );
}

/// The record without the flood on MQTT 3.1.1, which has no Receive Maximum: a busy broker takes the 65,535 messages within the two
/// seconds of the tour, or does not, over any transport.
fn without_the_long_flood(record: &Record) -> Record {
    let is_long = |case: &Case| case.fault == "receive-maximum" && case.version == "3.1.1";
    let mut record = record.clone();
    for case in record.cases.iter().filter(|case| is_long(&case.case)) {
        let outcomes: Vec<&String> = case.outcomes.keys().collect();
        assert!(
            every(&outcomes, |outcome| matches!(outcome.as_str(), "tolerated" | "no_reaction")),
            "{case:?}"
        );
    }
    record.cases.retain(|case| !is_long(&case.case));
    record.verdicts.retain(|verdict| !verdict.case.as_ref().is_some_and(is_long));
    record
}

#[test]
fn the_tour_with_client_certificates_sees_what_it_sees_over_tcp() {
    let broker = SecuredMosquitto::start();
    let plain = tour(&broker.over_tcp(broker.plain));
    let identity = format!("--cert {} --key {}", broker.file("client.pem"), broker.file("client.key"));
    let secured = tour(&format!("{} {identity}", broker.over_tls(broker.mutual)));
    let (of_tcp, of_tls) = (plain.records_of_the_tour(), secured.records_of_the_tour());
    let names = |runs: &[(String, Record)]| runs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    // The kick needs an administrator.
    assert_eq!(
        names(&of_tcp),
        ["knock", "drop", "silence", "takeover", "flood", "double-connect"],
        "{plain}"
    );
    assert_eq!(names(&of_tls), names(&of_tcp), "{secured}");
    for ((name, of_tcp), (_, of_tls)) in of_tcp.iter().zip(&of_tls) {
        let [of_tcp, of_tls] = [of_tcp, of_tls].map(without_the_long_flood);
        assert_same(&of_tcp, &of_tls, &format!("{name}\n{plain}\n{secured}"));
        assert!(of_tls.broker.tls.is_some() && of_tcp.broker.tls.is_none(), "{name}\n{secured}");
    }
    // The broker knows whom the certificate is for.
    let log = fs::read_to_string(broker.file("log")).unwrap();
    assert!(log.contains("u'client'"), "{log}");
    secured.assert_prints(&[" over TLS"]);
}

#[test]
fn a_client_certificate_is_shown_to_a_broker_that_requires_it() {
    let broker = SecuredMosquitto::start();
    let target = broker.over_tls(broker.mutual);
    let with = format!("{target} --cert {} --key {}", broker.file("client.pem"), broker.file("client.key"));
    let few = "--bystanders 1 --attempts 1 --variant identical -V 5";
    let call_with = call("ungraceful-double-connect", "", &format!("{with} {few}")).expect_exit(0);
    assert_eq!(call_with.record().broker.tls.map(|tls| tls.insecure), Some(false));
    let without = call("ungraceful-double-connect", "", &format!("{target} {few}")).expect_exit(4);
    without.assert_reports(&["requires a client certificate"]);
}

#[test]
fn a_broker_that_trusts_too_many_certificates_has_a_hole() {
    const LETS_IN: &str = "lets_no_bad_certificate_in";
    let broker = SecuredMosquitto::start();
    let run = |address: SocketAddr, flags: &str| {
        let good = format!("--cert {} --key {}", broker.file("client.pem"), broker.file("client.key"));
        let bad =
            format!("--bad-cert {} --bad-key {}", broker.file("expired.pem"), broker.file("expired.key"));
        let flags = format!("{} {good} {bad} --bystanders 1 --attempts 2 {flags}", broker.over_tls(address));
        call("ungraceful-violate", "certificate", &flags).expect_exit(0)
    };
    for (version, of_none) in [("1.2", "handshake_failure"), ("1.3", "certificate_required")] {
        let sound = run(broker.mutual, &format!("--tls-version {version}"));
        // OpenSSL goes on when it does not know the name in SNI.
        assert_eq!(sound.differing(), ["aborts_for_an_unknown_name"], "{sound}");
        assert_eq!(sound.case("wrong-name", "5.0").fact("answer", "CONNACK"), 2, "{sound}");
        for (variant, alert) in [
            ("none", of_none),
            ("self-signed", "UnknownCA"),
            ("unknown-authority", "UnknownCA"),
            ("given", "CertificateExpired"),
        ] {
            let case = sound.case(variant, "5.0");
            assert_eq!(case.outcome(Outcome::Closed), 2, "{sound}");
            let answers: Vec<(&String, &u64)> = case.facts["answer"].iter().collect();
            let [(answer, 2)] = answers[..] else { panic!("{variant} {version}: {answers:?}") };
            assert!(answer.starts_with("refused by TLS: ") && answer.contains(alert), "{version}: {answer}");
            for check in [LETS_IN, "refuses_in_tls"] {
                assert_eq!(sound.conclusion(check, variant, "5.0"), Conclusion::Holds, "{sound}");
            }
        }
    }
    let careless = run(broker.careless, "");
    assert_eq!(careless.case("self-signed", "5.0").fact("certificate_required", "yes"), 2, "{careless}");
    careless.assert_prints(&["a hole in access control: 2 clients"]);
    assert_eq!(careless.differing(), ["aborts_for_an_unknown_name", LETS_IN], "{careless}");
    let open = run(broker.tls, "");
    assert_eq!(open.case("none", "5.0").fact("answer", "CONNACK"), 2, "{open}");
    open.assert_prints(&["clients without a certificate are let in"]);
}

#[test]
fn bad_certificates_need_a_good_one_and_their_key() {
    let broker = SecuredMosquitto::start();
    let bad = format!("{} --variant none,self-signed,unknown-authority", broker.over_tls(broker.tls));
    let without = call("ungraceful-violate", "certificate", &bad).expect_exit(4);
    without.assert_reports(&["no good client certificate to compare with; give --cert and --key"]);
    let plain = call("ungraceful-violate", "certificate", &broker.over_tcp(broker.plain)).expect_exit(4);
    plain.assert_reports(&["the connections are without TLS"]);
    for (flags, words) in [
        ("--bad-cert x", "--bad-cert: needs the private key of the certificate; give --bad-key"),
        ("--bad-key x", "--bad-key: needs its certificate; give --bad-cert"),
        ("--bad-cert /nonexistent --bad-key /nonexistent", "--bad-cert: cannot read /nonexistent"),
        ("--variant given", "--variant: given needs a certificate"),
    ] {
        call("ungraceful-violate", "certificate", flags).assert_mistake(&[words]);
    }
}

/// A proxy before a TLS server that treats a ClientHello with the name of the variant wrong-name so.
fn proxy_that_knows_names(broker: SocketAddr, unknown: fn(&mut TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || {
                // A record of the type handshake, with its length.
                let mut hello = vec![0; 5];
                let has_begun = client.read_exact(&mut hello).is_ok();
                hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
                if !has_begun || client.read_exact(&mut hello[5..]).is_err() {
                    return;
                }
                let name = b"wrong-name.invalid";
                if hello.windows(name.len()).any(|bytes| bytes == name) {
                    return unknown(&mut client);
                }
                let mut broker = TcpStream::connect(broker).unwrap();
                broker.write_all(&hello).unwrap();
                let (mut to_client, mut from_broker) =
                    (client.try_clone().unwrap(), broker.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ended = std::io::copy(&mut from_broker, &mut to_client);
                    let _closed = to_client.shutdown(Shutdown::Both);
                });
                let _ended = std::io::copy(&mut client, &mut broker);
                let _closed = broker.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn a_name_in_sni_that_the_broker_does_not_know_is_aborted_or_noted() {
    const ABORTS: &str = "aborts_for_an_unknown_name";
    let broker = SecuredMosquitto::start();
    // A client certificate is not needed, nor is one required.
    let run = |address: SocketAddr, flags: &str| {
        let target = format!("--url mqtts://localhost:{} {flags}", address.port());
        let flags = "--bystanders 1 --attempts 2 --variant wrong-name";
        call("ungraceful-violate", "certificate", &format!("{target} {flags}")).expect_exit(0)
    };
    let authority = format!("--cafile {}", broker.file("ca.pem"));
    let serves = run(broker.tls, &authority);
    assert_eq!(serves.only_case().fact("answer", "CONNACK"), 2, "{serves}");
    assert_eq!(serves.differing(), [ABORTS], "{serves}");
    serves.assert_prints(&["which RFC 6066 section 3 permits"]);
    // The certificate must still be for this name.
    let named = run(broker.other_name, &format!("{authority} --servername other.example"));
    assert_eq!(named.only_case().fact("answer", "CONNACK"), 2, "{named}");
    let aborts = proxy_that_knows_names(broker.tls, |client| {
        // A fatal alert unrecognized_name.
        client.write_all(&[0x15, 3, 3, 0, 2, 2, 112]).unwrap();
    });
    let aborts = run(aborts, &authority);
    aborts.assert_clean();
    assert_eq!(aborts.only_case().outcome(Outcome::Closed), 2, "{aborts}");
    aborts.assert_prints(&["alert unrecognized_name"]);
    let closes = run(proxy_that_knows_names(broker.tls, |_client| {}), &authority);
    assert_eq!(closes.differing(), [ABORTS], "{closes}");
    closes.assert_prints(&["without the alert unrecognized_name"]);
}

#[test]
fn a_will_is_published_when_only_a_layer_ended_properly() {
    let broker = SecuredMosquitto::start();
    let both = "--attempts 3 --variant ws-close,close-notify";
    let run = |target: &str| {
        let call = call("ungraceful-vanish", "drop", &format!("{target} --bystanders 1 {both}"));
        call.assert_violates_nothing();
        call
    };
    let websocket = run(&broker.over_websocket());
    let tls = run(&broker.over_tls(broker.tls));
    let layered = run(&broker.over_both());
    for (call, variant) in
        [(&websocket, "ws-close"), (&tls, "close-notify"), (&layered, "ws-close"), (&layered, "close-notify")]
    {
        for version in VERSIONS {
            assert_eq!(call.conclusion("publishes_the_will", variant, version), Conclusion::Holds, "{call}");
            assert_eq!(call.conclusion("closes_its_side", variant, version), Conclusion::Holds, "{call}");
        }
    }
    websocket.assert_reports(&["the connections are without TLS; give --tls"]);
    tls.assert_reports(&["the connections are without WebSocket; give --ws"]);
}

#[test]
fn what_is_wrong_with_tls_is_one_sentence_and_exit_4() {
    let broker = SecuredMosquitto::start();
    let other_authority = SecuredMosquitto::start();
    for (target, words) in [
        (
            format!(
                "--host localhost --port {} --tls --cafile {}",
                broker.tls.port(),
                other_authority.file("ca.pem")
            ),
            "unknown issuer",
        ),
        (broker.over_tls(broker.other_name), "for another name"),
        (broker.over_tls(broker.expired), "has expired"),
        (broker.over_tls(broker.plain), "may be a port for plain TCP"),
        (broker.over_tcp(broker.tls), "expects TLS: add --tls"),
    ] {
        let refused = call("ungraceful-double-connect", "", &target).expect_exit(4);
        refused.assert_reports(&[words]);
        assert!(!refused.folder.exists());
    }
}

#[test]
fn insecure_accepts_any_certificate_and_every_output_says_so() {
    let broker = SecuredMosquitto::start();
    let target = format!("--url mqtts://localhost:{} --insecure", broker.expired.port());
    let few = "--bystanders 0 --attempts 1 --variant identical -V 5";
    let words = "over TLS, certificate not verified (--insecure)";
    let call_with = call("ungraceful-double-connect", "", &format!("{target} {few}")).expect_exit(0);
    call_with.assert_prints(&[words]);
    call_with.assert_reports(&[words]);
    assert_eq!(call_with.record().broker.tls.map(|tls| tls.insecure), Some(true));
    call("ungraceful-double-connect", "", &format!("{target} --print-plan"))
        .expect_exit(0)
        .assert_prints(&[words]);
}

#[test]
fn mistakes_in_the_flags_of_tls_are_reported_before_the_first_packet() {
    for (flags, words) in [
        ("--host localhost --cafile x", "--cafile: has an effect only with TLS; add --tls"),
        ("--tls", "--tls: the brokers that this program starts listen on plain TCP"),
        ("--host localhost --tls --cafile /nonexistent/ca.pem", "--cafile: cannot read /nonexistent/ca.pem"),
        (
            "--host localhost --tls --cafile /dev/zero",
            "--cafile: /dev/zero is longer than the 16,777,216 bytes",
        ),
        (
            "--host localhost --tls --insecure --cert x",
            "--cert: needs the private key of the certificate; give --key",
        ),
        ("--host localhost --tls --insecure --key x", "--key: needs its certificate; give --cert"),
        (
            "--host localhost --tls --insecure --tls-version 1.1",
            "--tls-version: \"1.1\" is not supported; give 1.2 or 1.3",
        ),
        ("--host localhost --tls --insecure --cafile x", "--insecure: nothing is verified with it"),
        (
            "--host localhost --tls --insecure --servername a/b",
            "--servername: \"a/b\" is neither a host name",
        ),
        ("--host localhost --tls --insecure --alpn mqtt,", "--alpn: a protocol has 1 to 255 bytes, not 0"),
    ] {
        call("ungraceful-takeover", "storm", flags).assert_mistake(&[words]);
    }
}

#[test]
fn first_bytes_of_another_protocol_are_closed_or_noted() {
    const CLOSES: &str = "closes_other_protocols";
    let broker = SecuredMosquitto::start();
    let run = |target: &str| {
        let flags = "--bystanders 1 --attempts 2 --reaction-timeout 2s";
        call("ungraceful-violate", "first-bytes", &format!("{target} {flags}")).expect_exit(0)
    };
    let ended = |call: &Call, variant: &str, version: &str| {
        let case = call.case(variant, version);
        case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
    };
    let plain = run(&broker.over_tcp(broker.plain));
    for variant in ["http", "tls-hello", "tls-part"] {
        assert_eq!(ended(&plain, variant, "5.0"), 2, "{variant} {plain}");
        assert_eq!(plain.conclusion(CLOSES, variant, "5.0"), Conclusion::Holds);
    }
    plain.assert_reports(&["skipped: first-bytes mqtt-in-clear", "a CONNECT in clear is right"]);
    let secured = run(&broker.over_tls(broker.tls));
    assert_eq!(ended(&secured, "http", "5.0"), 2, "{secured}");
    // Mosquitto waits for ever for the end of a TLS handshake.
    for variant in ["tls-hello", "tls-part"] {
        assert_eq!(secured.case(variant, "5.0").outcome(Outcome::NoReaction), 2, "{secured}");
    }
    assert!(secured.differing().contains(&CLOSES.to_owned()), "{secured}");
    for version in VERSIONS {
        assert_eq!(secured.case("mqtt-in-clear", version).fact("in clear", "no CONNACK"), 2, "{secured}");
    }
}

#[test]
fn a_herd_returns_over_tls_with_and_without_resumption() {
    let broker = SecuredMosquitto::start();
    let target = broker.over_tls(broker.tls);
    for flags in ["", "--no-tls-resumption"] {
        let flags = format!("{target} {flags} -c 30 --loss reset --backoff fixed:100ms --bystanders 1");
        let herd = call("ungraceful-vanish", "herd", &flags);
        herd.assert_violates_nothing();
        let lost = herd.record().bystanders.unwrap().connections_lost;
        assert!(lost.is_empty(), "{herd}");
        assert_eq!(herd.only_case().outcome(Outcome::Tolerated), 30, "{herd}");
    }
}

#[test]
fn rabbitmq_and_nats_are_seen_over_their_transports_as_over_tcp() {
    let certificates = certificates();
    let file = |name: &str| certificates.path().join(name).display().to_string();
    let authority = format!("--cafile {}", file("ca.pem"));
    for (broker_name, flags, transports) in [
        (
            "rabbitmq",
            "-V 3.1.1 --bystander-qos 0,1",
            &[("tls_port", "mqtts", ""), ("ws_port", "ws", "/ws")][..],
        ),
        ("nats", "-V 3.1.1 --bystander-qos 0,1", &[("wss_port", "wss", "/mqtt")]),
    ] {
        let folder = certificates.path().display().to_string();
        let Some(broker) = RealBroker::start_with(broker_name, &["--certificates", &folder]) else {
            continue;
        };
        let plain = format!("--url mqtt://localhost:{} {flags}", broker.address.port());
        for (port, scheme, path) in transports {
            let authority = if *scheme == "ws" { "" } else { &authority };
            let target =
                format!("--url {scheme}://localhost:{}{path} {authority} {flags}", broker.port(port));
            let name = if *scheme == "mqtts" { " over TLS" } else { " over WebSocket" };
            // RabbitMQ 3.10.8 publishes the Will of a client that sent DISCONNECT over WebSocket.
            let drop = if *port == "ws_port" { "rst,fin" } else { "rst,fin,disconnect" };
            let patient = "--attempts 2 --reaction-timeout 10s --will-wait 10s";
            let drop = format!("{patient} --variant {drop}");
            let runs = [("ungraceful-vanish", "drop", &*drop), ("ungraceful-double-connect", "", patient)];
            // On a busy machine RabbitMQ answers PINGREQ too late for a verdict on the clients that it keeps after a second CONNECT.
            let runs = if broker_name == "rabbitmq" { &runs[..1] } else { &runs };
            assert_seen_as_over_tcp(&plain, &target, name, runs);
        }
    }
}

/// Loads of both versions over `target` lose nothing, and their handshakes are timed.
#[track_caller]
fn assert_loads_are_counted(target: &str, closed: &str, words: &[&str]) {
    for version in VERSIONS {
        for flags in [
            "-q 0,1,2 --publishers 6 --subscribers 6 --rate 600 -z 2s",
            &format!("-q 1 --publishers 2 --subscribers 2 --rate max {closed} -z 2s"),
            "-q 1 --publishers 2 --subscribers 2 --rate 20 -z 1s --retain",
        ] {
            let load = call("ungraceful-bench", "pubsub", &format!("{target} -V {version} {flags}"));
            load.assert_violates_nothing();
            let record = load.load();
            let clients = record.publishers + record.subscribers;
            let connections = &record.connections;
            assert_eq!((connections.accepted, connections.lost.len()), (clients, 0), "{load}");
            assert_eq!(
                (connections.handshake_time.count, connections.connack_time.count),
                (clients, clients)
            );
            let counts: Vec<_> = record.by_qos.values().collect();
            assert!(!counts.is_empty(), "{load}");
            for counts in counts {
                assert!(counts.delivered > 0, "{load}");
                assert_eq!((counts.delivered, counts.lost), (counts.expected, 0), "{load}");
            }
            if flags.contains("--retain") {
                let removed = record.retained_by_us.as_ref().map(|by_us| (by_us.topics, &by_us.left_because));
                assert_eq!(removed, Some((2, &None)), "{load}");
            }
            load.assert_prints(words);
        }
        // More bytes at once than the socket takes: some of a record or frame are left for later.
        let flags = "-q 1 -c 2 --rate max -F 50 -s 100000 -z 2s";
        let load = call("ungraceful-bench", "pub", &format!("{target} -V {version} {flags}"));
        let sent = load.load().all();
        assert!(sent.acknowledged > 0, "{load}");
        assert_eq!((sent.acknowledged, sent.unacknowledged), (sent.sent, 0), "{load}");
    }
}

#[test]
fn loads_over_tls_are_counted_as_over_tcp() {
    let broker = SecuredMosquitto::start();
    assert_loads_are_counted(&broker.over_tls(broker.tls), "-F 50 -s 100000", &["over TLS", "TLS handshake"]);
    let plain = call("ungraceful-bench", "conn", &format!("{} -c 5 -z 1s", broker.over_tcp(broker.plain)));
    assert_eq!(plain.load().connections.handshake_time.count, 0);
    assert!(!plain.stdout().contains("handshake"), "{plain}");
}

#[test]
fn loads_over_websocket_are_counted_as_over_tcp() {
    let broker = SecuredMosquitto::start();
    // Over WebSocket, Mosquitto 2.0.11 stalls for seconds when a client's socket does not take all at once, and drops messages.
    let few = "-F 5 -s 100";
    assert_loads_are_counted(&broker.over_websocket(), few, &["over WebSocket", "WebSocket handshake"]);
    let split = broker.over_both().replace("--ws-frame-size 7", "--ws-frame-size 1000");
    assert_loads_are_counted(&split, few, &["over WebSocket and TLS", "TLS and WebSocket handshakes"]);
}

/// A proxy that stops reading from each client for a while after the first megabyte.
fn stalling_proxy(broker: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut broker) = (client.unwrap(), TcpStream::connect(broker).unwrap());
            let (mut to_client, mut from_broker) = (client.try_clone().unwrap(), broker.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ended = std::io::copy(&mut from_broker, &mut to_client);
                let _closed = to_client.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                let _first = std::io::copy(&mut (&mut client).take(1_000_000), &mut broker);
                std::thread::sleep(Duration::from_secs(3));
                let _others = std::io::copy(&mut client, &mut broker);
                let _closed = broker.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn a_load_goes_on_over_every_transport_after_the_broker_did_not_read_for_a_while() {
    let broker = SecuredMosquitto::start();
    let authority = format!("--cafile {}", broker.file("ca.pem"));
    for (scheme, address) in
        [("mqtt", broker.plain), ("mqtts", broker.tls), ("ws", broker.websocket), ("wss", broker.both)]
    {
        let port = stalling_proxy(address).port();
        let authority = if scheme.ends_with('s') && scheme != "ws" { &authority } else { "" };
        let flags = "-c 1 -q 0 -V 5 --rate 2000 -s 4000 -z 5s";
        let load = call(
            "ungraceful-bench",
            "pub",
            &format!("--url {scheme}://localhost:{port} {authority} {flags}"),
        );
        let counts = load.load().all();
        assert!(counts.blocked > 0, "it stalled: {load}");
        assert_eq!((counts.offered, counts.sent), (10_000, 10_000), "{load}");
    }
}

/// A web server that answers every request with this.
fn web_server(response: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
                line.clear();
            }
            let _client_left = stream.get_mut().write_all(response.as_bytes());
        }
    });
    address
}

#[test]
fn what_is_wrong_with_websocket_is_one_sentence_and_exit_4() {
    let broker = SecuredMosquitto::start();
    let at = |address: SocketAddr| format!("--url ws://localhost:{}", address.port());
    for (target, words) in [
        (at(web_server("HTTP/1.1 404 Not Found\r\n\r\n")), "HTTP 404 Not Found; give the path"),
        (at(web_server("HTTP/1.1 502 Bad Gateway\r\n\r\n")), "HTTP 502 Bad Gateway; a proxy answered"),
        (at(web_server("HTTP/1.1 200 OK\r\n\r\n<html>")), "HTTP 200 OK; a web server answered"),
        (at(web_server("SSH-2.0-sshd\r\n")), "bytes that are no HTTP"),
        (at(broker.plain), "during the WebSocket handshake: this may not be a WebSocket port"),
        (at(broker.tls), "during the WebSocket handshake"),
        (
            format!("--url wss://localhost:{} --insecure", broker.websocket.port()),
            "this may be a port for plain TCP",
        ),
        (format!("{} --ws-protocol other", broker.over_websocket()), "WebSocket handshake"),
        (broker.over_tcp(broker.websocket), "add --ws"),
    ] {
        let refused = call("ungraceful-double-connect", "", &target).expect_exit(4);
        refused.assert_reports(&[words]);
        assert!(!refused.folder.exists());
        let load = call("ungraceful-bench", "conn", &format!("{target} -c 2 -z 1s")).expect_exit(4);
        load.assert_reports(&[words]);
    }
}

#[test]
fn a_header_of_the_websocket_request_is_sent_and_written_nowhere() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut head = String::new();
        while stream.read_line(&mut head).is_ok_and(|bytes| bytes > 2) {}
        head
    });
    let secrets =
        "--ws-header 'Authorization: Bearer hunter2' --ws-header X-More:hunter2 --ws-path /a?token=hunter2";
    let refused = call("ungraceful-double-connect", "", &format!("--url ws://localhost:{port} {secrets}"));
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let head = heard.join().unwrap();
    for line in [
        "GET /a?token=hunter2 HTTP/1.1\r\n",
        &format!("Host: localhost:{port}\r\n"),
        "Sec-WebSocket-Protocol: mqtt\r\n",
        "Authorization: Bearer hunter2\r\n",
        "X-More: hunter2\r\n",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    let broker = SecuredMosquitto::start();
    let few = "--bystanders 1 --attempts 1 --variant identical -V 5";
    let target = format!("{} {secrets}", broker.over_websocket());
    let run = call("ungraceful-double-connect", "", &format!("{target} {few}")).expect_exit(0);
    run.assert_keeps_secret("hunter2");
    run.assert_prints(&["(path /a)", "--ws-header '<not recorded>'", "--ws-path '<not recorded>'"]);
    let plan = call("ungraceful-double-connect", "", &format!("{target} --print-plan")).expect_exit(0);
    assert!(!plan.to_string().contains("hunter2"), "{plan}");
    let folder = broker.folder.path().join("tour");
    let tour = format!("ungraceful {target} --only double-connect --output {}", folder.display());
    let tour = binary(&tour).output().unwrap();
    let shown = String::from_utf8_lossy(&tour.stdout);
    assert!(shown.contains("over WebSocket (path /a)") && !shown.contains("hunter2"), "{shown}");
    let written = fs::read_to_string(folder.join("tour.json")).unwrap();
    assert!(!written.contains("hunter2"), "{written}");
}

#[test]
fn mistakes_in_the_flags_of_websocket_are_reported_before_the_first_packet() {
    for (flags, words) in [
        ("--host localhost --ws-path /x", "--ws-path: has an effect only with WebSocket; add --ws"),
        ("--ws", "--ws: the brokers that this program starts listen on plain TCP"),
        ("--host localhost --ws --ws-path mqtt", "--ws-path: the path \"mqtt\" does not begin with a slash"),
        ("--url ws://localhost/a --ws-path /b", "--ws-path: differs from the path in --url"),
        ("--url ws://localhost:80 --tls", "--tls: the URL is one of ws://, without TLS; give wss://"),
        ("--url ws://localhost/a#b", "--url: has a fragment"),
        ("--url ws://localhost/a?b", "--url: has a query; give the path with its query in --ws-path"),
        ("--url mqtt://localhost/a", "--url: has a path or query, which mqtt:// does not use"),
        ("--host localhost --ws --ws-header Origin", "--ws-header: a header has no colon"),
        ("--host localhost --ws --ws-header Host:x", "--ws-header: the handshake sets the header Host"),
        ("--host localhost --ws --ws-protocol 'a b'", "--ws-protocol: \"a b\" is no name of a sub-protocol"),
        ("--host localhost --ws --ws-frame-size 0", "--ws-frame-size"),
    ] {
        call("ungraceful-takeover", "storm", flags).assert_mistake(&[words]);
    }
}

#[test]
fn a_load_says_why_tls_failed() {
    let broker = SecuredMosquitto::start();
    let target = broker.over_tls(broker.mutual);
    let with = format!("{target} --cert {} --key {}", broker.file("client.pem"), broker.file("client.key"));
    let call_with = call("ungraceful-bench", "conn", &format!("{with} -c 5 -z 1s")).expect_exit(0);
    assert_eq!(call_with.load().connections.accepted, 5);
    let without = call("ungraceful-bench", "conn", &format!("{target} -c 5 -z 1s")).expect_exit(4);
    without.assert_reports(&["requires a client certificate"]);
}

#[test]
fn the_tour_goes_to_the_broker_of_the_url() {
    let broker = SecuredMosquitto::start();
    let target = broker.over_tls(broker.tls);
    let plan = binary(&format!("ungraceful {target} --print-plan")).output().unwrap();
    let printed = String::from_utf8_lossy(&plan.stdout);
    assert!(printed.contains(&format!("localhost port {} over TLS", broker.tls.port())), "{printed}");
    let folder = broker.folder.path().join("tour");
    let tour = format!("ungraceful {target} --only double-connect --output {}", folder.display());
    let tour = binary(&tour).output().unwrap();
    let printed = String::from_utf8_lossy(&tour.stdout);
    let address = format!("localhost:{}", broker.tls.port());
    for words in [&format!("{address} (127.0.0.1:{}) over TLS", broker.tls.port()), " --tls --variant"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    let written = fs::read_to_string(folder.join("tour.json")).unwrap();
    assert!(written.contains(&format!("--url=mqtts://{address}")), "{written}");
}

#[test]
fn a_target_that_cannot_be_read_is_one_mistake() {
    for (flags, words) in [
        ("--url mqt://localhost --tls", "--url: mqt:// is not MQTT"),
        ("--host a@b --tls --insecure", "--host: contains `@`"),
    ] {
        let refused = call("ungraceful-takeover", "storm", flags).expect_exit(2);
        refused.assert_mistake(&[words]);
        assert_eq!(String::from_utf8_lossy(&refused.output.stderr).matches(": --").count(), 1, "{refused}");
    }
}

#[test]
fn a_key_log_that_cannot_be_written_is_a_mistake() {
    let flags = "storm --host localhost --tls --insecure --print-plan";
    let output = binary(&format!("ungraceful-takeover {flags}"))
        .env("SSLKEYLOGFILE", "/nonexistent/keys")
        .output()
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stderr);
    assert!(reported.contains("SSLKEYLOGFILE: cannot write /nonexistent/keys"), "{reported}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn each_client_has_the_certificate_of_its_row() {
    let broker = SecuredMosquitto::start();
    let file = broker.file("clients.csv");
    let rows = (0..DEVICES).map(|number| format!("device{number}.pem,device{number}.key\n"));
    fs::write(&file, "certificate,key\n".to_owned() + &rows.collect::<String>()).unwrap();
    let flags = format!("{} --clients-file {file} --bystanders 1 -V 5", broker.over_tls(broker.mutual));
    let storm = call("ungraceful-takeover", "storm", &format!("{flags} --variant clean --count 3"));
    assert_eq!((storm.violated(), storm.attempts().len()), (Vec::new(), 3), "{storm}");
    let log = || fs::read_to_string(broker.file("log")).unwrap();
    let connected = |number: usize| log().matches(&format!("u'device{number}'")).count();
    // Those that act are tried with their companion before the run, and connect twice in it.
    let counts: Vec<usize> = (0..DEVICES).map(connected).collect();
    assert!(counts[..3].iter().filter(|count| **count >= 4).count() == 3, "{counts:?} in {}", log());
    assert_eq!(
        counts[3..].iter().filter(|count| **count >= 1).count(),
        DEVICES - 3,
        "{counts:?} in {}",
        log()
    );
    let load = call("ungraceful-bench", "conn", &format!("{flags} --bystanders 0 --count 5 --duration 1s"));
    load.expect_exit(0);
    let counts: Vec<usize> = (3..5).map(connected).collect();
    assert_eq!(counts.iter().filter(|count| **count >= 2).count(), 2, "{counts:?} in {}", log());
    fs::write(&file, "certificate,key\ndevice0.pem,device1.key\nmissing.pem,device1.key\n").unwrap();
    let wrong = call("ungraceful-bench", "conn", &flags);
    wrong.assert_mistake(&[
        "line 2: the key does not fit the certificate",
        "line 3: cannot read",
        "missing.pem",
    ]);
}
