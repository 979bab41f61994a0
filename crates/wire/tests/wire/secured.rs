//! TLS: packets, ends of every kind beneath it, and what goes wrong in the handshake, against a TLS server in this process.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::server::TlsStream;
use ungraceful_wire::{
    Arrival, ConnectOptions, EndKind, Endpoint, Hop, Layer, OpenError, Opened, Pem, Tls, TlsMistake,
    TlsSettings, Transport,
};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

/// A certificate authority.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn pem(name: &str, text: impl Into<Vec<u8>>) -> Pem {
    Pem { name: name.to_owned(), bytes: text.into() }
}

impl Authority {
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    fn authorities(&self) -> Pem {
        pem("ca.pem", self.issuer.pem())
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            server_name: "localhost".into(),
            authorities: Some(self.authorities()),
            ..TlsSettings::default()
        }
    }

    /// A certificate for `name`, and its key.
    fn issue(&self, name: &str, is_expired: bool) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            params.not_after = date_time_ymd(2020, 1, 2);
            params.not_before = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server that shows the authority's own certificate.
    fn itself_as_server(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.issuer.key().serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.issuer.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    fn server(&self, name: &str, is_expired: bool, wants_client: bool) -> TlsAcceptor {
        let (certificate, key) = self.issue(name, is_expired);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn options(settings: &TlsSettings) -> ConnectOptions {
    ConnectOptions {
        transport: Transport { tls: Some(Tls::new(settings).unwrap()), websocket: None },
        ..ConnectOptions::default()
    }
}

async fn connected(authority: &Authority) -> (Opened, TlsStream<TcpStream>) {
    let (listener, address) = listening().await;
    let acceptor = authority.server("localhost", false, false);
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() };
    let options = options(&authority.settings());
    let endpoint = Endpoint { address };
    let (opened, server) = tokio::join!(endpoint.open(&options), accepting);
    (opened.unwrap(), server)
}

/// Why no connection is opened to a server that does this.
async fn refusal(settings: &TlsSettings, acceptor: Option<TlsAcceptor>) -> String {
    let (listener, address) = listening().await;
    let serving = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        match acceptor {
            Some(acceptor) => {
                let _refused = acceptor.accept(tcp).await;
            }
            None => {
                tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
                let _all = tcp.read_to_end(&mut Vec::new()).await;
            }
        }
    };
    let options = options(settings);
    let endpoint = Endpoint { address };
    let (opened, ()) = tokio::join!(endpoint.open(&options), serving);
    opened.expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn packets_go_both_ways_and_the_handshake_has_its_own_time() {
    let authority = Authority::named("authority");
    let (Opened { mut connection, established, .. }, mut server) = connected(&authority).await;
    assert!(established.layers.expect("there is TLS") > established.tcp);
    connection.send(&PINGREQ).await.unwrap();
    let mut seen = [0; 2];
    server.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, PINGREQ);
    server.write_all(&[PINGRESP, PINGRESP].concat()).await.unwrap();
    for _ in 0..2 {
        let Arrival::Packet(packet) = connection.next().await else { panic!("no packet") };
        assert_eq!(packet.bytes, PINGRESP);
    }
}

#[tokio::test]
async fn another_name_in_sni_does_not_change_whom_the_certificate_must_be_for() {
    let authority = Authority::named("authority");
    let tls = Tls::new(&authority.settings()).unwrap().with_sni("other.invalid").unwrap();
    let again = tls.named("other.invalid").unwrap().named("localhost").unwrap();
    for (tls, certificate, is_accepted) in
        [(&tls, "localhost", true), (&again, "localhost", true), (&tls, "other.invalid", false)]
    {
        let (listener, address) = listening().await;
        let acceptor = authority.server(certificate, false, false);
        let accepting = async {
            let accepted = acceptor.accept(listener.accept().await.unwrap().0).await.ok()?;
            accepted.get_ref().1.server_name().map(ToOwned::to_owned)
        };
        let transport = Transport { tls: Some(tls.clone()), websocket: None };
        let options = ConnectOptions { transport, ..ConnectOptions::default() };
        let endpoint = Endpoint { address };
        let (opened, asked_for) = tokio::join!(endpoint.open(&options), accepting);
        match opened {
            Ok(_) => assert_eq!((asked_for.as_deref(), is_accepted), (Some("other.invalid"), true)),
            Err(error) => {
                assert!(matches!(error, OpenError::Untrusted(_)), "{error}");
                assert!(!is_accepted && error.to_string().contains("for another name"), "{error}");
            }
        }
    }
    assert!(matches!(tls.with_sni("a/b"), Err(TlsMistake::ServerName(_))));
}

