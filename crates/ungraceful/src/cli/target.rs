//! The flags that select the broker and the credentials.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use clap::Args;
use ungraceful_flags::{Addresses, Mistake, PositiveTime, Wanted, Whole, reader};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_rig::broker::nodes::NodeOrder;
use ungraceful_rig::broker::target::{BrokerChoice, Credentials, NodeSettings, Secret, TargetSettings};
use ungraceful_rig::broker::watch::WatchSettings;
use ungraceful_rig::run::input_file;
use ungraceful_wire::Transport;
use url::Url;

use super::clients::ClientsArgs;
use super::tls::TlsArgs;
use super::websocket::{OfUrl, WebSocketArgs};

const DEFAULT_PORT: u16 = 1883;
const DEFAULT_TLS_PORT: u16 = 8883;
/// The broker and the credentials.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub struct TargetArgs {
    /// Host name or address of the broker, with or without a port; without --host, --url and --spawn, an embedded broker is started.
    /// Several, separated by commas, are nodes or listeners of one broker; --port is for those without a port
    #[arg(short = 'h', long, value_name = "HOST", value_delimiter = ',')]
    pub host: Vec<String>,
    /// How clients are spread over several hosts: connection (each further connection of a client goes to the next host) or client
    /// (each client has one host) [default: connection]
    #[arg(long, value_name = "ORDER", value_parser = reader::<NodeOrder>())]
    pub host_order: Option<NodeOrder>,
    /// TCP port of the broker [default: 1883, with TLS 8883; with WebSocket 80, with both 443]
    #[arg(short = 'p', long, value_name = "PORT")]
    pub port: Option<Whole<1, 65_535>>,
    /// Broker as `mqtt://user:password@host:port`, mqtts:// for TLS, ws:// or wss:// for WebSocket; only the host is required
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Start an installed broker on a free port of 127.0.0.1, with a generated configuration: mosquitto
    #[arg(long, value_name = "BROKER")]
    pub spawn: Option<String>,
    /// User Name of all clients; %i is the client's number, %c its ClientID, %% a percent sign
    #[arg(short = 'u', long, value_name = "NAME")]
    pub username: Option<String>,
    /// Password of all clients; other users can read a command line, so prefer UNGRACEFUL_PW or --pw-file
    #[arg(short = 'P', long, value_name = "PASSWORD")]
    pub pw: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub pw_file: Option<PathBuf>,
    /// Maximum time for the handshakes of TCP, TLS and WebSocket together (in a load for TCP alone, and for the others), and again for the CONNACK
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub connect_timeout: PositiveTime,
    /// Local addresses to connect from, used in turn: addresses, ranges (127.0.0.2-127.0.0.9) and networks (127.0.1.0/24),
    /// separated by commas
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub ifaddr: Vec<Addresses>,
    /// Allow a broker that is neither on loopback nor in a private network: if it is yours, repeat its host exactly
    #[arg(long, value_name = "HOST")]
    pub i_own_this_broker: Option<String>,
    /// Prefix of every topic; %i, %c and %u are the client's number, ClientID and User Name. The user needs the right to publish and
    /// subscribe to everything below it
    #[arg(long, value_name = "TOPIC", default_value = "ungraceful")]
    pub topic_root: String,
    /// Process id of the broker: its CPU time, memory and open file descriptors are measured, without those of its
    /// children
    #[arg(long, value_name = "PID")]
    pub broker_pid: Option<Whole<1, 4_194_304>>,
    /// Log file of the broker: lines appended during the run are kept, and matched with the attempts that they name
    #[arg(long, value_name = "FILE")]
    pub broker_log: Option<PathBuf>,
    /// Maximum number of log lines to keep, half of them for lines that name an attempt; further lines are only
    /// counted
    #[arg(long, value_name = "N", default_value = "10000")]
    pub broker_log_max: Whole<0, 1_000_000_000>,
    /// The clients, one by one.
    #[command(flatten)]
    pub clients: ClientsArgs,
    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// WebSocket.
    #[command(flatten)]
    pub websocket: WebSocketArgs,
}

