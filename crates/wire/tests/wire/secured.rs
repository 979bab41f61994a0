//! TLS: packets, ends of every kind beneath it, and what goes wrong in the handshake, against a TLS server in this process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use ungraceful_wire::{Arrival, ConnectOptions, EndKind, Endpoint, Opened, Tls, TlsMistake, TlsSettings};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

/// A certificate authority, and its files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            server_name: "localhost".into(),
            ca_file: Some(self.ca_file()),
            ..TlsSettings::default()
        }
    }

    /// A certificate for `name`, and its key.
    fn issue(&self, name: &str, is_expired: bool) -> (String, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            params.not_after = date_time_ymd(2020, 1, 2);
            params.not_before = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key)
    }

    fn server(&self, name: &str, is_expired: bool, wants_client: bool) -> TlsAcceptor {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
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
    ConnectOptions { tls: Some(Tls::new(settings).unwrap()), ..ConnectOptions::default() }
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
    let (Opened { mut connection, established, secured, .. }, mut server) = connected(&authority).await;
    assert!(secured.expect("there is TLS") >= established);
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
async fn close_says_goodbye_and_reset_does_not() {
    let authority = Authority::named("authority");
    let (opened, mut server) = connected(&authority).await;
    opened.connection.close();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "close_notify");
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
    assert_eq!(end.why.as_deref(), Some("the broker requires a client certificate; give one"));
    let (certificate, key) = authority.issue("client", false);
    let files = (authority.folder.path().join("client.pem"), authority.folder.path().join("client.key"));
    std::fs::write(&files.0, certificate).unwrap();
    std::fs::write(&files.1, key.serialize_pem()).unwrap();
    let with = options(&TlsSettings { identity: Some(files), ..authority.settings() });
    let accepting = async { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) };
    let (opened, accepted) = tokio::join!(endpoint.open(&with), accepting);
    opened.unwrap();
    accepted.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::named("authority");
    let missing = PathBuf::from("/nonexistent/ca.pem");
    let mistake =
        Tls::new(&TlsSettings { ca_file: Some(missing.clone()), ..authority.settings() }).unwrap_err();
    assert!(
        matches!(&mistake, TlsMistake::CaFile(text) if text.contains("/nonexistent/ca.pem")),
        "{mistake}"
    );
    let identity = Some((authority.ca_file(), missing));
    let mistake = Tls::new(&TlsSettings { identity, ..authority.settings() }).unwrap_err();
    assert!(matches!(&mistake, TlsMistake::Key(text) if text.contains("/nonexistent/ca.pem")), "{mistake}");
    let mistake = Tls::new(&TlsSettings { server_name: "a b".into(), ..authority.settings() }).unwrap_err();
    assert!(matches!(mistake, TlsMistake::ServerName(_)), "{mistake}");
}
