//! WebSocket without I/O of its own (RFC 6455, the client's side): bytes of MQTT become frames and back, over TCP or over TLS, so
//! that a fault keeps its hands on what lies beneath.
//!
//! Payload is passed on as it comes: no message is gathered, and no memory is reserved for an announced length. Compression and
//! other extensions are left out. MQTT 5.0 section 6 and MQTT 3.1.1 section 6 have the same statements under the same numbers.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use tungstenite::handshake::client::{Response, generate_key};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse as _;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The largest head of an HTTP response that is accepted.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How many bytes of MQTT are turned into frames at once.
const ENCODED_BYTES_MAX: usize = 64 * 1024;
/// The largest payload of a control frame (RFC 6455 section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// The longest header of a frame without a mask.
const HEADER_BYTES_MAX: usize = 10;
/// Most characters of the broker's that are repeated in a message.
const QUOTED_CHARS_MAX: usize = 200;

const CLOSE_NORMAL: u16 = 1000;
const CLOSE_PROTOCOL_ERROR: u16 = 1002;

/// How a run speaks WebSocket.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// The value of the Host header: the host, with the port.
    pub authority: String,
    /// What is asked for: begins with "/", may have a query.
    pub path: String,
    /// Headers beside those of the handshake, in this order.
    pub headers: Vec<(String, String)>,
    /// The sub-protocol to ask for; MQTT requires "mqtt" [MQTT-6.0.0-3]. None is asked for when absent.
    pub protocol: Option<String>,
    /// Most bytes of payload in a frame; packets are split over several frames. One frame a write when absent.
    pub frame_bytes: Option<NonZeroUsize>,
}

impl fmt::Debug for WebSocketSettings {
    /// Without the query and the values of headers: they may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _secret)| name).collect();
        f.debug_struct("WebSocketSettings")
            .field("authority", &self.authority)
            .field("path", &without_query(&self.path))
            .field("headers", &headers)
            .field("protocol", &self.protocol)
            .field("frame_bytes", &self.frame_bytes)
            .finish()
    }
}

/// What is wrong with [`WebSocketSettings`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketMistake {
    /// The path.
    #[error("{0}")]
    Path(String),
    /// A header, the Host header included.
    #[error("{0}")]
    Header(String),
    /// The sub-protocol.
    #[error("{0}")]
    Protocol(String),
}

/// WebSocket as all connections of a run speak it; cheap to clone.
#[derive(Clone)]
pub struct WebSocket(Arc<Checked>);

/// Settings that were checked.
struct Checked {
    settings: WebSocketSettings,
    /// The lines of the request after those that differ from connection to connection.
    request_end: String,
}

impl Checked {
    /// The text without what it repeats of the request that may be a secret: the query and the values of headers.
    fn without_secrets(&self, text: String) -> String {
        /// Shorter ones are part of any text, and no secrets.
        const SECRET_BYTES_MIN: usize = 4;
        let query = self.settings.path.split_once('?').map(|(_, query)| query);
        let values = self.settings.headers.iter().flat_map(|(_, value)| {
            let words = value.split_whitespace();
            words.chain([value.as_str()])
        });
        // The longest first: a shorter one may be part of it.
        let mut secrets: Vec<_> =
            query.into_iter().chain(values).filter(|secret| secret.len() >= SECRET_BYTES_MIN).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text, |text, secret| text.replace(secret, "***"))
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocket").field(&self.0.settings).finish()
    }
}

impl WebSocket {
    /// WebSocket with these settings.
    ///
    /// # Errors
    /// [`WebSocketMistake`], with what is wrong and the cure; without values of headers, which may hold a token.
    pub fn new(settings: &WebSocketSettings) -> Result<Self, WebSocketMistake> {
        let WebSocketSettings { authority, path, headers, protocol, frame_bytes: _ } = settings;
        check_authority(authority).map_err(WebSocketMistake::Header)?;
        check_path(path).map_err(WebSocketMistake::Path)?;
        let mut request_end =
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n".to_owned();
        if let Some(protocol) = protocol {
            check_protocol(protocol).map_err(WebSocketMistake::Protocol)?;
            request_end.extend(["Sec-WebSocket-Protocol: ", protocol, "\r\n"]);
        }
        for (name, value) in headers {
            check_header(name, value).map_err(WebSocketMistake::Header)?;
            request_end.extend([name, ": ", value, "\r\n"]);
        }
        request_end.push_str("\r\n");
        Ok(Self(Arc::new(Checked { settings: settings.clone(), request_end })))
    }