#[tokio::test]
async fn more_than_the_socket_takes_arrives_whole_and_in_order() {
    let authority = Authority::named("authority");
    let (Opened { mut connection, .. }, mut server) = connected(&authority).await;
    let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number % 251) as u8).collect();
    let reading = async {
        let mut seen = vec![0; sent.len()];
        server.read_exact(&mut seen).await.unwrap();
        seen
    };
    let (written, seen) = tokio::join!(connection.send(&sent), reading);
    written.unwrap();
    assert!(seen == sent);
    let (first, rest) = sent.split_at(3_000_000);
    for part in [first, rest] {
        let reading = async {
            let mut seen = vec![0; part.len()];
            // Slow at first, so that the client's writes are abandoned and taken up again.
            tokio::time::sleep(Duration::from_millis(20)).await;
            server.read_exact(&mut seen).await.unwrap();
            seen
        };
        let writing = async {
            let mut written = 0;
            loop {
                let sending = connection.send_while_receiving(part, &mut written);
                if let Ok(sent) = tokio::time::timeout(Duration::from_millis(1), sending).await {
                    return sent.unwrap();
                }
            }
        };
        let (_sent, seen) = tokio::join!(writing, reading);
        assert!(seen == part);
    }
}

#[tokio::test]
async fn an_abandoned_send_is_resumed_after_another_one() {
    let authority = Authority::named("authority");
    let (Opened { mut connection, .. }, mut server) = connected(&authority).await;
    let bytes = vec![7; 8_000_000];
    let mut written = 0;
    let sending = connection.send_while_receiving(&bytes, &mut written);
    tokio::time::timeout(Duration::from_millis(200), sending).await.expect_err("nothing reads it");
    let seen = async {
        let mut seen = vec![0; bytes.len() + PINGREQ.len()];
        server.read_exact(&mut seen).await.unwrap();
        seen
    };
    let writing = async {
        connection.send(&PINGREQ).await.unwrap();
        connection.send_while_receiving(&bytes, &mut written).await.unwrap();
        connection.close_properly();
    };
    let (seen, ()) = tokio::join!(seen, writing);
    assert_eq!(seen.iter().filter(|byte| **byte == 7).count(), bytes.len());
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "nothing was sent twice");
}

#[tokio::test]
async fn what_a_server_sends_in_one_go_is_read_in_small_parts() {
    let authority = Authority::named("authority");
    let (Opened { mut connection, .. }, mut server) = connected(&authority).await;
    let all = PINGRESP.repeat(100_000);
    let (written, count) = tokio::join!(server.write_all(&all), async {
        let mut count = 0;
        while count < 100_000 {
            let told = connection.receive_at_most(7, |_frame, _, _| count += 1).await;
            assert!(told.is_none());
        }
        count
    });
    written.unwrap();
    assert_eq!(count, 100_000);
}

#[tokio::test]
async fn only_a_proper_close_sends_close_notify() {
    let authority = Authority::named("authority");
    let (opened, mut server) = connected(&authority).await;
    opened.connection.close_properly();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "close_notify");
    let (opened, mut server) = connected(&authority).await;
    opened.connection.close();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let (opened, mut server) = connected(&authority).await;
    opened.connection.reset();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let (mut opened, mut server) = connected(&authority).await;
    opened.connection.half_close().await.unwrap();
    assert_eq!(
        server.read(&mut [0; 1]).await.unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof,
        "no close_notify"
    );
    let (mut opened, mut server) = connected(&authority).await;
    opened.connection.close_layer(Layer::WebSocket);
    opened.connection.close_layer(Layer::Tls);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "close_notify");
    server.write_all(&PINGRESP).await.unwrap();
    assert!(matches!(opened.connection.next().await, Arrival::Packet(_)), "reading goes on");
}

#[tokio::test]
async fn the_end_is_seen_with_and_without_close_notify() {
    let authority = Authority::named("authority");
    let (mut opened, mut server) = connected(&authority).await;
    server.shutdown().await.unwrap();
    assert!(matches!(opened.connection.next().await, Arrival::End(end) if end.how == EndKind::Fin));
    let (mut opened, server) = connected(&authority).await;
    drop(server.into_inner().0);
    assert!(matches!(opened.connection.next().await, Arrival::End(end) if end.how == EndKind::Fin));
    let (mut opened, server) = connected(&authority).await;
    server.into_inner().0.set_zero_linger().unwrap();
    assert!(matches!(opened.connection.next().await, Arrival::End(end) if end.how == EndKind::Reset));
}

