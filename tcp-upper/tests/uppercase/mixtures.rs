//! Every mixture of Rust and Python says the same to the same lines.

use crate::programs::{Language, Server, Transport};
use Language::{Python, Rust};

const PROMPT: &str = "Input lowercase sentence:";

#[test]
fn udp_rust_client_rust_server() {
    udp(Rust, Rust);
}

#[test]
#[ignore = "needs python3"]
fn udp_rust_client_python_server() {
    udp(Rust, Python);
}

#[test]
#[ignore = "needs python3"]
fn udp_python_client_rust_server() {
    udp(Python, Rust);
}

#[test]
#[ignore = "needs python3"]
fn udp_python_client_python_server() {
    udp(Python, Python);
}

#[test]
fn tcp_rust_client_rust_server() {
    tcp(Rust, Rust);
}

#[test]
#[ignore = "needs python3"]
fn tcp_rust_client_python_server() {
    tcp(Rust, Python);
}

#[test]
#[ignore = "needs python3"]
fn tcp_python_client_rust_server() {
    tcp(Python, Rust);
}

#[test]
#[ignore = "needs python3"]
fn tcp_python_client_python_server() {
    tcp(Python, Python);
}

/// One server, a client a line, one after another.
fn udp(client: Language, server: Language) {
    let server = Server::start(Transport::Udp, server);
    let mut table = vec![
        ("hello, world".to_owned(), "HELLO, WORLD".to_owned()),
        ("straße".to_owned(), "STRASSE".to_owned()),
        ("ŉ".to_owned(), "ʼN".to_owned()),
        // A datagram of no bytes is one all the same, and so is its answer.
        (String::new(), String::new()),
        ("x".repeat(2048), "X".repeat(2048)),
        ("still here".to_owned(), "STILL HERE".to_owned()),
    ];
    // Windows fails such a receive instead of cutting the datagram to the buffer.
    if cfg!(unix) {
        table.push(("x".repeat(3000), "X".repeat(2048)));
    }
    for (line, reply) in table {
        let transcript = server.ask(client, &line);
        assert_eq!(transcript.output, format!("{PROMPT}{reply}\n"), "{transcript:?}");
        assert_eq!((transcript.errors.as_str(), transcript.code), ("", Some(0)));
    }
}

fn tcp(client: Language, server_language: Language) {
    let server = Server::start(Transport::Tcp, server_language);
    let mut table = vec![
        ("hello, world".to_owned(), "HELLO, WORLD".to_owned()),
        ("straße".to_owned(), "STRASSE".to_owned()),
        ("ŉ".to_owned(), "ʼN".to_owned()),
        ("x".repeat(1024), "X".repeat(1024)),
        ("still here".to_owned(), "STILL HERE".to_owned()),
    ];
    // With the Python client an empty line ends in a deadlock (docs/uppercase.md).
    if matches!(client, Rust) {
        table.push((String::new(), String::new()));
    }
    for (line, reply) in table {
        let transcript = server.ask(client, &line);
        assert_eq!(transcript.output, format!("{PROMPT}From Server: {reply}\n"), "{transcript:?}");
        assert_eq!((transcript.errors.as_str(), transcript.code), ("", Some(0)));
    }

    // Of a longer line the server receives at most 1024 bytes, and closes with the rest unread: the
    // system resets the connection, and the reply may be lost. A beginning or nothing, no third.
    let transcript = server.ask(client, &"x".repeat(3000));
    let said = transcript.output.strip_prefix(PROMPT).expect("the prompt");
    if transcript.code == Some(0) {
        let reply = said.strip_prefix("From Server: ").and_then(|r| r.strip_suffix('\n'));
        let reply = reply.unwrap_or_else(|| panic!("{transcript:?}"));
        assert!((1..=1024).contains(&reply.len()) && reply.bytes().all(|b| b == b'X'), "{reply}");
    } else {
        assert_eq!((said, transcript.code), ("", Some(1)), "{transcript:?}");
    }
    let transcript = server.ask(client, "and the next");
    assert_eq!(transcript.output, format!("{PROMPT}From Server: AND THE NEXT\n"));
}