    /// The same to another host.
    pub(crate) fn toward(&self, authority: &str) -> Self {
        let Checked { settings, request_end } = &*self.0;
        let settings = WebSocketSettings { authority: authority.to_owned(), ..settings.clone() };
        Self(Arc::new(Checked { settings, request_end: request_end.clone() }))
    }

    /// The settings, for a fault that speaks with others.
    #[must_use]
    pub fn settings(&self) -> &WebSocketSettings {
        &self.0.settings
    }

    /// What is asked for, without its query, which may hold a token.
    #[must_use]
    pub fn path(&self) -> &str {
        without_query(&self.0.settings.path)
    }

    /// Begins a connection, with the request for the upgrade as the first bytes to be written.
    pub(crate) fn upgrade(&self, is_over_tls: bool) -> Frames {
        let Checked { settings, request_end } = &*self.0;
        let key = generate_key();
        let host = host(&settings.authority, is_over_tls);
        let path = &settings.path;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nSec-WebSocket-Key: {key}\r\n{request_end}");
        let handshake =
            Handshake { accept: derive_accept_key(key.as_bytes()), head: Vec::new(), is_over_tls };
        Frames {
            checked: Arc::clone(&self.0),
            phase: Phase::Handshaking(Box::new(handshake)),
            unsent: Buffer { bytes: request.into_bytes(), begin: 0 },
            pong: Box::default(),
            has_sent_close: false,
            has_sent_text: false,
            plain: Buffer::default(),
            header: [0; HEADER_BYTES_MAX],
            header_bytes: 0,
            is_in_message: false,
            payload_left: 0,
            control: None,
        }
    }
}

/// The Host header, which has no port when it is the default one (RFC 6455 section 4.1): some proxies compare it letter by letter.
fn host(authority: &str, is_over_tls: bool) -> &str {
    let default_port = if is_over_tls { ":443" } else { ":80" };
    authority.strip_suffix(default_port).unwrap_or(authority)
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

fn check_authority(authority: &str) -> Result<(), String> {
    // Not shown: what stands before the @ may be a password.
    if authority.contains('@') {
        return Err("the Host header can't have credentials; give a host with its port".to_owned());
    }
    let is_wrong = |character: char| !character.is_ascii_graphic() || "/?#\\\"".contains(character);
    if authority.is_empty() || authority.contains(is_wrong) {
        return Err(format!("{authority:?} can't be sent as the Host header; give a host with its port"));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    let shown = without_query(path);
    if !path.starts_with('/') {
        return Err(format!("the path {shown:?} does not begin with a slash; give one such as /mqtt"));
    }
    let wrong = path.chars().find(|character| !character.is_ascii_graphic() || *character == '#');
    wrong.map_or(Ok(()), |wrong| {
        Err(format!("the path {shown:?} has the character {wrong:?}, which must be percent-encoded"))
    })
}

fn check_protocol(protocol: &str) -> Result<(), String> {
    // A sub-protocol has the same characters as the name of a header (RFC 6455 section 4.1).
    let checked = HeaderName::from_bytes(protocol.as_bytes());
    checked.map(drop).map_err(|_invalid| {
        format!("{protocol:?} is no name of a sub-protocol; give one name without spaces, such as mqtt")
    })
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let Ok(checked) = HeaderName::from_bytes(name.as_bytes()) else {
        // Not shown: it may be a value without its name.
        return Err(
            "what stands before the colon is no name of a header; give letters, digits and hyphens, such as Authorization"
                .to_owned(),
        );
    };
    match checked.as_str() {
        "host" | "upgrade" | "connection" => {
            Err(format!("the handshake sets the header {name}; leave it out"))
        }
        "sec-websocket-protocol" => {
            Err(format!("the handshake sets the header {name}; name the sub-protocol instead"))
        }
        owned if owned.starts_with("sec-websocket-") => {
            Err(format!("the handshake sets the header {name}; leave it out"))
        }
        "content-length" | "transfer-encoding" => {
            Err(format!("the header {name} announces a body, and the handshake has none; leave it out"))
        }
        _ if HeaderValue::from_bytes(value.as_bytes()).is_err() => {
            Err(format!("the value of the header {name} has a control character; give one line of text"))
        }
        _ => Ok(()),
    }
}

/// A frame for a fault, also one that RFC 6455 forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Whether it is the last one of its message (FIN).
    pub is_final: bool,
    /// RSV1, RSV2 and RSV3, 0 to 7: RSV1 is 4. Higher bits are ignored.
    pub rsv: u8,
    /// 0 to 15: 0 continues a message, 1 is text, 2 is binary. Higher bits are ignored.
    pub opcode: u8,
    /// Whether it is masked, with a random key; a client must mask (RFC 6455 section 5.1).
    pub mask: bool,
    /// The length in the header, in bytes; that of the payload when absent.
    pub announced_bytes: Option<u64>,
    /// The payload, before masking.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// A whole message in one binary frame, as a client must send it.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self {
            is_final: true,
            rsv: 0,
            opcode: OpCode::Data(Data::Binary).into(),
            mask: true,
            announced_bytes: None,
            payload: payload.into(),
        }
    }

    /// The same as a text frame.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self { opcode: OpCode::Data(Data::Text).into(), ..Self::binary(payload) }
    }
}

