//! Failures that the UDP programs in Rust survive, and their messages.

use std::net::{Ipv4Addr, UdpSocket};

use crate::programs::{Language::Rust, Server, Transport::Udp, run_client};

#[test]
fn the_server_drops_what_is_not_text_and_goes_on() {
    let server = Server::start(Udp, Rust);
    let client = loopback_socket();
    let cut_in_a_character = format!("{}é", "x".repeat(2047));
    for message in [b"\xff\xfe".as_slice(), cut_in_a_character.as_bytes(), b"after"] {
        client.send_to(message, server.address).expect("send");
    }
    let mut buffer = [0; 2048];
    let length = client.recv(&mut buffer).expect("receive");
    assert_eq!(&buffer[..length], b"AFTER", "the first answer is to the first text");
}

#[test]
fn the_server_outlives_clients_that_do_not_wait() {
    let server = Server::start(Udp, Rust);
    for _ in 0..10 {
        // Closed before the reply comes: its port is unreachable by then.
        loopback_socket().send_to(b"gone", server.address).expect("send");
    }
    assert!(server.ask(Rust, "here").output.ends_with("HERE\n"));
}

#[test]
fn the_client_stops_waiting_and_says_for_whom() {
    // Bound and silent: no system reports that the port is unreachable.
    let silent = loopback_socket();
    let port = port_of(&silent);
    let transcript = run_client(Udp, Rust, &["--timeout", "50ms"], port, b"hello\n");
    assert_eq!(transcript.code, Some(1));
    let said = format!(
        "error: no reply from 127.0.0.1:{port} within 50ms: no server, or a lost datagram\n"
    );
    assert_eq!(transcript.errors, said);
}

#[test]
fn the_client_reports_a_reply_from_another_address() {
    let (asked, other) = (loopback_socket(), loopback_socket());
    let port = port_of(&asked);
    let transcript = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (_, client) = asked.recv_from(&mut [0; 2048]).expect("receive");
            other.send_to(b"HELLO", client).expect("send");
        });
        run_client(Udp, Rust, &[], port, b"hello\n")
    });
    assert!(transcript.output.ends_with(":HELLO\n"), "{transcript:?}");
    let said = format!(
        "the reply is from 127.0.0.1:{}, the message went to 127.0.0.1:{port}\n",
        port_of(&other)
    );
    assert_eq!(transcript.errors, said);
}

#[test]
fn the_client_sends_a_line_of_crlf_without_its_end() {
    let server = Server::start(Udp, Rust);
    let transcript = run_client(Udp, Rust, &[], server.address.port(), b"hello\r\n");
    assert!(transcript.output.ends_with(":HELLO\n"), "{transcript:?}");
}

#[test]
fn the_client_refuses_what_no_datagram_carries() {
    let server = Server::start(Udp, Rust);
    let line = "x".repeat(65_508);
    let transcript = run_client(Udp, Rust, &[], server.address.port(), line.as_bytes());
    assert_eq!(transcript.code, Some(1));
    assert_eq!(transcript.errors, "error: 65508 bytes: one datagram carries at most 65507\n");
}

#[test]
fn the_client_without_a_line_sends_nothing() {
    let silent = loopback_socket();
    let transcript = run_client(Udp, Rust, &[], port_of(&silent), b"");
    assert_eq!(transcript.code, Some(1));
    assert_eq!(transcript.errors, "error: no line to send: the input is at its end\n");
    silent.set_nonblocking(true).expect("set non-blocking");
    assert!(silent.recv(&mut [0; 1]).is_err(), "no datagram came");
}

fn loopback_socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind")
}

fn port_of(socket: &UdpSocket) -> u16 {
    socket.local_addr().expect("an address").port()
}
