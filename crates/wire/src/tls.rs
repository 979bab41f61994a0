//! TLS without I/O of its own: a session turns plain bytes into records and back, so that a fault keeps its hands on the socket
//! beneath.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, KeyLogFile,
    RootCertStore, SignatureScheme, SupportedProtocolVersion,
};

/// Sessions that a client with its own certificate keeps for resumption: it has a connection or two.
const SESSIONS_OF_ONE_CLIENT: usize = 4;

/// How a run speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The name that the certificate must be issued for, and that goes into SNI: a host name or an address.
    pub server_name: String,
    /// The certificates that are trusted; those of the system when absent.
    pub authorities: Option<Pem>,
    /// The client certificate with its chain, and its key; no client certificate when absent.
    pub identity: Option<(Pem, Pem)>,
    /// Protocols to offer by ALPN, in order of preference; no ALPN when empty.
    pub alpn: Vec<String>,
    /// Accepts any certificate.
    pub insecure: bool,
    /// The one version to offer; 1.2 and 1.3 when absent.
    pub version: Option<TlsVersion>,
    /// Whether every connection makes a full handshake, without resuming an earlier session.
    pub full_handshakes: bool,
}

/// Certificates or a key in PEM format.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The file's name, for messages.
    pub name: String,
    /// The file's content; never shown.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    #[default]
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            other => Err(format!("{other:?} is not supported; give 1.2 or 1.3")),
        }
    }
}

/// What is wrong with [`TlsSettings`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsMistake {
    /// The file of trusted certificates.
    #[error("{0}")]
    CaFile(String),
    /// The file of the client certificate.
    #[error("{0}")]
    Certificate(String),
    /// The file of the client certificate's key.
    #[error("{0}")]
    Key(String),
    /// The name of the server.
    #[error("{0}")]
    ServerName(String),
    /// A protocol for ALPN.
    #[error("{0}")]
    Alpn(String),
    /// The file for the secrets of connections.
    #[error("{0}")]
    KeyLog(String),
}