/// The frames of one connection.
pub(crate) struct Frames {
    checked: Arc<Checked>,
    phase: Phase,
    /// What is to be written, in this order. Whole frames, of which the first may be partly gone.
    unsent: Buffer,
    /// The frame that answers the newest Ping, until it is begun; empty without one.
    pong: Box<[u8]>,
    has_sent_close: bool,
    /// Whether a fault has sent a text frame: a broker that answers with one still serves the client.
    has_sent_text: bool,
    /// Payload of data frames.
    plain: Buffer,
    /// The beginning of a frame's header.
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: u8,
    /// Whether the last data frame was not the final one of its message.
    is_in_message: bool,
    /// Bytes of the present frame's payload that have not come yet.
    payload_left: u64,
    /// The present frame, when it is a control frame with payload.
    control: Option<Box<ControlFrame>>,
}

enum Phase {
    /// Until the right response came.
    Handshaking(Box<Handshake>),
    Open,
    /// The stream below ended.
    Ended,
    /// The broker sent a Close frame, with this reason.
    Closed(Box<str>),
    /// The broker did something wrong. What follows is ignored.
    Failed(Box<Failure>),
}

struct Handshake {
    /// The right value of Sec-WebSocket-Accept.
    accept: String,
    /// The response, as far as it came.
    head: Vec<u8>,
    is_over_tls: bool,
}

struct Failure {
    kind: io::ErrorKind,
    words: String,
    in_handshake: bool,
}

struct ControlFrame {
    kind: Control,
    payload: Vec<u8>,
}

/// A queue of bytes, without memory while it is empty.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
}

impl Buffer {
    fn left(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    fn remove(&mut self, bytes: usize) {
        self.begin += bytes;
        if self.begin >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Where bytes are added.
    fn tail(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        &mut self.bytes
    }
}

impl fmt::Debug for Frames {
    /// Without bytes: the request may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Handshaking(_) => "handshaking",
            Phase::Open => "open",
            Phase::Ended => "ended",
            Phase::Closed(_) => "closed",
            Phase::Failed(_) => "failed",
        };
        f.debug_struct("Frames").field("phase", &phase).finish_non_exhaustive()
    }
}