/// The parts of a URL.
struct FromUrl {
    is_tls: bool,
    /// Absent when it is not of WebSocket.
    websocket: Option<OfUrl>,
    host: String,
    port: u16,
    user_name: Option<String>,
    password: Option<String>,
}

impl TargetArgs {
    /// The target. Mistakes are added to the list; the target is then unusable.
    pub fn settings(&self, wanted: Wanted, mistakes: &mut Vec<Mistake>) -> TargetSettings {
        let from_url = self.read_url(mistakes);
        let broker = self.broker(from_url.as_ref(), mistakes);
        let (host, authority) = match &broker {
            BrokerChoice::Host { host, port } => (Some(host.as_str()), Some(authority(host, *port))),
            _ => (None, None),
        };
        let by_url = from_url.as_ref().is_some_and(|from_url| from_url.is_tls);
        let websocket_by_url = from_url.as_ref().and_then(|from_url| from_url.websocket.as_ref());
        // A broker that can't be read is one mistake, and not also one of TLS.
        let transport = if host.is_some_and(str::is_empty) || (self.url.is_some() && from_url.is_none()) {
            Transport::default()
        } else {
            Transport {
                tls: self.tls.settings(host, by_url, mistakes),
                websocket: self.websocket.settings(authority, websocket_by_url, mistakes),
            }
        };
        let credentials = self.credentials(from_url, &wanted.versions, mistakes);
        TargetSettings {
            clients: self.clients.settings(credentials, &self.topic_root, transport.tls.as_ref(), mistakes),
            transport,
            broker,
            nodes: self.nodes(mistakes),
            versions: wanted.versions,
            versions_required: wanted.are_named,
            sources: self.ifaddr.iter().flat_map(|addresses| addresses.0.iter().copied()).collect(),
            connect_timeout: self.connect_timeout.0,
            owned_host: self.i_own_this_broker.as_deref().map(|host| without_brackets(host).to_owned()),
        }
    }

    /// The selected broker; [`TargetArgs::settings`] reports the mistakes.
    #[must_use]
    pub fn chosen(&self) -> BrokerChoice {
        let ignored = &mut Vec::new();
        self.broker(self.read_url(ignored).as_ref(), ignored)
    }

    fn read_url(&self, mistakes: &mut Vec<Mistake>) -> Option<FromUrl> {
        let text = self.url.as_deref()?;
        read_url(text, self.tls.tls, self.websocket.ws).map_err(|mistake| mistakes.push(mistake)).ok()
    }

    /// What to watch of the broker. Mistakes are added to the list.
    pub fn watch(&self, mistakes: &mut Vec<Mistake>) -> WatchSettings {
        let settings = WatchSettings {
            pid: self.broker_pid.map(Whole::get),
            log: self.broker_log.clone(),
            log_lines_max: self.broker_log_max.0,
        };
        mistakes.extend(settings.mistakes());
        settings
    }

    fn broker(&self, from_url: Option<&FromUrl>, mistakes: &mut Vec<Mistake>) -> BrokerChoice {
        let port: Option<u16> = self.port.map(Whole::get);
        let named = [
            ("--host", !self.host.is_empty()),
            ("--url", self.url.is_some()),
            ("--spawn", self.spawn.is_some()),
        ];
        let named: Vec<&str> = named.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect();
        if named.len() > 1 {
            let what = "each selects a broker; keep only one";
            mistakes.push(Mistake::new(named.join(" and "), what));
        }
        if self.host.is_empty() && port.is_some() && self.url.is_none() {
            mistakes.push(Mistake::new("--port", "needs --host too (127.0.0.1 for this machine)"));
        }
        if let Some(from_url) = from_url {
            if port.is_some_and(|port| port != from_url.port) {
                mistakes.push(Mistake::new("--port", "differs from the port in --url; keep one of them"));
            }
            return BrokerChoice::Host { host: from_url.host.clone(), port: from_url.port };
        }
        match (self.host.first(), self.spawn.as_deref()) {
            (Some(text), _) => {
                let (host, port) = self.host_and_port(text, mistakes);
                BrokerChoice::Host { host, port }
            }
            (None, Some("mosquitto")) => BrokerChoice::SpawnMosquitto,
            (None, Some(other)) => {
                mistakes.push(Mistake::new(
                    "--spawn",
                    format!("unknown broker {other:?}; give mosquitto, the only one that can be started"),
                ));
                BrokerChoice::Embedded
            }
            (None, None) => BrokerChoice::Embedded,
        }
    }

