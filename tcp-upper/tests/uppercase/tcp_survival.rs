//! Failures that the TCP programs in Rust survive, and their messages.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::programs::{Language::Rust, Server, Transport::Tcp, run_client};

#[test]
fn the_server_closes_on_what_is_not_text_and_goes_on() {
    let server = Server::start(Tcp, Rust);
    let cut_in_a_character = format!("{}é", "x".repeat(1023));
    for message in [b"\xff\xfe".as_slice(), cut_in_a_character.as_bytes()] {
        let mut client = connect(&server);
        client.write_all(message).expect("send");
        let mut reply = Vec::new();
        // With bytes left unread at the server the end is a reset.
        if let Err(error) = client.read_to_end(&mut reply) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(reply, b"");
    }
    assert_still_serves(&server);
}

#[test]
fn the_server_outlives_a_client_that_leaves() {
    let server = Server::start(Tcp, Rust);
    drop(connect(&server));
    assert_still_serves(&server);
}

#[test]
fn the_server_outlives_a_client_that_resets() {
    let server = Server::start(Tcp, Rust);
    for message in [b"".as_slice(), b"hello"] {
        let mut client = connect(&server);
        client.write_all(message).expect("send");
        // Lingering for no time makes the close a reset.
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("set SO_LINGER");
        drop(client);
        assert_still_serves(&server);
    }
}

#[test]
fn the_server_waits_for_a_silent_client_no_longer_than_it_says() {
    let server = Server::start_with(Tcp, Rust, 0, &["--timeout", "50ms"]);
    let mut silent = connect(&server);
    assert_eq!(silent.read(&mut [0; 1]).expect("receive"), 0, "closed without a reply");
    assert_still_serves(&server);
}

#[test]
fn clients_are_served_one_at_a_time() {
    let server = Server::start(Tcp, Rust);
    let mut first = connect(&server);
    let mut second = connect(&server);
    second.write_all(b"second").expect("send");
    second.set_nonblocking(true).expect("set non-blocking");
    let early = second.read(&mut [0; 1]).expect_err("the first is not served yet");
    assert_eq!(early.kind(), ErrorKind::WouldBlock);

    first.write_all(b"first").expect("send");
    assert_eq!(reply(&mut first), "FIRST");
    second.set_nonblocking(false).expect("set blocking");
    assert_eq!(reply(&mut second), "SECOND");
}

/// listen(1): Linux lets one more wait than that, and answers no further client. Other systems
/// count in their own ways.
#[test]
#[cfg(target_os = "linux")]
fn few_clients_wait_in_the_queue() {
    let server = Server::start(Tcp, Rust);
    let address = server.address.into();
    let mut connected = Vec::new();
    let error = loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            Ok(client) => connected.push(client),
            Err(error) => break error,
        }
        assert!(connected.len() <= 3, "one is served, two wait");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

/// No SO_REUSEADDR: the server closed first, so its port is in TIME_WAIT.
#[test]
#[cfg(target_os = "linux")]
#[should_panic = "Address already in use"]
fn a_restarted_server_has_to_wait_for_its_port() {
    let server = Server::start(Tcp, Rust);
    let port = server.address.port();
    assert_still_serves(&server);
    drop(server);
    let _ = Server::start_with(Tcp, Rust, port, &[]);
}

#[test]
fn the_client_without_a_server_says_so_before_it_asks() {
    // Bound but not listening: no other program can take the port.
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).expect("create a socket");
    held.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
    let address = held.local_addr().expect("an address").as_socket().expect("an IP address");
    let transcript = run_client(Tcp, Rust, &[], address.port(), b"hello\n");
    assert_eq!((transcript.output.as_str(), transcript.code), ("", Some(1)));
    let said = format!("error: connect to {address}: ");
    assert!(transcript.errors.starts_with(&said), "{transcript:?}");
}

#[test]
fn the_client_says_when_no_reply_comes() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let address = listener.local_addr().expect("an address");
    let transcript = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut client, _) = listener.accept().expect("accept");
            let mut sentence = [0; 5];
            client.read_exact(&mut sentence).expect("receive");
            client.shutdown(Shutdown::Both).expect("close");
        });
        run_client(Tcp, Rust, &[], address.port(), b"hello\n")
    });
    assert_eq!(transcript.code, Some(1));
    assert_eq!(
        transcript.errors,
        format!("error: {address} closed the connection without a reply\n")
    );
}

#[test]
fn the_client_without_a_line_sends_nothing() {
    let server = Server::start(Tcp, Rust);
    let transcript = run_client(Tcp, Rust, &[], server.address.port(), b"");
    assert_eq!(transcript.code, Some(1));
    assert_eq!(transcript.errors, "error: no line to send: the input is at its end\n");
    assert_still_serves(&server);
}

fn assert_still_serves(server: &Server) {
    let mut client = connect(server);
    client.write_all("straße".as_bytes()).expect("send");
    assert_eq!(reply(&mut client), "STRASSE");
}

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).expect("connect")
}

fn reply(client: &mut TcpStream) -> String {
    let mut reply = String::new();
    client.read_to_string(&mut reply).expect("receive");
    reply
}
