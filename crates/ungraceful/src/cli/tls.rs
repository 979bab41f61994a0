//! The flags of TLS.

use std::path::{Path, PathBuf};

use clap::Args;
use ungraceful_flags::{Mistake, reader};
use ungraceful_rig::run::input_file;
use ungraceful_wire::{Pem, Tls, TlsMistake, TlsSettings, TlsVersion};

use super::target::without_brackets;

/// Most bytes of a file of certificates, in bytes: far more than those of all authorities of a system.
const PEM_BYTES_MAX: usize = 16 << 20;

/// The flags of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Connect over TLS; a URL of mqtts:// does the same
    #[arg(long)]
    pub tls: bool,
    /// PEM file of the certificates to trust [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// PEM file of the client certificate, with its chain
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// PEM file of the client certificate's private key
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Name that the broker's certificate must have, also sent as SNI [default: the host]
    #[arg(long, value_name = "NAME")]
    pub servername: Option<String>,
    /// Protocols to offer by ALPN, separated by commas, such as mqtt
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Accept any certificate of the broker; every report says so
    #[arg(long)]
    pub insecure: bool,
    /// TLS version to offer, 1.2 or 1.3 [default: both]
    #[arg(long, value_name = "VERSION", value_parser = reader::<TlsVersion>())]
    pub tls_version: Option<TlsVersion>,
    /// Make a full handshake for every connection, without resuming a session
    #[arg(long)]
    pub no_tls_resumption: bool,
}

impl TlsArgs {
    /// TLS to `host`, if the flags or the URL ask for it; absent for plain TCP. Adds mistakes to the list.
    pub(crate) fn settings(
        &self,
        host: Option<&str>,
        by_url: bool,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Tls> {
        if !self.tls && !by_url {
            self.refuse_without_tls(mistakes);
            return None;
        }
        let Some(host) = host else {
            let what = "the brokers that this program starts listen on plain TCP; give --host or --url, or leave it out";
            mistakes.push(Mistake::new("--tls", what));
            return None;
        };
        if self.insecure && self.cafile.is_some() {
            mistakes.push(Mistake::new(
                "--insecure",
                "nothing is verified with it; leave out --cafile or --insecure",
            ));
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => {
                let what = "needs the private key of the certificate; give --key FILE";
                mistakes.push(Mistake::new("--cert", what));
            }
            (None, Some(_)) => {
                mistakes.push(Mistake::new("--key", "needs its certificate; give --cert FILE"));
            }
            _ => {}
        }
        // All files are read, so that every mistake is reported; without one of them, TLS would be another.
        let files = [("--cafile", &self.cafile), ("--cert", &self.cert), ("--key", &self.key)];
        let read = files.map(|(flag, file)| read_pem(flag, file.as_deref(), mistakes));
        let [Some(authorities), Some(certificate), Some(key)] = read else { return None };
        let made = Tls::new(&TlsSettings {
            server_name: self.server_name(host),
            authorities,
            identity: certificate.zip(key),
            alpn: self.alpn.clone(),
            insecure: self.insecure,
            version: self.tls_version,
            full_handshakes: self.no_tls_resumption,
        });
        made.map_err(|mistake| {
            let flag = match mistake {
                TlsMistake::CaFile(_) => "--cafile",
                TlsMistake::Certificate(_) => "--cert",
                TlsMistake::Key(_) => "--key",
                TlsMistake::ServerName(_) => "--servername",
                TlsMistake::Alpn(_) => "--alpn",
                TlsMistake::KeyLog(_) => "SSLKEYLOGFILE",
            };
            mistakes.push(Mistake::new(flag, mistake.to_string()));
        })
        .ok()
    }

    /// No certificate names the interface that follows the `%` of a link-local address.
    fn server_name(&self, host: &str) -> String {
        let name = self.servername.as_deref().unwrap_or(host);
        without_brackets(name).split('%').next().unwrap_or_default().to_owned()
    }

    fn refuse_without_tls(&self, mistakes: &mut Vec<Mistake>) {
        let given = [
            ("--cafile", self.cafile.is_some()),
            ("--cert", self.cert.is_some()),
            ("--key", self.key.is_some()),
            ("--servername", self.servername.is_some()),
            ("--alpn", !self.alpn.is_empty()),
            ("--insecure", self.insecure),
            ("--tls-version", self.tls_version.is_some()),
            ("--no-tls-resumption", self.no_tls_resumption),
        ];
        for (flag, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            mistakes.push(Mistake::new(flag, "has an effect only with TLS; add --tls, or leave it out"));
        }
    }
}

/// The content of the file, if there is one; absent when it can't be read, which is added to the mistakes.
fn read_pem(flag: &str, file: Option<&Path>, mistakes: &mut Vec<Mistake>) -> Option<Option<Pem>> {
    let Some(file) = file else { return Some(None) };
    match input_file::whole(file, PEM_BYTES_MAX) {
        Ok(bytes) => Some(Some(Pem { name: file.display().to_string(), bytes })),
        Err(what) => {
            mistakes.push(Mistake::new(flag, what));
            None
        }
    }
}
