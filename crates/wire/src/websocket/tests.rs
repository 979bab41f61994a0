//! The oracle is the server of the tungstenite crate, over memory; bytes written by hand stand for brokers that do wrong.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use tungstenite::handshake::server;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, accept_hdr};

use super::*;

/// What a server reads and writes.
#[derive(Debug, Default)]
struct Memory {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { self.incoming.read(into) }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Server = tungstenite::WebSocket<Memory>;

fn settings() -> WebSocketSettings {
    WebSocketSettings {
        authority: "broker.test:8083".to_owned(),
        path: "/mqtt".to_owned(),
        headers: Vec::new(),
        protocol: Some("mqtt".to_owned()),
        frame_bytes: None,
    }
}

fn upgrade(settings: &WebSocketSettings) -> Frames {
    WebSocket::new(settings).unwrap().upgrade(false)
}

/// Everything that is queued.
fn flushed(frames: &mut Frames) -> Vec<u8> {
    let mut written = Vec::new();
    frames.flush(|bytes| written.write(bytes)).unwrap();
    written
}

/// The plain bytes that have come, and what comes after them: an end, or an error.
fn decoded(frames: &mut Frames) -> (Vec<u8>, io::Result<()>) {
    let mut plain = Vec::new();
    let mut into = [0; 1000];
    loop {
        match frames.decoded(&mut into) {
            Ok(0) => return (plain, Ok(())),
            Ok(bytes) => plain.extend_from_slice(&into[..bytes]),
            Err(error) => return (plain, Err(error)),
        }
    }
}

fn kind_after(frames: &mut Frames) -> (Vec<u8>, Option<ErrorKind>) {
    let (plain, end) = decoded(frames);
    (plain, end.err().map(|error| error.kind()))
}

/// The right response to this request, with more lines.
fn response(request: &[u8], more: &str) -> String {
    let request = String::from_utf8(request.to_vec()).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

const PROTOCOL: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

/// A connection after the handshake.
fn opened_with(settings: &WebSocketSettings) -> Frames {
    let mut frames = upgrade(settings);
    let response = response(&flushed(&mut frames), PROTOCOL);
    frames.take(response.as_bytes());
    frames.failure().unwrap();
    assert!(!frames.is_handshaking());
    frames
}

fn opened() -> Frames {
    opened_with(&settings())
}

/// A connection after the handshake with a real server.
fn connected(settings: &WebSocketSettings) -> (Frames, Server) {
    let mut frames = upgrade(settings);
    let memory = Memory { incoming: flushed(&mut frames).into(), outgoing: Vec::new() };
    #[expect(clippy::result_large_err, reason = "the crate's own type")]
    let choose = |request: &server::Request, mut response: server::Response| {
        assert_eq!(request.uri().path(), "/mqtt");
        let asked_for = request.headers().get("Sec-WebSocket-Protocol").unwrap().clone();
        response.headers_mut().insert("Sec-WebSocket-Protocol", asked_for);
        Ok(response)
    };
    let mut server = accept_hdr(memory, choose).unwrap();
    assert!(frames.is_handshaking());
    receive(&mut frames, &mut server);
    frames.failure().unwrap();
    assert!(!frames.is_handshaking());
    (frames, server)
}

/// Hands what the server wrote to the client.
fn receive(frames: &mut Frames, server: &mut Server) {
    frames.take(&std::mem::take(&mut server.get_mut().outgoing));
}

/// Hands what the client queued to the server.
fn send(frames: &mut Frames, server: &mut Server) {
    let bytes = flushed(frames);
    server.get_mut().incoming.extend(bytes);
}

/// A frame of a server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { opcode: OpCode::from(first & 0x0F), ..FrameHeader::default() };
    let mut bytes = Vec::new();
    append(&mut bytes, &header, payload.len() as u64, payload);
    bytes[0] = first;
    bytes
}

/// The payload of a frame from the client, with at most 125 bytes.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    assert_eq!(usize::from(frame[1] & 0x7F), frame.len() - 6);
    let key = [frame[2], frame[3], frame[4], frame[5]];
    let mut payload = frame[6..].to_vec();
    mask(&mut payload, key);
    payload
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(bytes).collect()
}

