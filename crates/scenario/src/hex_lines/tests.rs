//! Tests with what people paste, and with bytes printed in every style.

use std::fmt::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::{HexLine, Mistake, Side, read};

/// The bytes of every line.
fn bytes(text: &str) -> Vec<Vec<u8>> {
    read(text)
        .unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
        .into_iter()
        .map(|line| line.bytes)
        .collect()
}

fn mistakes(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(Mistake::to_string).collect()
}

#[test]
fn one_line_is_one_segment_in_every_notation() {
    for line in [
        "10 0C 00 04",
        "100c0004",
        "100C 0004",
        "0x10,0x0c,0x00,0x04",
        "{ 0x10, 0x0C, 0x0, 0x4 };",
        "[0x10, 0x0c, 0x00, 0x04]",
        "0x100c0004",
        "\\x10\\x0c\\x00\\x04",
        "b'\\x10\\x0c\\x00\\x04'",
        "b\"\\x10\\x0c\" b'\\x00\\x04'  # two literals",
        "\"\\x10\\f\\0\\004\"",
        "\"100c0004\"",
        "10:0c:00:04",
        "10-0C-00-04",
        "  10\t0c  00 04 # CONNECT",
        "10 0c 00 04 // CONNECT",
        "10 0c 00 04 ; CONNECT",
        "-> 10 0c 00 04",
        "> 100c0004",
        "C: 10 0c 00 04",
        "client: 10 0c 00 04",
        "00000000: 100c 0004                                ....",
        "00000000: 10 0c 00 04",
        "0000   10 0c 00 04                                       ....",
        "0000 10 0c 00 04 ....",
        "0000000 10 0c 00 04",
        "00000000  10 0c 00 04                                       |....|",
        "00000000: 100c 0004  # the beginning of CONNECT",
        "00000000: 100c 0004  ....  // the beginning of CONNECT",
        "echo 100c0004 | xxd -r -p | nc localhost 1883",
        "$ echo -n '10 0c 00 04' | xxd -p -r | nc -q1 localhost 1883 > /dev/null 2>&1",
        "echo -ne '\\x10\\x0c\\x00\\x04' >/dev/tcp/127.0.0.1/1883",
        "echo -en \"\\x10\\x0c\\0\\0004\" | nc localhost 1883",
        "echo -n $'\\x10\\x0c\\x00\\x04' | nc localhost 1883",
        "printf '\\x10\\x0c\\x00\\x04' | nc localhost 1883",
        "printf \"\\\\x10\\x0c\\0\\004\" | nc localhost 1883",
        "printf %b '\\x10\\x0c\\x00\\x04' | nc localhost 1883",
        "printf '100c0004\\n' | xxd -r -ps | nc localhost 1883",
        "(printf '\\x10\\x0c\\x00\\x04') | nc localhost 1883 # comment",
        "xxd -r -p <<< '100c 0004' | nc localhost 1883",
        "echo 100c \\\n 0004 | \\\n xxd -r -p | nc localhost 1883",
    ] {
        let found = read(line).unwrap_or_else(|mistakes| panic!("{line}\n{mistakes:#?}"));
        let expected = HexLine { line: 1, from: Side::Client, bytes: vec![0x10, 0x0C, 0, 4], pause: None };
        assert_eq!(found, [expected], "{line}");
    }
}

#[test]
fn marks_comments_and_pauses_make_a_dialogue() {
    let text = "# a client that talks too early\n\
                ```\n\
                > 10 0c  # CONNECT\n\
                \n\
                < 20 02 00 00\n\
                wait 500ms\n\
                pause 1.5s ; and more\n\
                c0 00\n\
                S: d000\n\
                ```\n\
                pause 2 min\n";
    let expected = [
        (3, Side::Client, vec![0x10, 0x0C], None),
        (5, Side::Server, vec![0x20, 2, 0, 0], None),
        (8, Side::Client, vec![0xC0, 0], Some(Duration::from_secs(2))),
        (9, Side::Server, vec![0xD0, 0], None),
        (11, Side::Client, vec![], Some(Duration::from_secs(120))),
    ]
    .map(|(line, from, bytes, pause)| HexLine { line, from, bytes, pause });
    assert_eq!(read(text).unwrap(), expected);
    assert_eq!(read("# nothing\n\n// at all\n> # from anybody\n").unwrap(), []);
}