/// Records that say this, in one go.
fn records(
    server: &mut TlsStream<TcpStream>,
    plain: &[u8],
    then: impl FnOnce(&mut ServerConnection),
) -> Vec<u8> {
    let (_tcp, session) = server.get_mut();
    session.writer().write_all(plain).unwrap();
    then(session);
    let mut records = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut records).unwrap();
    }
    records
}

#[tokio::test]
async fn what_follows_a_close_notify_is_ignored() {
    let authority = Authority::named("authority");
    let (mut opened, mut server) = connected(&authority).await;
    let goodbye = records(&mut server, &PINGRESP, |session| session.send_close_notify());
    let sent = [goodbye, vec![0xFF; 12_000]].concat();
    server.get_mut().0.write_all(&sent).await.unwrap();
    let Arrival::Packet(packet) = opened.connection.next().await else { panic!("no packet") };
    assert_eq!(packet.bytes, PINGRESP);
    assert!(matches!(opened.connection.next().await, Arrival::End(end) if end.how == EndKind::Fin));
}

#[tokio::test]
async fn packets_before_a_failure_of_tls_are_read() {
    let authority = Authority::named("authority");
    let (mut opened, mut server) = connected(&authority).await;
    let packet = records(&mut server, &PINGRESP, |_session| {});
    // A record that can't be decrypted follows in the same segment.
    let sent = [packet, vec![23, 3, 3, 0, 32], vec![7; 32]].concat();
    server.get_mut().0.write_all(&sent).await.unwrap();
    let Arrival::Packet(packet) = opened.connection.next().await else { panic!("no packet") };
    assert_eq!(packet.bytes, PINGRESP);
    for _again in 0..2 {
        let Arrival::End(end) = opened.connection.next().await else { panic!("not ended") };
        assert_eq!(end.how, EndKind::Failed);
        assert!(end.why.is_some_and(|why| why.contains("TLS failed")));
    }
}

#[tokio::test]
async fn a_halted_hop_loses_what_was_under_way_and_reads_what_comes_later() {
    let authority = Authority::named("authority");
    let (listener, address) = listening().await;
    let acceptor = authority.server("localhost", false, false);
    let options = options(&authority.settings());
    let accepting =
        tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() });
    let (mut hop, Opened { connection: mut client, .. }) =
        Hop::open(Endpoint { address }, &options).await.unwrap();
    // The end of the handshake goes through the hop too.
    let mut server = hop.carrying(accepting).await.unwrap();
    // The hop passes it on, and the client does not read it.
    hop.carrying(async {
        server.write_all(&[0x40, 2, 0, 1]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    })
    .await;
    let mut halted = hop.halt(&mut client);
    server.write_all(&PINGRESP).await.unwrap();
    let Arrival::Packet(packet) = halted.broker.next().await else { panic!("no packet") };
    assert_eq!(packet.bytes, PINGRESP);
    drop(server);
    assert!(matches!(halted.broker.next().await, Arrival::End(end) if end.how == EndKind::Fin));
}