impl Frames {
    /// Whether the right response has not come, or never will: see [`Frames::failure`].
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.phase {
            Phase::Handshaking(_) => true,
            Phase::Failed(failure) => failure.in_handshake,
            _ => false,
        }
    }

    /// Queues at most 64 KiB of the bytes as binary frames. Returns how many bytes were taken: more than 0 when there are any.
    /// After the broker's Close they are taken and dropped, because no data may follow our answer (RFC 6455 section 5.5.1).
    pub(crate) fn encode(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(ENCODED_BYTES_MAX);
        if matches!(self.phase, Phase::Closed(_)) {
            return taken;
        }
        let of_a_frame = self.checked.settings.frame_bytes.map_or(ENCODED_BYTES_MAX, NonZeroUsize::get);
        for payload in bytes[..taken].chunks(of_a_frame) {
            append_frame(self.unsent.tail(), OpCode::Data(Data::Binary), payload);
        }
        taken
    }

    /// Queues this frame, byte for byte. After a Close frame, none is sent by itself.
    pub(crate) fn encode_raw(&mut self, frame: &RawFrame) {
        let opcode = OpCode::from(frame.opcode & 0x0F);
        let header = FrameHeader {
            is_final: frame.is_final,
            rsv1: frame.rsv & 4 != 0,
            rsv2: frame.rsv & 2 != 0,
            rsv3: frame.rsv & 1 != 0,
            opcode,
            mask: frame.mask.then(masking_key),
        };
        let announced = frame.announced_bytes.unwrap_or(frame.payload.len() as u64);
        append(self.unsent.tail(), &header, announced, &frame.payload);
        self.has_sent_close |= opcode == OpCode::Control(Control::Close);
        self.has_sent_text |= opcode == OpCode::Data(Data::Text);
    }

    /// Hands what is queued to `below` until nothing is left.
    ///
    /// # Errors
    /// Those of `below`, [`io::ErrorKind::WouldBlock`] included: the rest stays queued. [`io::ErrorKind::WriteZero`] when it takes
    /// no bytes.
    pub(crate) fn flush(&mut self, mut below: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        let mut write = |bytes: &[u8]| match below(bytes)? {
            0 => Err(io::Error::from(io::ErrorKind::WriteZero)),
            written => Ok(written),
        };
        loop {
            if !self.unsent.left().is_empty() {
                let written = write(self.unsent.left())?;
                self.unsent.remove(written);
            } else if !self.pong.is_empty() {
                // Queued only when it is begun: until then, a newer one replaces it.
                let written = write(&self.pong)?;
                let pong = std::mem::take(&mut self.pong);
                if let Some(rest) = pong.get(written..).filter(|rest| !rest.is_empty()) {
                    self.unsent.tail().extend_from_slice(rest);
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Whether nothing is queued.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unsent.left().is_empty() && self.pong.is_empty()
    }

    /// Whether plain bytes, a failure or an end have come that were not taken yet.
    pub(crate) fn holds_plain(&self) -> bool {
        !self.plain.left().is_empty() || !matches!(self.phase, Phase::Handshaking(_) | Phase::Open)
    }

    /// Whether the broker's Close frame came.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// Takes bytes from below; none at the end of the stream. What is wrong with them is seen by [`Frames::failure`], and by
    /// [`Frames::decoded`] after everything before it. Queues answers: flush after it.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.end();
        } else if let Phase::Handshaking(handshake) = &mut self.phase {
            match handshake.take(bytes, self.checked.settings.protocol.as_deref()) {
                Ok(None) => {}
                Ok(Some(frames)) => {
                    self.phase = Phase::Open;
                    self.take_frames(&frames);
                }
                Err((kind, words)) => self.fail(kind, words),
            }
        } else {
            self.take_frames(bytes);
        }
    }

    /// Plain bytes that have come: 0 after the broker's Close frame or the end of the stream below.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there are none yet; [`Frames::failure`] when no more will come.
    pub(crate) fn decoded(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let plain = self.plain.left();
        if !plain.is_empty() {
            let bytes = plain.len().min(into.len());
            into[..bytes].copy_from_slice(&plain[..bytes]);
            self.plain.remove(bytes);
            return Ok(bytes);
        }
        match &self.phase {
            Phase::Handshaking(_) | Phase::Open => Err(io::ErrorKind::WouldBlock.into()),
            Phase::Ended | Phase::Closed(_) => Ok(0),
            Phase::Failed(failure) => Err(failure.error()),
        }
    }

    /// What the broker did wrong, in words.
    ///
    /// # Errors
    /// In the handshake: [`io::ErrorKind::PermissionDenied`] when the broker refused it, [`io::ErrorKind::Unsupported`] for bytes
    /// that are no HTTP, [`io::ErrorKind::UnexpectedEof`] for the end of the stream, [`io::ErrorKind::InvalidData`] for a wrong
    /// response. Later: [`io::ErrorKind::InvalidData`].
    pub(crate) fn failure(&self) -> io::Result<()> {
        match &self.phase {
            Phase::Failed(failure) => Err(failure.error()),
            _ => Ok(()),
        }
    }

    /// Queues a Close frame after everything else, once: 1000 (normal closure), or 1002 (protocol error) after a failure. The
    /// caller sends no data after it. Does nothing before the handshake is done.
    pub(crate) fn close(&mut self) {
        if self.is_handshaking() {
            return;
        }
        let has_failed = matches!(self.phase, Phase::Failed(_));
        let code = if has_failed { CLOSE_PROTOCOL_ERROR } else { CLOSE_NORMAL };
        self.send_close(&code.to_be_bytes());
    }

    /// The broker's Close frame in words: its code, the code's name, and its own reason. "no code" when it has none; absent
    /// without a Close frame.
    pub(crate) fn close_reason(&self) -> Option<String> {
        match &self.phase {
            Phase::Closed(reason) => Some(reason.to_string()),
            _ => None,
        }
    }

    /// Throws away all plain bytes of what was taken.
    pub(crate) fn discard(&mut self) {
        self.plain = Buffer::default();
    }

    fn fail(&mut self, kind: io::ErrorKind, words: String) {
        let in_handshake = self.is_handshaking();
        let words = self.checked.without_secrets(words);
        self.phase = Phase::Failed(Box::new(Failure { kind, words, in_handshake }));
        self.control = None;
    }

    fn end(&mut self) {
        match &self.phase {
            Phase::Handshaking(handshake) => {
                let words = handshake.end_in_words();
                self.fail(io::ErrorKind::UnexpectedEof, words.to_owned());
            }
            Phase::Open => {
                self.phase = Phase::Ended;
                self.control = None;
            }
            Phase::Ended | Phase::Closed(_) | Phase::Failed(_) => {}
        }
    }

    fn take_frames(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && matches!(self.phase, Phase::Open) {
            let taken =
                if self.payload_left > 0 { self.take_payload(bytes) } else { self.take_header(bytes) };
            match taken {
                Ok(taken) => bytes = &bytes[taken..],
                Err(words) => self.fail(io::ErrorKind::InvalidData, words),
            }
        }
    }

    /// Takes one byte of a header.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, String> {
        self.header[usize::from(self.header_bytes)] = bytes[0];
        self.header_bytes += 1;
        let so_far = &self.header[..usize::from(self.header_bytes)];
        // Before its key has come, for which there would be no room.
        if let [_, second] = so_far
            && second & 0x80 != 0
        {
            return Err(
                "the broker sent a masked WebSocket frame; a server must not mask (RFC 6455 section 5.1)"
                    .to_owned(),
            );
        }
        match FrameHeader::parse(&mut io::Cursor::new(so_far)) {
            Ok(None) => {}
            Ok(Some((header, bytes))) => {
                self.header_bytes = 0;
                self.begin_frame(&header, bytes)?;
            }
            Err(_opcode) => {
                let opcode = self.header[0] & 0x0F;
                return Err(format!(
                    "the broker sent a WebSocket frame with the unknown opcode {opcode} (RFC 6455 section 5.2)"
                ));
            }
        }
        Ok(1)
    }

    fn begin_frame(&mut self, header: &FrameHeader, bytes: u64) -> Result<(), String> {
        let mut header = header.clone();
        if self.has_sent_text && header.opcode == OpCode::Data(Data::Text) {
            header.opcode = OpCode::Data(Data::Binary);
        }
        if let Some(wrong) = wrong_with(&header, bytes, self.is_in_message) {
            return Err(wrong);
        }
        self.payload_left = bytes;
        match header.opcode {
            OpCode::Data(_) => self.is_in_message = !header.is_final,
            OpCode::Control(kind) if bytes == 0 => self.heed(kind, &[])?,
            OpCode::Control(kind) => {
                self.control = Some(Box::new(ControlFrame { kind, payload: Vec::new() }));
            }
        }
        Ok(())
    }

    fn take_payload(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let taken = usize::try_from(self.payload_left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.payload_left -= taken as u64;
        let Some(frame) = &mut self.control else {
            self.plain.tail().extend_from_slice(&bytes[..taken]);
            return Ok(taken);
        };
        frame.payload.extend_from_slice(&bytes[..taken]);
        if self.payload_left == 0
            && let Some(frame) = self.control.take()
        {
            self.heed(frame.kind, &frame.payload)?;
        }
        Ok(taken)
    }

    /// Acts on a control frame.
    fn heed(&mut self, kind: Control, payload: &[u8]) -> Result<(), String> {
        match kind {
            Control::Ping if !self.has_sent_close => {
                let mut pong = Vec::new();
                append_frame(&mut pong, OpCode::Control(Control::Pong), payload);
                self.pong = pong.into_boxed_slice();
            }
            Control::Close => {
                let (answer, reason) = match *payload {
                    [] => (Vec::new(), "no code".to_owned()),
                    [_] => {
                        return Err("the broker sent a WebSocket Close frame with 1 byte; a code has 2 (RFC 6455 section 5.5.1)"
                            .to_owned());
                    }
                    [high, low, ref reason @ ..] => {
                        let code = u16::from_be_bytes([high, low]);
                        let echo = if may_be_sent(code) { code } else { CLOSE_PROTOCOL_ERROR };
                        (echo.to_be_bytes().to_vec(), close_in_words(code, reason))
                    }
                };
                self.send_close(&answer);
                self.phase = Phase::Closed(self.checked.without_secrets(reason).into_boxed_str());
            }
            _ => {}
        }
        Ok(())
    }

    fn send_close(&mut self, payload: &[u8]) {
        if self.has_sent_close {
            return;
        }
        self.has_sent_close = true;
        let pong = std::mem::take(&mut self.pong);
        let unsent = self.unsent.tail();
        unsent.extend_from_slice(&pong);
        append_frame(unsent, OpCode::Control(Control::Close), payload);
    }
}