    /// The host, empty when it can't be read, and its port.
    fn host_and_port(&self, text: &str, mistakes: &mut Vec<Mistake>) -> (String, u16) {
        // A comma in a password splits it: no part is repeated then.
        let text = if self.host.iter().any(|text| text.contains('@')) { "@" } else { text };
        let read = read_host(text).map_err(|what| mistakes.push(Mistake::new("--host", what)));
        let (host, own) = read.unwrap_or_default();
        let given = self.port.map(Whole::get);
        if self.host.len() == 1 && own.is_some() && given.is_some() && own != given {
            mistakes.push(Mistake::new("--port", "differs from the port in --host; keep one of them"));
        }
        (host, own.or(given).unwrap_or(default_port(self.tls.tls, self.websocket.ws)))
    }

    /// The hosts after the first; absent when there are none.
    fn nodes(&self, mistakes: &mut Vec<Mistake>) -> Option<NodeSettings> {
        let further: Vec<_> =
            self.host.iter().skip(1).map(|text| self.host_and_port(text, mistakes)).collect();
        if further.is_empty() {
            if self.host_order.is_some() {
                mistakes.push(Mistake::new(
                    "--host-order",
                    "has an effect only with several hosts; leave it out",
                ));
            }
            return None;
        }
        let order = self.host_order.unwrap_or_default();
        Some(NodeSettings { further, order, named: self.tls.servername.is_none() })
    }

    fn credentials(
        &self,
        from_url: Option<FromUrl>,
        versions: &[ProtocolVersion],
        mistakes: &mut Vec<Mistake>,
    ) -> Credentials {
        let (url_user, url_password) =
            from_url.map_or((None, None), |from_url| (from_url.user_name, from_url.password));
        let given = [self.pw.is_some(), self.pw_file.is_some(), self.clients.pw_cmd.is_some()];
        if given.into_iter().filter(|is_given| *is_given).count() > 1 {
            let flag = if self.pw_file.is_some() { "--pw-file" } else { "--pw-cmd" };
            let what =
                "conflicts with the password in --pw, UNGRACEFUL_PW, --pw-file or --pw-cmd; keep only one";
            mistakes.push(Mistake::new(flag, what));
        }
        let from_file = self.pw_file.as_ref().and_then(|path| {
            input_file::first_line(path).map_err(|what| mistakes.push(Mistake::new("--pw-file", what))).ok()
        });
        let user_name = self.username.clone().or(url_user);
        let text = self.pw.clone().map(String::into_bytes);
        let from_command = self.clients.password(mistakes);
        let password = text.or(from_file).or(from_command).or(url_password.map(String::into_bytes));
        if password.is_some() && user_name.is_none() && versions.contains(&ProtocolVersion::V3_1_1) {
            let what =
                "on MQTT 3.1.1 a password needs a --username ([MQTT-3.1.2-22]); give one, or -V 5 alone";
            mistakes.push(Mistake::new("--pw", what));
        }
        Credentials { user_name, password: password.map(Secret::new) }
    }
}