#[test]
fn a_command_may_send_in_steps() {
    let text =
        "(echo -e '\\x10'; sleep 0.5; printf '\\xc0\\0') | nc localhost 1883\nsleep 2\necho C000 | xxd -r -p";
    let expected = [
        (1, vec![0x10, b'\n'], None),
        (1, vec![0xC0, 0], Some(Duration::from_millis(500))),
        (3, vec![0xC0, 0], Some(Duration::from_secs(2))),
    ]
    .map(|(line, bytes, pause)| HexLine { line, from: Side::Client, bytes, pause });
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn rows_of_a_dump_are_one_segment_and_offset_0_begins_the_next() {
    let text = "> 00000000: 1015 0004 4d51 5454 0502 003c 0321 0001  ....MQTT...<.!..\n\
                00000010: 0005 7375 622d 31                        ..sub-1\n\
                # the answer\n\
                < 00000000: 2009 0000 0622 000a 2100 14              ....\"..!..\n\
                00000000  82 09 00 01 00 00 03 61  2f 62 01                 |.......a/b.|\n\
                0000000b\n\
                e000";
    let found = read(text).unwrap();
    let lengths: Vec<_> = found.iter().map(|line| (line.line, line.from, line.bytes.len())).collect();
    let (client, server) = (Side::Client, Side::Server);
    assert_eq!(lengths, [(1, client, 23), (4, server, 11), (5, client, 11), (7, client, 2)]);
    assert_eq!(found[0].bytes[16..], *b"\0\x05sub-1");
}

#[test]
fn the_indented_rows_of_a_followed_stream_are_the_brokers() {
    let text = "00000000  10 15 00 04 4d 51 54 54  05 02 00 3c 03 21 00 01   ....MQTT ...<.!..\n\
                00000010  00 05 73 75 62 2d 31                               ..sub-1\n\
                \x20   00000000  20 09 00 00 06 22 00 0a  21 00 14                   ....\".. !..\n\
                00000017  82 09 00 01 00 00 03 61  2f 62 01                  .......a /b.\n\
                \x20   0000000B  90 04 00 01 00 01                                  ......\n\
                \x20   00000011  32 0d 00 03 61 2f 62 00  01 00 68 65 6c 6c 6f      2...a/b. ..hello\n\
                00000022  40 02 00 01                                        @...\n\
                00000026  e0 00                                              ..\n";
    let from_tshark =
        format!("{}\nFollow: tcp,hex\nFilter: tcp.stream eq 0\nNode 0: :1\nNode 1: :2\n", "=".repeat(67));
    let lengths = |text: &str| -> Vec<_> {
        read(text).unwrap().iter().map(|line| (line.from, line.bytes.len())).collect()
    };
    let (client, server) = (Side::Client, Side::Server);
    let expected =
        [(client, 23), (server, 11), (client, 11), (server, 6), (server, 15), (client, 4), (client, 2)];
    assert_eq!(lengths(text), expected);
    assert_eq!(lengths(&format!("{from_tshark}{}", text.replace("    ", "\t"))), expected);
    // Everything is indented in a code block, and the first row loses its indent when it is copied.
    let rows =
        ["00000000  10 15 00 04 4d 51 54 54  05 02 00 3c 03 21 00 01", "00000010  00 05 73 75 62 2d 31"];
    assert_eq!(lengths(&format!("    {}\n    {}", rows[0], rows[1])), [(client, 23)]);
    assert_eq!(lengths(&format!("{}\n    {}", rows[0], rows[1])), [(client, 23)]);
}

#[test]
fn a_text_column_is_no_byte_even_if_it_looks_like_one() {
    assert_eq!(bytes("0000   31 30 20 41   10 A"), [b"10 A"]);
    assert_eq!(bytes("00000000: 6162 6364 3031  abcd01"), [b"abcd01"]);
    assert_eq!(bytes("00000000  23 3b 2f 2f                                       |#;//|"), [b"#;//"]);
    assert_eq!(bytes("0000   10 0c 4d \u{b7}\u{b7}M".replace("4d ", "4d   ").as_str()), [b"\x10\x0cM"]);
    // Somebody changed a byte, but not the text.
    assert_eq!(bytes("00000000: 1012 0004 4d51 5455  ....MQTT"), [b"\x10\x12\0\x04MQTU"]);
}

#[test]
fn mistakes_have_a_place_and_a_cure() {
    for (text, expected) in [
        ("10 0g", "line 1, column 4: \"0g\" is not hex: correct it, or put # before a comment"),
        ("\n> 10 CONNECT", "line 2, column 6: \"CONNECT\" is not hex: correct it, or put # before a comment"),
        ("10 é", "line 1, column 4: \"é\" is not hex: correct it, or put # before a comment"),
        ("10 c 00", "line 1, column 4: \"c\" is one digit: every byte has two, such as 0c"),
        ("100", "line 1, column 1: \"100\" has 3 digits: every byte has two, so one is missing or too many"),
        (
            "0x10, 0x100",
            "line 1, column 7: \"100\" has 3 digits: every byte has two, so one is missing or too many",
        ),
        ("\\x10\\x", "line 1, column 5: no hex digits after \\x: write two, such as \\x0c"),
        (
            "\\x10\\x04DA",
            "line 1, column 5: 4 hex digits after \\x: write two, or put the line in quotes if text follows",
        ),
        ("b'\\x10", "line 1, column 2: this string has no end: add '"),
        ("b'\\q'", "line 1, column 3: unknown escape after \\: write the byte as \\x and two hex digits"),
        ("pause", "line 1, column 6: a duration is missing: write `pause 2s`"),
        (
            "wait 5 # s",
            "line 1, column 6: invalid duration \"5\": write a number and ms, s or min, such as 500ms",
        ),
        (
            "00000000  10 0c |..|\n*\n00000020  10 |.|",
            "line 2, column 1: `*` stands for rows that the dump leaves out: use `hexdump -v -C` or `xxd`",
        ),
        (
            "0000000 0c10 0400\n0000010 0c10 0400\n0000020",
            "line 1, column 1: this dump has words in the byte order of its machine: use `hexdump -C` or `xxd`",
        ),
        (
            "00000000: 1012\n00000010: 1012\n00000012: 10",
            "line 2, column 1: offset 00000010 follows 0x2 bytes: rows are missing or cut; paste the whole dump, or remove \
             the offsets",
        ),
        (
            "00000010: 1012\n00000012: 10",
            "line 1, column 1: the dump begins at offset 00000010: paste it from offset 0, or remove the offsets",
        ),
        (
            "00000000: 1012 001  .",
            "line 1, column 16: \"001\" has 3 digits: every byte has two, so one is missing or too many",
        ),
        (
            "0000   10 12 0g  ...",
            "line 1, column 14: \"0g\" is neither hex nor the text of these bytes: correct it, or remove the text column",
        ),
        (
            "echo 100c | nc localhost 1883",
            "line 1, column 1: echo prints this as text, without a single byte in hex: add `| xxd -r -p`, write the bytes as \
             \\x10, or remove the command around the digits",
        ),
        ("> echo 1 | xxd -r -p", "line 1, column 8: \"1\" is one digit: every byte has two, such as 01"),
        ("printf '\\x10", "line 1, column 8: this quote has no end: add '"),
        (
            "printf '\\x10%d' 5",
            "line 1, column 17: a second argument of printf: write all bytes in the first one",
        ),
        (
            "printf '\\x10%d'",
            "line 1, column 13: % begins a conversion of printf: write the byte as \\x25, or the value itself",
        ),
        (
            "printf \\x10 | nc localhost 1883",
            "line 1, column 8: the shell replaces this before it prints: put the bytes in single quotes, and write the value \
             of a variable",
        ),
        (
            "xxd -r -p packet.hex | nc localhost 1883",
            "line 1, column 1: no bytes in this command: write them with echo or printf before the pipe",
        ),
    ] {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
}

#[test]
fn all_mistakes_come_together_in_the_order_of_the_lines() {
    let frame = format!("{}0800{}06{}", "00".repeat(12), "4500002800000000ff", "00".repeat(40));
    let found = read(&format!("{frame}\n10 1\n> 20\nwait\nzz")).unwrap_err();
    let places: Vec<_> = found.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(places, [(1, 1), (2, 4), (4, 5), (5, 1)]);
    assert!(found[0].what.starts_with("these bytes are a whole Ethernet frame"));
}

/// Rows of `offset`, bytes and text, as `row` formats them.
fn dump(bytes: &[u8], row: impl Fn(usize, &[u8], &str) -> String) -> String {
    let rows = bytes.chunks(16).enumerate().map(|(index, part)| {
        let text = part.iter().map(|byte| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' });
        row(index * 16, part, &text.collect::<String>())
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn joined(bytes: &[u8], separator: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator)
}

/// Pairs with a wider space after the eighth, in columns of this width.
fn halves(bytes: &[u8], width: usize) -> String {
    let (first, second) = bytes.split_at(bytes.len().min(8));
    format!("{:<width$}", format!("{}  {}", joined(first, " "), joined(second, " ")))
}

fn words(bytes: &[u8]) -> String {
    bytes.chunks(2).map(|word| joined(word, "")).collect::<Vec<_>>().join(" ")
}

fn escapes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte {
            b'\'' | b'"' | b'\\' | b'%' | b'$' | b'`' => write!(text, "\\x{byte:02x}").unwrap(),
            0x20..0x7F
                if !text.ends_with(|last: char| last.is_ascii_hexdigit()) || !byte.is_ascii_hexdigit() =>
            {
                text.push(char::from(*byte));
            }
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
        text
    })
}

/// The same bytes in every style.
fn styles(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let hex = joined(bytes, "");
    let mut styles = vec![
        ("pairs", joined(bytes, " ")),
        ("upper case", joined(bytes, " ").to_uppercase()),
        ("in a row", hex.clone()),
        ("C array", format!("{{0x{}}};", joined(bytes, ", 0x"))),
        ("escapes", format!("\\x{}", joined(bytes, "\\x"))),
        ("colons", joined(bytes, ":")),
        ("hyphens", joined(bytes, "-")),
        ("Python", format!("b'{}'", escapes(bytes))),
        ("echo and xxd", format!("echo {hex} | xxd -r -p | nc localhost 1883")),
        ("echo -ne", format!("echo -ne \"\\x{}\" | nc localhost 1883", joined(bytes, "\\x"))),
    ];
    styles.push(("printf", format!("printf '\\x{}' | nc localhost 1883", joined(bytes, "\\x"))));
    styles.push(("xxd", dump(bytes, |at, part, text| format!("{at:08x}: {:<39}  {text}", words(part)))));
    styles.push(("hexdump -C", {
        let rows = dump(bytes, |at, part, text| format!("{at:08x}  {}  |{text}|", halves(part, 48)));
        format!("{rows}\n{:08x}", bytes.len())
    }));
    styles.push((
        "Wireshark",
        dump(bytes, |at, part, text| format!("{at:04x}   {:<47}   {text}", joined(part, " "))),
    ));
    styles.push(("tshark", dump(bytes, |at, part, text| format!("{at:04x}  {}   {text}", halves(part, 48)))));
    styles.push(("only offsets", dump(bytes, |at, part, _| format!("{at:04x}  {}", joined(part, " ")))));
    styles.push(("od -A x -t x1z", {
        let rows = dump(bytes, |at, part, text| format!("{at:06x} {:<47}  >{text}<", joined(part, " ")));
        format!("{rows}\n{:06x}", bytes.len())
    }));
    styles.push(("od", {
        let rows = dump(bytes, |at, part, _| format!("{at:07o} {}", joined(part, " ")));
        format!("{rows}\n{:07o}", bytes.len())
    }));
    styles
}

proptest! {
    #[test]
    fn bytes_printed_in_each_style_come_back(
        // Much of it is text, and much of that looks like hex.
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x20..0x7F_u8, b'0'..=b'9', b'a'..=b'f'], 1..70),
        mark in proptest::sample::select(vec![("", Side::Client), ("> ", Side::Client), ("<- ", Side::Server)]),
    ) {
        for (style, text) in styles(&bytes) {
            let text = text.lines().map(|line| format!("{}{line}\n", mark.0)).collect::<String>();
            let expected = vec![HexLine { line: 1, from: mark.1, bytes: bytes.clone(), pause: None }];
            prop_assert_eq!(read(&text), Ok(expected), "{}\n{}", style, text);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_but_never_panics(
        text in "([0-9a-fx:*>|\\\\ \t'\"$#-]|\u{e9}|\n|\\PC|echo |printf |xxd -r -p|0000|00000000: |sleep |pause |b'|\\\\x){0,60}",
    ) {
        if let Err(mistakes) = read(&text) {
            let lines: Vec<&str> = text.lines().collect();
            for mistake in mistakes {
                prop_assert!(mistake.line >= 1 && mistake.line <= lines.len());
                prop_assert!(mistake.column >= 1);
            }
        }
    }
}