impl Failure {
    fn error(&self) -> io::Error {
        io::Error::new(self.kind, self.words.clone())
    }
}

impl Handshake {
    /// Takes a part of the response. Returns what followed its head, when that is whole and right.
    fn take(
        &mut self,
        bytes: &[u8],
        asked_for: Option<&str>,
    ) -> Result<Option<Vec<u8>>, (io::ErrorKind, String)> {
        const BEGINNING: &[u8] = b"HTTP/1.";
        let invalid = |words| (io::ErrorKind::InvalidData, words);
        self.head.extend_from_slice(bytes);
        let beginning = self.head.len().min(BEGINNING.len());
        if self.head[..beginning] != BEGINNING[..beginning] {
            return Err((io::ErrorKind::Unsupported, self.no_http_in_words()));
        }
        let parsed = if bytes.contains(&b'\n') { self.parse().map_err(invalid)? } else { None };
        let Some((head_bytes, response)) = parsed else {
            if self.head.len() > HEAD_BYTES_MAX {
                return Err(invalid(
                    "the head of the broker's HTTP response has more than 16 KiB".to_owned(),
                ));
            }
            return Ok(None);
        };
        if response.status().as_u16() != 101 {
            return Err((io::ErrorKind::PermissionDenied, self.refusal_in_words(&response)));
        }
        wrong_with_response(&response, &self.accept, asked_for)
            .map_or(Ok(()), |wrong| Err(invalid(wrong)))?;
        Ok(Some(self.head.split_off(head_bytes)))
    }