/// An IPv6 address may be in brackets, as in a URL.
pub(super) fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The host without brackets, and its port if it has one. An error message repeats no text that may contain a password.
pub(crate) fn read_host(text: &str) -> Result<(String, Option<u16>), String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty; give a host name or address".to_owned());
    }
    if text.contains('@') {
        return Err("contains `@`, which no host name has; give user name and password with --username and --pw-file, or all of \
                    it as --url mqtt://user:password@host:port"
            .to_owned());
    }
    if text.contains("://") {
        return Err(format!("{text:?} is a URL; give it as --url {text}"));
    }
    let host = without_brackets(text);
    // A `%` is followed by the interface of a link-local address.
    let is_ipv6 =
        |host: &str| host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if is_ipv6(host) {
        return Ok((host.to_owned(), None));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && (!host.contains(':') || is_ipv6(without_brackets(host)))
    {
        let host = without_brackets(host);
        return match port.parse() {
            Ok(port @ 1..) if !host.is_empty() => Ok((host.to_owned(), Some(port))),
            _ => Err(format!("{text:?} has no port from 1 to 65535 behind the colon")),
        };
    }
    if host.contains([':', '/', '[', ']']) || host.contains(char::is_whitespace) {
        return Err(format!(
            "{text:?} is neither a host name nor an address; give a host such as localhost or ::1"
        ));
    }
    Ok((host.to_owned(), None))
}

/// As the URL standard and the registered names of MQTT have it.
const fn default_port(is_tls: bool, is_websocket: bool) -> u16 {
    match (is_websocket, is_tls) {
        (false, false) => DEFAULT_PORT,
        (false, true) => DEFAULT_TLS_PORT,
        (true, false) => 80,
        (true, true) => 443,
    }
}

/// The Host header of WebSocket.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// With `tls`, also a URL of mqtt:// or ws:// means TLS; with `ws`, also one of mqtt:// or mqtts:// means WebSocket.
fn read_url(text: &str, tls: bool, ws: bool) -> Result<FromUrl, Mistake> {
    let mistake = |what: String| Mistake::new("--url", what);
    // The text may contain a password, so it is never repeated.
    let url = Url::parse(text).map_err(|error| {
        mistake(format!("is not a URL ({error}); give one such as mqtt://127.0.0.1:1883"))
    })?;
    let (is_tls, is_websocket) = match url.scheme() {
        "mqtt" | "tcp" => (tls, ws),
        "mqtts" | "ssl" | "tls" => (true, ws),
        "ws" => (tls, true),
        "wss" => (true, true),
        scheme => return Err(mistake(format!("{scheme}:// is not MQTT; give mqtt://host:port"))),
    };
    let host =
        url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| mistake("has no host".to_owned()))?;
    // The port 80 of its URL can't be told from none, and would be 443.
    if url.scheme() == "ws" && tls {
        return Err(Mistake::new(
            "--tls",
            "the URL is one of ws://, without TLS; give wss://, or leave it out".to_owned(),
        ));
    }
    if url.fragment().is_some() {
        return Err(mistake("has a fragment (#), which no broker is sent; leave it out".to_owned()));
    }
    let path = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
    if !is_websocket && (path.is_some() || url.query().is_some()) {
        return Err(mistake("has a path or query, which mqtt:// does not use".to_owned()));
    }
    // It may hold a token, and what of a URL has to stay secret is decided by its credentials alone.
    if url.query().is_some() {
        return Err(mistake("has a query; give the path with its query in --ws-path".to_owned()));
    }
    let decoded = |part: &str| {
        url::form_urlencoded::parse(format!("x={}", part.replace('+', "%2B")).as_bytes())
            .next()
            .map_or_else(String::new, |(_, value)| value.into_owned())
    };
    Ok(FromUrl {
        is_tls,
        websocket: is_websocket.then(|| OfUrl { path: path.map(str::to_owned) }),
        host: without_brackets(host).to_owned(),
        port: url.port().unwrap_or(default_port(is_tls, is_websocket)),
        user_name: Some(decoded(url.username())).filter(|name| !name.is_empty()),
        password: url.password().map(decoded),
    })
}