/// TLS as all connections of a run speak it; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    is_insecure: bool,
    makes_full_handshakes: bool,
    config: Arc<ClientConfig>,
    /// The verifier of the settings.
    verifier: Verifier,
    server_name: ServerName<'static>,
    /// The name in SNI, when it is not that of the server.
    sni: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS with these settings. Writes the secrets of every connection to the file that the environment variable
    /// `SSLKEYLOGFILE` names, if any.
    ///
    /// # Errors
    /// [`TlsMistake`], with the name of the file and the cure.
    pub fn new(settings: &TlsSettings) -> Result<Self, TlsMistake> {
        // Named here, because two providers in one program panic when the default one is chosen.
        let provider = Arc::new(ring::default_provider());
        let versions: &[&SupportedProtocolVersion] = match settings.version {
            Some(TlsVersion::V1_2) => &[&rustls::version::TLS12],
            Some(TlsVersion::V1_3) => &[&rustls::version::TLS13],
            None => rustls::ALL_VERSIONS,
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("ring supports both versions");
        let certificates_of_brokers = if settings.insecure {
            None
        } else {
            let roots = Arc::new(roots(settings.authorities.as_ref())?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| TlsMistake::CaFile(error.to_string()))?)
        };
        let verifier = Verifier { provider, certificates: certificates_of_brokers, name: None };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier.clone()));
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate).map_err(TlsMistake::Certificate)?;
                let key = private_key(key).map_err(TlsMistake::Key)?;
                let made = builder.with_client_auth_cert(chain, key);
                made.map_err(|error| key_does_not_fit(certificate, &error))?
            }
        };
        if let Some(name) = settings.alpn.iter().find(|name| !(1..=255).contains(&name.len())) {
            let bytes = name.len();
            return Err(TlsMistake::Alpn(format!(
                "a protocol has 1 to 255 bytes, not {bytes}; give a name such as mqtt"
            )));
        }
        config.alpn_protocols = settings.alpn.iter().map(|name| name.clone().into_bytes()).collect();
        if let Some(file) = std::env::var_os("SSLKEYLOGFILE").filter(|file| !file.is_empty()) {
            key_log_can_be_written(Path::new(&file)).map_err(TlsMistake::KeyLog)?;
            config.key_log = Arc::new(KeyLogFile::new());
        }
        if settings.full_handshakes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self {
            is_insecure: settings.insecure,
            makes_full_handshakes: settings.full_handshakes,
            config: Arc::new(config),
            verifier,
            server_name: name_of(&settings.server_name)?,
            sni: None,
        })
    }

    /// The same for a server of another name; absent when it is neither a host name nor an address.
    #[must_use]
    pub fn named(&self, server_name: &str) -> Option<Self> {
        let named = Self { server_name: name_of(server_name).ok()?, ..self.clone() };
        Some(match &self.sni {
            Some(sni) => named.asking_for(sni.clone()),
            None => named,
        })
    }

    /// The same, but SNI (RFC 6066 section 3) has the name `sni`, while the certificate must still be for [`Tls::server_name`]. It
    /// resumes no sessions.
    ///
    /// # Errors
    /// [`TlsMistake::ServerName`] when `sni` is no name.
    pub fn with_sni(&self, sni: &str) -> Result<Self, TlsMistake> {
        name_of(sni).map(|sni| self.asking_for(sni))
    }

    fn asking_for(&self, sni: ServerName<'static>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        let verifier = Verifier { name: Some(self.server_name.clone()), ..self.verifier.clone() };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), sni: Some(sni), ..self.clone() }
    }

    /// The same with another client certificate and its key. It resumes none of the other's sessions.
    ///
    /// # Errors
    /// [`TlsMistake::Certificate`] or [`TlsMistake::Key`], with the name of the file and the cure.
    pub fn with_identity(&self, certificate: &Pem, key: &Pem) -> Result<Self, TlsMistake> {
        let chain = certificates(certificate).map_err(TlsMistake::Certificate)?;
        let key = private_key(key).map_err(TlsMistake::Key)?;
        let certified = CertifiedKey::from_der(chain, key, self.config.crypto_provider())
            .map_err(|error| key_does_not_fit(certificate, &error))?;
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        if !self.makes_full_handshakes {
            config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_ONE_CLIENT);
        }
        Ok(Self { config: Arc::new(config), ..self.clone() })
    }

    /// The same without a client certificate. It resumes none of the sessions of a client that had one.
    #[must_use]
    pub fn without_identity(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// Whether there is a client certificate.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        self.config.client_auth_cert_resolver.has_certs()
    }

    /// Whether any certificate is accepted.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.is_insecure
    }

    /// The configuration, for a client that brings its own connections.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name that the certificate must be issued for.
    #[must_use]
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    pub(crate) fn session(&self) -> Session {
        // The library puts the name that it is given into SNI, and has the verifier check it.
        let name = self.sni.as_ref().unwrap_or(&self.server_name);
        let tls = ClientConnection::new(Arc::clone(&self.config), name.clone());
        let tls = tls.expect("the settings were checked");
        Session { tls, records: Vec::new(), failed: None }
    }
}

/// Shows no client certificate.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

fn name_of(server: &str) -> Result<ServerName<'static>, TlsMistake> {
    ServerName::try_from(server.to_owned()).map_err(|_invalid| {
        TlsMistake::ServerName(format!(
            "{server:?} is neither a host name nor an address; give the name in the broker's certificate"
        ))
    })
}

fn key_does_not_fit(certificate: &Pem, error: &rustls::Error) -> TlsMistake {
    TlsMistake::Key(format!("the key does not fit the certificate in {}: {error}", certificate.name))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.bytes).collect();
    match read {
        Ok(found) if found.is_empty() => Err(format!("{} holds no certificate in PEM format", pem.name)),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("cannot read certificates from {}: {}", pem.name, pem_in_words(&error))),
    }
}