#[test]
fn the_request_has_what_the_settings_say() {
    let mut settings = settings();
    settings.path = "/mqtt?token=1".to_owned();
    settings.headers =
        vec![("Authorization".to_owned(), "Bearer x".to_owned()), ("X-Two".to_owned(), "ü".to_owned())];
    let request = String::from_utf8(flushed(&mut upgrade(&settings))).unwrap();
    let lines: Vec<_> = request.lines().filter(|line| !line.starts_with("Sec-WebSocket-Key: ")).collect();
    assert_eq!(
        lines,
        [
            "GET /mqtt?token=1 HTTP/1.1",
            "Host: broker.test:8083",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: mqtt",
            "Authorization: Bearer x",
            "X-Two: ü",
            "",
        ]
    );
    assert!(request.ends_with("\r\n\r\n"));
    settings.protocol = None;
    assert!(!String::from_utf8(flushed(&mut upgrade(&settings))).unwrap().contains("Protocol"));
}

#[test]
fn every_connection_has_another_key() {
    let web_socket = WebSocket::new(&settings()).unwrap();
    assert_ne!(flushed(&mut web_socket.upgrade(true)), flushed(&mut web_socket.upgrade(true)));
}

#[test]
fn the_default_port_is_not_in_the_host_header() {
    for (authority, is_over_tls, expected) in [
        ("b:80", false, "b"),
        ("b:80", true, "b:80"),
        ("[::1]:443", true, "[::1]"),
        ("b:443", false, "b:443"),
        ("b", true, "b"),
    ] {
        let settings = WebSocketSettings { authority: authority.to_owned(), ..settings() };
        let request = flushed(&mut WebSocket::new(&settings).unwrap().upgrade(is_over_tls));
        let request = String::from_utf8(request).unwrap();
        assert!(request.contains(&format!("Host: {expected}\r\n")), "{request}");
    }
}

#[test]
fn settings_that_are_wrong_are_named_with_the_cure() {
    type Change = fn(&mut WebSocketSettings);
    fn header(settings: &mut WebSocketSettings, name: &str, value: &str) {
        settings.headers.push((name.to_owned(), value.to_owned()));
    }
    let cases: [(Change, &str); 17] = [
        (|s| s.path = "mqtt?token=hush".to_owned(), "the path \"mqtt\" does not begin with a slash"),
        (|s| s.path = String::new(), "does not begin with a slash"),
        (|s| s.path = "/a b".to_owned(), "has the character ' ', which must be percent-encoded"),
        (|s| s.path = "/a\r\nb".to_owned(), "has the character '\\r'"),
        (|s| s.path = "/ä?hush".to_owned(), "the path \"/ä\" has the character 'ä'"),
        (|s| s.path = "/a#b".to_owned(), "has the character '#'"),
        (|s| s.authority = String::new(), "give a host with its port"),
        (|s| s.authority = "a\r\nb".to_owned(), "\"a\\r\\nb\" can't be sent as the Host header"),
        (|s| s.authority = "hush@b".to_owned(), "the Host header can't have credentials"),
        (|s| header(s, "a b", "hush"), "what stands before the colon is no name of a header"),
        (|s| header(s, "X-A", "hush\r\nhush"), "the value of the header X-A has a control character"),
        (|s| header(s, "HOST", "hush"), "the handshake sets the header HOST; leave it out"),
        (|s| header(s, "Sec-WebSocket-Key", "hush"), "the handshake sets the header Sec-WebSocket-Key"),
        (|s| header(s, "Sec-WebSocket-Protocol", "hush"), "name the sub-protocol instead"),
        (|s| header(s, "Content-Length", "hush"), "announces a body"),
        (|s| s.protocol = Some("mqtt, x".to_owned()), "\"mqtt, x\" is no name of a sub-protocol"),
        (|s| s.protocol = Some(String::new()), "give one name without spaces, such as mqtt"),
    ];
    for (change, expected) in cases {
        let mut settings = settings();
        change(&mut settings);
        let words = WebSocket::new(&settings).unwrap_err().to_string();
        assert!(words.contains(expected), "{words}");
        assert!(!words.contains("hush"), "{words}");
    }
}

#[test]
fn the_kind_of_a_mistake_tells_which_setting_is_wrong() {
    let path = WebSocketSettings { path: String::new(), ..settings() };
    assert!(matches!(WebSocket::new(&path), Err(WebSocketMistake::Path(_))));
    let header = WebSocketSettings { headers: vec![("Upgrade".to_owned(), "x".to_owned())], ..settings() };
    assert!(matches!(WebSocket::new(&header), Err(WebSocketMistake::Header(_))));
    let protocol = WebSocketSettings { protocol: Some(" ".to_owned()), ..settings() };
    assert!(matches!(WebSocket::new(&protocol), Err(WebSocketMistake::Protocol(_))));
}