    /// The response and the length of its head in bytes; absent when it is not whole yet.
    fn parse(&self) -> Result<Option<(usize, Response)>, String> {
        let head = &self.head[..self.head.len().min(HEAD_BYTES_MAX)];
        // The parser rejects HTTP/1.0 as a whole, but the status of an old proxy says why it refuses.
        let mut as_1_1 = head.to_vec();
        if let Some(minor_version) = as_1_1.get_mut(7) {
            *minor_version = b'1';
        }
        Response::try_parse(&as_1_1)
            .map_err(|_malformed| "the head of the broker's HTTP response is malformed".to_owned())
    }

    fn end_in_words(&self) -> &'static str {
        if self.head.is_empty() {
            if self.is_over_tls {
                "the broker closed the connection during the WebSocket handshake: this may not be a WebSocket port"
            } else {
                "the broker closed the connection during the WebSocket handshake: this may not be a WebSocket port, or it expects TLS"
            }
        } else {
            "the broker closed the connection during the WebSocket handshake, in the middle of its response"
        }
    }

    fn no_http_in_words(&self) -> String {
        if !self.is_over_tls && self.head.starts_with(&[0x15, 0x03]) {
            return "the broker answered the WebSocket handshake with a TLS alert and no HTTP: this port expects TLS".to_owned();
        }
        let bytes = quoted(&self.head);
        format!(
            "the broker answered the WebSocket handshake with bytes that are no HTTP: this may not be a WebSocket port (they begin \
             with {bytes})"
        )
    }

    /// A response with another status than 101.
    fn refusal_in_words(&self, response: &Response) -> String {
        let status = response.status();
        let code = status.as_u16();
        let line = self.head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // Behind "HTTP/1.1 404 ". The broker's own words may say more than the usual ones.
        let reason = match line.get(13..).unwrap_or_default().trim_ascii() {
            [] => status.canonical_reason().unwrap_or_default().to_owned(),
            own => escaped(own),
        };
        let space = if reason.is_empty() { "" } else { " " };
        let mut words = format!("the broker refused the WebSocket handshake with HTTP {code}{space}{reason}");
        if let Some(location) = response.headers().get("Location").filter(|_| status.is_redirection()) {
            let location = location.as_bytes().split(|byte| b"?#".contains(byte)).next().unwrap_or_default();
            let location = quoted(location);
            words.push_str(&format!(" to {location}; give that address if it is the broker's"));
        }
        let hint = match code {
            200..300 => {
                "a web server answered; give the path at which the broker serves WebSocket, such as /mqtt"
            }
            400 if !self.is_over_tls => "the path may be another one, or the port may expect TLS",
            401 => "give credentials in a header, such as Authorization",
            403 => {
                "give credentials, or a header that the broker or a proxy asks for, such as Authorization or Origin"
            }
            404 => "give the path at which the broker serves WebSocket, such as /mqtt",
            426 => {
                "a proxy may have taken out the headers Upgrade and Connection, or the broker wants another version of WebSocket"
            }
            502..=504 => "a proxy answered, with no broker behind it",
            _ => return words,
        };
        words.extend(["; ", hint]);
        words
    }
}