#[cfg(test)]
mod tests {
    use super::{read_host, read_url};

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_brackets() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            (" broker.example ", "broker.example", None),
            ("127.0.0.1", "127.0.0.1", None),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("fe80::1%eth0", "fe80::1%eth0", None),
            ("localhost:1884", "localhost", Some(1_884)),
            ("[::1]:2883", "::1", Some(2_883)),
        ] {
            assert_eq!(read_host(text), Ok((host.to_owned(), port)));
        }
    }

    #[test]
    fn an_invalid_host_is_rejected_with_the_right_flag() {
        for (text, hint) in [
            ("localhost:0", "no port from 1 to 65535"),
            ("[::1]:65536", "no port from 1 to 65535"),
            (":1883", "no port"),
            ("mqtt://127.0.0.1:1883", "--url mqtt://127.0.0.1:1883"),
            ("me:hunter2@localhost", "--pw-file"),
            ("mqtt://me:hunter2@localhost", "--url"),
            ("::1::2", "neither a host name nor an address"),
            ("host/path", "neither"),
            ("", "is empty"),
        ] {
            let why = read_host(text).unwrap_err();
            assert!(why.contains(hint) && !why.contains("hunter2"), "{text}: {why}");
        }
    }

    #[test]
    fn a_url_gives_host_port_and_decoded_credentials() {
        let read = read_url("mqtt://me:p%40ss+%26@[::1]:2883", false, false).unwrap();
        assert_eq!((read.host.as_str(), read.port), ("::1", 2883));
        assert_eq!((read.user_name.as_deref(), read.password.as_deref()), (Some("me"), Some("p@ss+&")));
        let bare = read_url("mqtt://broker", false, false).unwrap();
        assert_eq!(
            (bare.host.as_str(), bare.port, bare.user_name, bare.password),
            ("broker", 1883, None, None)
        );
        assert_eq!(read_url("mqtts://broker", false, false).unwrap().port, 8883);
        assert_eq!(read_url("mqtt://broker", true, false).unwrap().port, 8883);
        assert_eq!(read_url("mqtt://broker:1883", true, false).unwrap().port, 1883);
    }

    #[test]
    fn a_url_of_websocket_has_a_path_and_its_own_ports() {
        for (text, tls, ws, expected) in [
            ("ws://broker", false, false, Some((None, false, 80))),
            ("ws://broker/", true, false, None),
            ("ws://broker/a#b", false, false, None),
            ("mqtt://broker:80", true, true, Some((None, true, 80))),
            ("wss://broker/a/b", false, false, Some((Some("/a/b"), true, 443))),
            ("ws://broker:9001/%20", false, false, Some((Some("/%20"), false, 9001))),
            ("mqtt://broker/mqtt", false, true, Some((Some("/mqtt"), false, 80))),
            ("mqtts://broker", false, true, Some((None, true, 443))),
            ("ws://broker/mqtt?token=1", false, false, None),
            ("mqtt://broker/mqtt", false, false, None),
        ] {
            let read = read_url(text, tls, ws).ok();
            let parts = read.map(|read| (read.websocket.expect(text).path, read.is_tls, read.port));
            let expected = expected.map(|(path, is_tls, port)| (path.map(str::to_owned), is_tls, port));
            assert_eq!(parts, expected, "{text}");
        }
        assert!(read_url("mqtts://broker", false, false).unwrap().websocket.is_none());
    }

    #[test]
    fn an_invalid_url_is_rejected_without_repeating_its_password() {
        for wrong in [
            "wss://u:hunter2@h?q",
            "ws://u:hunter2@",
            "http://u:hunter2@h",
            "mqtt://u:hunter2@h/path",
            "u:hunter2@h",
            "mqtt://",
            "mqtt://u:hunter2@h:99999",
        ] {
            let mistake =
                read_url(wrong, false, false).err().unwrap_or_else(|| panic!("{wrong} was accepted"));
            assert!(!mistake.to_string().contains("hunter2"), "{mistake}");
        }
    }
}
