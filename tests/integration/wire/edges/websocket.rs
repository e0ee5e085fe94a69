//! The WebSocket's framing, after the cases of the Autobahn suite, whose numbers are in the names.
//!
//! The suite expects a server that echoes text. This server ignores text, so each case checks that
//! it stays open, answers pings, or closes with the right code.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Database, PATIENCE, Relay, handshake, read_frame, within};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A masked frame of a client, with FIN and the reserved bits in `flags` (0x80, 0x70).
fn frame(flags: u8, opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![flags | opcode];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80, opcode, payload)
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    whole(CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// The server's reaction to the bytes of a case.
enum Expected {
    /// The connection stays open.
    Alive,
    /// These pongs, and the connection stays open.
    Pongs(Vec<Vec<u8>>),
    /// A close frame with this code.
    Closed(u16),
    /// A close frame without a code.
    ClosedBare,
}
use Expected::{Alive, Closed, ClosedBare, Pongs};

struct Case {
    what: String,
    bytes: Vec<u8>,
    expected: Expected,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |what: &str, bytes: Vec<u8>, expected| {
        cases.push(Case { what: what.to_owned(), bytes, expected })
    };
    for size in [0, 125, 126, 127, 128, 65_535, 65_536] {
        case(&format!("1.1 text of {size}"), whole(TEXT, &vec![b'*'; size]), Alive);
        case(&format!("1.2 binary of {size}"), whole(BINARY, &vec![0xfe; size]), Closed(1003));
    }
    case("1.1 text of 65,537", whole(TEXT, &vec![b'*'; 65_537]), Closed(1009));
    for payload in [&b""[..], b"Hello", b"\x00\xff\xfe\xfd", &[0xfe; 125]] {
        case(
            &format!("2.1-4 ping of {}", payload.len()),
            whole(PING, payload),
            Pongs(vec![payload.to_vec()]),
        );
    }
    case("2.5 ping of 126", whole(PING, &[0xfe; 126]), Closed(1002));
    case("2.7 pong", whole(PONG, b""), Alive);
    case("2.8 pong with payload", whole(PONG, b"unasked"), Alive);
    case(
        "2.9 pong, then ping",
        [whole(PONG, b"x"), whole(PING, b"y")].concat(),
        Pongs(vec![b"y".to_vec()]),
    );
    let ten: Vec<Vec<u8>> = (0..10_u8).map(|n| vec![n]).collect();
    case(
        "2.10 ten pings",
        ten.iter().flat_map(|payload| whole(PING, payload)).collect(),
        Pongs(ten),
    );
    for reserved in 1..=7_u8 {
        for opcode in [TEXT, BINARY, PING, CLOSE] {
            let bytes = frame(0x80 | reserved << 4, opcode, b"");
            case(&format!("3 reserved bits {reserved} of opcode {opcode}"), bytes, Closed(1002));
        }
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        case(&format!("4 opcode {opcode}"), whole(opcode, b""), Closed(1002));
        case(&format!("4 opcode {opcode} with payload"), whole(opcode, b"x"), Closed(1002));
    }
    for opcode in [PING, PONG, CLOSE] {
        case(
            &format!("5.1-2 fragmented control {opcode}"),
            [frame(0, opcode, b"a"), frame(0x80, 0, b"b")].concat(),
            Closed(1002),
        );
    }
    case("5.3 text in two", [frame(0, TEXT, b"a"), frame(0x80, 0, b"b")].concat(), Alive);
    case(
        "5.6 a ping between",
        [frame(0, TEXT, b"a"), whole(PING, b"p"), frame(0x80, 0, b"b")].concat(),
        Pongs(vec![b"p".to_vec()]),
    );
    case("5.9 a continuation of nothing", frame(0x80, 0, b"x"), Closed(1002));
    case("5.12 an open continuation of nothing", frame(0, 0, b"x"), Closed(1002));
    case(
        "5.15 a continuation after the end",
        [frame(0, TEXT, b"a"), frame(0x80, 0, b"b"), frame(0, 0, b"c")].concat(),
        Closed(1002),
    );
    case("5.18 text within text", [frame(0, TEXT, b"a"), whole(TEXT, b"b")].concat(), Closed(1002));
    case(
        "5.19 five parts, pings between",
        [
            frame(0, TEXT, b"1"),
            frame(0, 0, b"2"),
            whole(PING, b"x"),
            frame(0, 0, b"3"),
            frame(0, 0, b"4"),
            whole(PING, b"y"),
            frame(0x80, 0, b"5"),
        ]
        .concat(),
        Pongs(vec![b"x".to_vec(), b"y".to_vec()]),
    );
    case("5 binary in two", [frame(0, BINARY, b"a"), frame(0x80, 0, b"b")].concat(), Closed(1003));
    for text in [
        "κόσμε",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "\u{7f}",
        "\u{7ff}\u{800}\u{ffff}",
        "\u{10000}\u{10ffff}",
        "\u{fffd}",
        "\0",
    ] {
        case(&format!("6 text {text:?}"), whole(TEXT, text.as_bytes()), Alive);
        let (left, right) = text.as_bytes().split_at(1);
        case(
            &format!("6 text {text:?} cut within a character"),
            [frame(0, TEXT, left), frame(0x80, 0, right)].concat(),
            Alive,
        );
    }
    for bytes in [
        &b"\x80"[..],
        b"\xbf",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xce\xba\xe1\xbd",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
        b"abc\xc3",
    ] {
        case(&format!("6 not UTF-8 {bytes:x?}"), whole(TEXT, bytes), Closed(1007));
        let parts = [frame(0, TEXT, &bytes[..1]), frame(0x80, 0, &bytes[1..])].concat();
        case(&format!("6 not UTF-8 {bytes:x?} in two"), parts, Closed(1007));
    }
    case("7.1.1 close", close(1000, b""), Closed(1000));
    case("7.1.2 two closes", [close(1000, b""), close(1000, b"")].concat(), Closed(1000));
    case("7.1.3 a ping after close", [close(1000, b""), whole(PING, b"x")].concat(), Closed(1000));
    case("7.1.4 text after close", [close(1000, b""), whole(TEXT, b"x")].concat(), Closed(1000));
    case(
        "7.1.5 close within a message",
        [frame(0, TEXT, b"x"), close(1000, b"")].concat(),
        Closed(1000),
    );
    case("7.3.1 close without a code", whole(CLOSE, b""), ClosedBare);
    case("7.3.2 close of one byte", whole(CLOSE, b"\x03"), Closed(1002));
    case("7.3.4 close with a reason", close(1000, b"Hello"), Closed(1000));
    case("7.3.5 close with a long reason", close(1000, &[b'*'; 123]), Closed(1000));
    case("7.3.6 close with too long a reason", close(1000, &[b'*'; 124]), Closed(1002));
    case(
        "7.5.1 close with a reason that is not UTF-8",
        close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"),
        Closed(1007),
    );
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        case(&format!("7.7 close {code}"), close(code, b""), Closed(code));
    }
    for code in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        case(&format!("7.9 close {code}"), close(code, b""), Closed(1002));
    }
    let parts = |count: usize, size: usize| {
        let mut bytes = frame(0, TEXT, &vec![b'x'; size]);
        (2..count).for_each(|_| bytes.extend(frame(0, 0, &vec![b'x'; size])));
        bytes.extend(frame(0x80, 0, &vec![b'x'; size]));
        bytes
    };
    case("9 64 KiB in parts of 64", parts(1024, 64), Alive);
    case("9 more than 64 KiB in parts of 64", parts(1025, 64), Closed(1009));
    case("9 10,000 parts of nothing", parts(10_000, 0), Alive);
    // Cases beyond the suite.
    case("not masked", vec![0x81, 1, b'x'], Closed(1002));
    case("a length of 2^63", [vec![0x81, 0xff], vec![0xff; 8], vec![0; 4]].concat(), Closed(1009));
    case(
        "a length of 1 GiB announced",
        [vec![0x81, 0xff], (1_u64 << 30).to_be_bytes().to_vec(), vec![0; 4]].concat(),
        Closed(1009),
    );
    cases
}