fn private_key(Pem { name, bytes }: &Pem) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| {
        if bytes.windows(b"ENCRYPTED".len()).any(|word| word == b"ENCRYPTED") {
            return format!(
                "{name} is protected by a passphrase; give a copy without one, from openssl pkey -in {name} -out FILE"
            );
        }
        match error {
            pem::Error::NoItemsFound => format!("{name} holds no private key in PEM format"),
            error => format!("cannot read a private key from {name}: {}", pem_in_words(&error)),
        }
    })
}

/// Checked here, because the library ignores a file that it can't write.
fn key_log_can_be_written(file: &Path) -> Result<(), String> {
    let opened = File::options().append(true).create(true).mode(0o600).open(file);
    opened.map(drop).map_err(|error| {
        format!("cannot write {}: {error}; name another file, or unset the variable", file.display())
    })
}

/// The error without its own text, which repeats lines of the file: they may be those of a key.
const fn pem_in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a section has no end; BEGIN and END must each be on a line of its own"
        }
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "the base64 between BEGIN and END is damaged",
        _ => "it is no PEM",
    }
}

fn roots(authorities: Option<&Pem>) -> Result<RootCertStore, TlsMistake> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        for certificate in certificates(pem).map_err(TlsMistake::CaFile)? {
            roots.add(certificate).map_err(|error| {
                TlsMistake::CaFile(format!("{} holds a certificate that can't be trusted: {error}", pem.name))
            })?;
        }
        return Ok(roots);
    }
    let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsMistake::CaFile("this system has no trusted certificates; name a file".to_owned()));
    }
    Ok(roots)
}

/// Verifies what a broker shows: that its handshake is signed with the key of its certificate, and in most cases the certificate.
#[derive(Clone, Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Verifies certificates; absent when any is accepted.
    certificates: Option<Arc<WebPkiServerVerifier>>,
    /// The name that a certificate must be for; that in SNI when absent.
    name: Option<ServerName<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        in_sni: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(certificates) = &self.certificates else { return Ok(ServerCertVerified::assertion()) };
        let name = self.name.as_ref().unwrap_or(in_sni);
        certificates.verify_server_cert(certificate, chain, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The TLS session of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ClientConnection,
    /// Bytes from the socket that the session had no room for.
    records: Vec<u8>,
    /// What went wrong; plain bytes from before it are read first.
    failed: Option<Box<rustls::Error>>,
}

impl Session {
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether no records are left to be written.
    pub(crate) fn is_flushed(&self) -> bool {
        !self.tls.wants_write()
    }