/// What is wrong with a response whose status is 101; absent when nothing is.
fn wrong_with_response(response: &Response, accept: &str, asked_for: Option<&str>) -> Option<String> {
    let headers = response.headers();
    let values = |name: &str| {
        let values: Vec<&[u8]> =
            headers.get_all(name).into_iter().map(|value| value.as_bytes().trim_ascii()).collect();
        values
    };
    let names = |name: &str, token: &[u8]| {
        let tokens = values(name).into_iter().flat_map(|value| value.split(|byte| *byte == b','));
        tokens.into_iter().any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
    };
    for (name, token) in [("Upgrade", "websocket"), ("Connection", "Upgrade")] {
        if !names(name, token.as_bytes()) {
            let why = shown(&values(name));
            return Some(format!(
                "the broker's response to the WebSocket handshake needs the header {name}: {token}, and has {why} (RFC 6455 \
                 section 4.1)"
            ));
        }
    }
    let accepted = values("Sec-WebSocket-Accept");
    if accepted != [accept.as_bytes()] {
        let why = shown(&accepted);
        return Some(format!(
            "the broker's response to the WebSocket handshake needs the header Sec-WebSocket-Accept: {accept}, and has {why} (RFC \
             6455 section 4.1)"
        ));
    }
    let extensions = values("Sec-WebSocket-Extensions");
    if !extensions.concat().is_empty() {
        let why = shown(&extensions);
        return Some(format!(
            "the broker chose a WebSocket extension that was not offered: {why} (RFC 6455 section 4.1)"
        ));
    }
    let chosen = values("Sec-WebSocket-Protocol");
    match (asked_for, &*chosen) {
        (None, []) => None,
        (None, _) => Some(format!(
            "the broker chose a sub-protocol where none was offered: {} (RFC 6455 section 4.1)",
            shown(&chosen)
        )),
        (Some(offered), [chosen]) if *chosen == offered.as_bytes() => None,
        (Some(offered), []) => Some(format!(
            "the broker chose no sub-protocol, and {offered:?} was offered; a broker must choose \"mqtt\" [MQTT-6.0.0-4]"
        )),
        (Some(offered), _) => Some(format!(
            "the broker chose a sub-protocol that was not offered: {}, and not {offered:?}; a broker must choose \"mqtt\" \
             [MQTT-6.0.0-4]",
            shown(&chosen)
        )),
    }
}