async fn open(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect(relay.url.authority()).await.expect("a connection");
    stream.set_nodelay(true).expect("single bytes go out as they are written");
    handshake(&mut stream, relay).await;
    stream
}

/// Sends `bytes` in pieces of `chop` bytes, and then a ping of the relay's own protocol, which an
/// open connection answers.
async fn try_case(relay: &Relay, Case { what, bytes, expected }: &Case, chop: usize) {
    const ASK: &[u8] = b"{\"type\":\"ping\"}";
    let what = format!("{what}, in pieces of {chop}");
    let mut stream = open(relay).await;
    for piece in bytes.chunks(chop) {
        // The relay may have closed the connection already.
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let _ = stream.write_all(&whole(TEXT, ASK)).await;
    let (mut pongs, mut ended, mut alive) = (Vec::new(), None, false);
    while let Some((first, payload)) = within(&what, read_frame(&mut stream)).await {
        assert_eq!(first & 0xf0, 0x80, "{what}: the server sends whole frames");
        match first & 0x0f {
            TEXT if payload.starts_with(b"{\"type\":\"pong\"") => {
                alive = true;
                break;
            }
            TEXT => {}
            PONG => pongs.push(payload),
            CLOSE => {
                ended = Some(payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]])));
                break;
            }
            other => panic!("{what}: opcode {other}"),
        }
    }
    match expected {
        Alive => assert!(alive && pongs.is_empty(), "{what}: {ended:?} {pongs:?}"),
        Pongs(expected) => assert!(alive && pongs == *expected, "{what}: {ended:?} {pongs:?}"),
        Closed(code) => assert_eq!(ended, Some(Some(*code)), "{what}"),
        ClosedBare => assert_eq!(ended, Some(None), "{what}"),
    }
    if ended.is_some() {
        // After its close frame the server ends the connection and sends nothing more.
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok() && rest.is_empty(), "{what}: {rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_read_as_the_standard_requires() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let cases = cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    for case in &cases {
        try_case(&relay, case, usize::MAX).await;
        if case.bytes.len() < 300 {
            try_case(&relay, case, 1).await;
        }
    }
}

