//! The flags of TLS.

use std::path::PathBuf;

use clap::Args;
use ungraceful_flags::Mistake;
use ungraceful_wire::{Tls, TlsMistake, TlsSettings, TlsVersion};

use super::target::without_brackets;

/// How TLS is spoken.
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
    #[arg(long, value_name = "VERSION")]
    pub tls_version: Option<String>,
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
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some(_), None) => {
                mistakes.push(Mistake::new(
                    "--cert",
                    "needs the private key of the certificate; give --key FILE",
                ));
                None
            }
            (None, Some(_)) => {
                mistakes.push(Mistake::new("--key", "needs its certificate; give --cert FILE"));
                None
            }
        };
        let version = self.tls_version.as_deref().and_then(|version| match version {
            "1.2" => Some(TlsVersion::V1_2),
            "1.3" => Some(TlsVersion::V1_3),
            other => {
                mistakes.push(Mistake::new(
                    "--tls-version",
                    format!("{other:?} is not supported; give 1.2 or 1.3"),
                ));
                None
            }
        });
        let made = Tls::new(&TlsSettings {
            server_name: self.server_name(host),
            ca_file: self.cafile.clone(),
            identity,
            alpn: self.alpn.clone(),
            insecure: self.insecure,
            version,
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