/// What is wrong with a frame of the broker's; absent when nothing is. Lengths in a longer form than necessary are let through.
fn wrong_with(header: &FrameHeader, bytes: u64, is_in_message: bool) -> Option<String> {
    let words = match header.opcode {
        _ if header.rsv1 || header.rsv2 || header.rsv3 => {
            "a WebSocket frame with a reserved bit set, and no extension was agreed on (RFC 6455 section 5.2)"
        }
        _ if bytes > i64::MAX as u64 => {
            return Some(format!(
                "the broker sent a WebSocket frame that announces {bytes} bytes; the highest bit of a length must be 0 (RFC 6455 \
                 section 5.2)"
            ));
        }
        OpCode::Control(_) if !header.is_final => {
            "a fragmented WebSocket control frame (RFC 6455 section 5.4)"
        }
        OpCode::Control(_) if bytes > CONTROL_BYTES_MAX => {
            return Some(format!(
                "the broker sent a WebSocket control frame with {bytes} bytes; at most 125 are allowed (RFC 6455 section 5.5)"
            ));
        }
        OpCode::Data(Data::Text) => {
            "a WebSocket text frame; packets travel in binary frames only [MQTT-6.0.0-1]"
        }
        OpCode::Data(Data::Continue) if !is_in_message => {
            "a WebSocket continuation frame with nothing to continue (RFC 6455 section 5.4)"
        }
        OpCode::Data(Data::Binary) if is_in_message => {
            "a new WebSocket message in the middle of a fragmented one (RFC 6455 section 5.4)"
        }
        _ => return None,
    };
    Some(format!("the broker sent {words}"))
}

/// Adds a frame such as a client must send.
fn append_frame(to: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { opcode, mask: Some(masking_key()), ..FrameHeader::default() };
    append(to, &header, payload.len() as u64, payload);
}

fn append(to: &mut Vec<u8>, header: &FrameHeader, announced: u64, payload: &[u8]) {
    to.reserve(header.len(announced) + payload.len());
    header.format(announced, to).expect("memory takes every byte");
    let begin = to.len();
    to.extend_from_slice(payload);
    if let Some(key) = header.mask {
        mask(&mut to[begin..], key);
    }
}

fn mask(payload: &mut [u8], key: [u8; 4]) {
    // By fours, which the compiler turns into long words.
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// A masking key that can't be predicted (RFC 6455 section 5.3). It does not come from the run's seed: it is not part of the plan.
fn masking_key() -> [u8; 4] {
    thread_local! {
        static KEYS: RefCell<StdRng> = RefCell::new(
            // Without the system's generator the keys can be predicted, and every broker still takes the frames.
            StdRng::try_from_rng(&mut SysRng)
                .unwrap_or_else(|_no_generator| StdRng::seed_from_u64(std::process::id().into())),
        );
    }
    KEYS.with_borrow_mut(|keys| keys.next_u32().to_ne_bytes())
}

/// Whether a Close frame may have this code (RFC 6455 section 7.4, with the codes registered since).
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn close_in_words(code: u16, reason: &[u8]) -> String {
    let name = match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no code, which must not be sent",
        1006 => "abnormal closure, which must not be sent",
        1007 => "invalid payload",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension required",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        1015 => "TLS handshake failed, which must not be sent",
        3000..=3999 => "registered code",
        4000..=4999 => "private code",
        _ => "unknown code",
    };
    if reason.is_empty() {
        format!("{code} ({name})")
    } else {
        format!("{code} ({name}): {}", quoted(reason))
    }
}

/// The values of a header.
fn shown(values: &[&[u8]]) -> String {
    if values.is_empty() { "none".to_owned() } else { quoted(&values.join(&b", "[..])) }
}

/// Bytes of the broker's in quotes, escaped and cut.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escaped(bytes))
}

/// Bytes of the broker's, escaped and cut.
fn escaped(bytes: &[u8]) -> String {
    // A character has at most 4 bytes, and the response may have thousands.
    let bytes = &bytes[..bytes.len().min(4 * QUOTED_CHARS_MAX + 1)];
    let text = String::from_utf8_lossy(bytes);
    let escaped = text.escape_debug();
    let mut cut: String = escaped.clone().take(QUOTED_CHARS_MAX).collect();
    if escaped.count() > QUOTED_CHARS_MAX {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests;