/// The relay stops reading from a peer that sends many pings and reads no pong. Once the peer
/// reads, it gets every pong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_costs_no_memory() {
    const PINGS: usize = 200_000;
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let stream = open(&relay).await;
    let before = relay.resident();
    let (mut reader, mut writer) = stream.into_split();
    let pings: Vec<u8> = (0..1000).flat_map(|_| whole(PING, &[7; 100])).collect();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let flood = tokio::spawn(async move {
        for piece in pings.chunks(pings.len() / 100).cycle().take(PINGS / 10) {
            writer.write_all(piece).await.expect("sent");
            counted.fetch_add(1, Ordering::Relaxed);
        }
        writer
    });
    // The peer reads no pongs, so it comes to a point where it can send no more pings.
    let mut before_pause = usize::MAX;
    while before_pause != sent.load(Ordering::Relaxed) {
        before_pause = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!flood.is_finished(), "the relay read 20 MB of pings without their pongs being read");
    let grown = relay.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more");
    let mut taken = 0;
    let mut bytes = [0; 64 * 1024];
    while taken < PINGS * 102 {
        let read = within("pongs", reader.read(&mut bytes)).await.expect("bytes");
        assert_ne!(read, 0, "it closed after {taken} bytes");
        taken += read;
    }
    within("the flood", flood).await.expect("no panic");
}

/// The relay ends the connection of a peer that has closed its side.
#[tokio::test]
async fn a_half_closed_peer_is_left() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let mut stream = open(&relay).await;
    stream.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    within("the end", stream.read_to_end(&mut rest)).await.expect("the end");
}

#[tokio::test]
async fn a_wrong_handshake_is_refused_with_a_problem() {
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let good = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value, status) in [
        ("Connection", "keep-alive", 426),
        ("Upgrade", "h2c", 426),
        ("Sec-WebSocket-Version", "8", 426),
        ("Sec-WebSocket-Version", "x", 426),
        ("Sec-WebSocket-Key", "", 400),
        ("Sec-WebSocket-Key", "short==", 400),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQdd", 400),
    ] {
        let mut headers = good.to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.push((name, value));
        let mut connection = relay.connection().await;
        let response = connection
            .request("GET", "/ws/connect", &headers, bytes::Bytes::new())
            .await
            .expect("an answer");
        assert_eq!(response.status, status, "{name}: {value}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{name}: {value}"
        );
    }
}

/// A browser can only distinguish refusals by their close codes.
#[tokio::test]
async fn a_forbidden_subscription_gets_a_close_code() {
    use progress_relay::client::ws::{Frame, Subscriber};

    let database = Database::new().await;
    let relay = Relay::start(&database, &["--allow-origin", "https://school.example"]).await;
    let own = format!("http://{}", relay.url.authority());
    let long = "x".repeat(201);
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    for (classes, headers, expected) in [
        (vec![], vec![("Origin", "http://evil.example")], Some("evil.example")),
        (vec![], vec![("Origin", "null")], Some("null")),
        (vec![long.clone()], vec![], Some("200 bytes")),
        (vec![String::new()], vec![], Some("empty")),
        (vec!["a\nb".to_owned()], vec![], Some("control")),
        (many, vec![], Some("64 classes")),
        (vec![], vec![("Origin", &*own)], None),
        (vec![], vec![("Origin", "https://school.example")], None),
        (vec![], vec![], None),
    ] {
        let mut subscriber = Subscriber::connect_with(&relay.url, &classes, None, &headers)
            .await
            .expect("a handshake");
        let frame = within("a frame", subscriber.next()).await.expect("a frame");
        match (frame, expected) {
            (Frame::Closed { code, reason }, Some(expected)) => {
                assert_eq!(code, Some(1008), "{headers:?}");
                assert!(reason.contains(expected), "{reason}");
            }
            (Frame::Live { .. }, None) => {}
            (frame, _) => panic!("{headers:?}: {frame:?}"),
        }
    }
}