#[test]
fn values_of_headers_and_the_query_are_never_shown() {
    let settings = WebSocketSettings {
        path: "/mqtt?hush".to_owned(),
        headers: vec![("Authorization".to_owned(), "hush".to_owned())],
        ..settings()
    };
    let web_socket = WebSocket::new(&settings).unwrap();
    let shown = format!("{settings:?} {web_socket:?} {:?}", web_socket.upgrade(false));
    assert!(shown.contains("Authorization") && shown.contains("/mqtt"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn packets_of_every_length_reach_a_server_and_come_back() {
    let (mut frames, mut server) = connected(&settings());
    for length in [1, 125, 126, 127, 65_534, 65_535, 65_536] {
        let packet = pattern(length);
        assert_eq!(frames.encode(&packet), length);
        send(&mut frames, &mut server);
        assert_eq!(server.read().unwrap(), Message::binary(packet.clone()));
        server.send(Message::binary(packet.clone())).unwrap();
        receive(&mut frames, &mut server);
        assert_eq!(kind_after(&mut frames), (packet, Some(ErrorKind::WouldBlock)));
    }
    server.send(Message::binary(pattern(70_000))).unwrap();
    server.send(Message::binary(Vec::new())).unwrap();
    receive(&mut frames, &mut server);
    assert_eq!(kind_after(&mut frames).0, pattern(70_000));
}

#[test]
fn nothing_makes_no_frame() {
    let mut frames = opened();
    assert_eq!(frames.encode(&[]), 0);
    assert!(flushed(&mut frames).is_empty());
}

#[test]
fn at_most_64_kib_are_encoded_at_once() {
    let (mut frames, mut server) = connected(&settings());
    assert_eq!(frames.encode(&pattern(100_000)), 65_536);
    send(&mut frames, &mut server);
    assert_eq!(server.read().unwrap(), Message::binary(pattern(65_536)));
}

#[test]
fn a_write_is_split_into_frames_that_are_whole_messages() {
    let settings = WebSocketSettings { frame_bytes: NonZeroUsize::new(3), ..settings() };
    let (mut frames, mut server) = connected(&settings);
    assert_eq!(frames.encode(b"abcdefgh"), 8);
    send(&mut frames, &mut server);
    for expected in ["abc", "def", "gh"] {
        assert_eq!(server.read().unwrap(), Message::binary(expected));
    }
    assert_eq!(frames.encode(&pattern(100_000)), 65_536);
}

/// A stream with all that is legal, and its plain bytes.
fn legal_stream() -> (Vec<u8>, Vec<u8>) {
    let stream = [
        frame(0x82, b"one "),
        frame(0x02, b"two "),
        frame(0x89, b"ping"),
        frame(0x00, b"three "),
        frame(0x8A, b"unasked"),
        frame(0x80, b"four "),
        frame(0x82, b""),
        frame(0x89, b""),
        frame(0x82, &pattern(126)),
        // A length in a longer form than necessary.
        [&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 5][..], b"five "].concat(),
        frame(0x88, &[&1001_u16.to_be_bytes()[..], "geht\n".as_bytes()].concat()),
        frame(0x82, b"ignored"),
    ]
    .concat();
    (stream, [b"one two three four ", &*pattern(126), b"five "].concat())
}

#[test]
fn wherever_the_stream_is_cut_the_plain_bytes_are_the_same() {
    let mut frames = upgrade(&settings());
    let head = response(&flushed(&mut frames), PROTOCOL).len();
    let (legal, expected) = legal_stream();
    let check = |parts: &dyn Fn(&[u8]) -> Vec<Vec<u8>>| {
        let mut frames = upgrade(&settings());
        let stream = [response(&flushed(&mut frames), PROTOCOL).as_bytes(), &*legal].concat();
        let mut plain = Vec::new();
        for part in parts(&stream) {
            frames.take(&part);
            plain.extend(decoded(&mut frames).0);
        }
        assert_eq!(plain, expected);
        assert!(decoded(&mut frames).1.is_ok());
        assert_eq!(frames.close_reason().unwrap(), r#"1001 (going away): "geht\n""#);
        let answers = flushed(&mut frames);
        assert_eq!((answers[0], unmasked(&answers[..6])), (0x8A, vec![]));
        assert_eq!((answers[6], unmasked(&answers[6..])), (0x88, 1001_u16.to_be_bytes().to_vec()));
    };
    for cut in 1..head + legal.len() {
        check(&|stream| vec![stream[..cut].to_vec(), stream[cut..].to_vec()]);
    }
    for size in [1, 2, 3, 7] {
        check(&|stream| stream.chunks(size).map(<[u8]>::to_vec).collect());
    }
}

#[test]
fn decoding_into_little_room_loses_nothing() {
    let mut frames = opened();
    frames.take(&frame(0x82, b"abc"));
    let mut one = [0];
    assert_eq!(frames.decoded(&mut one).unwrap(), 1);
    frames.take(&frame(0x82, b"de"));
    assert_eq!((one, kind_after(&mut frames).0), (*b"a", b"bcde".to_vec()));
}

#[test]
fn frames_arrive_whole_when_the_socket_takes_one_byte_at_a_time() {
    let (mut frames, mut server) = connected(&settings());
    let mut taken = Vec::new();
    let mut trickle = |frames: &mut Frames| {
        let mut has_room = true;
        frames.flush(|bytes| {
            if !std::mem::take(&mut has_room) {
                return Err(ErrorKind::WouldBlock.into());
            }
            taken.push(bytes[0]);
            Ok(1)
        })
    };
    frames.encode(b"first");
    assert_eq!(trickle(&mut frames).unwrap_err().kind(), ErrorKind::WouldBlock);
    // Neither an answer, nor a later frame, nor the Close goes into the middle of the first frame.
    frames.take(&frame(0x89, b"ping"));
    assert_eq!(trickle(&mut frames).unwrap_err().kind(), ErrorKind::WouldBlock);
    frames.encode(b"second");
    frames.close();
    while trickle(&mut frames).is_err() {}
    server.get_mut().incoming.extend(taken);
    assert_eq!(server.read().unwrap(), Message::binary("first"));
    assert_eq!(server.read().unwrap(), Message::binary("second"));
    assert_eq!(server.read().unwrap(), Message::Pong("ping".into()));
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    assert_eq!(server.read().unwrap(), Message::Close(Some(close)));
}

#[test]
fn a_pong_that_is_partly_written_is_finished() {
    let mut frames = opened();
    frames.take(&frame(0x89, b"first"));
    let mut written = Vec::new();
    let blocked = frames.flush(|bytes| {
        if written.is_empty() { written.write(&bytes[..1]) } else { Err(ErrorKind::WouldBlock.into()) }
    });
    assert_eq!(blocked.unwrap_err().kind(), ErrorKind::WouldBlock);
    frames.take(&frame(0x89, b"second"));
    written.extend(flushed(&mut frames));
    assert_eq!(unmasked(&written[..11]), b"first");
    assert_eq!(unmasked(&written[11..]), b"second");
}

#[test]
fn a_socket_that_takes_nothing_is_an_error() {
    let mut frames = upgrade(&settings());
    assert_eq!(frames.flush(|_| Ok(0)).unwrap_err().kind(), ErrorKind::WriteZero);
}

#[test]
fn masks_differ_from_frame_to_frame_and_cover_every_byte() {
    let mut frames = opened();
    let payload = [0; 100];
    frames.encode(&payload);
    let first = flushed(&mut frames);
    frames.encode(&payload);
    let second = flushed(&mut frames);
    assert_eq!(first[..2], [0x82, 0x80 | 100]);
    assert_ne!(first[2..6], second[2..6]);
    for frame in [first, second] {
        for word in frame[6..].chunks(4) {
            assert_eq!(*word, frame[2..6]);
        }
        assert_eq!(unmasked(&frame), payload);
    }
    for length in 0..9 {
        let mut bytes = vec![0; length];
        mask(&mut bytes, [1, 2, 3, 4]);
        assert_eq!(bytes, [1, 2, 3, 4, 1, 2, 3, 4, 1][..length]);
    }
}

#[test]
fn a_ping_of_a_server_is_answered() {
    let (mut frames, mut server) = connected(&settings());
    server.send(Message::Ping("are you there".into())).unwrap();
    receive(&mut frames, &mut server);
    assert_eq!(kind_after(&mut frames), (vec![], Some(ErrorKind::WouldBlock)));
    send(&mut frames, &mut server);
    assert_eq!(server.read().unwrap(), Message::Pong("are you there".into()));
}

#[test]
fn neither_pings_nor_announced_lengths_take_memory() {
    let mut frames = opened();
    let held = |frames: &Frames| {
        let control = frames.control.as_ref().map_or(0, |frame| frame.payload.capacity());
        frames.unsent.bytes.capacity() + frames.plain.bytes.capacity() + frames.pong.len() + control
    };
    assert_eq!(held(&frames), 0);
    let ping = frame(0x89, &[7; 125]);
    for _ in 0..10_000 {
        frames.take(&ping);
        assert!(frames.flush(|_| Err(ErrorKind::WouldBlock.into())).is_err());
    }
    assert_eq!(held(&frames), 131);
    assert_eq!(unmasked(&flushed(&mut frames)), [7; 125]);
    assert_eq!(held(&frames), 0);

    frames.encode(&pattern(60_000));
    flushed(&mut frames);
    frames.take(&frame(0x82, &pattern(60_000)));
    assert_eq!(kind_after(&mut frames).0.len(), 60_000);
    assert_eq!(held(&frames), 0);

    let mut huge = vec![0x82, 127];
    huge.extend(i64::MAX.to_be_bytes());
    frames.take(&huge);
    assert_eq!(held(&frames), 0);
    for _ in 0..100 {
        frames.take(&[1; 1000]);
        assert_eq!(kind_after(&mut frames), (vec![1; 1000], Some(ErrorKind::WouldBlock)));
    }
    assert_eq!(held(&frames), 0);
    frames.take(&[1; 1000]);
    frames.discard();
    assert_eq!(held(&frames), 0);
    assert!(size_of::<Frames>() <= 160, "{}", size_of::<Frames>());
}

#[test]
fn the_end_of_the_stream_comes_after_the_plain_bytes() {
    let mut frames = opened();
    frames.take(&frame(0x82, b"last"));
    frames.take(&[0x82, 5, 1]);
    frames.take(&[]);
    assert_eq!(kind_after(&mut frames), (b"last\x01".to_vec(), None));
    assert_eq!(frames.close_reason(), None);
    frames.failure().unwrap();
}

#[test]
fn our_close_is_sent_once_and_answered_by_a_server() {
    let (mut frames, mut server) = connected(&settings());
    frames.close();
    frames.close();
    send(&mut frames, &mut server);
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    assert_eq!(server.read().unwrap(), Message::Close(Some(close)));
    assert!(matches!(server.read(), Err(tungstenite::Error::ConnectionClosed)));
    receive(&mut frames, &mut server);
    assert_eq!(kind_after(&mut frames), (vec![], None));
    assert_eq!(frames.close_reason().unwrap(), "1000 (normal closure)");
    assert!(flushed(&mut frames).is_empty());
}

#[test]
fn a_close_of_a_server_is_answered_once_with_its_code() {
    let (mut frames, mut server) = connected(&settings());
    server.send(Message::binary("last")).unwrap();
    server.close(Some(CloseFrame { code: CloseCode::Policy, reason: "too many".into() })).unwrap();
    receive(&mut frames, &mut server);
    frames.take(&frame(0x88, b""));
    frames.take(&[]);
    assert_eq!(kind_after(&mut frames), (b"last".to_vec(), None));
    assert_eq!(frames.close_reason().unwrap(), r#"1008 (policy violation): "too many""#);
    // No data may follow our Close.
    assert_eq!(frames.encode(b"late"), 4);
    frames.close();
    send(&mut frames, &mut server);
    let close = CloseFrame { code: CloseCode::Policy, reason: "".into() };
    assert_eq!(server.read().unwrap(), Message::Close(Some(close)));
    assert!(matches!(server.read(), Err(tungstenite::Error::ConnectionClosed)));
    assert!(server.get_ref().incoming.is_empty());
}

#[test]
fn close_frames_are_put_into_words() {
    let long = "x".repeat(123);
    for (payload, words, answer) in [
        (&b""[..], "no code", None),
        (b"\x03\xE8", "1000 (normal closure)", Some(1000)),
        (b"\x03\xF3\xFF\0", "1011 (internal error): \"\u{FFFD}\\0\"", Some(1011)),
        (b"\x03\xF6", "1014 (bad gateway)", Some(1014)),
        (b"\x03\xEE", "1006 (abnormal closure, which must not be sent)", Some(1002)),
        (b"\0\0", "0 (unknown code)", Some(1002)),
        (b"\x0F\xA0", "4000 (private code)", Some(4000)),
        (
            &[&[0x0B, 0xB8], long.as_bytes()].concat(),
            &format!("3000 (registered code): \"{long}\""),
            Some(3000),
        ),
    ] {
        let mut frames = opened();
        frames.take(&frame(0x88, payload));
        assert_eq!(frames.close_reason().as_deref(), Some(words));
        let answer = answer.map_or(vec![], |code: u16| code.to_be_bytes().to_vec());
        assert_eq!(unmasked(&flushed(&mut frames)), answer);
    }
}

#[test]
fn what_breaks_the_protocol_fails_after_the_plain_bytes_before_it() {
    let mut endless = vec![0x82, 127];
    endless.extend((1_u64 << 63).to_be_bytes());
    for (wrong, expected) in [
        (frame(0x81, b"text"), "a WebSocket text frame; packets travel in binary frames only [MQTT-6.0.0-1]"),
        (frame(0x01, b"text"), "a WebSocket text frame"),
        (frame(0xC2, b"x"), "a reserved bit set"),
        (frame(0xA2, b"x"), "a reserved bit set"),
        (frame(0x99, b"x"), "a reserved bit set"),
        (frame(0x83, b"x"), "the unknown opcode 3 "),
        (frame(0x8F, b""), "the unknown opcode 15 "),
        (vec![0x82, 0x81], "a masked WebSocket frame"),
        (frame(0x89, &[0; 126]), "a WebSocket control frame with 126 bytes"),
        (frame(0x09, b"x"), "a fragmented WebSocket control frame"),
        (frame(0x08, b""), "a fragmented WebSocket control frame"),
        (frame(0x80, b"x"), "a WebSocket continuation frame with nothing to continue"),
        (
            [frame(0x02, b""), frame(0x82, b"x")].concat(),
            "a new WebSocket message in the middle of a fragmented one",
        ),
        ([frame(0x02, b""), frame(0x80, b""), frame(0x80, b"")].concat(), "nothing to continue"),
        (frame(0x88, b"x"), "a WebSocket Close frame with 1 byte"),
        (endless, "announces 9223372036854775808 bytes"),
    ] {
        let mut frames = opened();
        frames.take(&[frame(0x82, b"before"), wrong, frame(0x82, b"after")].concat());
        frames.take(&[]);
        let (plain, end) = decoded(&mut frames);
        assert_eq!(plain, b"before");
        let error = end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("the broker sent "), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(frames.failure().unwrap_err().to_string(), error.to_string());
        assert!(!frames.is_handshaking());
        frames.close();
        assert_eq!(unmasked(&flushed(&mut frames)), CLOSE_PROTOCOL_ERROR.to_be_bytes());
    }
}

/// How the handshake fails after this response.
fn refused(settings: &WebSocketSettings, is_over_tls: bool, respond: impl Fn(&[u8]) -> Vec<u8>) -> io::Error {
    let mut whole = WebSocket::new(settings).unwrap().upgrade(is_over_tls);
    let response = respond(&flushed(&mut whole));
    whole.take(&response);
    let error = whole.failure().unwrap_err();
    assert!(whole.is_handshaking());
    assert_eq!(decoded(&mut whole).1.unwrap_err().to_string(), error.to_string());
    whole.take(b"more");
    whole.take(&[]);
    whole.close();
    assert!(flushed(&mut whole).is_empty());
    assert_eq!(whole.failure().unwrap_err().to_string(), error.to_string());

    let mut bytewise = WebSocket::new(settings).unwrap().upgrade(is_over_tls);
    for byte in respond(&flushed(&mut bytewise)) {
        bytewise.take(&[byte]);
    }
    assert_eq!(bytewise.failure().unwrap_err().kind(), error.kind());
    error
}

#[test]
fn a_refusal_is_put_into_words_with_a_hint() {
    for (response, is_over_tls, expected) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            false,
            "the broker refused the WebSocket handshake with HTTP 404 Not Found; give the path at which the broker serves \
             WebSocket, such as /mqtt",
        ),
        ("HTTP/1.0 403 Go\taway\r\n\r\nbody", false, r"HTTP 403 Go\taway; give credentials, or a header"),
        ("HTTP/1.1 401\r\n\r\n", false, "HTTP 401 Unauthorized; give credentials in a header"),
        ("HTTP/1.1 426 Upgrade Required\r\n\r\n", true, "HTTP 426 Upgrade Required; a proxy may"),
        ("HTTP/1.1 502 \r\n\r\n", true, "HTTP 502 Bad Gateway; a proxy answered, with no broker behind it"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", true, "with no broker behind it"),
        ("HTTP/1.1 200 OK\r\n\r\n", true, "HTTP 200 OK; a web server answered"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", false, "or the port may expect TLS"),
        (
            "HTTP/1.1 302 Found\r\nLocation: wss://b.test/\"\r\n\r\n",
            true,
            r#"HTTP 302 Found to "wss://b.test/\""; give that address"#,
        ),
    ] {
        let error = refused(&settings(), is_over_tls, |_| response.into());
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = refused(&settings(), true, |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    assert!(error.to_string().ends_with("HTTP 400 Bad Request"), "{error}");
    let error = refused(&settings(), true, |_| b"HTTP/1.1 499\r\n\r\n".to_vec());
    assert!(error.to_string().ends_with("HTTP 499"), "{error}");
}

#[test]
fn what_the_broker_says_is_escaped_and_cut() {
    let long = format!("HTTP/1.1 301 {}\r\nLocation: {}\r\n\r\n", "r".repeat(5000), "\u{202E}".repeat(1000));
    let error = refused(&settings(), true, |_| long.clone().into()).to_string();
    assert!(error.contains(&format!("{}… to", "r".repeat(200))), "{error}");
    assert!(error.contains(r"\u{202e}\u{202e}") && !error.contains('\u{202E}'), "{error}");
    assert!(error.chars().count() < 600, "{error}");
}

#[test]
fn bytes_that_are_no_http_are_unsupported() {
    for (bytes, is_over_tls, expected) in [
        (&b" \x02\0\x05"[..], false, "bytes that are no HTTP: this may not be a WebSocket port"),
        (b"HTTX", false, "bytes that are no HTTP"),
        (b"\r\nHTTP/1.1 101 x\r\n\r\n", false, r"(they begin with "),
        (b"HTTP/2 404 \r\n\r\n", false, "bytes that are no HTTP"),
        (b"\x15\x03\x03\0\x02\x02\x16", true, "bytes that are no HTTP"),
        (b"\x15\x03\x03\0\x02\x02\x16", false, "a TLS alert and no HTTP: this port expects TLS"),
    ] {
        let mut frames = WebSocket::new(&settings()).unwrap().upgrade(is_over_tls);
        frames.take(bytes);
        let error = frames.failure().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(refused(&settings(), is_over_tls, |_| bytes.to_vec()).kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn a_response_with_wrong_headers_fails() {
    type Change = fn(&str) -> String;
    let cases: [(Change, &str); 15] = [
        (|r| r.replace("upgrade: WebSocket\r\n", ""), "needs the header Upgrade: websocket, and has none"),
        (|r| r.replace("WebSocket\r\n", "h2c\r\n"), "Upgrade: websocket, and has \"h2c\""),
        (
            |r| r.replace("Connection: keep-alive, upgrade\r\n", ""),
            "needs the header Connection: Upgrade, and has none",
        ),
        (|r| r.replace("keep-alive, upgrade", "close"), "Connection: Upgrade, and has \"close\""),
        (|r| r.replace("Sec-WebSocket-Accept", "X"), "needs the header Sec-WebSocket-Accept: "),
        (|r| r.replace("Accept: ", "Accept: x"), "and has \"x"),
        (|r| r.replace(PROTOCOL, ""), "chose no sub-protocol, and \"mqtt\" was offered"),
        (|r| r.replace(PROTOCOL, ""), "[MQTT-6.0.0-4]"),
        (|r| r.replace(": mqtt", ": amqp"), "that was not offered: \"amqp\", and not \"mqtt\""),
        (|r| r.replace(": mqtt", ": MQTT"), "that was not offered: \"MQTT\""),
        (|r| r.replace(PROTOCOL, &PROTOCOL.repeat(2)), "that was not offered: \"mqtt, mqtt\""),
        (
            |r| r.replace(PROTOCOL, &format!("{PROTOCOL}Sec-WebSocket-Extensions: permessage-deflate\r\n")),
            "a WebSocket extension that was not offered: \"permessage-deflate\"",
        ),
        (|r| r.replace("upgrade: ", "up grade: "), "is malformed"),
        (|r| r.replace(PROTOCOL, &"a: b\r\n".repeat(200)), "is malformed"),
        (|r| r.replace(PROTOCOL, &format!("a: {}\r\n", "b".repeat(HEAD_BYTES_MAX))), "more than 16 KiB"),
    ];
    for (change, expected) in cases {
        let error = refused(&settings(), true, |request| change(&response(request, PROTOCOL)).into());
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_sub_protocol_that_nobody_asked_for_fails() {
    let settings = WebSocketSettings { protocol: None, ..settings() };
    let error = refused(&settings, true, |request| response(request, PROTOCOL).into());
    assert!(error.to_string().contains("where none was offered: \"mqtt\""), "{error}");
    let mut frames = upgrade(&settings);
    let right = response(&flushed(&mut frames), "");
    frames.take(right.as_bytes());
    assert!(!frames.is_handshaking());
}

#[test]
fn a_head_of_16_kib_is_accepted_with_frames_behind_it() {
    let mut frames = upgrade(&settings());
    let request = flushed(&mut frames);
    let missing = HEAD_BYTES_MAX - response(&request, PROTOCOL).len() - "a: \r\n".len();
    let more = format!("{PROTOCOL}a: {}\r\n", "b".repeat(missing));
    let head = response(&request, &more);
    assert_eq!(head.len(), HEAD_BYTES_MAX);
    frames.take(&[head.as_bytes(), &frame(0x82, b"first")].concat());
    assert_eq!(kind_after(&mut frames), (b"first".to_vec(), Some(ErrorKind::WouldBlock)));
}

#[test]
fn the_end_during_the_handshake_is_unexpected() {
    for (before, expected) in [(&b""[..], "may not be a WebSocket port"), (b"HTTP/1.1 10", "in the middle")] {
        let mut frames = upgrade(&settings());
        assert_eq!(kind_after(&mut frames).1, Some(ErrorKind::WouldBlock));
        if !before.is_empty() {
            frames.take(before);
        }
        frames.take(&[]);
        let error = frames.failure().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_end_counts_as_held_until_it_was_taken() {
    let mut frames = opened();
    assert!(!frames.holds_plain());
    frames.take(&frame(0x88, b""));
    assert!(frames.holds_plain() && frames.is_closed());
    for end in [frame(0x81, b"text"), Vec::new()] {
        let mut frames = opened();
        frames.take(&end);
        assert!(frames.holds_plain() && !frames.is_closed());
    }
}

#[test]
fn what_a_broker_repeats_of_the_request_is_not_shown() {
    let mut settings = settings();
    settings.path = "/mqtt?token=hush1".into();
    settings.headers = vec![("Authorization".into(), "Bearer hush2".into())];
    for response in [
        "HTTP/1.1 301 Moved\r\nLocation: https://broker.example/mqtt?token=hush1\r\n\r\n",
        "HTTP/1.1 403 no token=hush1 and no hush2\r\n\r\n",
        "token=hush1 hush2",
    ] {
        let mut frames = upgrade(&settings);
        frames.take(response.as_bytes());
        let words = frames.failure().unwrap_err().to_string();
        assert!(!words.contains("hush"), "{words}");
    }
    let (mut frames, _server) = connected(&settings);
    frames.take(&frame(0x88, b"\x03\xF0Bearer hush2 expired"));
    assert_eq!(frames.close_reason().unwrap(), "1008 (policy violation): \"*** expired\"");
}

#[test]
fn raw_frames_are_sent_byte_for_byte() {
    let mut frames = opened();
    let legal = RawFrame {
        is_final: true,
        rsv: 0,
        opcode: 2,
        mask: false,
        announced_bytes: None,
        payload: b"ab".to_vec(),
    };
    for (raw, expected) in [
        (legal.clone(), &b"\x82\x02ab"[..]),
        (RawFrame { is_final: false, rsv: 5, opcode: 1, ..legal.clone() }, b"\x51\x02ab"),
        (RawFrame { opcode: 0xB, rsv: 2, ..legal.clone() }, b"\xAB\x02ab"),
        (RawFrame { opcode: 0xF2, rsv: 0xF8, ..legal.clone() }, b"\x82\x02ab"),
        (RawFrame { announced_bytes: Some(1), ..legal.clone() }, b"\x82\x01ab"),
        (RawFrame { announced_bytes: Some(300), ..legal.clone() }, b"\x82\x7E\x01\x2Cab"),
        (
            RawFrame { announced_bytes: Some(u64::MAX), ..legal.clone() },
            b"\x82\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFab",
        ),
    ] {
        frames.encode_raw(&raw);
        assert_eq!(flushed(&mut frames), expected);
    }
    frames.encode_raw(&RawFrame { mask: true, ..legal.clone() });
    let masked = flushed(&mut frames);
    assert_eq!((&masked[..2], unmasked(&masked)), (&b"\x82\x82"[..], b"ab".to_vec()));

    // The Close of a fault is the only one.
    frames.encode_raw(&RawFrame { opcode: 8, ..legal });
    frames.close();
    frames.take(&frame(0x89, b""));
    frames.take(&frame(0x88, b""));
    assert_eq!(flushed(&mut frames), b"\x88\x02ab");
}

#[test]
fn a_broker_may_answer_a_text_frame_with_one() {
    let mut frames = opened();
    frames.encode_raw(&RawFrame::text(*b"\x10"));
    assert_eq!(unmasked(&flushed(&mut frames)), b"\x10");
    frames.take(&frame(0x81, b"text"));
    assert_eq!(decoded(&mut frames).0, b"text");
    frames.failure().unwrap();
}