    /// Whether plain bytes, records that had to wait, a failure or the broker's end were not taken yet.
    pub(crate) fn holds_plain(&mut self) -> bool {
        let has_plain_or_end = |tls: &mut ClientConnection| match tls.reader().fill_buf() {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        !self.records.is_empty() || self.failed.is_some() || has_plain_or_end(&mut self.tls)
    }

    /// Encrypts as many of the bytes as fit into one record.
    pub(crate) fn encrypt(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const RECORD_BYTES: usize = 16 * 1024;
        self.tls.writer().write(&bytes[..bytes.len().min(RECORD_BYTES)])
    }

    /// Adds a close_notify to what is to be written.
    pub(crate) fn send_close_notify(&mut self) {
        self.tls.send_close_notify();
    }

    /// Hands records to `socket` until none is left.
    ///
    /// # Errors
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] when some records are left.
    pub(crate) fn flush(&mut self, mut socket: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        struct Socket<F>(F);
        impl<F: FnMut(&[u8]) -> io::Result<usize>> io::Write for Socket<F> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (self.0)(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Socket(&mut socket))?;
        }
        Ok(())
    }

    /// Takes records from the socket; none at its end. What is wrong with them is seen by [`Session::failure`], and by
    /// [`Session::decrypted`] after everything before it.
    ///
    /// # Errors
    /// When the session does not take them.
    pub(crate) fn take(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            let _end = self.tls.read_tls(&mut io::empty())?;
            return Ok(());
        }
        if !self.records.is_empty() {
            self.records.extend_from_slice(records);
            return self.take_waiting();
        }
        let taken = self.feed(records)?;
        self.records = records[taken..].to_vec();
        Ok(())
    }

    /// Takes records that had to wait. An idle connection keeps no memory for them.
    fn take_waiting(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.records);
        let taken = self.feed(&waiting)?;
        self.records = waiting[taken..].to_vec();
        Ok(())
    }

    /// Why the broker's bytes are no TLS, or the alert that it sent, in words.
    pub(crate) fn failure(&self) -> io::Result<()> {
        let failed = self.failed.as_ref();
        failed.map_or(Ok(()), |error| Err(io::Error::new(kind(error), in_words(error))))
    }

    /// Gives records to the session until it has enough plain bytes for now. Returns how many bytes it has no more use for.
    fn feed(&mut self, records: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < records.len() && self.failed.is_none() {
            match self.tls.read_tls(&mut &records[taken..]) {
                // After close_notify, the session ignores the rest.
                Ok(0) => break,
                Ok(more) => taken += more,
                Err(error) if error.kind() == io::ErrorKind::Other => return Ok(taken),
                Err(error) => return Err(error),
            }
            self.failed = self.tls.process_new_packets().err().map(Box::new);
        }
        Ok(records.len())
    }

    /// Plain bytes that have been decrypted: 0 after the broker's close_notify or the end of its stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there are none yet; [`Session::failure`] when no more will come.
    pub(crate) fn decrypted(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = self.read_plain(into);
        if is_nothing_yet(&read) && !self.records.is_empty() {
            self.take_waiting()?;
            read = self.read_plain(into);
        }
        if is_nothing_yet(&read) {
            self.failure()?;
        }
        read
    }

    /// Throws away all plain bytes of the records that were taken.
    pub(crate) fn discard(&mut self) {
        let mut plain = [0; 1024];
        while self.decrypted(&mut plain).is_ok_and(|bytes| bytes > 0) {}
    }

    fn read_plain(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.tls.reader().read(into) {
            // FIN without close_notify: most brokers end a connection so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

fn is_nothing_yet(read: &io::Result<usize>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// [`io::ErrorKind::Unsupported`] for bytes that are no TLS, and [`io::ErrorKind::PermissionDenied`] for a certificate that this client
/// does not accept.
fn kind(error: &rustls::Error) -> io::ErrorKind {
    match error {
        rustls::Error::InvalidMessage(_) => io::ErrorKind::Unsupported,
        rustls::Error::InvalidCertificate(_) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::InvalidData,
    }
}

/// What went wrong, for the user.
pub(crate) fn in_words(error: &rustls::Error) -> String {
    use rustls::Error;
    match error {
        Error::InvalidCertificate(why) => certificate_in_words(why),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the broker requires a client certificate (alert certificate_required); give one".to_owned()
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the broker refused the TLS handshake (alert handshake_failure): it may require a client certificate, or supports no \
             common version or cipher"
                .to_owned()
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the broker does not support this version of TLS (alert protocol_version)".to_owned()
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the broker supports none of the protocols offered by ALPN".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "the broker has no certificate for the name that was asked for (alert unrecognized_name)".to_owned()
        }
        Error::AlertReceived(alert) => format!("the broker sent the TLS alert {alert:?}"),
        other => format!("TLS failed: {other}"),
    }
}

fn certificate_in_words(why: &CertificateError) -> String {
    use CertificateError as Why;
    match why {
        Why::Expired | Why::ExpiredContext { .. } => {
            format!("the broker's certificate has expired{}", detail(why))
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            format!("the broker's certificate is not valid yet{}", detail(why))
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            format!("the broker's certificate is for another name{}", detail(why))
        }
        Why::UnknownIssuer => "the broker's certificate has an unknown issuer".to_owned(),
        Why::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the broker's certificate is one of an authority (CA:TRUE), which is not accepted for a server: have it issue another one \
             for the broker, or give --insecure"
                .to_owned()
        }
        Why::Revoked => "the broker's certificate was revoked".to_owned(),
        other => format!("the broker's certificate is not valid: {other}"),
    }
}

fn detail(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::NotValidForNameContext { .. } => format!(" ({why})"),
        _ => String::new(),
    }
}