#[tokio::test]
async fn a_handshake_that_never_completes_ends_in_time() {
    let authority = Authority::named("authority");
    // Nothing; a byte now and then; an endless record of a handshake; endless alerts of a warning.
    for (bytes, pause_ms) in [
        (Vec::new(), 10),
        (vec![22], 100),
        ([vec![22, 3, 3, 0x40, 0], vec![0; 0x4000]].concat(), 0),
        ([21, 3, 3, 0, 2, 1, 90].repeat(100), 0),
    ] {
        let (listener, address) = listening().await;
        let serving = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            while tcp.write_all(&bytes).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            std::future::pending::<()>().await;
        };
        let connect_timeout = Duration::from_millis(300);
        let options = ConnectOptions { connect_timeout, ..options(&authority.settings()) };
        let endpoint = Endpoint { address };
        let opened = tokio::time::timeout(Duration::from_secs(5), async {
            tokio::select! { opened = endpoint.open(&options) => opened, () = serving => unreachable!() }
        });
        opened.await.expect("it ends in time").expect_err("no TLS");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_certificate_is_said_in_words() {
    let authority = Authority::named("authority");
    let settings = authority.settings();
    let expired = refusal(&settings, Some(authority.server("localhost", true, false))).await;
    assert!(expired.contains("certificate has expired"), "{expired}");
    let other = refusal(&settings, Some(authority.server("other.example", false, false))).await;
    assert!(other.contains("for another name") && other.contains("other.example"), "{other}");
    let unknown =
        refusal(&settings, Some(Authority::named("another authority").server("localhost", false, false)))
            .await;
    assert!(unknown.contains("unknown issuer"), "{unknown}");
    let of_authority = refusal(&settings, Some(authority.itself_as_server())).await;
    assert!(of_authority.contains("one of an authority"), "{of_authority}");
    let plain = refusal(&settings, None).await;
    assert!(plain.contains("no TLS"), "{plain}");
    let insecure = TlsSettings { insecure: true, ..settings };
    let (listener, address) = listening().await;
    let acceptor = authority.server("other.example", true, false);
    let options = options(&insecure);
    let endpoint = Endpoint { address };
    let (opened, _) = tokio::join!(endpoint.open(&options), async {
        acceptor.accept(listener.accept().await.unwrap().0).await
    });
    opened.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_missing_one_is_said_in_words() {
    let authority = Authority::named("authority");
    let (listener, address) = listening().await;
    let acceptor = authority.server("localhost", false, true);
    let endpoint = Endpoint { address };
    let without = options(&authority.settings());
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let (opened, refused) = tokio::join!(endpoint.open(&without), accepting);
    refused.unwrap_err();
    let mut connection = opened.unwrap().connection;
    let Arrival::End(end) = connection.next().await else { panic!("not ended") };
    assert_eq!(
        end.why.as_deref(),
        Some("the broker requires a client certificate (alert certificate_required); give one")
    );
    let (certificate, key) = authority.issue("client", false);
    let identity = Some((pem("client.pem", certificate.pem()), pem("client.key", key.serialize_pem())));
    let with = options(&TlsSettings { identity, ..authority.settings() });
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let (opened, accepted) = tokio::join!(endpoint.open(&with), accepting);
    opened.unwrap();
    accepted.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::named("authority");
    let none = pem("none.pem", "");
    let mistake =
        Tls::new(&TlsSettings { authorities: Some(none.clone()), ..authority.settings() }).unwrap_err();
    assert!(matches!(&mistake, TlsMistake::CaFile(text) if text.contains("none.pem")), "{mistake}");
    let identity = Some((authority.authorities(), none.clone()));
    let mistake = Tls::new(&TlsSettings { identity, ..authority.settings() }).unwrap_err();
    assert!(matches!(&mistake, TlsMistake::Key(text) if text.contains("none.pem")), "{mistake}");
    let identity = Some((none.clone(), none));
    let mistake = Tls::new(&TlsSettings { identity, ..authority.settings() }).unwrap_err();
    assert!(matches!(&mistake, TlsMistake::Certificate(text) if text.contains("none.pem")), "{mistake}");
    let mistake = Tls::new(&TlsSettings { server_name: "a b".into(), ..authority.settings() }).unwrap_err();
    assert!(matches!(mistake, TlsMistake::ServerName(_)), "{mistake}");
    for name in [String::new(), "x".repeat(256)] {
        let alpn = vec!["mqtt".into(), name];
        let mistake = Tls::new(&TlsSettings { alpn, ..authority.settings() }).unwrap_err();
        assert!(matches!(mistake, TlsMistake::Alpn(_)), "{mistake}");
    }
}

#[test]
fn no_message_repeats_lines_of_a_key() {
    let authority = Authority::named("authority");
    let (certificate, key) = authority.issue("client", false);
    let key = key.serialize_pem();
    let secret = key.lines().nth(1).unwrap().to_owned();
    let numbers = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_owned();
    for (content, words) in [
        (key.replace('\n', ""), "BEGIN and END must each be on a line of its own"),
        (key.replace("KEY-----", "KEY"), "BEGIN"),
        (key.replace(&secret, &format!("!{secret}")), "base64"),
        (key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "passphrase"),
        (secret.clone(), "holds no private key"),
    ] {
        let identity = Some((pem("client.pem", certificate.pem()), pem("client.key", content)));
        let settings = TlsSettings { identity, ..authority.settings() };
        assert!(!format!("{settings:?}").contains(&numbers(&secret[..16])));
        let TlsMistake::Key(text) = Tls::new(&settings).unwrap_err() else { panic!("not the key") };
        assert!(text.contains(words) && text.contains("client.key"), "{text}");
        assert!(!text.contains(&secret[..16]) && !text.contains(&numbers(&secret[..16])), "{text}");
    }
}
